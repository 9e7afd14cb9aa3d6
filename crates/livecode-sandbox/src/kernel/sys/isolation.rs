//! Namespaces and filters of the calling process.

use std::{
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use super::errno::check;

/// Makes the cgroup of this process the root of a new cgroup namespace, so that /proc/self/cgroup
/// shows `/` and no group above it (cgroup_namespaces(7)).
pub(crate) fn unshare_cgroup_namespace() -> io::Result<()> {
    // SAFETY: a cgroup namespace concerns names only; no memory and no descriptor is touched.
    check(libc::c_long::from(unsafe { libc::unshare(libc::CLONE_NEWCGROUP) })).map(drop)
}

/// Calls unshare(2) without any flag, which has no effect and needs no privilege. It fails only
/// if a filter refuses the system call.
pub(crate) fn unshare_nothing() -> io::Result<()> {
    // SAFETY: without a flag the call does nothing.
    check(libc::c_long::from(unsafe { libc::unshare(0) })).map(drop)
}

/// Asks the kernel for its version of the Landlock ABI (landlock_create_ruleset(2)).
pub(crate) fn landlock_version() -> io::Result<i64> {
    const LANDLOCK_CREATE_RULESET_VERSION: u32 = 1;
    // SAFETY: with this flag the call takes no attributes, creates nothing, and returns a number.
    check(unsafe {
        let none = std::ptr::null::<libc::c_void>();
        libc::syscall(libc::SYS_landlock_create_ruleset, none, 0usize, LANDLOCK_CREATE_RULESET_VERSION)
    })
}

/// Brings the loopback device of this network namespace up (netdevice(7)).
pub(crate) fn bring_loopback_up() -> io::Result<()> {
    let socket = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::DGRAM, None)?;
    // SAFETY: all fields of ifreq are integers or arrays of integers, for which zero is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads an ifreq, which `request` is, and keeps no reference to it.
    check(libc::c_long::from(unsafe {
        libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request)
    }))
    .map(drop)
}

/// Installs a seccomp filter for this process and all that it will start (seccomp(2)). Sets
/// `no_new_privs` first, without which an unprivileged process may not install one.
pub(crate) fn install_filter(filter: &[libc::sock_filter]) -> io::Result<()> {
    install(filter, 0).map(drop)
}

/// Does what [`install_filter`] does, and returns the listener of the filter, which is notified of
/// the calls for which the filter returns `SECCOMP_RET_USER_NOTIF` (seccomp_unotify(2)).
///
/// # Errors
/// The errors of seccomp(2): `EBUSY` if an earlier filter of this process has a listener already.
/// Then no filter was installed.
pub(crate) fn install_filter_with_listener(filter: &[libc::sock_filter]) -> io::Result<OwnedFd> {
    // With this flag (Linux 5.19), a call whose notification was received is interrupted by fatal
    // signals only, so that no signal handler makes a program repeat it.
    let killable = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    let listener = match install(filter, killable) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            install(filter, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER)?
        }
        other => other?,
    };
    // SAFETY: the call has returned a new descriptor, close-on-exec, that nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(listener as i32) })
}

fn install(filter: &[libc::sock_filter], flags: libc::c_ulong) -> io::Result<libc::c_long> {
    let length = filter.len().try_into().map_err(io::Error::other)?;
    let program = libc::sock_fprog { len: length, filter: filter.as_ptr().cast_mut() };
    // SAFETY: the first call takes no pointer; the second one reads `program` and the instructions
    // that it points at, both of which outlive the call.
    unsafe {
        check(libc::c_long::from(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)))?;
        check(libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program))
    }
}
