//! `livecode runtimes reload`.

use std::io::{self, Write as _};

use clap::Args;
use livecode_server::runner::reload::ReloadReport;

use crate::{client::print_status, commands::data_dir::AdministeredServerArgs, failure::CommandFailure};

/// Makes the server read its runtimes again, the built-in ones and those of runtimes_dir, without a
/// restart.
///
/// New sessions use the new runtimes; programs that run, and sessions that wait, are not touched.
/// If a runtime is wrong, the command names the file, the line and the key, and exits with status
/// 1; the runtimes from before stay. SIGHUP to the server does the same, and the log says what is
/// wrong.
///
/// The command uses the admin socket in the data directory, where a server that asks for tokens has
/// one; otherwise the first address on which the settings make the server listen, where the local
/// user may reload.
#[derive(Args)]
pub struct Reload {
    #[command(flatten)]
    server: AdministeredServerArgs,
}

impl Reload {
    pub fn run(self) -> Result<(), CommandFailure> {
        let report: ReloadReport = self.server.find()?.post_json("/catalogue/reload", &())?;
        for warning in &report.warnings {
            print_status(format_args!("warning: {warning}"));
        }
        let changes = [("added", &report.added), ("changed", &report.changed), ("removed", &report.removed)];
        let mut out = io::stdout().lock();
        for (what, names) in changes.into_iter().filter(|(_, names)| !names.is_empty()) {
            writeln!(out, "{what}: {}", names.join(", "))?;
        }
        Ok(writeln!(out, "{} runtimes", report.runtimes)?)
    }
}
