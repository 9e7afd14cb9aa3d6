//! The mounts of a sandbox: its root is a small tmpfs of its own, into which parts of the host's
//! file system are bind-mounted read-only.
//!
//! | path | contents |
//! | --- | --- |
//! | `/` | the tmpfs, read-only |
//! | `/code`, `/tmp`, `/dev/shm` | writable folders of the same tmpfs, with one limit for all |
//! | `/usr`, toolchains, what a runtime names of `/etc` | the host's, read-only, without setuid and devices |
//! | `/bin`, `/lib`, … | links into `/usr` if the host has links, or the host's folders |
//! | `/etc` | generated files, and the few of the host's that programs need |
//! | `/dev` | null, zero, full, random, urandom, and the links to /proc/self/fd |
//! | `/proc` | a new one; files that describe or control the host are hidden or read-only |
//!
//! A runtime with a root of its own has that root's files in place of the host's (`own_root`).

use std::{
    fs::File,
    io,
    os::unix::fs::{DirBuilderExt, symlink},
    path::{Path, PathBuf},
};

use livecode_protocol::run_spec::{Mount, SandboxLayout};
use rustix::{
    fs::{CWD, Mode, OFlags},
    mount::{
        MountFlags as NewMountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
        mount, mount_change, move_mount, open_tree, unmount,
    },
};

use crate::{
    kernel::{
        fault_switch::is_not_disabled_by_test,
        sys::{MountFlags, set_mount_flags},
    },
    rootfs::{
        accounts::{AccountFiles, WRITABLE_FOLDERS},
        disk_size::tmpfs_size,
        own_root::{self, OwnRoot},
    },
    setup_error::{SetupContext, SetupError},
};

/// Folders that are links into /usr on hosts with a merged /usr.
const USR_LINKS: [&str; 5] = ["bin", "sbin", "lib", "lib64", "lib32"];
/// Files and folders of the host's /etc that programs need to run at all.
const ETC_BINDS: [&str; 4] = ["ld.so.cache", "alternatives", "localtime", "ssl/certs"];
/// Devices that are safe to share.
pub(crate) const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];
/// Files of /proc that describe or control the host's kernel.
const PROC_HIDDEN_FILES: [&str; 7] =
    ["kcore", "keys", "key-users", "sysrq-trigger", "timer_list", "kallsyms", "interrupts"];
/// Folders of /proc that describe the host's devices.
const PROC_HIDDEN_FOLDERS: [&str; 3] = ["acpi", "asound", "scsi"];
/// Folders of /proc whose files control the host.
const PROC_READ_ONLY_FOLDERS: [&str; 4] = ["sys", "irq", "bus", "fs"];

/// Flags of a part of the host's file system.
const HOST_FLAGS: MountFlags = MountFlags::RDONLY.and(MountFlags::NOSUID).and(MountFlags::NODEV);
/// Flags of a device.
const DEVICE_FLAGS: MountFlags = MountFlags::NOSUID.and(MountFlags::NOEXEC);
/// Flags of a writable folder.
const WRITABLE_FLAGS: MountFlags = MountFlags::NOSUID.and(MountFlags::NODEV);

/// Folders of the root that are made first, because others go into them.
const ROOT_FOLDERS: [&str; 3] = ["etc", "dev", "proc"];
/// Generated files of /etc and their contents, except passwd and group.
const ETC_FILES: [(&str, &str); 3] = [
    ("hosts", "127.0.0.1 localhost livecode\n::1 localhost\n"),
    ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"),
    ("hostname", "livecode\n"),
];

/// The parts of the root that are the same in every sandbox of a host, found out once.
#[derive(Debug, Default)]
pub(crate) struct HostMounts {
    /// Symbolic links: path and target.
    links: Vec<(PathBuf, PathBuf)>,
    /// Folders and files of the host that are mounted at their own paths.
    bind_mounts: Vec<(PathBuf, MountPoint)>,
}

