//! Flags of mounts.

use std::{
    ffi::CStr,
    io,
    os::fd::{AsFd, AsRawFd},
};

use super::errno::check;

/// Flags that restrict the use of a mount, in addition to those that it already has.
#[derive(Clone, Copy)]
pub(crate) struct MountFlags(u64);

impl MountFlags {
    pub const RDONLY: Self = Self(0x1);
    pub const NOSUID: Self = Self(0x2);
    pub const NODEV: Self = Self(0x4);
    pub const NOEXEC: Self = Self(0x8);

    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// `struct mount_attr` of linux/mount.h.
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Adds flags to the mount that `mount` is open on, and, if `is_recursive`, to all mounts below it
/// (mount_setattr(2), Linux 5.12).
pub(crate) fn set_mount_flags(mount: impl AsFd, flags: MountFlags, is_recursive: bool) -> io::Result<()> {
    let attr = MountAttr { set: flags.0, clear: 0, propagation: 0, userns_fd: 0 };
    let at_flags = libc::AT_EMPTY_PATH | if is_recursive { libc::AT_RECURSIVE } else { 0 };
    let empty: &CStr = c"";
    // SAFETY: the path is a NUL-terminated string and `attr` a mount_attr of the size given; both
    // outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            empty.as_ptr(),
            at_flags,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    };
    check(result).map(drop)
}
