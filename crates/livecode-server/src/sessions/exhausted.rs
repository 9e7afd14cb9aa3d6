//! Errors that mean a lack of resources, and prove nothing else.

use std::io;

use rustix::io::Errno;

/// Whether an operation failed because there is no room on the disk, or in this user's share of
/// it.
pub(crate) fn is_disk_full(error: &io::Error) -> bool {
    [Errno::NOSPC, Errno::DQUOT].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Whether an operation failed because this process or the machine has no more of a resource, such
/// as descriptors or memory. The same operation may succeed later.
pub(crate) fn is_exhausted(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    errno.is_some_and(|errno| {
        [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS, Errno::AGAIN].contains(&errno)
    })
}
