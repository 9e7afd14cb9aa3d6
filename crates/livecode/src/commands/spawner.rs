//! `livecode spawner`: started by the server, for itself.

use std::{io, os::fd::AsFd as _, process::ExitCode};

use clap::Args;
use livecode_supervisor::spawner;

/// Starts supervisors; the server's own helper.
#[derive(Args)]
pub struct Spawner {
    /// What the server says, as JSON.
    #[arg(long)]
    settings: String,
}

impl Spawner {
    pub fn run(self) -> ExitCode {
        let server = io::stdin().as_fd().try_clone_to_owned();
        // That place is not to be the server's as well: who is forked lets go of the other alone.
        let server = server.and_then(|server| {
            rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
            Ok(server)
        });
        let settings = serde_json::from_str(&self.settings).map_err(io::Error::from);
        match server.and_then(|server| Ok((server, settings?))) {
            Ok((server, settings)) => ExitCode::from(spawner::run(server, &settings) as u8),
            Err(error) => {
                eprintln!("livecode spawner: it is started by `livecode serve`, not by hand: {error}");
                ExitCode::from(2)
            }
        }
    }
}
