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

/// Duplicates `fd` to `number`, open across exec. The descriptor that had this number before is
/// closed. It does what dup2(2) does, by calls that never wait for the supervisor: the filter of a
/// sandbox notifies it of dup2(2) ([`crate::kernel::seccomp_listener`]).
pub(crate) fn duplicate_to(fd: BorrowedFd<'_>, number: i32) -> io::Result<()> {
    if fd.as_raw_fd() == number {
        return Ok(());
    }
    // SAFETY: the caller is a fresh child about to exec, which owns no descriptor of this number,
    // and has a single thread, so the number stays free until it is taken.
    let duplicate = unsafe {
        libc::close(number); // fails if nothing is open there
        check(libc::c_long::from(libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD, number)))?
    };
    if duplicate == libc::c_long::from(number) {
        Ok(())
    } else {
        Err(io::Error::other("the number is taken"))
    }
}
