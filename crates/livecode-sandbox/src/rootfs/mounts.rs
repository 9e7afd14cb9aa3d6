//! The file system a program sees: a small tmpfs of the session's own, with read-only windows on the machine.
//!
//! | path | what |
//! | --- | --- |
//! | `/` | the tmpfs, read-only |
//! | `/code`, `/tmp`, `/dev/shm` | the same tmpfs, writable; one size and one number of files for all three |
//! | `/usr`, toolchains | the machine's, read-only, no setuid, no devices |
//! | `/bin`, `/lib`, … | links into `/usr` where the machine has links, else the machine's folders |
//! | `/etc` | made up, with windows on the few files that programs need |
//! | `/dev` | null, zero, full, random, urandom, and the links to /proc/self/fd |
//! | `/proc` | the session's own, with what speaks of the machine's inside hidden |

use std::{
    fs::File,
    io::{self, Write as _},
    os::{
        fd::{AsFd as _, BorrowedFd},
        unix::fs::{DirBuilderExt, chown, symlink},
    },
    path::{Path, PathBuf},
};

use livecode_protocol::run_spec::{Mount, SandboxLayout};
use rustix::{
    fs::{CWD, Mode, OFlags},
    mount::{
        MountFlags as Flags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount,
        mount_change, move_mount, open_tree, unmount,
    },
};

use crate::{
    WORKING_DIRECTORY,
    init_wire::{SetupContext, SetupError},
    kernel::{
        fault_switch::is_enabled,
        sys::{MountFlags, set_mount_flags},
    },
};

/// Folders that are links into /usr on merged machines.
const USR_LINKS: [&str; 5] = ["bin", "sbin", "lib", "lib64", "lib32"];
/// Files and folders of the machine's /etc that programs need to run at all.
const ETC_WINDOWS: [&str; 4] = ["ld.so.cache", "alternatives", "localtime", "ssl/certs"];
/// Devices that are safe to share.
const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];
/// Files of /proc that speak of the machine's inside, or act on it.
const PROC_HIDDEN: [&str; 7] =
    ["kcore", "keys", "key-users", "sysrq-trigger", "timer_list", "kallsyms", "interrupts"];
/// Folders of /proc that speak of the machine's devices.
const PROC_HIDDEN_FOLDERS: [&str; 3] = ["acpi", "asound", "scsi"];
/// Folders of /proc that act on the machine.
const PROC_READ_ONLY: [&str; 4] = ["sys", "irq", "bus", "fs"];

const WINDOW: MountFlags = MountFlags::RDONLY.and(MountFlags::NOSUID).and(MountFlags::NODEV);
const DEVICE: MountFlags = MountFlags::NOSUID.and(MountFlags::NOEXEC);
const WRITABLE: MountFlags = MountFlags::NOSUID.and(MountFlags::NODEV);

/// What a program may write to.
const WRITABLE_FOLDERS: [&str; 3] = [WORKING_DIRECTORY, "/tmp", "/dev/shm"];

/// Folders of the root that things are put in.
const FOLDERS: [&str; 3] = ["etc", "dev", "proc"];
/// Files of the made-up /etc, besides passwd and group.
const ETC_FILES: [(&str, &str); 3] = [
    ("hosts", "127.0.0.1 localhost livecode\n::1 localhost\n"),
    ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"),
    ("hostname", "livecode\n"),
];

/// What of the root depends on the session's uid, which is not known when it is made.
pub(crate) struct AccountFiles {
    passwd: File,
    group: File,
}

impl AccountFiles {
    /// Gives the session's files to `id`, its uid and gid as this process sees them.
    pub fn give(mut self, id: u32) -> Result<(), SetupError> {
        let passwd =
            format!("root:x:0:0:root:/:/bin/false\nuser:x:{id}:{id}:user:{WORKING_DIRECTORY}:/bin/bash\n");
        self.passwd.write_all(passwd.as_bytes()).context("write /etc/passwd")?;
        self.group.write_all(format!("root:x:0:\nuser:x:{id}:\n").as_bytes()).context("write /etc/group")?;
        for path in WRITABLE_FOLDERS {
            chown(path, Some(id), Some(id)).context(format!("own {path}"))?;
        }
        Ok(())
    }

    /// The descriptors that it needs.
    pub fn descriptors(&self) -> [BorrowedFd<'_>; 2] {
        [self.passwd.as_fd(), self.group.as_fd()]
    }
}

/// What of the root is the same in every sandbox of a machine, found out once.
#[derive(Debug, Default)]
pub(crate) struct HostMounts {
    /// Links, by their names and where they lead.
    links: Vec<(PathBuf, PathBuf)>,
    /// Folders and files of the machine that are shown at their own paths.
    bind_mounts: Vec<(PathBuf, Target)>,
}

impl HostMounts {
    pub fn find() -> Self {
        let mut found = Self { bind_mounts: vec![("/usr".into(), Target::Folder)], ..Self::default() };
        for path in USR_LINKS.map(|name| Path::new("/").join(name)) {
            match std::fs::read_link(&path) {
                Ok(target) => found.links.push((path, target)),
                Err(_) if path.is_dir() => found.bind_mounts.push((path, Target::Folder)), // a machine whose /usr is not merged
                Err(_) => {}
            }
        }
        for path in ETC_WINDOWS.map(|name| Path::new("/etc").join(name)) {
            match std::fs::metadata(&path) {
                Ok(file) if file.is_dir() => found.bind_mounts.push((path, Target::Folder)),
                Ok(_) => found.bind_mounts.push((path, Target::File)),
                Err(_) => {}
            }
        }
        let links = [("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")];
        found.links.extend(links.map(|(name, target)| (Path::new("/dev").join(name), target.into())));
        found
    }
}

