//! Trials in a new process, so that the process that examines the machine stays as it is.

use std::{fs, io};

use rustix::thread::{SecureComputingMode, secure_computing_mode};

use crate::{
    init,
    kernel::sys::{self, Forked},
    setup_error::{SetupContext, SetupError},
};

/// Runs `act` in a new process in the namespaces of `flags` (`CLONE_NEW…`), and in a user
/// namespace too if `rootless`. Returns the error of `act`.
pub(super) fn try_in_namespaces(
    rootless: bool,
    flags: i32,
    act: impl FnOnce() -> Result<(), SetupError>,
) -> Result<(), SetupError> {
    // The exit code carries the errno to this process.
    let errno = run_in_namespaces(rootless, flags, |mapped| match mapped.and_then(|()| act()) {
        Ok(()) => 0,
        Err(error) => error.source.raw_os_error().unwrap_or(libc::EIO),
    })?;
    if errno == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(errno)).context("use") }
}

/// Runs `act` like [`try_in_namespaces`], and returns the exit code that it chooses, at most 255.
/// `act` is told whether the ids of the user namespace could be mapped.
pub(super) fn run_in_namespaces(
    rootless: bool,
    flags: i32,
    act: impl FnOnce(Result<(), SetupError>) -> i32,
) -> Result<i32, SetupError> {
    let outer_ids = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let flags = if rootless { flags | libc::CLONE_NEWUSER } else { flags };
    match sys::clone(flags, None).context("clone")? {
        Forked::Child => {
            let mapped = if rootless { init::setup::map_ids(0, outer_ids) } else { Ok(()) };
            sys::exit_now(act(mapped))
        }
        Forked::Parent(child) => {
            let died = || io::Error::from_raw_os_error(libc::EIO);
            sys::reap_child(child.pid).context("wait")?.exit_code.ok_or_else(died).context("use")
        }
    }
}

pub(super) fn set_host_name() -> Result<(), SetupError> {
    rustix::system::sethostname(b"livecode").context("set the host name")
}

/// Reads a file without the white space around its text; `None` if it cannot be read.
pub(super) fn read_trimmed(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

/// Whether a filter of system calls is installed in this process, which it has inherited.
pub(super) fn is_filtered() -> bool {
    matches!(secure_computing_mode(), Ok(SecureComputingMode::Filter))
}
