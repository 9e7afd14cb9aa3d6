//! `livecode spawner`: started by the server, for itself.

use std::{os::fd::AsFd as _, path::PathBuf, process::ExitCode};

use clap::Args;

/// Starts supervisors; the server's own helper.
#[derive(Args)]
pub struct Spawner {
    /// The server's data directory.
    #[arg(long)]
    data_dir: PathBuf,
}

impl Spawner {
    pub fn run(self) -> ExitCode {
        match std::io::stdin().as_fd().try_clone_to_owned() {
            Ok(server) => ExitCode::from(livecode_supervisor::spawner::run(server, &self.data_dir) as u8),
            Err(error) => {
                eprintln!("livecode spawner: it is started by `livecode serve`, not by hand: {error}");
                ExitCode::from(2)
            }
        }
    }
}
