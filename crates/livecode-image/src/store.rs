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
//! with an image holds a shared lock of the image's root, and so does a server while a runtime of
//! its catalogue names the image, or a session of it waits to run; an image is removed only while
//! nobody does.

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
    layer::{self, DiskReserve, Meter, Whiteouts},
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

/// An archive or folder with an image that can be imported. Its layers were not read yet.
pub struct Archive {
    source: Source,
    description: ImageDescription,
}

/// The result of an import.
#[derive(Debug)]
pub struct Imported {
    /// The image.
    pub image: ImportedImage,
    /// Whether it was unpacked now; otherwise it was there already.
    pub is_new: bool,
}

/// The images, locked: no other import or removal changes them, or the runtimes that name them.
#[derive(Debug)]
pub struct LockedStore {
    store: ImageStore,
    _lock: File,
}

/// The images that a removal found no use for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Removal {
    /// The images that were removed.
    pub removed: Vec<Digest>,
    /// The images that stay since a sandbox or a server uses them, or a session will.
    pub used: Vec<Digest>,
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

impl Archive {
    /// Opens an archive or folder, and finds the image in it. `cancelled` stops this from another
    /// thread.
    ///
    /// # Errors
    /// Why the image is refused.
    pub fn open(path: &Path, limits: &Limits, cancelled: &AtomicBool) -> Result<Self, ImageError> {
        let source = Source::open(path, limits, cancelled)?;
        let description = manifest::describe(&source, limits, cancelled)?;
        Ok(Self { source, description })
    }

