//! Runs the real binary and injects faults around it: broken connections, killed servers and
//! supervisors, full disks, reboots. At the end the output of each program must be there, exactly
//! once.
//!
//! | module | content |
//! | --- | --- |
//! | `run` | many sessions with random cuts and kills; every byte is accounted for |
//! | `faults` | one fault at a time, with its expected and its observed outcome |
//! | `control_store` | a server that is killed while it changes tokens, shares and quotas |
//! | `soak` | sessions that are created and ended for a long time; nothing may grow |
//! | `neighbours` | the time of a small program beside fork, memory, disk and output bombs |
//! | `server` | a server that is killed and restarted |
//! | `proxy` | a proxy that cuts connections at random bytes |
//! | `client` | a client that reconnects until it has everything |
//! | `http` | HTTP requests and websockets |
//! | `program` | the program that the sessions run, and its expected output |
//! | `machine` | processes, cgroups, files and mounts of the machine |
//! | `options` | the options that every subcommand has |

mod client;
mod control_store;
mod faults;
mod http;
mod machine;
mod neighbours;
mod options;
mod program;
mod proxy;
mod run;
mod server;
mod soak;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::options::CommonOptions;

/// Injects faults around a running LiveCode, and checks that nothing is lost.
#[derive(Parser)]
struct Command {
    #[command(flatten)]
    common: CommonOptions,
    #[command(subcommand)]
    suite: Suite,
}

#[derive(Subcommand)]
enum Suite {
    /// Runs many sessions with random cuts and kills, and accounts for every byte.
    Run(run::Options),
    /// Injects one fault at a time, and prints a table of the outcomes.
    Faults {
        /// Runs only the faults whose names contain this text.
        only: Option<String>,
    },
    /// Kills the server while it changes tokens, shares and quotas, and checks that nothing is half
    /// done.
    ControlStore(control_store::Options),
    /// Creates and ends sessions for a long time, and checks that nothing grows.
    Soak(soak::Options),
    /// Measures small programs beside fork, memory, disk and output bombs.
    Neighbours(neighbours::Options),
}

#[tokio::main]
async fn main() -> ExitCode {
    let Command { common, suite } = Command::parse();
    let seed = common.seed.unwrap_or_else(|| fastrand::u64(..));
    fastrand::seed(seed);
    println!("seed {seed}");
    let result = match suite {
        Suite::Run(options) => run::run(&common, &options, seed).await,
        Suite::Faults { only } => faults::run(&common, only.as_deref()).await,
        Suite::ControlStore(options) => control_store::run(&common, &options).await,
        Suite::Soak(options) => soak::run(&common, &options).await,
        Suite::Neighbours(options) => neighbours::run(&common, &options).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("failed, with seed {seed}: {error:#}");
            ExitCode::FAILURE
        }
    }
}
