//! `livecode rm`.

use std::process::ExitCode;

use clap::Args;
use livecode_protocol::SessionId;

use crate::{
    client::{ServerClient, print_status},
    failure::CommandFailure,
};

/// Ends sessions if they still run, and deletes them.
#[derive(Args)]
pub struct RmCommand {
    #[command(flatten)]
    server: ServerClient,
    /// Ids of the sessions.
    #[arg(required = true)]
    ids: Vec<SessionId>,
}

impl RmCommand {
    pub fn run(self) -> Result<ExitCode, CommandFailure> {
        let mut code = ExitCode::SUCCESS;
        for id in self.ids {
            if let Err(error) = self.server.delete(id) {
                print_status(format_args!("{id}: {error:#}"));
                code = ExitCode::FAILURE;
            }
        }
        Ok(code)
    }
}
