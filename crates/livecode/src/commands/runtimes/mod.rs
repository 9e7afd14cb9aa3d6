//! `livecode runtimes`: lists the runtimes of a server, and makes it read them again.

mod list;
mod reload;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::failure::CommandFailure;

/// Lists the runtimes, whether the server's machine can run each, and what a missing one needs.
///
/// A runtime is ready if its hello has run here since its toolchain has changed.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct RuntimesCommand {
    #[command(subcommand)]
    action: Option<RuntimesAction>,
    #[command(flatten)]
    list: list::List,
}

#[derive(Subcommand)]
enum RuntimesAction {
    Reload(reload::Reload),
}

impl RuntimesCommand {
    pub fn run(self) -> Result<ExitCode, CommandFailure> {
        match self.action {
            None => self.list.run(),
            Some(RuntimesAction::Reload(reload)) => reload.run().map(|()| ExitCode::SUCCESS),
        }
    }
}
