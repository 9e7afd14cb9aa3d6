//! `livecode runtimes remove`.

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use clap::Args;
use livecode_image::ImageStore;
use livecode_server::{catalogue::imported::ImportedRuntimes, is_data_dir_taken};

use crate::{
    commands::{
        data_dir::{DataDirArgs, check_owner},
        runtimes::removal::describe_removal,
    },
    failure::CommandFailure,
};

/// Removes a runtime that `livecode runtimes import` has made, and the images that no runtime names
/// any more.
///
/// An image stays while a running server has a runtime of it, while a session of it waits to run,
/// and while a program or a waiting sandbox sees its files. The next import or removal removes it.
///
/// If a runtime.toml or the folder of the operator's runtimes cannot be read, nothing is removed, and
/// neither is a runtime that one of the operator's extends.
#[derive(Args)]
pub struct Remove {
    /// Name of the runtime; without one, only images are removed.
    name: Option<String>,
    /// Folder of the operator's runtimes, as the server has it; by default that of the settings.
    /// Images that a runtime there names stay.
    #[arg(long, value_name = "FOLDER")]
    runtimes_dir: Option<PathBuf>,
    #[command(flatten)]
    data_dir: DataDirArgs,
}

impl Remove {
    pub fn run(self) -> Result<(), CommandFailure> {
        let settings = self.data_dir.settings()?;
        let data_dir = self.data_dir.find()?;
        let runtimes_dir = self.runtimes_dir.as_ref().or(settings.runtimes_dir.as_ref());
        let runtimes = ImportedRuntimes::new(&data_dir, runtimes_dir.map(PathBuf::as_path));
        if let Some(name) = &self.name {
            runtimes.check_exists(name)?;
        }
        if !data_dir.is_dir() {
            return Ok(()); // where nothing is, nothing is made
        }
        check_owner(&data_dir)?;
        let images = ImageStore::new(&data_dir).lock();
        let images = images
            .map_err(|error| anyhow::anyhow!("the images cannot be removed: {error} ({})", error.code()))?;
        let mut out = io::stdout().lock();
        if let Some(name) = &self.name {
            runtimes.check_change(name, None)?;
            runtimes.remove(name)?;
            writeln!(out, "removed the runtime {name}")?;
        }
        describe_removal(&runtimes.remove_unnamed_images(&images)?, &mut out)?;
        if self.name.is_some() && is_data_dir_taken(&data_dir) {
            writeln!(out, "`livecode runtimes reload` makes the running server forget it")?;
        }
        Ok(())
    }
}
