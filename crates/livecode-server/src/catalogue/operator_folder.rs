//! Whether the operator's folder of runtimes can be used. A wrong folder would otherwise show only
//! when a program fails in a way that nobody understands.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use crate::catalogue::{
    error::CatalogueError,
    layers::{RUNTIME_TOML, RuntimeFolder},
    mounts::secret_in,
};

/// The permissions without which other users cannot read what is in a folder.
const OTHERS_MAY_READ: u32 = 0o005;

/// Checks the folder itself, of which programs see all. It may be in the data directory, but must
/// not contain it. Returns its path without symbolic links.
pub(super) fn check(folder: &Path, data_dir: &Path) -> Result<PathBuf, CatalogueError> {
    let unreadable = |error| CatalogueError::OperatorFolder(folder.to_owned(), error);
    let folder = folder.canonicalize().map_err(unreadable)?;
    if !fs::metadata(&folder).map_err(unreadable)?.is_dir() {
        return Err(CatalogueError::NoFolder(folder));
    }
    fs::read_dir(&folder).map_err(unreadable)?;
    if folder.join(RUNTIME_TOML).is_file() {
        let parent = folder.parent().unwrap_or(&folder).to_owned();
        return Err(CatalogueError::IsRuntime { path: folder, parent });
    }
    if let Some(secret) = secret_in(&folder, data_dir, &[&folder]) {
        return Err(CatalogueError::Secret { path: folder, secret });
    }
    Ok(folder)
}

/// Checks that there are runtimes in the folder, and that programs can read them. Returns a
/// warning if the folder is empty, as one that is still to be filled.
pub(super) fn check_runtimes(
    folder: &Path,
    runtimes: &[RuntimeFolder],
) -> Result<Option<String>, CatalogueError> {
    let unreadable = |error| CatalogueError::OperatorFolder(folder.to_owned(), error);
    if runtimes.is_empty() {
        return match fs::read_dir(folder).map_err(unreadable)?.next() {
            Some(_) => Err(CatalogueError::NoRuntime(folder.to_owned())),
            None => Ok(Some(format!("runtimes_dir: {} is empty, so it adds no runtime", folder.display()))),
        };
    }
    // The sessions of an ordinary user's server run as that user, who can read the folder.
    if rustix::process::geteuid().is_root() {
        let own = runtimes.iter().filter_map(|runtime| runtime.path.parent());
        for path in std::iter::once(folder).chain(own) {
            let mode = fs::metadata(path).map_err(unreadable)?.permissions().mode() & 0o7777;
            if mode & OTHERS_MAY_READ != OTHERS_MAY_READ {
                return Err(CatalogueError::Private { path: path.to_owned(), mode });
            }
        }
    }
    Ok(None)
}
