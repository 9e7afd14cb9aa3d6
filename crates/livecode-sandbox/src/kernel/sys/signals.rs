//! Signals and their dispositions.

use std::{
    io,
    os::fd::{FromRawFd, OwnedFd},
};

use super::errno::check;

/// Blocks SIGCHLD and returns a descriptor that is readable while one is pending (signalfd(2)).
pub(crate) fn child_signal_fd() -> io::Result<OwnedFd> {
    // SAFETY: sigset_t is a plain array of integers, made valid by sigemptyset before its use; the
    // pointers outlive the calls.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGCHLD);
        check(libc::c_long::from(libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut())))?;
        let fd = check(libc::c_long::from(libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)))?;
        Ok(OwnedFd::from_raw_fd(fd as i32))
    }
}

/// Unblocks SIGCHLD, which [`child_signal_fd`] has blocked.
pub(crate) fn unblock_child_signals() -> io::Result<()> {
    // SAFETY: as in `child_signal_fd`.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGCHLD);
        check(libc::c_long::from(libc::sigprocmask(libc::SIG_UNBLOCK, &set, std::ptr::null_mut()))).map(drop)
    }
}

/// Chooses whether the kernel reaps dead children of this process by itself, or keeps each until
/// this process waits for it (SIGCHLD in signal(7)).
pub fn reap_children_automatically(automatically: bool) {
    let disposition = if automatically { libc::SIG_IGN } else { libc::SIG_DFL };
    // SAFETY: both are valid dispositions, and no handler that anything relies on is replaced.
    unsafe { libc::signal(libc::SIGCHLD, disposition) };
}

/// Sets the disposition of every signal to its default, so that a program does not inherit what a
/// process above this one ignores (nohup, a language runtime). The C library reserves two signals
/// and refuses to change them, hence the system call.
pub(crate) fn reset_signals() {
    const KERNEL_SIGSET_BYTES: usize = 8;
    for signal in 1..=64 {
        // The kernel's sigaction has at most four words. All zero means SIG_DFL, no flags, and an
        // empty mask.
        let default_action = [0usize; 4];
        // SAFETY: `default_action` is a valid action that outlives the call, and nothing here
        // relies on a handler. The call fails for SIGKILL and SIGSTOP, whose disposition is fixed.
        unsafe {
            let none = std::ptr::null_mut::<usize>();
            libc::syscall(libc::SYS_rt_sigaction, signal, default_action.as_ptr(), none, KERNEL_SIGSET_BYTES);
        }
    }
}
