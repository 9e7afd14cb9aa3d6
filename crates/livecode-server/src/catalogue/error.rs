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
    #[error("{path} takes the name \"{name}\", which another runtime has")]
    DuplicateName {
        /// The file that was read later.
        path: PathBuf,
        /// The name or alias.
        name: String,
    },
}
