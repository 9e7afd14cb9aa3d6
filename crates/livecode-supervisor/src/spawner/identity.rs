//! The names of sandboxes' groups. One is made before its session is known, so it is named after its supervisor: as long as
//! that process lives, nobody else clears the group away, and no other process ever has the name.

use std::{fs, io, sync::OnceLock};

use livecode_protocol::control::{self, SupervisorIdentity};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, pidfd_open},
};

/// How long a dying process may take until it is dead, in seconds.
const DEATH_TIMEOUT_S: i64 = 5;

/// Which boot of the machine this is (proc_sys_kernel(5)). It is asked once, for all forks.
pub(crate) fn boot_id() -> io::Result<&'static str> {
    static BOOT_ID: OnceLock<String> = OnceLock::new();
    if let Some(known) = BOOT_ID.get() {
        return Ok(known);
    }
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Ok(BOOT_ID.get_or_init(|| text.trim().to_owned()))
}

/// Who this process is, for those who must know it again.
pub(crate) struct Identity(SupervisorIdentity);

impl Identity {
    /// Found out once: a fork is another.
    pub fn own() -> io::Result<Self> {
        Ok(Self(SupervisorIdentity {
            version: control::VERSION,
            boot_id: boot_id()?.to_owned(),
            pid: std::process::id(),
            pid_start_ticks: SupervisorIdentity::start_ticks(&fs::read_to_string("/proc/self/stat")?)
                .unwrap_or(0),
        }))
    }

    /// What stands in the folder of a session of its.
    pub fn state(&self) -> &SupervisorIdentity {
        &self.0
    }

    /// The name of its group.
    pub fn group(&self) -> String {
        name(self.0.pid, self.0.pid_start_ticks)
    }
}

/// The name of the group of the supervisor with this number, which started so many ticks after the boot.
pub(crate) fn name(pid: u32, start_ticks: u64) -> String {
    format!("{pid}-{start_ticks}")
}

/// Whether a group has the name of a supervisor that is dead; `None` where the name is no supervisor's.
pub(crate) fn is_dead(name: &str) -> Option<bool> {
    let (pid, start_ticks) = name.split_once('-')?;
    let (pid, start_ticks): (u32, u64) = (pid.parse().ok()?, start_ticks.parse().ok()?);
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return Some(true) };
    // A zombie has nothing left to look after.
    let is_zombie = stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with(['Z', 'X']));
    Some(is_zombie || SupervisorIdentity::start_ticks(&stat) != Some(start_ticks))
}

/// Waits a little for the process to die that the group of this name is named after. Whether it is dead.
pub(crate) fn await_death(pid: u32, name: &str) -> bool {
    let process = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pidfd = process.and_then(|process| pidfd_open(process, PidfdFlags::empty()).ok());
    // Looked at after the descriptor was opened: it is that process's, or nobody's whom this is about.
    if is_dead(name) == Some(true) {
        return true;
    }
    let patience = Timespec { tv_sec: DEATH_TIMEOUT_S, tv_nsec: 0 };
    pidfd.is_some_and(|pidfd| poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&patience)) == Ok(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_its_process() {
        assert_eq!(is_dead(&Identity::own().unwrap().group()), Some(false));
        assert_eq!(is_dead(&name(std::process::id(), 1)), Some(true)); // a number that came back
        assert_eq!(is_dead("0000000000000000000000000g"), None);
    }
}
