//! The size of a sandbox's tmpfs, which can be changed once the sandbox is made.
//!
//! A program must not change it: Landlock and the seccomp filter forbid that, and they are in
//! place before the session is known. So init opens the file system before, and sends it to the
//! supervisor, which has the right to change it: it is root, or it is the owner of the user
//! namespace that the file system was mounted in (user_namespaces(7)).

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use livecode_protocol::run_spec::SandboxLayout;
use rustix::{
    fs::CWD,
    mount::{FsPickFlags, fsconfig_reconfigure, fsconfig_set_string, fspick},
};

/// Room in the tmpfs for the generated parts of the root, in addition to the session's limit.
const EXTRA_BYTES: u64 = 256 * 1024;
/// Files for them.
const EXTRA_FILES: u64 = 128;

/// The values of the options `size` and `nr_inodes` of tmpfs(5) for this layout.
pub(super) fn tmpfs_size(layout: &SandboxLayout) -> (u64, u64) {
    (layout.disk_bytes.saturating_add(EXTRA_BYTES), layout.disk_files.saturating_add(EXTRA_FILES))
}

/// The tmpfs of a sandbox, opened to change its size.
pub(crate) struct DiskSize(OwnedFd);

impl DiskSize {
    /// Opens the file system that is the root of this process, which must be in a sandbox.
    pub fn open() -> io::Result<Self> {
        Ok(Self(fspick(CWD, "/", FsPickFlags::FSPICK_CLOEXEC)?))
    }

    /// The file system that a sandbox has sent.
    pub fn from_descriptor(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }

    /// Gives the file system the size that this layout needs.
    ///
    /// # Errors
    /// The error of fsconfig(2): this process may not change it, or it holds more already.
    pub fn change(&self, layout: &SandboxLayout) -> io::Result<()> {
        let (bytes, files) = tmpfs_size(layout);
        fsconfig_set_string(&self.0, "size", bytes.to_string())?;
        fsconfig_set_string(&self.0, "nr_inodes", files.to_string())?;
        Ok(fsconfig_reconfigure(&self.0)?)
    }
}

impl AsFd for DiskSize {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
