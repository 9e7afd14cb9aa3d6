//! `livecode users export`.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use clap::Args;
use livecode_server::personal_data::export_user;

use super::{UserArgs, block_on};
use crate::client::print_status;

/// Write all that a server has of a user into a new folder.
///
/// `user.json` has the user's tokens, also those that were revoked, without their secrets, the
/// shares of its sessions, its usage, and its actions in the audit. `sessions` has a folder for each session: its record (`session.json`), what it was to run
/// (`request.json`, `files`, `stdin`), and its output as its stream has it (`output.ndjson`).
#[derive(Args)]
pub struct ExportCommand {
    #[command(flatten)]
    user: UserArgs,
    /// New folder; without it, one with the name of the user in the current folder.
    folder: Option<PathBuf>,
}

impl ExportCommand {
    pub fn run(&self, data_dir: &Path) -> anyhow::Result<()> {
        let id = self.user.id()?;
        let folder = match &self.folder {
            Some(folder) => folder.clone(),
            None if self.user.issuer.is_none() => PathBuf::from(&self.user.name),
            None => anyhow::bail!("give a folder, because the sub of a JWT may be no name for one"),
        };
        if !data_dir.is_dir() {
            anyhow::bail!("there is no data directory {}", data_dir.display());
        }
        let report = block_on(export_user(data_dir, &id, &folder))??;
        print_status(format_args!(
            "{} sessions, {} tokens and {} actions of {id}, in:",
            report.sessions, report.tokens, report.audit
        ));
        if report.forgotten > 0 {
            print_status(format_args!(
                "{} more sessions were deleted or forgotten meanwhile, and nothing of them is in it",
                report.forgotten
            ));
        }
        Ok(writeln!(io::stdout(), "{}", folder.display())?)
    }
}
