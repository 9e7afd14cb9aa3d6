//! The data directory on which a command works.

use std::path::PathBuf;

use clap::Args;
use livecode_server::config::{Config, Flags};

/// Flags that name a server's data directory.
#[derive(Args)]
pub struct DataDirArgs {
    /// Data directory of the server; by default as the server chooses its own.
    #[arg(long, global = true, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// Configuration file of the server, which names the data directory.
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "data_dir")]
    config: Option<PathBuf>,
}

impl DataDirArgs {
    /// The data directory: that of the flags, or of the server's other settings.
    pub fn find(&self) -> anyhow::Result<PathBuf> {
        if let Some(folder) = &self.data_dir {
            return Ok(folder.clone());
        }
        let mut flags = Flags::default();
        flags.config.clone_from(&self.config);
        Ok(Config::load(&flags)?.0.data_dir)
    }
}
