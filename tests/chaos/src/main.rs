//! Drives the real binary and breaks what surrounds it: connections, servers, supervisors, the disk, the clock of the
//! machine's boots. What is left at the end must be what each program printed, once.
//!
//! | module | what |
//! | --- | --- |
//! | `run` | many sessions, cuts and kills at random; every byte accounted for |
//! | `faults` | one fault at a time, what was expected of it and what was seen |
//! | `soak` | sessions that come and go for long; nothing may grow |
//! | `neighbours` | how long a small program takes beside greedy ones |
//! | `server` | a server to be killed and started again |
//! | `proxy` | connections that are cut at random bytes |
//! | `client` | a client that comes back until it has everything |
//! | `http` | requests and websockets |
//! | `program` | the program that the sessions run, and what it prints |
//! | `machine` | what is there on the machine |

mod client;
mod faults;
mod http;
mod machine;
mod neighbours;
mod program;
mod proxy;
mod run;
mod server;
mod soak;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

/// Breaks things around a running livecode, and checks that nothing is lost.
#[derive(Parser)]
struct Command {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    what: What,
}

/// What every part needs.
#[derive(Args, Clone)]
struct Common {
    /// The binary under test.
    #[arg(long, global = true, default_value = "target/release/livecode")]
    binary: PathBuf,
    /// An older binary, whose supervisors the new server must get on with.
    #[arg(long, global = true)]
    older_binary: Option<PathBuf>,
    /// What all chance is drawn from; a run prints its own, and can be made again with it.
    #[arg(long, global = true)]
    seed: Option<u64>,
}

#[derive(Subcommand)]
enum What {
    /// Many sessions, cuts and kills at random.
    Run(run::Options),
    /// One fault at a time, as a table.
    Faults {
        /// Only those rows whose name contains this.
        only: Option<String>,
    },
    /// Sessions that come and go for long.
    Soak(soak::Options),
    /// Small programs beside greedy ones.
    Neighbours(neighbours::Options),
}

#[tokio::main]
async fn main() -> ExitCode {
    let Command { common, what } = Command::parse();
    let seed = common.seed.unwrap_or_else(|| fastrand::u64(..));
    fastrand::seed(seed);
    println!("seed {seed}");
    let done = match what {
        What::Run(options) => run::run(&common, &options, seed).await,
        What::Faults { only } => faults::run(&common, only.as_deref()).await,
        What::Soak(options) => soak::run(&common, &options).await,
        What::Neighbours(options) => neighbours::run(&common, &options).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("failed, with seed {seed}: {error:#}");
            ExitCode::FAILURE
        }
    }
}
