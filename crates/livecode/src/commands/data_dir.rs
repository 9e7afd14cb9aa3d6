//! The data directory on which a command works.

use std::{
    fs, io,
    os::unix::{fs::MetadataExt as _, net::UnixStream},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use clap::Args;
use livecode_protocol::token::Role;
use livecode_server::{
    ADMIN_SOCKET,
    auth::Roles,
    config::{Config, Flags, ListenAddress},
    is_data_dir_taken,
};

use crate::client::{ServerClient, print_status};

/// Flags that name a server's data directory.
#[derive(Args)]
pub struct DataDirArgs {
    /// Data directory of the server; by default as the server chooses its own.
    #[arg(long, global = true, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// Configuration file of the server, which names the data directory and the roles.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl DataDirArgs {
    /// The data directory: that of the flags, or of the server's other settings.
    pub fn find(&self) -> anyhow::Result<PathBuf> {
        if let Some(folder) = &self.data_dir {
            return Ok(folder.clone());
        }
        Ok(self.settings()?.data_dir)
    }

    /// Whether a flag names the data directory or the configuration.
    fn is_given(&self) -> bool {
        self.data_dir.is_some() || self.config.is_some()
    }

    /// Refuses a role that the server's configuration does not have.
    pub fn check_role(&self, role: &Role) -> anyhow::Result<()> {
        if matches!(role, Role::User | Role::Admin) {
            return Ok(());
        }
        let roles = Roles::new(&self.settings()?);
        if !roles.has(role) {
            let hint = if self.config.is_none() {
                "; --config FILE names the configuration that has it"
            } else {
                ""
            };
            bail!("there is no role {role}; there are {}{hint}", roles.names());
        }
        Ok(())
    }

    /// The server's settings, as far as flags of the server do not replace them.
    pub fn settings(&self) -> anyhow::Result<Config> {
        let mut flags = Flags::default();
        flags.config.clone_from(&self.config);
        Ok(Config::load(&flags)?.0)
    }
}

/// Flags that name the server that a command administers: its data directory, or its URL.
#[derive(Args)]
pub struct AdministeredServerArgs {
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

impl AdministeredServerArgs {
    /// The server of the URL. Without one, the server on the data directory by its admin socket,
    /// if it has one; otherwise the first address on which the settings make the server listen.
    ///
    /// # Errors
    /// If the URL, the settings or the admin socket cannot be used.
    pub fn find(&self) -> anyhow::Result<ServerClient> {
        if let Some(url) = &self.server {
            return self.at(url);
        }
        if let Some(server) = running_server(&self.data_dir.find()?)? {
            return Ok(server);
        }
        let listen = self.data_dir.settings()?.listen;
        self.at(&listen.iter().map(ListenAddress::url).next().unwrap_or_default())
    }

    /// The server for a request that needs no rights: as [`Self::find`] if a flag names the server,
    /// and otherwise the one at `default_url`.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub fn find_or(&self, default_url: &str) -> anyhow::Result<ServerClient> {
        match self.server.is_some() || self.data_dir.is_given() {
            true => self.find(),
            false => self.at(default_url),
        }
    }

    fn at(&self, url: &str) -> anyhow::Result<ServerClient> {
        let parsed = url.parse().with_context(|| format!("--server {url}"))?;
        Ok(ServerClient::new(parsed, self.ca_file.clone(), self.token_file.clone()))
    }
}

/// The server that runs on a data directory and knows its users, reached by its admin socket;
/// `None` if there is none.
///
/// # Errors
/// If there may be one, but its socket cannot be used.
pub fn running_server(data_dir: &Path) -> anyhow::Result<Option<ServerClient>> {
    let socket = data_dir.join(ADMIN_SOCKET);
    match UnixStream::connect(&socket) {
        Ok(_) => Ok(Some(ServerClient::at_socket(&socket)?)),
        Err(error) if is_without_server(&error) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot ask the server by {}", socket.display())),
    }
}

/// Whether no server listens on a socket.
fn is_without_server(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// Refuses a data directory of another user, in which the server could not read what a command of
/// this user makes.
pub fn check_owner(data_dir: &Path) -> anyhow::Result<()> {
    let owner = fs::metadata(data_dir).with_context(|| format!("cannot read {}", data_dir.display()))?.uid();
    if owner != rustix::process::geteuid().as_raw() {
        bail!("{} belongs to the user {owner}; run this as that user, as the server is", data_dir.display());
    }
    Ok(())
}

/// Warns if a server runs on a data directory that cannot be asked: it learns of a change in the
/// control store when it starts again.
pub fn warn_of_server(data_dir: &Path) {
    if is_data_dir_taken(data_dir) {
        print_status(format_args!(
            "warning: a server runs on {}, and has no admin socket there; if it asks for tokens, it learns of this \
             when it starts again",
            data_dir.display()
        ));
    }
}
