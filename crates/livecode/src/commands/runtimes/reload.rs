//! `livecode runtimes reload`.

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use anyhow::Context as _;
use clap::Args;
use livecode_server::{config::ListenAddress, runner::reload::ReloadReport};

use crate::{
    client::{ServerClient, print_status},
    commands::data_dir::{DataDirArgs, running_server},
    failure::CommandFailure,
};

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
    data_dir: DataDirArgs,
    /// URL of the server, in place of a data directory.
    #[arg(
        long = "server",
        env = "LIVECODE_SERVER",
        hide_env_values = true,
        value_name = "URL",
        conflicts_with_all = ["data_dir", "config"]
    )]
    server: Option<String>,
    /// File with the token of an admin, for --server.
    #[arg(long, env = "LIVECODE_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// File of further certificates in PEM form that are trusted, for --server.
    #[arg(long, env = "LIVECODE_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

impl Reload {
    pub fn run(self) -> Result<(), CommandFailure> {
        let report: ReloadReport = self.server()?.post_json("/catalogue/reload", &())?;
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

    fn server(&self) -> anyhow::Result<ServerClient> {
        let at = |url: &str| -> anyhow::Result<ServerClient> {
            let parsed = url.parse().with_context(|| format!("--server {url}"))?;
            Ok(ServerClient::new(parsed, self.ca_file.clone(), self.token_file.clone()))
        };
        if let Some(url) = &self.server {
            return at(url);
        }
        if let Some(server) = running_server(&self.data_dir.find()?)? {
            return Ok(server);
        }
        let listen = self.data_dir.settings()?.listen;
        at(&listen.iter().map(ListenAddress::url).next().unwrap_or_default())
    }
}