    /// The image, as it will be once it is imported, without what only its layers tell.
    pub fn image(&self) -> ImportedImage {
        let ImageDescription { digest, names, process, .. } = self.description.clone();
        ImportedImage { digest, names, process, unpacked_bytes: 0, entries: 0, left_out: 0 }
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

    /// The image with this digest; `None` if it was not imported, or its root is gone.
    pub fn get(&self, digest: &Digest) -> Option<ImportedImage> {
        if !self.root(digest).is_dir() {
            return None;
        }
        let text = fs::read(self.folder.join(digest.hex()).join(DOCUMENT)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Locks the folder, which is made if it is missing, and removes what was interrupted.
    ///
    /// # Errors
    /// If an import or removal is at work, or the disk fails.
    pub fn lock(&self) -> Result<LockedStore, ImageError> {
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
        let lock = lock.ok_or_else(|| ImageError::Busy(self.folder.display().to_string()))?;
        Ok(LockedStore { store: self.clone(), _lock: lock })
    }
}

impl LockedStore {
    /// Unpacks the image of an archive or folder, unless it is there already. `cancelled` stops
    /// the import from another thread. The disk keeps `min_free_bytes`.
    ///
    /// # Errors
    /// Why the image is refused, or what has failed. Nothing is left of the image then.
    pub fn import(
        &self,
        archive: &Archive,
        limits: &Limits,
        min_free_bytes: u64,
        cancelled: &AtomicBool,
    ) -> Result<Imported, ImageError> {
        let (folder, digest) = (&self.store.folder, &archive.description.digest);
        if let Some(image) = self.store.get(digest) {
            return Ok(Imported { image, is_new: false });
        }
        let failed = |step: String| move |error: io::Error| ImageError::io(step, error);
        let path = folder.join(format!(".new-{}", digest.hex()));
        make_folder(&path, 0o700).map_err(failed(format!("make {}", path.display())))?;
        let mut partial = Partial(Some(path.clone()));
        let image = self.unpack(archive, &path, limits, min_free_bytes, cancelled)?;
        let document = path.join(DOCUMENT);
        let text = serde_json::to_vec_pretty(&image).map_err(io::Error::from);
        text.and_then(|text| fs::write(&document, text))
            .map_err(failed(format!("write {}", document.display())))?;
        File::open(&path)
            .and_then(|folder| Ok(syncfs(&folder)?))
            .map_err(failed(format!("sync {}", path.display())))?;
        // An image may be there whose document is unreadable, as after a disk has failed.
        if !self.remove(digest).map_err(failed(format!("remove {digest}")))? {
            return Err(ImageError::DamagedInUse(digest.clone()));
        }
        let target = folder.join(digest.hex());
        fs::rename(&path, &target).map_err(failed(format!("rename {}", path.display())))?;
        partial.0 = None;
        // Without this, a power failure could take the image and leave the runtime that names it.
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(failed(format!("sync {}", folder.display())))?;
        Ok(Imported { image, is_new: true })
    }

    /// Checks all layers, and then unpacks them below `path`.
    fn unpack(
        &self,
        archive: &Archive,
        path: &Path,
        limits: &Limits,
        min_free_bytes: u64,
        cancelled: &AtomicBool,
    ) -> Result<ImportedImage, ImageError> {
        let failed = |error: io::Error| ImageError::io(format!("make the root in {}", path.display()), error);
        let Archive { source, description } = archive;
        let folder = File::open(path).map_err(failed)?;
        let disk = DiskReserve { folder: folder.as_fd(), path: &self.store.folder, min_free_bytes };
        disk.check()?;
        let mut meter = Meter::new(limits, cancelled, None);
        let mut whiteouts = Whiteouts::default();
        for (index, layer) in description.layers.iter().enumerate() {
            layer::check(source, layer, index + 1, &mut meter, &mut whiteouts)?;
        }
        let root = path.join(ROOT);
        make_folder(&root, 0o755).map_err(failed)?;
        let tree = Tree::open(&root).map_err(failed)?;
        let mut meter = Meter::new(limits, cancelled, Some(disk));
        let mut left_out = 0;
        for (index, layer) in description.layers.iter().enumerate() {
            let number = index + 1;
            left_out += layer::unpack(source, layer, number, whiteouts.of(number), &tree, &mut meter)?;
        }
        if tree.has_more_top_level_names(MAX_ROOT_ENTRIES).map_err(failed)? {
            let max = MAX_ROOT_ENTRIES as u64;
            return Err(ImageError::LimitExceeded { limit: "root_entries", max, at: None });
        }
        add_mount_targets(&tree).map_err(failed)?;
        let (unpacked_bytes, entries) = (meter.bytes(), meter.entries());
        Ok(ImportedImage { unpacked_bytes, entries, left_out, ..archive.image() })
    }

    /// Removes the images for which `is_wanted` is false and that no sandbox or server uses. Those
    /// for which `is_awaited` is true count as used: sandboxes that do not exist yet will use them.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn remove_unwanted(
        &self,
        is_wanted: impl Fn(&Digest) -> bool,
        is_awaited: impl Fn(&Digest) -> bool,
    ) -> Result<Removal, ImageError> {
        let folder = &self.store.folder;
        let mut removal = Removal::default();
        let failed = |error| ImageError::io(format!("list {}", folder.display()), error);
        for entry in fs::read_dir(folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let digest = name.to_str().and_then(|hex| format!("sha256:{hex}").parse::<Digest>().ok());
            let Some(digest) = digest.filter(|digest| !is_wanted(digest)) else { continue };
            if is_awaited(&digest) {
                removal.used.push(digest);
                continue;
            }
            match self.remove(&digest) {
                Ok(true) => removal.removed.push(digest),
                Ok(false) => removal.used.push(digest),
                Err(error) => return Err(ImageError::io(format!("remove {digest}"), error)),
            }
        }
        Ok(removal)
    }

    /// Removes an image, if it is there. Returns `false` if a sandbox or server uses it.
    fn remove(&self, digest: &Digest) -> io::Result<bool> {
        // The lock is held until the image is gone.
        let _root = match File::open(self.store.root(digest)) {
            Ok(root) => match flock(&root, FlockOperation::NonBlockingLockExclusive) {
                Err(rustix::io::Errno::WOULDBLOCK) => return Ok(false),
                other => other.map(|()| Some(root))?,
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => None, // nothing to be used
            Err(error) => return Err(error),
        };
        let old = self.store.folder.join(format!(".old-{}", digest.hex()));
        match fs::rename(self.store.folder.join(digest.hex()), &old) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            other => other?,
        }
        fs::remove_dir_all(old)?;
        Ok(true)
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
