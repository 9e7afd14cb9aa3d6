//! Results of system calls.

use std::io;

/// Turns the result of a system call, which is negative on failure, into its value or `errno`.
pub(super) fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
