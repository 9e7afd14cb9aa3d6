//! A supervisor as a process, known by its state file.

use std::{fs, io};

use livecode_protocol::control::SupervisorIdentity;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Kills the supervisor that `state` names, if it still runs. Nobody else is ever signalled: a process that has its number
/// now, in this boot or another, started at another time.
///
/// # Errors
/// Where it runs and cannot be signalled.
pub(crate) fn kill(state: &SupervisorIdentity) -> io::Result<()> {
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let pid = i32::try_from(state.pid).ok().and_then(Pid::from_raw);
    let Some(pid) = pid.filter(|_| boot_id.trim() == state.boot_id) else { return Ok(()) };
    // From here on the descriptor is of whoever has the number now, and stays so.
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { return Ok(()) };
    let stat = fs::read_to_string(format!("/proc/{}/stat", state.pid)).unwrap_or_default();
    if SupervisorIdentity::start_ticks(&stat) != Some(state.pid_start_ticks) {
        return Ok(());
    }
    match pidfd_send_signal(process, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state_of(pid: u32) -> SupervisorIdentity {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        SupervisorIdentity {
            version: 1,
            boot_id: fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim().to_owned(),
            pid,
            pid_start_ticks: SupervisorIdentity::start_ticks(&stat).unwrap(),
        }
    }

    #[test]
    fn only_the_very_process_is_killed() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let state = state_of(child.id());
        for stranger in [
            SupervisorIdentity { pid_start_ticks: state.pid_start_ticks - 1, ..state.clone() },
            SupervisorIdentity { boot_id: "another".into(), ..state.clone() },
            SupervisorIdentity { pid: 0, ..state.clone() },
            SupervisorIdentity { pid: u32::MAX, ..state.clone() },
        ] {
            kill(&stranger).unwrap();
        }
        assert!(child.try_wait().unwrap().is_none());
        kill(&state).unwrap();
        assert!(!child.wait().unwrap().success());
        kill(&state).unwrap(); // it is gone
    }
}
