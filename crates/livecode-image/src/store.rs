//! The folder of all imported images of a data directory:
//!
//! | path | content |
//! | --- | --- |
//! | `HEX/root` | the root of the image with this digest, never changed |
//! | `HEX/image.json` | what is known of it ([`ImportedImage`]) |
//! | `.new-HEX`, `.old-HEX` | an import or removal at work, or interrupted |
//! | `.lock` | locked by whoever changes the folder (flock(2)) |
//!
//! An image appears by a rename, once it is whole and on the disk. The supervisor of each sandbox
//! with an image holds a shared lock of the image's root; an image is removed only while nobody
//! does.

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::{
        fd::AsFd as _,
        unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use livecode_protocol::run_spec::{GENERATED_ETC_FILES, MAX_ROOT_ENTRIES};
use rustix::fs::{FileType, FlockOperation, flock, syncfs};
use serde::{Deserialize, Serialize};

use crate::{
    digest::Digest,
    entry_path::EntryPath,
    error::ImageError,
    layer::{self, DiskReserve, Meter},
    limits::Limits,
    manifest::{self, ImageDescription, ProcessConfig},
    source::Source,
    tree::Tree,
};

/// The folder in the data directory.
const FOLDER: &str = "images";
const ROOT: &str = "root";
const DOCUMENT: &str = "image.json";
const LOCK: &str = ".lock";

/// The imported images of a data directory.
#[derive(Clone, Debug)]
pub struct ImageStore {
    folder: PathBuf,
}

/// An image that was imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportedImage {
    /// The digest of its configuration, which Docker calls the image's id.
    pub digest: Digest,
    /// The names that it had in its archive.
    pub names: Vec<String>,
    /// The process that it was made for.
    pub process: ProcessConfig,
    /// Uncompressed size of all layers, in bytes.
    pub unpacked_bytes: u64,
    /// Number of entries of all layers.
    pub entries: u64,
    /// Number of devices and named pipes that were left out.
    pub left_out: u64,
}

/// The result of an import.
#[derive(Debug)]
pub struct Imported {
    /// The image.
    pub image: ImportedImage,
    /// Whether it was unpacked now; otherwise it was there already.
    pub is_new: bool,
}

/// A folder that is removed unless it is kept.
struct Partial(Option<PathBuf>);

impl Drop for Partial {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // A remainder that cannot be removed now is removed by the next import.
            let _ = fs::remove_dir_all(path);
        }
    }
}

impl ImageStore {
    /// The images of a data directory.
    pub fn new(data_dir: &Path) -> Self {
        Self { folder: data_dir.join(FOLDER) }
    }

    /// The root of an image, whether it was imported or not.
    pub fn root(&self, digest: &Digest) -> PathBuf {
        self.folder.join(digest.hex()).join(ROOT)
    }

