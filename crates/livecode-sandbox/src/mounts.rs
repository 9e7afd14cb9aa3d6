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
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::fs::{DirBuilderExt, chown, symlink},
    },
    path::{Path, PathBuf},
};

use livecode_protocol::order::{Layout, Mount};
use rustix::{
    fs::{CWD, Mode, OFlags},
    mount::{
        MountFlags as Flags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount,
        mount_change, move_mount, open_tree, unmount,
    },
};

use crate::{
    WORKING_DIRECTORY,
    host::Host,
    report::{Named, SetupError},
    sys::{MountFlags, set_mount_flags},
    without::keeps,
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

/// Files of the made-up /etc, besides passwd and group.
const ETC_FILES: [(&str, &str); 3] = [
    ("hosts", "127.0.0.1 localhost livecode\n::1 localhost\n"),
    ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"),
    ("hostname", "livecode\n"),
];

/// What of the root depends on the session's uid, which is not known when it is made.
pub(crate) struct Accounts {
    passwd: File,
    group: File,
}

impl Accounts {
    /// Gives the session's files to `id`, its uid and gid as this process sees them.
    pub fn give(mut self, id: u32) -> Result<(), SetupError> {
        let passwd =
            format!("root:x:0:0:root:/:/bin/false\nuser:x:{id}:{id}:user:{WORKING_DIRECTORY}:/bin/bash\n");
        self.passwd.write_all(passwd.as_bytes()).step("write /etc/passwd")?;
        self.group.write_all(format!("root:x:0:\nuser:x:{id}:\n").as_bytes()).step("write /etc/group")?;
        for path in WRITABLE_FOLDERS {
            chown(path, Some(id), Some(id)).step(format!("own {path}"))?;
        }
        Ok(())
    }

    /// The descriptors that it needs.
    pub fn descriptors(&self) -> [BorrowedFd<'_>; 2] {
        [self.passwd.as_fd(), self.group.as_fd()]
    }
}

/// Builds the root below the host's staging folder and makes it this process's own.
pub(crate) fn enter_root(host: &Host, layout: &Layout) -> Result<Accounts, SetupError> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .step("make mounts private")?;
    let root = Root { path: &host.staging };
    root.tmpfs(layout).step("mount the root")?;
    // A second way to the same files, on which they stay writable for whoever has one open.
    let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let way = open_tree(CWD, root.path, clone).step("open the root")?;

    root.window(Path::new("/usr"))?;
    for name in USR_LINKS {
        root.usr_link(name)?;
    }
    for Mount { source, target } in &layout.mounts {
        root.bind(source, target, WINDOW, true)?;
    }
    root.etc()?;
    root.dev()?;
    root.proc()?;
    for name in WRITABLE_FOLDERS {
        root.writable(name)?;
    }
    let account = |name: &str| -> Result<File, SetupError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
        let path = format!("etc/{name}");
        Ok(rustix::fs::openat(&way, &path, flags, Mode::from_raw_mode(0o644))
            .step(format!("make /{path}"))?
            .into())
    };
    let accounts = Accounts { passwd: account("passwd")?, group: account("group")? };
    let whole = root.open("/").step("open the root")?;
    set_mount_flags(whole, WINDOW.and(MountFlags::NOEXEC), false).step("make the root read-only")?;
    root.pivot()?;
    Ok(accounts)
}

struct Root<'a> {
    path: &'a Path,
}