/// Builds the root below the host's staging folder and makes it this process's own. It is the working directory meanwhile.
pub(crate) fn enter_root(
    staging: &Path,
    host_mounts: &HostMounts,
    layout: &SandboxLayout,
) -> Result<AccountFiles, SetupError> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .context("make mounts private")?;
    tmpfs(staging, layout).context("mount the root")?;
    rustix::process::chdir(staging).context("enter the root")?;
    // A second way to the same files, on which they stay writable for whoever has one open.
    let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let way = open_tree(CWD, ".", clone).context("open the root")?;

    for name in FOLDERS {
        std::fs::create_dir(name).context(format!("make /{name}"))?;
    }
    let HostMounts { links, bind_mounts, .. } = host_mounts;
    for (path, target) in bind_mounts {
        match bind(path, path, WINDOW, *target) {
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => {} // it was there once
            other => other?,
        }
    }
    for (path, target) in links {
        symlink(target, below(path)).context(format!("link {}", path.display()))?;
    }
    for Mount { source, target } in &layout.mounts {
        bind(source, target, WINDOW, Target::Folder)?;
    }
    for (name, contents) in ETC_FILES {
        std::fs::write(Path::new("etc").join(name), contents).context(format!("write /etc/{name}"))?;
    }
    for name in DEVICES {
        let path = Path::new("/dev").join(name);
        bind(&path, &path, DEVICE, Target::File)?;
    }
    proc()?;
    for name in WRITABLE_FOLDERS {
        bind(below(Path::new(name)), Path::new(name), WRITABLE, Target::Folder)?;
    }
    let account = |name: &str| -> Result<File, SetupError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
        let path = format!("etc/{name}");
        Ok(rustix::fs::openat(&way, &path, flags, Mode::from_raw_mode(0o644))
            .context(format!("make /{path}"))?
            .into())
    };
    let accounts = AccountFiles { passwd: account("passwd")?, group: account("group")? };
    let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    // By its path: the working directory is below what was mounted there.
    let whole = rustix::fs::open(staging, flags, Mode::empty()).context("open the root")?;
    set_mount_flags(whole, WINDOW.and(MountFlags::NOEXEC), false).context("make the root read-only")?;
    pivot()?;
    Ok(accounts)
}

/// What is mounted somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    /// A folder, made for it where there is none.
    Folder,
    /// A file, made for it where there is none.
    File,
    /// What is there already.
    There,
}

/// Where a path of the sandbox is before the pivot.
fn below(inside: &Path) -> &Path {
    inside.strip_prefix("/").unwrap_or(inside)
}

fn tmpfs(path: &Path, layout: &SandboxLayout) -> io::Result<()> {
    // The made-up parts of the root need some room and files of their own.
    let size = layout.disk_bytes.saturating_add(256 * 1024);
    let options = format!("mode=0755,size={size},nr_inodes={}\0", layout.disk_files.saturating_add(128));
    let options = std::ffi::CStr::from_bytes_with_nul(options.as_bytes()).map_err(io::Error::other)?;
    Ok(mount("tmpfs", path, "tmpfs", Flags::NOSUID | Flags::NODEV, options)?)
}

/// Shows `source` and all mounted below it at `inside`, with `flags` added.
fn bind(source: &Path, inside: &Path, flags: MountFlags, target: Target) -> Result<(), SetupError> {
    let name = format!("bind {}", source.display());
    let place = below(inside);
    match target {
        Target::Folder => {
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o755).create(place);
            made.context(format!("make {}", inside.display()))?;
        }
        Target::File => drop(File::options().create(true).append(true).open(place).context(&*name)?),
        Target::There => {}
    }
    let clone =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(CWD, source, clone).context(&*name)?;
    set_mount_flags(&tree, flags, true).context(&*name)?;
    move_mount(tree, "", CWD, place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).context(&*name)
}

fn proc() -> Result<(), SetupError> {
    let flags = Flags::NOSUID | Flags::NODEV | Flags::NOEXEC;
    mount("proc", "proc", "proc", flags, None).context("mount /proc")?;
    if !is_enabled("masks") {
        return Ok(());
    }
    // Looked for each time: a module that is loaded brings its own.
    let there = |names: &'static [&str]| {
        names.iter().map(|name| Path::new("/proc").join(name)).filter(|path| below(path).exists())
    };
    for path in there(&PROC_HIDDEN) {
        bind(Path::new("/dev/null"), &path, DEVICE, Target::There)?;
    }
    for path in there(&PROC_HIDDEN_FOLDERS) {
        let options = c"mode=0555,size=4096,nr_inodes=1";
        mount("none", below(&path), "tmpfs", flags | Flags::RDONLY, options)
            .context(format!("hide {}", path.display()))?;
    }
    for path in there(&PROC_READ_ONLY) {
        bind(below(&path), &path, WINDOW.and(MountFlags::NOEXEC), Target::There)?;
    }
    Ok(())
}

/// Makes the working directory the root, and lets go of the old one (pivot_root(2), the form with one folder).
fn pivot() -> Result<(), SetupError> {
    rustix::process::pivot_root(".", ".").context("pivot_root")?;
    unmount(".", UnmountFlags::DETACH).context("let go of the machine's root")?;
    rustix::process::chdir("/").context("chdir /")
}
