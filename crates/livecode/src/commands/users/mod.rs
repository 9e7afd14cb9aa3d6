//! `livecode users`: what a server has of its users.

mod audit;
mod export;
mod purge;

use clap::{Args, Subcommand};
use livecode_server::auth::{Subject, UserId};

use super::data_dir::DataDirArgs;
use crate::failure::CommandFailure;

/// Hands out or deletes what a server has of a user, and shows who did what.
///
/// The command works on the data directory of a server, as its user or as root, whether or not the
/// server runs.
#[derive(Args)]
pub struct UsersCommand {
    #[command(subcommand)]
    action: UsersAction,
    #[command(flatten)]
    data_dir: DataDirArgs,
}

#[derive(Subcommand)]
enum UsersAction {
    Export(export::ExportCommand),
    Purge(purge::PurgeCommand),
    Audit(audit::AuditCommand),
}

/// A user on the command line.
#[derive(Args)]
struct UserArgs {
    /// Name of the user; for a user of JWTs its `sub`.
    name: String,
    /// Issuer (`iss`) of a user of JWTs.
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
}

impl UserArgs {
    fn id(&self) -> anyhow::Result<UserId> {
        Ok(match &self.issuer {
            Some(issuer) => UserId::Subject(Subject { issuer: issuer.clone(), sub: self.name.clone() }),
            None => UserId::Name(self.name.parse()?),
        })
    }
}

impl UsersCommand {
    pub fn run(self) -> Result<(), CommandFailure> {
        let data_dir = self.data_dir.find()?;
        match self.action {
            UsersAction::Export(command) => command.run(&data_dir)?,
            UsersAction::Purge(command) => command.run(&data_dir)?,
            UsersAction::Audit(command) => command.run(&data_dir)?,
        }
        Ok(())
    }
}

/// Runs one task to its end.
fn block_on<T>(task: impl Future<Output = T>) -> std::io::Result<T> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(task))
}