impl HostMounts {
    /// Finds out which of the links, folders and files this host has.
    pub fn find() -> Self {
        let mut found = Self { bind_mounts: vec![("/usr".into(), MountPoint::Folder)], ..Self::default() };
        for path in USR_LINKS.map(|name| Path::new("/").join(name)) {
            match std::fs::read_link(&path) {
                Ok(target) => found.links.push((path, target)),
                // This host's /usr is not merged.
                Err(_) if path.is_dir() => found.bind_mounts.push((path, MountPoint::Folder)),
                Err(_) => {}
            }
        }
        for path in ETC_BINDS.map(|name| Path::new("/etc").join(name)) {
            match std::fs::metadata(&path) {
                Ok(file) if file.is_dir() => found.bind_mounts.push((path, MountPoint::Folder)),
                Ok(_) => found.bind_mounts.push((path, MountPoint::File)),
                Err(_) => {}
            }
        }
        let links = [("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")];
        found.links.extend(links.map(|(name, target)| (Path::new("/dev").join(name), target.into())));
        found
    }

    /// The paths of the host that are mounted.
    pub fn sources(&self) -> impl Iterator<Item = &Path> {
        self.bind_mounts.iter().map(|(path, _)| path.as_path())
    }
}

/// Builds the root on the folder `staging` and makes it the root of this process, which must have
/// a mount namespace of its own. While it is built, it is the working directory.
///
/// # Errors
/// The setup step that failed.
pub(crate) fn enter_root(
    staging: &Path,
    host_mounts: &HostMounts,
    layout: &SandboxLayout,
) -> Result<AccountFiles, SetupError> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .context("make mounts private")?;
    mount_tmpfs(staging, layout).context("mount the root")?;
    rustix::process::chdir(staging).context("enter the root")?;
    // A second mount of the same tmpfs, which is not attached to any path. A file that is opened
    // through it stays writable when the first mount becomes read-only.
    let clone_flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let writable_root = open_tree(CWD, ".", clone_flags).context("open the root")?;

    for name in ROOT_FOLDERS {
        std::fs::create_dir(name).context(format!("make /{name}"))?;
    }
    let HostMounts { links, bind_mounts } = host_mounts;
    let own_root = layout.root.as_deref().map(OwnRoot::open).transpose()?;
    if let Some(own_root) = &own_root {
        own_root.mount_entries()?;
    }
    for (path, mount_point) in bind_mounts.iter().filter(|_| own_root.is_none()) {
        match bind(path, path, HOST_FLAGS, *mount_point) {
            // It has been removed since `HostMounts::find`.
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
    }
    // Of the links, a root of its own has those that it needs for /usr itself.
    for (path, target) in links.iter().filter(|(path, _)| own_root.is_none() || path.starts_with("/dev")) {
        symlink(target, below_root(path)).context(format!("link {}", path.display()))?;
    }
    for Mount { source, target } in layout.mounts.iter().filter(|_| own_root.is_none()) {
        let mount_point = if source.is_file() { MountPoint::File } else { MountPoint::Folder };
        bind(source, target, HOST_FLAGS, mount_point)?;
    }
    for (name, contents) in ETC_FILES {
        std::fs::write(Path::new("etc").join(name), contents).context(format!("write /etc/{name}"))?;
    }
    for name in DEVICES {
        let path = Path::new("/dev").join(name);
        bind(&path, &path, DEVICE_FLAGS, MountPoint::File)?;
    }
    mount_proc()?;
    for name in WRITABLE_FOLDERS {
        let path = Path::new(name);
        bind(below_root(path), path, WRITABLE_FLAGS, MountPoint::Folder)?;
    }
    let accounts = AccountFiles::create(&writable_root)?;
    if let Some(own_root) = own_root {
        own_root.cover_etc()?;
        layout.mounts.iter().try_for_each(own_root::bind_beneath)?;
    }
    let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    // Opened by its path, this is the mount that covers the staging folder.
    let root = rustix::fs::open(staging, flags, Mode::empty()).context("open the root")?;
    set_mount_flags(root, HOST_FLAGS.and(MountFlags::NOEXEC), false).context("make the root read-only")?;
    pivot()?;
    Ok(accounts)
}

