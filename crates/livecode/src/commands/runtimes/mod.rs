//! `livecode runtimes`: lists the runtimes of a server, makes it read them again, and makes
//! runtimes of container images.

mod import;
mod list;
mod reload;
mod removal;
mod remove;

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
    Import(import::Import),
    Reload(reload::Reload),
    Remove(remove::Remove),
}

impl RuntimesCommand {
    pub fn run(self) -> Result<ExitCode, CommandFailure> {
        match self.action {
            None => self.list.run(),
            Some(RuntimesAction::Import(import)) => import.run().map(|()| ExitCode::SUCCESS),
            Some(RuntimesAction::Reload(reload)) => reload.run().map(|()| ExitCode::SUCCESS),
            Some(RuntimesAction::Remove(remove)) => remove.run().map(|()| ExitCode::SUCCESS),
        }
    }
}
