//! The root of a runtime that does not use the machine's `/usr`: an imported image, or a folder of
//! the operator.

use std::path::{Path, PathBuf};

use livecode_image::{Digest, ImageStore};
use serde::Deserialize;

use crate::catalogue::mistake::Mistake;

/// `[root]` of a `runtime.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnRoot {
    /// The digest of an imported image (`sha256:…`), or the path of a folder with an unpacked root.
    /// A path is absolute, or starts with `./`, which stands for the runtime's folder.
    pub image: String,
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
    pub(super) fn resolve(&self, folder: &Path, data_dir: &Path) -> Result<PathBuf, String> {
        if let Ok(digest) = self.image.parse::<Digest>() {
            let missing =
                |_| format!("its image {digest} is not here; import it with: livecode runtimes import");
            return ImageStore::new(data_dir).root(&digest).canonicalize().map_err(missing);
        }
        let path = folder.join(self.image.trim_start_matches("./"));
        let path = path.canonicalize().ok().filter(|path| path.is_dir());
        let path = path.ok_or_else(|| format!("its root {} is no folder", self.image))?;
        // Programs would see the sessions of others, or the whole machine.
        if data_dir.canonicalize().is_ok_and(|data_dir| data_dir.starts_with(&path)) {
            return Err(format!("its root {} contains the server's data directory", self.image));
        }
        Ok(path)
    }
}
