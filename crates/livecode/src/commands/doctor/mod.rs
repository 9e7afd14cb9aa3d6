//! `livecode doctor`.

mod local;
mod report;

use std::{path::PathBuf, process::ExitCode};

use clap::Args;

use crate::failure::CommandFailure;

/// Reports which parts of the sandbox this machine can enforce, and how to enable the others.
///
/// The command probes with the rights of the calling user: it creates namespaces, cgroups and a
/// sandbox, and removes them again. Exit status: 0 if everything is enforced, 1 if something is
/// not, 2 if no program can be run.
#[derive(Args)]
pub struct DoctorCommand {
    /// Print the findings as JSON.
    #[arg(long)]
    json: bool,
    /// Folder of additional runtimes, as for `livecode serve`. Their toolchains are examined, too.
    #[arg(long, value_name = "RUNTIMES_DIR")]
    runtimes_dir: Option<PathBuf>,
}

impl DoctorCommand {
    pub fn run(self) -> Result<ExitCode, CommandFailure> {
        let runtimes_dir =
            self.runtimes_dir.or_else(|| std::env::var_os("LIVECODE_RUNTIMES_DIR").map(PathBuf::from));
        local::examine(runtimes_dir.as_deref(), self.json)
    }
}