/// How the place of a bind mount is made ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MountPoint {
    /// A folder, which is made if there is none, with the folders above it.
    Folder,
    /// A file, which is made if there is none, with the folders above it.
    File,
    /// A file or folder that exists already.
    Existing,
}

/// The path of a file of the sandbox before the pivot, relative to the working directory.
fn below_root(inside: &Path) -> &Path {
    inside.strip_prefix("/").unwrap_or(inside)
}

fn mount_tmpfs(path: &Path, layout: &SandboxLayout) -> io::Result<()> {
    let (size, files) = tmpfs_size(layout);
    let options = format!("mode=0755,size={size},nr_inodes={files}\0");
    let options = std::ffi::CStr::from_bytes_with_nul(options.as_bytes()).map_err(io::Error::other)?;
    Ok(mount("tmpfs", path, "tmpfs", NewMountFlags::NOSUID | NewMountFlags::NODEV, options)?)
}

/// Mounts `source` and all that is mounted below it at the sandbox's path `inside`, with `flags`
/// added.
fn bind(source: &Path, inside: &Path, flags: MountFlags, mount_point: MountPoint) -> Result<(), SetupError> {
    let step = format!("bind {}", source.display());
    let place = below_root(inside);
    let make_folder = |path: &Path| {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o755).create(path);
        made.context(format!("make {}", inside.display()))
    };
    match mount_point {
        MountPoint::Folder => make_folder(place)?,
        MountPoint::File => {
            make_folder(place.parent().unwrap_or(place))?;
            drop(File::options().create(true).append(true).open(place).context(&*step)?);
        }
        MountPoint::Existing => {}
    }
    let clone_flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(CWD, source, clone_flags).context(&*step)?;
    set_mount_flags(&tree, flags, true).context(&*step)?;
    move_mount(tree, "", CWD, place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).context(&*step)
}

/// Mounts /proc and hides the parts of it that describe or control the host.
fn mount_proc() -> Result<(), SetupError> {
    let flags = NewMountFlags::NOSUID | NewMountFlags::NODEV | NewMountFlags::NOEXEC;
    mount("proc", "proc", "proc", flags, None).context("mount /proc")?;
    if !is_not_disabled_by_test("masks") {
        return Ok(());
    }
    // This is looked up for each sandbox, because loading a kernel module can add entries.
    let existing = |names: &'static [&str]| {
        names.iter().map(|name| Path::new("/proc").join(name)).filter(|path| below_root(path).exists())
    };
    for path in existing(&PROC_HIDDEN_FILES) {
        bind(Path::new("/dev/null"), &path, DEVICE_FLAGS, MountPoint::Existing)?;
    }
    for path in existing(&PROC_HIDDEN_FOLDERS) {
        let options = c"mode=0555,size=4096,nr_inodes=1";
        mount("none", below_root(&path), "tmpfs", flags | NewMountFlags::RDONLY, options)
            .context(format!("hide {}", path.display()))?;
    }
    for path in existing(&PROC_READ_ONLY_FOLDERS) {
        bind(below_root(&path), &path, HOST_FLAGS.and(MountFlags::NOEXEC), MountPoint::Existing)?;
    }
    Ok(())
}

/// Makes the working directory the root and unmounts the old one (pivot_root(2), with `.` as both
/// the new root and the place of the old one).
fn pivot() -> Result<(), SetupError> {
    rustix::process::pivot_root(".", ".").context("pivot_root")?;
    unmount(".", UnmountFlags::DETACH).context("unmount the host's root")?;
    rustix::process::chdir("/").context("chdir /")
}
