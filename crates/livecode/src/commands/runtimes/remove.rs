//! `livecode runtimes remove`.

use std::io::{self, Write as _};

use clap::Args;
use livecode_image::ImageStore;
use livecode_server::catalogue::imported::ImportedRuntimes;

use crate::{commands::data_dir::DataDirArgs, failure::CommandFailure};

/// Removes a runtime that `livecode runtimes import` has made, and the images that no runtime names
/// any more.
///
/// An image whose files a program or a waiting sandbox still sees stays. The next import or removal
/// removes it.
#[derive(Args)]
pub struct Remove {
    /// Name of the runtime.
    name: String,
    #[command(flatten)]
    data_dir: DataDirArgs,
}

impl Remove {
    pub fn run(self) -> Result<(), CommandFailure> {
        let settings = self.data_dir.settings()?;
        let data_dir = self.data_dir.find()?;
        let runtimes = ImportedRuntimes::new(&data_dir, settings.runtimes_dir.as_deref());
        runtimes.remove(&self.name)?;
        let mut out = io::stdout().lock();
        writeln!(out, "removed the runtime {}", self.name)?;
        let (removed, used) = ImageStore::new(&data_dir)
            .remove_unwanted(|digest| runtimes.is_named(digest))
            .map_err(|error| anyhow::anyhow!("the images cannot be removed: {error} ({})", error.code()))?;
        for digest in removed {
            writeln!(out, "removed the image {digest}")?;
        }
        for digest in used {
            writeln!(out, "the image {digest} is in use, and stays until the next import or removal")?;
        }
        Ok(())
    }
}
