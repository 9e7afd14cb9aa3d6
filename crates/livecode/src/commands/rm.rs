//! `livecode rm`.

use std::process::ExitCode;

use clap::Args;
use livecode_protocol::SessionId;

use crate::{
    Failure,
    client::{Server, say},
};

/// Ends sessions that run, and forgets them.
#[derive(Args)]
pub struct Rm {
    #[command(flatten)]
    server: Server,
    /// The sessions.
    #[arg(required = true)]
    ids: Vec<SessionId>,
}

impl Rm {
    pub fn run(self) -> Result<ExitCode, Failure> {
        let mut code = ExitCode::SUCCESS;
        for id in self.ids {
            if let Err(error) = self.server.delete(id) {
                say(format_args!("{id}: {error:#}"));
                code = ExitCode::FAILURE;
            }
        }
        Ok(code)
    }
}
