//! Changes of a root that stay below it, whatever links and names it contains. The folder of each
//! name is opened by openat2(2), which refuses links and `..` on the whole way; the name itself is
//! never followed.

use std::{
    cell::Cell,
    ffi::OsStr,
    fs::File,
    io::{self, Read},
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
    path::Path,
};

use rustix::{
    fs::{
        AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Timespec, Timestamps, chmodat, fchmod, futimens,
        linkat, mkdirat, open, openat, openat2, statat, symlinkat, unlinkat,
    },
    io::Errno,
};

use crate::entry_path::EntryPath;

/// The permissions that files keep: neither setuid, setgid and sticky, nor writing by others. The
/// root is shared by all sessions.
const KEPT_MODE: u32 = 0o755;
/// Permissions of files that the server's user always has, to read and to remove them.
const FILE_MODE: u32 = 0o400;
/// The same for folders.
const FOLDER_MODE: u32 = 0o700;
/// The number of names of a folder that are in memory at a time while it is cleared.
const NAMES_AT_A_TIME: usize = 1000;
/// Permissions of a folder that no entry describes.
const IMPLIED_FOLDER_MODE: u32 = 0o755;

/// The root of an image while it is unpacked.
pub(crate) struct Tree {
    root: OwnedFd,
    /// The number of folders that were made without an entry of their own.
    implied_folders: Cell<u64>,
}

/// Whether an error means that a folder on the way was a link or no folder.
pub(crate) fn is_link_in_path(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::LOOP | Errno::NOTDIR | Errno::XDEV))
}