impl Root<'_> {
    /// Where the path `inside` is before the pivot.
    fn at(&self, inside: impl AsRef<Path>) -> PathBuf {
        let inside = inside.as_ref();
        self.path.join(inside.strip_prefix("/").unwrap_or(inside))
    }

    fn open(&self, inside: &str) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        Ok(rustix::fs::open(self.at(inside), flags, Mode::empty())?)
    }

    fn folder(&self, inside: impl AsRef<Path>) -> Result<(), SetupError> {
        let inside = inside.as_ref();
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o755).create(self.at(inside));
        made.step(format!("make {}", inside.display()))
    }

    fn tmpfs(&self, layout: &Layout) -> io::Result<()> {
        // The made-up parts of the root need some room and files of their own.
        let size = layout.disk_bytes.saturating_add(256 * 1024);
        let options = format!("mode=0755,size={size},nr_inodes={}\0", layout.disk_files.saturating_add(128));
        let options = std::ffi::CStr::from_bytes_with_nul(options.as_bytes()).map_err(io::Error::other)?;
        Ok(mount("tmpfs", self.path, "tmpfs", Flags::NOSUID | Flags::NODEV, options)?)
    }

    /// Shows `source` and all mounted below it at `target`, with `flags` added.
    fn bind(
        &self,
        source: &Path,
        target: &Path,
        flags: MountFlags,
        is_folder: bool,
    ) -> Result<(), SetupError> {
        let name = format!("bind {}", source.display());
        if is_folder {
            self.folder(target)?;
        } else if !self.at(target).exists() {
            File::create(self.at(target)).step(&*name)?;
        }
        let clone =
            OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
        let tree = open_tree(CWD, source, clone).step(&*name)?;
        set_mount_flags(&tree, flags, true).step(&*name)?;
        move_mount(tree, "", CWD, self.at(target), MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).step(name)
    }

    /// Shows a folder or file of the machine at its own path, read-only.
    fn window(&self, path: &Path) -> Result<(), SetupError> {
        self.bind(path, path, WINDOW, path.is_dir())
    }

    fn usr_link(&self, name: &str) -> Result<(), SetupError> {
        let path = Path::new("/").join(name);
        match std::fs::read_link(&path) {
            Ok(target) => symlink(target, self.at(name)).step(format!("link {}", path.display())),
            Err(_) if path.is_dir() => self.window(&path), // a machine whose /usr is not merged
            Err(_) => Ok(()),
        }
    }

    fn etc(&self) -> Result<(), SetupError> {
        self.folder("etc")?;
        for (name, contents) in ETC_FILES {
            std::fs::write(self.at("etc").join(name), contents).step(format!("write /etc/{name}"))?;
        }
        for name in ETC_WINDOWS {
            let path = Path::new("/etc").join(name);
            if path.exists() {
                self.window(&path)?;
            }
        }
        Ok(())
    }

    fn dev(&self) -> Result<(), SetupError> {
        self.folder("dev")?;
        for name in DEVICES {
            let path = Path::new("/dev").join(name);
            self.bind(&path, &path, DEVICE, false)?;
        }
        let links = [("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")];
        for (name, target) in links {
            symlink(target, self.at("dev").join(name)).step(format!("link /dev/{name}"))?;
        }
        Ok(())
    }

    fn proc(&self) -> Result<(), SetupError> {
        self.folder("proc")?;
        let flags = Flags::NOSUID | Flags::NODEV | Flags::NOEXEC;
        mount("proc", self.at("proc"), "proc", flags, None).step("mount /proc")?;
        if !keeps("masks") {
            return Ok(());
        }
        for name in PROC_HIDDEN {
            let path = Path::new("/proc").join(name);
            if self.at(&path).exists() {
                self.bind(Path::new("/dev/null"), &path, DEVICE, false)?;
            }
        }
        for name in PROC_HIDDEN_FOLDERS {
            let path = self.at("proc").join(name);
            if path.exists() {
                let options = c"mode=0555,size=4096,nr_inodes=1";
                mount("none", path, "tmpfs", flags | Flags::RDONLY, options)
                    .step(format!("hide /proc/{name}"))?;
            }
        }
        for name in PROC_READ_ONLY {
            let path = self.at("proc").join(name);
            if path.exists() {
                self.bind(&path, &Path::new("/proc").join(name), WINDOW.and(MountFlags::NOEXEC), true)?;
            }
        }
        Ok(())
    }

    fn writable(&self, name: &str) -> Result<(), SetupError> {
        self.folder(name)?;
        self.bind(&self.at(name), Path::new(name), WRITABLE, true)
    }

    /// Makes this the root, and lets go of the old one (pivot_root(2), the form with one folder).
    fn pivot(&self) -> Result<(), SetupError> {
        rustix::process::chdir(self.path).step("enter the root")?;
        rustix::process::pivot_root(".", ".").step("pivot_root")?;
        unmount(".", UnmountFlags::DETACH).step("let go of the machine's root")?;
        rustix::process::chdir("/").step("chdir /")
    }
}
