//! `livecode man`.

use std::{
    io,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::Args;
use clap_mangen::Man;

use crate::failure::CommandFailure;

/// The date that the pages carry: that of the last change of a command.
const DATE: &str = "2026-11-29";

/// Writes the manual pages of this command and of its subcommands to a folder.
#[derive(Args)]
pub struct ManCommand {
    /// The folder, which is created if it is missing.
    folder: PathBuf,
}

impl ManCommand {
    /// Writes a page for `command` and for each of its subcommands.
    pub fn run(self, command: clap::Command) -> Result<(), CommandFailure> {
        let cannot_write = || format!("cannot write manual pages to {}", self.folder.display());
        std::fs::create_dir_all(&self.folder).with_context(cannot_write)?;
        let mut command = command.disable_help_subcommand(true);
        command.build();
        write_pages(&command, &self.folder, None).with_context(cannot_write)?;
        Ok(())
    }
}

/// Writes the page of a command, and those of its subcommands that help shows. `parent` is the
/// name of the page of the command that it is part of.
fn write_pages(command: &clap::Command, folder: &Path, parent: Option<&str>) -> io::Result<()> {
    let name = parent
        .map_or_else(|| command.get_name().to_owned(), |parent| format!("{parent}-{}", command.get_name()));
    let man = Man::new(command.clone().name(name.clone())).title(name.to_uppercase()).date(DATE);
    let mut page = vec![];
    man.render(&mut page)?;
    std::fs::write(folder.join(format!("{name}.1")), page)?;
    for subcommand in command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
        write_pages(subcommand, folder, Some(&name))?;
    }
    Ok(())
}
