//! The data directory on which a command works.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use livecode_protocol::token::Role;
use livecode_server::{
    auth::Roles,
    config::{Config, Flags},
};

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
