//! Whether a thread inside reads the session's own standard input.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::fd::AsFd,
    path::Path,
};

use rustix::fs::OFlags;

use crate::{host::Host, kernel::privileges::look_as_user};

/// Recognises the pipe of a session's standard input among what threads have as descriptor 0.
#[derive(Debug)]
pub struct StdinProbe {
    /// The inode number of the pipe.
    inode: u64,
    /// The pipe as /proc names it (proc_pid_fd(5)). No path of a file is like it, since each
    /// begins with a slash.
    link: String,
    /// The program's user in root mode, whose descriptors the kernel shows to nobody else.
    user: Option<u32>,
}

impl StdinProbe {
    /// `pipe` is the supervisor's end of the pipe of the session with this slot.
    pub fn new(host: &Host, slot: u32, pipe: impl AsFd) -> Self {
        // The number 0 is that of no pipe.
        let inode = rustix::fs::fstat(pipe).map_or(0, |stat| stat.st_ino);
        let user = host.session_ids(slot).map(|ids| ids.program);
        Self { inode, link: format!("pipe:[{inode}]"), user }
    }

    /// Whether the pipe has this inode number.
    pub fn has_inode(&self, inode: u64) -> bool {
        self.inode == inode
    }

    /// Whether a read of descriptor 0 by this thread waits if the pipe is empty: the descriptor is
    /// the pipe, and is not in non-blocking mode. Nothing is opened but files of /proc, so nothing
    /// of the program's file systems can delay the answer.
    pub fn is_read_by(&self, thread: u32) -> bool {
        look_as_user(self.user, || {
            fs::read_link(format!("/proc/{thread}/fd/0")).is_ok_and(|link| link == Path::new(&self.link))
                && read_fdinfo(thread).is_ok_and(|info| is_blocking(&info))
        })
    }
}

/// More bytes than the first lines of a descriptor's fdinfo have. A line follows them for each
/// lock that a program holds on the file.
const FDINFO_BYTES: u64 = 256;

/// The first lines of the fdinfo of a thread's descriptor 0.
fn read_fdinfo(thread: u32) -> io::Result<String> {
    let mut info = String::new();
    File::open(format!("/proc/{thread}/fdinfo/0"))?.take(FDINFO_BYTES).read_to_string(&mut info)?;
    Ok(info)
}

/// Whether a read waits, according to the fdinfo of a descriptor (proc_pid_fdinfo(5)).
fn is_blocking(info: &str) -> bool {
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|octal| u32::from_str_radix(octal.trim(), 8).ok());
    flags.is_some_and(|flags| !OFlags::from_bits_retain(flags).contains(OFlags::NONBLOCK))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_blocks_unless_its_flags_say_otherwise() {
        assert!(is_blocking("pos:\t0\nflags:\t0100000\nmnt_id:\t15\n"));
        assert!(!is_blocking("pos:\t0\nflags:\t0104000\nmnt_id:\t15\n"));
        assert!(!is_blocking("pos:\t0\nflags:\tx\n"));
        assert!(!is_blocking(""));
    }
}
