//! The supervisor as a process, found by the identity in the session's folder.

use std::{fs, io};

use livecode_protocol::control::SupervisorIdentity;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Kills the supervisor with this identity if it still runs. No other process is signalled: a
/// process that has the same number in this boot or in another started at another time.
///
/// # Errors
/// If the supervisor runs and cannot be signalled.
pub(super) fn kill(identity: &SupervisorIdentity) -> io::Result<()> {
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let pid = i32::try_from(identity.pid).ok().and_then(Pid::from_raw);
    let Some(pid) = pid.filter(|_| boot_id.trim() == identity.boot_id) else { return Ok(()) };
    // The pidfd refers to the process that has the number now, and never to a later one. So the
    // start time is compared after the pidfd is opened.
    let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else { return Ok(()) };
    let stat = fs::read_to_string(format!("/proc/{}/stat", identity.pid)).unwrap_or_default();
    if SupervisorIdentity::start_ticks(&stat) != Some(identity.pid_start_ticks) {
        return Ok(());
    }
    match pidfd_send_signal(pidfd, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity_of(pid: u32) -> SupervisorIdentity {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        SupervisorIdentity {
            version: 1,
            boot_id: fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim().to_owned(),
            pid,
            pid_start_ticks: SupervisorIdentity::start_ticks(&stat).unwrap(),
        }
    }

    #[test]
    fn only_the_process_with_the_same_identity_is_killed() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let identity = identity_of(child.id());
        for other in [
            SupervisorIdentity { pid_start_ticks: identity.pid_start_ticks - 1, ..identity.clone() },
            SupervisorIdentity { boot_id: "another".into(), ..identity.clone() },
            SupervisorIdentity { pid: 0, ..identity.clone() },
            SupervisorIdentity { pid: u32::MAX, ..identity.clone() },
        ] {
            kill(&other).unwrap();
        }
        assert!(child.try_wait().unwrap().is_none());
        kill(&identity).unwrap();
        assert!(!child.wait().unwrap().success());
        kill(&identity).unwrap(); // the process is gone
    }
}
