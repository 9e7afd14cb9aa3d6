//! The errors of loading the catalogue.

use std::{io, path::PathBuf};

/// Why the catalogue could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// A folder or file could not be read.
    #[error("cannot read {0}")]
    Read(PathBuf, #[source] io::Error),
    /// The files of the built-in runtimes could not be unpacked into the data directory.
    #[error("cannot unpack the runtimes' support files into {0}")]
    Unpack(PathBuf, #[source] io::Error),
    /// A `runtime.toml` is wrong. The text names the key and the line.
    #[error("{path} is wrong:\n{error}")]
    Manifest {
        /// The file.
        path: PathBuf,
        /// The mistake in the file.
        error: String,
    },
    /// Two runtimes have the same name or alias.
    #[error(
        "{path}: {place} takes the name \"{name}\", which {other} has; take out the alias, or rename the folder. A \
         folder with the name of a built-in runtime replaces that runtime"
    )]
    DuplicateName {
        /// The operator's file, or the one that was read later.
        path: PathBuf,
        /// The place that has the name: the folder, or the key of its aliases with its line.
        place: String,
        /// The name or alias.
        name: String,
        /// The other runtime.
        other: String,
    },
    /// The operator's folder cannot be read.
    #[error("runtimes_dir: {0} cannot be read")]
    OperatorFolder(PathBuf, #[source] io::Error),
    /// The operator's folder is a file.
    #[error("runtimes_dir: {0} is not a folder; it must be one that has a folder for each runtime")]
    NoFolder(PathBuf),
    /// The operator's folder is that of a single runtime.
    #[error("runtimes_dir: {path} is itself a runtime; the folder above it, {parent}, has the runtimes")]
    IsRuntime {
        /// The folder.
        path: PathBuf,
        /// The folder above it.
        parent: PathBuf,
    },
    /// The operator's folder contains what programs must not see.
    #[error(
        "runtimes_dir: {path} contains {secret}, which programs would see, since they see the whole folder; \
         use a folder that has nothing but runtimes"
    )]
    Secret {
        /// The folder.
        path: PathBuf,
        /// The folder in it, in words.
        secret: String,
    },
    /// The operator's folder has other things than runtimes.
    #[error("runtimes_dir: {0} has no runtime: no folder in it has a runtime.toml that the server may read")]
    NoRuntime(PathBuf),
    /// The users of the sandboxes cannot read a folder of the operator.
    #[error(
        "runtimes_dir: other users may not read {path} (mode {mode:04o}), so programs could not, \
         since each session has a user of its own: chmod -R o+rX {path}"
    )]
    Private {
        /// The folder.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
}
