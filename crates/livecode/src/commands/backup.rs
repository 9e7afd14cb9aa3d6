//! `livecode backup`.

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use clap::Args;
use livecode_store::ControlStore;

use super::data_dir::DataDirArgs;
use crate::failure::CommandFailure;

/// Copies a server's control store, which has its users and tokens, while the server runs.
///
/// The copy is whole and undamaged, whatever the server writes meanwhile. Sessions are not in it:
/// they are folders in the data directory, which change only while their programs run.
#[derive(Args)]
pub struct BackupCommand {
    /// Existing folder for the copy, which gets the name of the original.
    folder: PathBuf,
    #[command(flatten)]
    data_dir: DataDirArgs,
}

impl BackupCommand {
    pub fn run(self) -> Result<(), CommandFailure> {
        let data_dir = self.data_dir.find()?;
        if !ControlStore::exists_in(&data_dir) {
            return Err(anyhow::anyhow!(
                "{} has no control store, so there is nothing to copy: a server with auth = \"tokens\" makes one",
                data_dir.display()
            )
            .into());
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let path = runtime.block_on(async {
            let store = ControlStore::open(&data_dir).await?;
            store.back_up(&self.folder).await
        })?;
        Ok(writeln!(io::stdout(), "{}", path.display())?)
    }
}
