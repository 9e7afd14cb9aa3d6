//! `livecode rm`.

use std::process::ExitCode;

use clap::Args;

use crate::{
    client::{ServerClient, SessionRef, print_status},
    failure::CommandFailure,
};

/// Ends sessions if they still run, and deletes them.
#[derive(Args)]
pub struct RmCommand {
    #[command(flatten)]
    server: ServerClient,
    /// Ids of the sessions, or their first digits if no other id begins with them.
    #[arg(required = true)]
    ids: Vec<SessionRef>,
}

impl RmCommand {
    pub fn run(self) -> Result<ExitCode, CommandFailure> {
        let mut code = ExitCode::SUCCESS;
        for id in self.ids {
            if let Err(error) = self.server.find_id(&id).and_then(|id| self.server.delete_session(id)) {
                print_status(format_args!("{id}: {error:#}"));
                code = ExitCode::FAILURE;
            }
        }
        Ok(code)
    }
}
