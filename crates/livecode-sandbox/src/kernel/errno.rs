//! The errors of system calls that mean a lack of resources.

use std::io;

use rustix::io::Errno;

/// Errors that mean that the machine, or a limit of the server's user, has no more of something
/// for now: processes, memory, room on a disk or in a table of the kernel, descriptors.
const TRANSIENT: [Errno; 9] = [
    Errno::AGAIN,
    Errno::NOMEM,
    Errno::NOSPC,
    Errno::DQUOT,
    Errno::MFILE,
    Errno::NFILE,
    Errno::NOBUFS,
    Errno::USERS,
    Errno::INTR,
];

/// Whether an operation failed for lack of a resource, and may succeed later.
pub fn is_transient(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    errno.is_some_and(|errno| TRANSIENT.contains(&errno))
}
