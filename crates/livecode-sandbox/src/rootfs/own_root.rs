//! A root of the runtime's own, such as an unpacked container image, in place of the machine's
//! `/usr` and `/etc`.
//!
//! The root of the sandbox is a tmpfs all the same, and each file and folder at the top of the
//! runtime's root becomes a mount or a link in it. So nothing has to exist in the runtime's root,
//! and what it has in place of `/code`, `/tmp`, `/dev` and `/proc` is never looked at, be it a link
//! to `/`. Whatever is mounted deeper is placed by openat2(2) with `RESOLVE_BENEATH` and
//! `RESOLVE_NO_SYMLINKS`: before the pivot, a link of the root could lead to the machine's files.

use std::{
    ffi::OsStr,
    fs::File,
    io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
    path::{Component, Path},
};

use livecode_protocol::run_spec::{GENERATED_ETC_FILES, MAX_ROOT_ENTRIES, Mount};
use rustix::{
    fs::{
        AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, fstat, mkdirat, open, openat, openat2,
        readlinkat, statat, symlinkat,
    },
    io::Errno,
    mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree},
};

use crate::{
    kernel::sys::{MountFlags, set_mount_flags},
    setup_error::{SetupContext, SetupError},
};

/// Names at the top of a root that mean nothing, since the sandbox has its own there or has none.
const IGNORED_ENTRIES: [&str; 8] = ["code", "tmp", "dev", "proc", "sys", "livecode", "runtimes", ETC];
/// The folder that is part of the sandbox and part of the root.
const ETC: &str = "etc";

/// Flags of all that is mounted here.
const FLAGS: MountFlags = MountFlags::RDONLY.and(MountFlags::NOSUID).and(MountFlags::NODEV);

/// The runtime's root, open while the sandbox's root is built in the working directory.
pub(super) struct OwnRoot(OwnedFd);

impl OwnRoot {
    /// Opens the folder.
    pub fn open(path: &Path) -> Result<Self, SetupError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(open(path, flags, Mode::empty()).context("open the runtime's root")?))
    }

    /// Mounts every folder and file at the top of the root, and repeats its links.
    pub fn mount_entries(&self) -> Result<(), SetupError> {
        let list = "list the runtime's root";
        let mut count = 0;
        for entry in Dir::read_from(&self.0).context(list)? {
            let entry = entry.context(list)?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." || IGNORED_ENTRIES.iter().any(|ignored| name == *ignored) {
                continue;
            }
            count += 1;
            if count > MAX_ROOT_ENTRIES {
                return Err(Errno::TOOBIG).context(list);
            }
            let step = format!("bind /{} of the runtime's root", name.display());
            let stat = statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW).context(&*step)?;
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Symlink => {
                    let target = readlinkat(&self.0, name, vec![]).context(&*step)?;
                    symlinkat(target, CWD, name).context(step)?;
                }
                FileType::Directory => {
                    mkdirat(CWD, name, Mode::from_raw_mode(0o755)).context(&*step)?;
                    self.bind(name).context(step)?;
                }
                FileType::RegularFile => {
                    make_file(CWD, name).context(&*step)?;
                    self.bind(name).context(step)?;
                }
                _ => {} // a device or named pipe is of no use in a sandbox
            }
        }
        Ok(())
    }

    /// Mounts the root's `/etc` over the sandbox's, and the generated files over those of the root.
    /// Does nothing if the root has no folder `/etc`; programs then see the sandbox's.
    pub fn cover_etc(&self) -> Result<(), SetupError> {
        let step = "bind /etc of the runtime's root";
        match statat(&self.0, ETC, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {}
            Ok(_) | Err(Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(errno).context(step),
        }
        let path = |name: &str| Path::new(ETC).join(name);
        let no_link = OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
        let generated = GENERATED_ETC_FILES.map(|name| clone_mount(CWD, path(name).as_os_str(), no_link));
        self.bind(OsStr::new(ETC)).context(step)?;
        for (name, mount) in GENERATED_ETC_FILES.into_iter().zip(generated) {
            let step = format!("bind /etc/{name}");
            let mount = mount.context(&*step)?;
            let place = match open_place(&path(name)) {
                // The root has none, or a link. It is the operator's choice, and does no harm.
                Err(Errno::NOENT | Errno::LOOP) => continue,
                other => other.context(&*step)?,
            };
            let stat = fstat(&place).context(&*step)?;
            if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
                attach(&mount, &place).context(step)?;
            }
        }
        Ok(())
    }

    /// Mounts the folder or file `name` of the root at the same name in the working directory,
    /// where it was just made.
    fn bind(&self, name: &OsStr) -> io::Result<()> {
        let mount = clone_mount(&self.0, name, OpenTreeFlags::AT_SYMLINK_NOFOLLOW)?;
        Ok(move_mount(mount, "", CWD, name, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
    }
}

/// Mounts a folder or file of the machine at a place that may be in the runtime's root. The place
/// is made where it is in the sandbox's own tmpfs; the runtime's root is read-only and must have
/// it.
pub(super) fn bind_beneath(mount: &Mount) -> Result<(), SetupError> {
    let Mount { source, target } = mount;
    let step = format!("bind {}", source.display());
    // The source is the machine's: the server has followed its links, and found no secret there.
    let tree = clone_mount(CWD, source.as_os_str(), OpenTreeFlags::empty()).context(&*step)?;
    let is_folder = FileType::from_raw_mode(fstat(&tree).context(&*step)?.st_mode) == FileType::Directory;
    let inside = target.strip_prefix("/").unwrap_or(target);
    let place = match open_place(inside) {
        Err(Errno::NOENT) => make_place(inside, is_folder).context(format!("make {}", target.display()))?,
        other => other.context(&*step)?,
    };
    attach(&tree, &place).context(step)
}

/// A copy of the mount at `name`, and of those below it, with [`FLAGS`]. The name is followed unless
/// `link_flags` say otherwise.
fn clone_mount(
    folder: impl std::os::fd::AsFd,
    name: &OsStr,
    link_flags: OpenTreeFlags,
) -> io::Result<OwnedFd> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let mount = open_tree(folder, name, flags | link_flags)?;
    set_mount_flags(&mount, FLAGS, true)?;
    Ok(mount)
}

/// Attaches a mount at an open place.
fn attach(mount: &OwnedFd, place: &OwnedFd) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(move_mount(mount, "", place, "", flags)?)
}

/// Opens a place below the working directory, through no link.
fn open_place(inside: &Path) -> Result<OwnedFd, Errno> {
    let resolve_flags = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    openat2(CWD, inside, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve_flags)
}

/// Makes a place below the working directory, and the folders above it, through no link.
fn make_place(inside: &Path, is_folder: bool) -> io::Result<OwnedFd> {
    let mut parts: Vec<&OsStr> = vec![];
    for part in inside.components() {
        match part {
            Component::Normal(name) => parts.push(name),
            _ => return Err(Errno::INVAL.into()), // the server has checked it
        }
    }
    let mut folder = open_place(Path::new("."))?;
    for (index, name) in parts.iter().enumerate() {
        if index + 1 == parts.len() && !is_folder {
            make_file(&folder, name)?;
            return Ok(open_place(inside)?);
        }
        match mkdirat(&folder, *name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        folder = openat(&folder, *name, flags, Mode::empty())?;
    }
    Ok(folder)
}

/// Makes an empty file to mount another on.
fn make_file(folder: impl std::os::fd::AsFd, name: &OsStr) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    drop(File::from(openat(folder, name, flags, Mode::from_raw_mode(0o644))?));
    Ok(())
}
