//! `livecode doctor`.

mod local;
mod report;
mod url;

use std::{path::PathBuf, process::ExitCode};

use clap::Args;

pub use self::local::proposals;
use self::url::UrlExamination;
use crate::{
    client::{ServerClient, ServerUrl},
    failure::CommandFailure,
};

/// Reports which parts of the sandbox this machine can enforce, or what works of a server through
/// its proxy (--url), and how to mend the rest.
///
/// The command probes with the rights of the calling user: it creates namespaces, cgroups and a
/// sandbox, and removes them again. Exit status: 0 if everything is enforced, 1 if something is
/// not, 2 if no program can be run.
///
/// With --url it examines a server instead, through all proxies in front of it: it runs a program
/// there, reads its output in each way that there is, and deletes it. Each finding names the line
/// of configuration that mends it, for nginx and for Caddy. The exit status has the same meaning.
#[derive(Args)]
pub struct DoctorCommand {
    /// Print the findings as JSON.
    #[arg(long)]
    json: bool,
    /// Folder of additional runtimes, as for `livecode serve`. Their toolchains are examined, too.
    #[arg(long, value_name = "RUNTIMES_DIR", conflicts_with = "url")]
    runtimes_dir: Option<PathBuf>,
    /// URL of a server that is examined instead of this machine; it may hold a user's name and
    /// password for a proxy in front of it.
    #[arg(long, value_name = "URL")]
    url: Option<ServerUrl>,
    /// File of further certificates in PEM form that are trusted with --url, besides those of this
    /// machine (or of SSL_CERT_FILE).
    #[arg(long, env = "LIVECODE_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// File with the token by which the server at --url knows you. LIVECODE_TOKEN may hold the token
    /// itself instead.
    #[arg(long, env = "LIVECODE_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// With --url, leave out the check that takes 70 seconds: whether streams outlive a silent
    /// program.
    #[arg(long, requires = "url")]
    quick: bool,
}

impl DoctorCommand {
    pub fn run(self) -> Result<ExitCode, CommandFailure> {
        if let Some(url) = self.url {
            let server = ServerClient::new(url, self.ca_file, self.token_file);
            return UrlExamination { server, is_quick: self.quick, json: self.json }.run();
        }
        let runtimes_dir =
            self.runtimes_dir.or_else(|| std::env::var_os("LIVECODE_RUNTIMES_DIR").map(PathBuf::from));
        local::examine(runtimes_dir.as_deref(), self.json)
    }
}