    /// The image with this digest; `None` if it was not imported.
    pub fn get(&self, digest: &Digest) -> Option<ImportedImage> {
        let text = fs::read(self.folder.join(digest.hex()).join(DOCUMENT)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Unpacks the image of an archive or folder, unless it is there already. `cancelled` stops
    /// the import from another thread. The disk keeps `min_free_bytes`.
    ///
    /// # Errors
    /// Why the image is refused, or what has failed. Nothing is left of the image then.
    pub fn import(
        &self,
        archive: &Path,
        limits: &Limits,
        min_free_bytes: u64,
        cancelled: &AtomicBool,
    ) -> Result<Imported, ImageError> {
        let source = Source::open(archive, limits)?;
        let description = manifest::describe(&source, limits)?;
        if let Some(image) = self.get(&description.digest) {
            return Ok(Imported { image, is_new: false });
        }
        let _lock = self.lock()?;
        if let Some(image) = self.get(&description.digest) {
            return Ok(Imported { image, is_new: false }); // another import was faster
        }
        let failed = |step: String| move |error: io::Error| ImageError::io(step, error);
        let path = self.folder.join(format!(".new-{}", description.digest.hex()));
        make_folder(&path, 0o700).map_err(failed(format!("make {}", path.display())))?;
        let mut partial = Partial(Some(path.clone()));
        let image = self.unpack(&source, description, &path, limits, min_free_bytes, cancelled)?;
        let document = path.join(DOCUMENT);
        let text = serde_json::to_vec_pretty(&image).map_err(io::Error::from);
        text.and_then(|text| fs::write(&document, text))
            .map_err(failed(format!("write {}", document.display())))?;
        File::open(&path)
            .and_then(|folder| Ok(syncfs(&folder)?))
            .map_err(failed(format!("sync {}", path.display())))?;
        let target = self.folder.join(image.digest.hex());
        fs::rename(&path, &target).map_err(failed(format!("rename {}", path.display())))?;
        partial.0 = None;
        Ok(Imported { image, is_new: true })
    }

    /// Checks all layers, and then unpacks them below `path`.
    fn unpack(
        &self,
        source: &Source,
        description: ImageDescription,
        path: &Path,
        limits: &Limits,
        min_free_bytes: u64,
        cancelled: &AtomicBool,
    ) -> Result<ImportedImage, ImageError> {
        let failed = |error: io::Error| ImageError::io(format!("make the root in {}", path.display()), error);
        let folder = File::open(path).map_err(failed)?;
        let disk = DiskReserve { folder: folder.as_fd(), path: &self.folder, min_free_bytes };
        disk.check()?;
        let mut meter = Meter::new(limits, cancelled, None);
        let layers = description.layers.iter().enumerate();
        let checked = layers.map(|(index, layer)| layer::check(source, layer, index + 1, &mut meter));
        let whiteouts: Vec<_> = checked.collect::<Result<_, _>>()?;
        let root = path.join(ROOT);
        make_folder(&root, 0o755).map_err(failed)?;
        let tree = Tree::open(&root).map_err(failed)?;
        let mut meter = Meter::new(limits, cancelled, Some(disk));
        let mut left_out = 0;
        for (index, (layer, whiteouts)) in description.layers.iter().zip(&whiteouts).enumerate() {
            left_out += layer::unpack(source, layer, index + 1, whiteouts, &tree, &mut meter)?;
        }
        let top_level_count = tree.top_level_count().map_err(failed)?;
        if top_level_count > MAX_ROOT_ENTRIES {
            let max = MAX_ROOT_ENTRIES as u64;
            return Err(ImageError::LimitExceeded { limit: "root_entries", max, at: None });
        }
        add_mount_targets(&tree).map_err(failed)?;
        let ImageDescription { digest, names, process, .. } = description;
        let (unpacked_bytes, entries) = (meter.bytes(), meter.entries());
        Ok(ImportedImage { digest, names, process, unpacked_bytes, entries, left_out })
    }

    /// Removes the images for which `is_wanted` is false and that no sandbox uses. Returns their
    /// digests, and those of the images that are used still.
    ///
    /// # Errors
    /// If another process changes the folder, or the disk fails.
    pub fn remove_unwanted(
        &self,
        is_wanted: impl Fn(&Digest) -> bool,
    ) -> Result<(Vec<Digest>, Vec<Digest>), ImageError> {
        let (mut removed, mut used) = (vec![], vec![]);
        if !self.folder.exists() {
            return Ok((removed, used));
        }
        let _lock = self.lock()?;
        let failed = |error| ImageError::io(format!("list {}", self.folder.display()), error);
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let digest = name.to_str().and_then(|hex| format!("sha256:{hex}").parse::<Digest>().ok());
            let Some(digest) = digest.filter(|digest| !is_wanted(digest)) else { continue };
            let remove = || -> io::Result<bool> {
                let root = File::open(self.root(&digest))?;
                match flock(&root, FlockOperation::NonBlockingLockExclusive) {
                    Err(rustix::io::Errno::WOULDBLOCK) => return Ok(false),
                    other => other?,
                }
                let old = self.folder.join(format!(".old-{}", digest.hex()));
                fs::rename(self.folder.join(digest.hex()), &old)?;
                fs::remove_dir_all(old)?;
                Ok(true)
            };
            match remove() {
                Ok(true) => removed.push(digest),
                Ok(false) => used.push(digest),
                Err(error) => return Err(ImageError::io(format!("remove {digest}"), error)),
            }
        }
        Ok((removed, used))
    }

    /// Locks the folder, which is made if it is missing, and removes what was interrupted.
    fn lock(&self) -> Result<File, ImageError> {
        let prepare = || -> io::Result<Option<File>> {
            // Files of images may be writable or readable by anybody, so nobody else may come here.
            make_folder(&self.folder, 0o700)?;
            let options = File::options().create(true).truncate(false).write(true).clone();
            let lock = options.open(self.folder.join(LOCK))?;
            match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
                other => other?,
            }
            for entry in fs::read_dir(&self.folder)? {
                let name = entry?.file_name();
                let name = name.to_string_lossy();
                if name.starts_with(".new-") || name.starts_with(".old-") {
                    fs::remove_dir_all(self.folder.join(&*name))?;
                }
            }
            Ok(Some(lock))
        };
        let lock =
            prepare().map_err(|error| ImageError::io(format!("use {}", self.folder.display()), error))?;
        lock.ok_or_else(|| ImageError::Busy(self.folder.display().to_string()))
    }
}

/// Makes the files that the sandbox mounts generated ones over, unless the image has no folder
/// `/etc`. Then the sandbox has an `/etc` of its own.
fn add_mount_targets(tree: &Tree) -> io::Result<()> {
    let path = |name: &str| EntryPath::parse(name.as_bytes(), &Limits::default()).map_err(io::Error::other);
    if !matches!(tree.kind_of(&path("etc")?)?, None | Some(FileType::Directory)) {
        return Ok(());
    }
    GENERATED_ETC_FILES.iter().try_for_each(|name| tree.ensure_file(&path(&format!("etc/{name}"))?))
}

/// Makes a folder with these permissions, unless it exists.
fn make_folder(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(mode).create(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)) // whatever the umask is
}
