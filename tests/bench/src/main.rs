//! Measures the real binary. Each figure has a reference that is measured in the same run. The
//! rounds of both alternate, so that other load on the machine affects both.
//!
//! | module | content |
//! | --- | --- |
//! | `rows` | the measurements, a file for each group of rows |
//! | `compare` | the comparison of two binaries |
//! | `options` | which binary and rows are measured |
//! | `client` | a cheap HTTP and websocket client |
//! | `server` | a server under test |
//! | `reference` | the references, such as bare programs |
//! | `stats`, `table`, `report` | percentiles, the table of rows, the page docs/performance.md |
//! | `machine` | facts about the machine and its processes |
//! | `text` | the text that the streaming rows transfer |

#![cfg_attr(test, allow(clippy::unwrap_used))] // a panic is how a test fails

mod client;
mod compare;
mod machine;
mod options;
mod reference;
mod report;
mod rows;
mod server;
mod stats;
mod table;
mod text;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result, bail};
use clap::{Parser, Subcommand};

use crate::{options::BenchOptions, server::Callers};

/// Measures how fast LiveCode is, beside references on the same machine.
#[derive(Parser)]
struct Command {
    /// The binary under test.
    #[arg(long, default_value = "target/release/livecode")]
    binary: PathBuf,
    /// Measures only the rows whose names start with one of these (such as `exit` or
    /// `memory-pss`).
    #[arg(long, value_delimiter = ',', value_name = "ROW")]
    only: Vec<String>,
    /// Uses small counts. This tests the bench itself; the figures mean nothing.
    #[arg(long)]
    quick: bool,
    /// Writes the table to this file too, with a description of the machine and of the rows.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Compares the binary with this other one in alternating rounds, and prints the gains.
    #[arg(long, value_name = "BINARY", conflicts_with = "write")]
    against: Option<PathBuf>,
    /// With `--against`: the binary under test asks for tokens, and the other one does not.
    #[arg(long, requires = "against")]
    tokens: bool,
    /// The number of rounds of `--against`, at least 2. More rounds reduce the noise.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(2..))]
    rounds: u32,
    #[command(subcommand)]
    reference: Option<ReferenceCommand>,
}

#[derive(Subcommand)]
enum ReferenceCommand {
    /// Runs the bench's own reference, a websocket server that sends bytes from memory.
    #[command(hide = true)]
    Memory {
        /// How many bytes the server sends to each client.
        bytes: usize,
    },
}

fn main() -> ExitCode {
    let command = Command::parse();
    let result = match command.reference {
        Some(ReferenceCommand::Memory { bytes }) => reference::memory::serve(bytes),
        None => measure(&command),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Measures or compares the rows that the command selects.
fn measure(command: &Command) -> Result<()> {
    let binary = command.binary.canonicalize().with_context(|| {
        format!(
            "there is no {}; `make build` builds it, and --binary names another binary",
            command.binary.display()
        )
    })?;
    let options = BenchOptions::new(binary, command.quick, command.only.clone());
    let names = if command.against.is_some() { compare::names() } else { rows::names() };
    if let Some(unknown) = options.find_unknown(&names) {
        bail!("no row starts with {unknown:?}; the rows are {}", names.join(", "));
    }
    raise_descriptor_limit();
    let facts = machine::facts(); // before the bench itself adds load
    if let Some(other) = &command.against {
        let other = other.canonicalize().with_context(|| format!("there is no {}", other.display()))?;
        let callers = if command.tokens { Callers::Users } else { Callers::Local };
        return compare::compare(&options, callers, &other, command.rounds as usize);
    }
    let measured = rows::measure(&options)?;
    print!("{}", table::markdown(&measured));
    if let Some(path) = &command.write {
        let document = report::document(&facts, &measured, command.quick);
        std::fs::write(path, document).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

/// Raises the limit of descriptors to its maximum: a thousand watchers need as many descriptors.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}
