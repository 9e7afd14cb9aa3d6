//! The parts of the root file system that depend on the uid of the session: /etc/passwd,
//! /etc/group, and the owner of the writable folders. A sandbox is made before its session is
//! known, so the files are opened while the root is still writable, and are written once the uid
//! is known.

use std::{
    fs::File,
    io::Write as _,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::chown,
    },
};

use rustix::fs::{Mode, OFlags, openat};

use crate::{
    WORKING_DIRECTORY,
    kernel::sys,
    setup_error::{SetupContext, SetupError},
};

/// Folders of the sandbox that its program may write to, which belong to the session's user.
pub(super) const WRITABLE_FOLDERS: [&str; 3] = [WORKING_DIRECTORY, "/tmp", "/dev/shm"];

/// The account files of a sandbox, open for writing and still empty.
pub(crate) struct AccountFiles {
    passwd: File,
    group: File,
}

impl AccountFiles {
    /// Creates the files in the folder `etc` below `root`, which must be a descriptor of a mount
    /// that stays writable.
    pub(super) fn create(root: impl AsFd) -> Result<Self, SetupError> {
        let create = |name: &str| -> Result<File, SetupError> {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
            let path = format!("etc/{name}");
            let file = openat(&root, &path, flags, Mode::from_raw_mode(0o644));
            let file = file.context(format!("make /{path}"))?;
            // A write to a descriptor with a number of the program's would notify the supervisor.
            Ok(sys::duplicate_high(&file).context("move descriptors")?.into())
        };
        Ok(Self { passwd: create("passwd")?, group: create("group")? })
    }

    /// Enters the user `id` in the files and makes it the owner of the writable folders. `id` is
    /// the uid and gid of the session as this process sees them.
    pub fn assign_to(mut self, id: u32) -> Result<(), SetupError> {
        let passwd =
            format!("root:x:0:0:root:/:/bin/false\nuser:x:{id}:{id}:user:{WORKING_DIRECTORY}:/bin/bash\n");
        self.passwd.write_all(passwd.as_bytes()).context("write /etc/passwd")?;
        self.group.write_all(format!("root:x:0:\nuser:x:{id}:\n").as_bytes()).context("write /etc/group")?;
        for path in WRITABLE_FOLDERS {
            chown(path, Some(id), Some(id)).context(format!("own {path}"))?;
        }
        Ok(())
    }

    /// The descriptors that must stay open until [`Self::assign_to`].
    pub fn descriptors(&self) -> [BorrowedFd<'_>; 2] {
        [self.passwd.as_fd(), self.group.as_fd()]
    }
}