impl Tree {
    /// Opens the folder of the root, which is to exist.
    pub fn open(root: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Self { root: open(root, flags, Mode::empty())?, implied_folders: Cell::new(0) })
    }

    /// The number of folders that were made without an entry of their own.
    pub fn implied_folders(&self) -> u64 {
        self.implied_folders.get()
    }

    /// Opens a folder below the root.
    fn open_folder(&self, path: &EntryPath, flags: OFlags) -> io::Result<OwnedFd> {
        let resolve_flags = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let flags = flags | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(openat2(&self.root, path.as_path(), flags, Mode::empty(), resolve_flags)?)
    }

    /// Opens a folder below the root, and makes it and the folders above it where they are missing.
    fn ensure_folder(&self, path: &EntryPath) -> io::Result<OwnedFd> {
        match self.open_folder(path, OFlags::PATH) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => return other,
        }
        let mut folder = self.open_folder(&EntryPath::default(), OFlags::PATH)?;
        for name in path.components() {
            let mode = Mode::from_raw_mode(IMPLIED_FOLDER_MODE);
            match mkdirat(&folder, name, mode) {
                Ok(()) => {
                    self.implied_folders.set(self.implied_folders.get() + 1);
                    // Here no umask counts. Nobody else may come here, so the name is still the
                    // folder's.
                    chmodat(&folder, name, mode, AtFlags::empty())?;
                }
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno.into()),
            }
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            folder = openat(&folder, name, flags, Mode::empty())?;
        }
        Ok(folder)
    }

    /// Makes a folder, or gives an existing one these permissions. Anything else at this path is
    /// replaced.
    pub fn add_folder(&self, path: &EntryPath, mode: u32) -> io::Result<()> {
        let mode = Mode::from_raw_mode(mode & KEPT_MODE | FOLDER_MODE);
        if !path.is_root() {
            let (parent, name) = path.split();
            let parent = self.ensure_folder(&parent)?;
            if kind_of(&parent, name)? != Some(FileType::Directory) {
                remove(&parent, name)?;
                mkdirat(&parent, name, mode)?;
            }
        }
        fchmod(self.open_folder(path, OFlags::RDONLY)?, mode)?;
        Ok(())
    }

    /// Makes a file with the contents of `source`. Returns how many bytes it has.
    pub fn add_file(
        &self,
        path: &EntryPath,
        mode: u32,
        mtime_s: u64,
        source: &mut dyn Read,
    ) -> io::Result<u64> {
        let (parent, name) = path.split();
        let parent = self.ensure_folder(&parent)?;
        remove(&parent, name)?;
        let mode = Mode::from_raw_mode(mode & KEPT_MODE | FILE_MODE);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(&parent, name, flags, mode)?);
        let bytes = io::copy(source, &mut file)?;
        fchmod(&file, mode)?; // whatever the umask is
        let time = Timespec { tv_sec: i64::try_from(mtime_s).unwrap_or(0), tv_nsec: 0 };
        // Python compares this time with the one in its compiled modules.
        futimens(&file, &Timestamps { last_access: time, last_modification: time })?;
        Ok(bytes)
    }

    /// Makes a symbolic link.
    pub fn add_symbolic_link(&self, path: &EntryPath, target: &[u8]) -> io::Result<()> {
        let (parent, name) = path.split();
        let parent = self.ensure_folder(&parent)?;
        remove(&parent, name)?;
        Ok(symlinkat(OsStr::from_bytes(target), &parent, name)?)
    }

    /// Makes another name for a file. Returns `false` if there is no such file.
    pub fn add_hard_link(&self, path: &EntryPath, target: &EntryPath) -> io::Result<bool> {
        let (target_parent, target_name) = target.split();
        let target_parent = match self.open_folder(&target_parent, OFlags::PATH) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            other => other?,
        };
        if !matches!(kind_of(&target_parent, target_name)?, Some(FileType::RegularFile | FileType::Symlink)) {
            return Ok(false);
        }
        if path == target {
            return Ok(true);
        }
        let (parent, name) = path.split();
        let parent = self.ensure_folder(&parent)?;
        remove(&parent, name)?;
        match linkat(&target_parent, target_name, &parent, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            // The target was below what had the name of the link.
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Removes whatever is at a path, if there is anything. There is nothing below a file.
    pub fn remove(&self, path: &EntryPath) -> io::Result<()> {
        let (parent, name) = path.split();
        match self.open_folder(&parent, OFlags::PATH) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Ok(())
            }
            Ok(parent) => remove(&parent, name),
            Err(error) => Err(error),
        }
    }

    /// Removes all that is in a folder, if there is such a folder. A link or file at its path has
    /// nothing in it, and stays: an entry for the folder replaces it.
    pub fn clear(&self, path: &EntryPath) -> io::Result<()> {
        if !path.is_root() && self.kind_of(path)? != Some(FileType::Directory) {
            return Ok(());
        }
        match self.open_folder(path, OFlags::RDONLY) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Ok(folder) => clear(&folder),
            Err(error) => Err(error),
        }
    }

    /// Makes an empty file, unless there is a regular file already. A link or folder with its name
    /// is replaced.
    pub fn ensure_file(&self, path: &EntryPath) -> io::Result<()> {
        let (parent, name) = path.split();
        let folder = self.ensure_folder(&parent)?;
        match kind_of(&folder, name)? {
            Some(FileType::RegularFile) => Ok(()),
            _ => self.add_file(path, 0o644, 0, &mut io::empty()).map(drop),
        }
    }

    /// The kind of what is at a path.
    pub fn kind_of(&self, path: &EntryPath) -> io::Result<Option<FileType>> {
        let (parent, name) = path.split();
        match self.open_folder(&parent, OFlags::PATH) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Ok(parent) => kind_of(&parent, name),
            Err(error) => Err(error),
        }
    }

    /// Whether the root itself has more than `max` names.
    pub fn has_more_top_level_names(&self, max: usize) -> io::Result<bool> {
        let folder = self.open_folder(&EntryPath::default(), OFlags::RDONLY)?;
        Ok(names(&folder, max + 1)?.len() > max)
    }
}

/// The kind of the file with a name, not followed; `None` if there is none.
fn kind_of(folder: &OwnedFd, name: &OsStr) -> io::Result<Option<FileType>> {
    match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Removes the file or the whole folder with a name, if there is one. Paths of a root have a
/// bounded number of components, and so has this recursion.
fn remove(parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
    match kind_of(parent, name)? {
        None => Ok(()),
        Some(FileType::Directory) => {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            clear(&openat(parent, name, flags, Mode::empty())?)?;
            Ok(unlinkat(parent, name, AtFlags::REMOVEDIR)?)
        }
        Some(_) => Ok(unlinkat(parent, name, AtFlags::empty())?),
    }
}

/// Removes all that is in a folder. Its names, of which a layer may make a million, are read in
/// portions.
fn clear(folder: &OwnedFd) -> io::Result<()> {
    loop {
        let names = names(folder, NAMES_AT_A_TIME)?;
        if names.is_empty() {
            return Ok(());
        }
        names.iter().try_for_each(|name| remove(folder, OsStr::from_bytes(name)))?;
    }
}

/// The first names, at most `max`, in a folder that is open for reading.
fn names(folder: &OwnedFd, max: usize) -> io::Result<Vec<Vec<u8>>> {
    let mut names = vec![];
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
        if names.len() == max {
            break;
        }
    }
    Ok(names)
}
