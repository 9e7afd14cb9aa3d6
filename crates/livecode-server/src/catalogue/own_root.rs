//! The root of a runtime that does not use the machine's `/usr`: an imported image, or a folder of
//! the operator.

use std::{
    fs::File,
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use livecode_image::{Digest, ImageStore};
use rustix::fs::{FlockOperation, flock};
use serde::Deserialize;

use crate::catalogue::{mistake::Mistake, mounts::secret_in};

/// `[root]` of a `runtime.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnRoot {
    /// The digest of an imported image (`sha256:…`), or the path of a folder with an unpacked root.
    /// A path is absolute, or starts with `./`, which stands for the runtime's folder.
    pub image: String,
}

/// The root of a runtime, as this machine has it.
#[derive(Debug)]
pub struct FoundRoot {
    /// The folder.
    pub path: PathBuf,
    /// A shared lock of an imported image: it is not removed while a session may still be made of
    /// the runtime, or waits to run.
    _lock: Option<File>,
}

impl OwnRoot {
    /// Checks the form of the value.
    pub(super) fn check(&self) -> Result<(), Mistake> {
        let is_path = ["/", "./"].iter().any(|start| self.image.starts_with(start));
        if is_path && !self.image.contains('\0') {
            return Ok(());
        }
        self.image.parse::<Digest>().map(drop).map_err(|error| {
            let text = format!("`root.image`: {error}; the path of a folder starts with \"/\" or \"./\"");
            Mistake::new(&["root", "image"], text)
        })
    }

    /// The folder of the root. `folder` is the runtime's, `data_dir` the server's.
    ///
    /// # Errors
    /// The text that names what this machine lacks.
    pub(super) fn resolve(&self, folder: &Path, data_dir: &Path) -> Result<FoundRoot, String> {
        if let Ok(digest) = self.image.parse::<Digest>() {
            let name = folder.file_name().unwrap_or_default().to_string_lossy();
            let missing = |_| {
                format!(
                    "its image {digest} is not here; bring it with: livecode runtimes import {name} IMAGE"
                )
            };
            let path = ImageStore::new(data_dir).root(&digest).canonicalize().map_err(missing)?;
            let lock = Some(lock_image(&path).map_err(missing)?);
            return Ok(FoundRoot { path, _lock: lock });
        }
        let path = folder.join(self.image.trim_start_matches("./"));
        let path = path.canonicalize().ok().filter(|path| path.is_dir());
        let path = path.ok_or_else(|| format!("its root {} is no folder", self.image))?;
        // Programs would see the sessions of others, or the whole machine.
        if let Some(secret) = secret_in(&path, data_dir, &[folder]) {
            return Err(format!("its root {} would show {secret} to every program", self.image));
        }
        Ok(FoundRoot { path, _lock: None })
    }
}

/// Locks the root of an image. Whoever removes an image holds the other kind of lock.
fn lock_image(path: &Path) -> io::Result<File> {
    let root = File::open(path)?;
    flock(&root, FlockOperation::NonBlockingLockShared)?;
    // It may have been removed before it was locked.
    if root.metadata()?.nlink() == 0 { Err(io::ErrorKind::NotFound.into()) } else { Ok(root) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_root_shows_the_files_of_the_server() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["data/sessions/x", "data/runtimes/own/root", "runtimes/x/root"] {
            std::fs::create_dir_all(at(name)).unwrap();
        }
        let resolve = |image: &str, runtime: &str| {
            let root = OwnRoot { image: image.to_owned() };
            root.resolve(&at(runtime), &at("data"))
        };
        let absolute = |name: &str| at(name).to_str().unwrap().to_owned();
        for wrong in [absolute("data"), absolute("data/sessions"), absolute("data/sessions/x"), absolute("")]
        {
            let error = resolve(&wrong, "runtimes/x").unwrap_err();
            assert!(error.contains("data directory"), "{wrong}: {error}");
        }
        assert!(resolve("/", "runtimes/x").is_err());
        for (right, runtime) in [("./root", "runtimes/x"), ("./root", "data/runtimes/own")] {
            assert_eq!(
                resolve(right, runtime).unwrap().path,
                at(runtime).join("root").canonicalize().unwrap()
            );
        }
    }

    #[test]
    fn an_image_stays_while_a_runtime_of_the_catalogue_names_it() {
        let data = tempfile::tempdir().unwrap();
        let (store, digest) = (ImageStore::new(data.path()), Digest::of(b"image"));
        std::fs::create_dir_all(store.root(&digest)).unwrap();
        let root = OwnRoot { image: digest.to_string() };
        let found = root.resolve(data.path(), data.path()).unwrap();
        let locked = store.lock().unwrap();
        assert_eq!(locked.remove_unwanted(|_| false, |_| false).unwrap().used, std::slice::from_ref(&digest));
        drop(found);
        assert_eq!(locked.remove_unwanted(|_| false, |_| false).unwrap().removed, [digest]);
        let missing = root.resolve(&data.path().join("runtimes/own"), data.path()).unwrap_err();
        assert!(missing.ends_with("livecode runtimes import own IMAGE"), "{missing}");
    }
}
