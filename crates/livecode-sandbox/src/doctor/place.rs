//! Findings about the place that this process was put into: whether it has a /proc of its own, and
//! a root that it can replace. They need no privilege and no new process.

use std::{fs, path::Path};

use rustix::fs::{AtFlags, CWD, PROC_SUPER_MAGIC, StatxAttributes, StatxFlags, statfs, statx};

use crate::doctor::finding::{Finding, Verdict};

/// Command that mounts a new /proc.
const MOUNT_PROC: &str = "mount -t proc proc /proc";
/// Commands that make a folder a mount point before it becomes the root.
const BIND_ROOT: &str = "mount --rbind FOLDER FOLDER && mount -t proc proc FOLDER/proc && chroot FOLDER …";

/// Reports whether /proc shows this process. Without it, nothing else can be examined.
pub(super) fn proc() -> Finding {
    const NAME: &str = "/proc";
    if !statfs("/proc").is_ok_and(|status| status.f_type == PROC_SUPER_MAGIC) {
        let found = "nothing is mounted there";
        return Finding::new(NAME, Verdict::Missing, found).with_remedy("mount it", MOUNT_PROC);
    }
    let own = fs::read_link("/proc/self").unwrap_or_default();
    if own != Path::new(&std::process::id().to_string()) {
        let found =
            "it belongs to another pid namespace, as after unshare(2), so the server finds no process there";
        return Finding::new(NAME, Verdict::Missing, found)
            .with_remedy("mount a new one over it", MOUNT_PROC);
    }
    Finding::ok(NAME, "is mounted")
}

/// Whether something is mounted at `path`; `None` if there is no such path, or if the kernel is
/// older than 5.8 and does not tell.
pub(super) fn is_mount_point(path: &str) -> Option<bool> {
    let status = statx(CWD, path, AtFlags::empty(), StatxFlags::empty()).ok()?;
    let has = |attributes: StatxAttributes| attributes.contains(StatxAttributes::MOUNT_ROOT);
    has(status.stx_attributes_mask).then(|| has(status.stx_attributes))
}

/// Reports whether `/` is a mount point. Otherwise pivot_root(2) and all changes of the
/// propagation of mounts fail with `EINVAL`, and no user namespace can be made.
pub(super) fn root_folder(rootless: bool) -> Finding {
    const NAME: &str = "root folder";
    if is_mount_point("/") != Some(false) {
        return Finding::ok(NAME, "/ is a mount point");
    }
    let found = "/ is no mount point, as after chroot(2) into a plain folder, so no session can have a root of its own";
    let finding = Finding::new(NAME, Verdict::Missing, found);
    if rootless {
        return finding.with_remedy(
            "an ordinary user can make no user namespace in a chroot; change the root by pivot_root(2), as every container engine does",
            "podman run --rootfs FOLDER …",
        );
    }
    finding.with_remedy("make the folder a mount point before it becomes the root", BIND_ROOT)
}
