//! Measures the real binary, each figure beside its reference in the same run, in rounds that alternate: what else the
//! machine does meanwhile is then seen by both.
//!
//! | module | what |
//! | --- | --- |
//! | `rows` | what is measured: a file for each group of rows |
//! | `compare` | one binary against another |
//! | `client` | the client, which costs little |
//! | `server` | a server to be measured |
//! | `reference` | what it is compared with |
//! | `stats`, `table`, `report` | figures, rows, the document |
//! | `machine` | memory, and what the machine is |

#![cfg_attr(test, allow(clippy::unwrap_used))] // a test that panics says so

mod client;
mod compare;
mod machine;
mod reference;
mod report;
mod rows;
mod server;
mod stats;
mod table;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result, bail};
use clap::{Parser, Subcommand};

/// Measures livecode beside its references.
#[derive(Parser)]
struct Command {
    /// The binary to be measured.
    #[arg(long, default_value = "target/release/livecode")]
    binary: PathBuf,
    /// Only these rows, by their names or how those begin (`exit`, `memory-pss`).
    #[arg(long, value_delimiter = ',', value_name = "ROW")]
    only: Vec<String>,
    /// Small counts: shows that everything works, and no figure that means anything.
    #[arg(long)]
    quick: bool,
    /// Write the table, with what the machine is and how to repeat it, to this file too.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Measures the binary against this other one, in rounds that alternate, and prints how they compare.
    #[arg(long, value_name = "BINARY", conflicts_with = "write")]
    against: Option<PathBuf>,
    /// How many rounds `--against` takes.
    #[arg(long, default_value_t = 10)]
    rounds: usize,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Subcommand)]
enum Part {
    /// A reference of the bench's own: a websocket server that sends the same bytes from memory.
    #[command(hide = true)]
    Memory {
        /// How many bytes it sends to each client.
        bytes: usize,
    },
}

fn main() -> ExitCode {
    let command = Command::parse();
    let done = match command.part {
        Some(Part::Memory { bytes }) => reference::memory::serve(bytes),
        None => measure(&command),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(command: &Command) -> Result<()> {
    let binary = command.binary.canonicalize().with_context(|| {
        format!("there is no {}; `make build` builds it, --binary names another", command.binary.display())
    })?;
    if let Some(unknown) = command.only.iter().find(|only| !rows::is_known(only)) {
        bail!("there is no row {unknown:?}; there are: {}", rows::names().join(", "));
    }
    raise_descriptor_limit();
    let facts = machine::facts(); // the load before ours
    let bench = rows::Bench::new(binary, command.quick, command.only.clone());
    if let Some(other) = &command.against {
        let other = other.canonicalize().with_context(|| format!("there is no {}", other.display()))?;
        return compare::compare(&bench, &other, command.rounds);
    }
    let measured = rows::measure(&bench)?;
    print!("{}", table::table(&measured));
    if let Some(path) = &command.write {
        let document = report::document(&facts, &measured, command.quick);
        std::fs::write(path, document).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(())
}

/// A thousand watchers are a thousand descriptors.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}
