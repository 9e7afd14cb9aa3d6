//! The table of open descriptors.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use super::errno::check;

/// Closes every descriptor from number `first` on, except those in `kept`.
pub(crate) fn close_all_except(first: i32, kept: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut numbers: Vec<i32> = kept.iter().map(|fd| fd.as_raw_fd()).filter(|fd| *fd >= first).collect();
    numbers.sort_unstable();
    let mut start = first as u32;
    for fd in numbers {
        close_range(start, fd as u32)?;
        start = fd as u32 + 1;
    }
    close_range(start, u32::MAX)
}

/// Closes the descriptors from `start` up to, but not including, `end` (close_range(2)).
fn close_range(start: u32, end: u32) -> io::Result<()> {
    if start == end {
        return Ok(());
    }
    // SAFETY: the caller is a fresh child that no longer uses any of these descriptors. It leaves
    // by exec or _exit, so no destructor closes one of the numbers a second time.
    check(unsafe { libc::syscall(libc::SYS_close_range, start, end - 1, 0) }).map(drop)
}

/// Descriptors below this number are a program's.
const FIRST_OWN_FD: i32 = 10;

/// Duplicates `fd` to a number that is not one of a program's own descriptors, closed at exec.
pub(crate) fn duplicate_high(fd: impl AsFd) -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(fd, FIRST_OWN_FD)?)
}

/// Duplicates `fd` to `number`, open across exec (dup2(2)). The descriptor that had this number
/// before is closed.
pub(crate) fn duplicate_to(fd: BorrowedFd<'_>, number: i32) -> io::Result<()> {
    // SAFETY: the caller is a fresh child that is about to exec and owns no descriptor of this
    // number, or that gives a descriptor of its own another file, whose owner then closes that.
    check(libc::c_long::from(unsafe { libc::dup2(fd.as_raw_fd(), number) })).map(drop)
}
