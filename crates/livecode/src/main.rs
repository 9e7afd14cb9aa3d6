//! `livecode`: the server, and a client for the shell. One file a command, in `commands`.

mod client;
mod commands;
mod scope;
mod start;

use std::{io, process::ExitCode};

use clap::{Parser, Subcommand};

/// Runs programs in sandboxes and streams what they do. A session belongs to its program, not to a connection: whoever
/// comes back misses nothing.
#[derive(Parser)]
#[command(
    version,
    after_help = "Exit status: `run` and `attach` end with the program's. Otherwise 0; 1 where something failed; 2 for a \
                  wrong command line; 125 where LiveCode itself failed to run a program; 130 or 143 where Ctrl-C or \
                  SIGTERM ended the command and not the program; 141 where nobody reads the output any more."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Serve(Box<commands::serve::Serve>),
    Run(commands::run::Run),
    Attach(commands::attach::Attach),
    Ls(commands::ls::Ls),
    Rm(commands::rm::Rm),
    Runtimes(commands::runtimes::Runtimes),
    Doctor(commands::doctor::Doctor),
    #[command(hide = true)]
    Spawner(commands::spawner::Spawner),
}

/// Exit status where the reader of our output has gone: that of a program killed by `SIGPIPE`.
const NOBODY_READS: u8 = 141;

fn main() -> ExitCode {
    let ended = match Cli::parse().command {
        Command::Serve(serve) => serve.run().map(|()| ExitCode::SUCCESS),
        Command::Run(run) => run.run(),
        Command::Attach(attach) => attach.run(),
        Command::Ls(ls) => ls.run().map(|()| ExitCode::SUCCESS),
        Command::Rm(rm) => rm.run(),
        Command::Runtimes(runtimes) => runtimes.run().map(|()| ExitCode::SUCCESS),
        Command::Doctor(doctor) => doctor.run(),
        Command::Spawner(spawner) => Ok(spawner.run()),
    };
    ended.unwrap_or_else(|failure| {
        if failure.is_unread() {
            return ExitCode::from(NOBODY_READS);
        }
        client::say(format_args!("{:#}", failure.error));
        ExitCode::from(failure.code)
    })
}

/// A command that failed, and the exit status that says so.
struct Failure {
    error: anyhow::Error,
    code: u8,
}

impl Failure {
    /// Whether all that failed is that nobody reads our output any more (`livecode ls | head`).
    fn is_unread(&self) -> bool {
        self.error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { error: error.into(), code: 1 }
    }
}
