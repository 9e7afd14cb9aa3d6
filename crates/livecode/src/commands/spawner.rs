//! `livecode spawner`: the process that forks workers. The server starts it; users do not.

use std::{io, os::fd::AsFd as _, process::ExitCode};

use clap::Args;
use livecode_supervisor::spawner;

use crate::failure::EXIT_USAGE;

/// Runs a spawner. The server starts this command itself.
#[derive(Args)]
pub struct SpawnerCommand {
    /// The spawner's settings as JSON.
    #[arg(long)]
    settings: String,
}

impl SpawnerCommand {
    pub fn run(self) -> ExitCode {
        let server = io::stdin().as_fd().try_clone_to_owned();
        // Standard input must not refer to the server's socket any more: a forked worker closes
        // only the other descriptor of the socket.
        let server = server.and_then(|server| {
            rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
            Ok(server)
        });
        let settings = serde_json::from_str(&self.settings).map_err(io::Error::from);
        match server.and_then(|server| Ok((server, settings?))) {
            Ok((server, settings)) => ExitCode::from(spawner::run(server, &settings) as u8),
            Err(error) => {
                eprintln!(
                    "livecode spawner: this command is started by `livecode serve`, not by hand: {error}"
                );
                ExitCode::from(EXIT_USAGE)
            }
        }
    }
}
