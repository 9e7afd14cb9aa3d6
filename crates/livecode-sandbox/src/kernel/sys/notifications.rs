//! Notifications of a seccomp filter (seccomp_unotify(2)). The number of each request contains the
//! size of its structure, so a kernel with other structures refuses the request.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
};

use super::errno::check;

/// `SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP` (linux/seccomp.h), which the libc crate does not have.
const SYNC_WAKE_UP: libc::c_ulong = 1;

/// Receives a notification. Waits if there is none, so poll(2) must have reported one.
///
/// # Errors
/// `ENOENT` if the call was interrupted or its process was killed meanwhile.
pub(crate) fn receive_notification(listener: BorrowedFd<'_>) -> io::Result<libc::seccomp_notif> {
    // SAFETY: all fields are integers, for which zero is valid; the kernel demands zeroes. It
    // writes to `notification` alone, which outlives the call.
    unsafe {
        let mut notification: libc::seccomp_notif = std::mem::zeroed();
        let request = libc::SECCOMP_IOCTL_NOTIF_RECV;
        check(libc::c_long::from(libc::ioctl(listener.as_raw_fd(), request, &raw mut notification)))?;
        Ok(notification)
    }
}

/// Has the kernel make the call of the notification with this id, as if no filter had stopped it.
/// The request is repeated if a signal interrupts it, since the call would wait for ever.
///
/// # Errors
/// `ENOENT` if the call was interrupted or its process was killed meanwhile.
pub(crate) fn continue_call(listener: BorrowedFd<'_>, id: u64) -> io::Result<()> {
    let flags = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32;
    let mut response = libc::seccomp_notif_resp { id, val: 0, error: 0, flags };
    loop {
        // SAFETY: the kernel reads `response`, which outlives the call.
        let result = check(libc::c_long::from(unsafe {
            libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut response)
        }));
        match result {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other.map(drop),
        }
    }
}

/// Whether the call of the notification with this id still waits.
pub(crate) fn is_call_waiting(listener: BorrowedFd<'_>, id: u64) -> bool {
    // SAFETY: the kernel reads `id`, which outlives the call.
    let result =
        unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ID_VALID, &raw const id) };
    result == 0
}

/// Tells the scheduler that a notified process and the receiver of its notifications take turns,
/// so that the one wakes the other on its own processor (Linux 6.6).
///
/// # Errors
/// `EINVAL` on an older kernel.
pub(crate) fn wake_up_synchronously(listener: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: this request takes a number, and no pointer.
    check(libc::c_long::from(unsafe {
        libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS, SYNC_WAKE_UP)
    }))
    .map(drop)
}
