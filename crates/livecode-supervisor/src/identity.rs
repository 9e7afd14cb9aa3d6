//! Identities of processes: how a supervisor is known again, and how its sandbox's cgroup is
//! named.
//!
//! A process is identified by its pid and its start time, since the kernel reuses pids
//! (proc_pid_stat(5)). Across reboots the boot id is compared, too.
//!
//! A sandbox may be made before its session is known, so its cgroup is named after its supervisor.
//! The supervisor of a session with cases has a second sandbox, which is that of the next case.
//! As long as that process lives, nobody else removes the cgroup, and no other process ever has
//! the same name.

use std::{fs, io, sync::OnceLock, time::Duration};

use livecode_protocol::control::{self, SupervisorIdentity};
use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{Pid, PidfdFlags, pidfd_open},
};

use livecode_sandbox::timespec;

/// The suffix that distinguishes the name of a supervisor's second cgroup.
const SECOND_SUFFIX: &str = "-second";
/// How long to wait for the death of a process that is already dying.
const DEATH_TIMEOUT: Duration = Duration::from_secs(5);

/// The id of the machine's present boot (proc_sys_kernel(5)). It is read from the kernel once; a
/// process that is forked afterwards inherits it.
pub(crate) fn boot_id() -> io::Result<&'static str> {
    static BOOT_ID: OnceLock<String> = OnceLock::new();
    if let Some(id) = BOOT_ID.get() {
        return Ok(id);
    }
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Ok(BOOT_ID.get_or_init(|| text.trim().to_owned()))
}

/// The identity of this process as a supervisor. A forked child must ask again.
///
/// # Errors
/// If /proc cannot be read.
pub(crate) fn own_identity() -> io::Result<SupervisorIdentity> {
    Ok(SupervisorIdentity {
        version: control::VERSION,
        boot_id: boot_id()?.to_owned(),
        pid: std::process::id(),
        pid_start_ticks: SupervisorIdentity::start_ticks(&fs::read_to_string("/proc/self/stat")?)
            .unwrap_or(0),
    })
}

/// A process of the present boot, living or dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProcessIdentity {
    pid: u32,
    /// Clock ticks from the boot to the start of the process (proc_pid_stat(5), field 22).
    start_ticks: u64,
}

impl From<&SupervisorIdentity> for ProcessIdentity {
    /// The process of a supervisor that runs, or ran, in the present boot.
    fn from(identity: &SupervisorIdentity) -> Self {
        Self { pid: identity.pid, start_ticks: identity.pid_start_ticks }
    }
}

impl ProcessIdentity {
    /// The process after which a cgroup is named; `None` if the name has another form.
    pub fn from_cgroup_name(name: &str) -> Option<Self> {
        let name = name.strip_suffix(SECOND_SUFFIX).unwrap_or(name);
        let (pid, start_ticks) = name.split_once('-')?;
        Some(Self { pid: pid.parse().ok()?, start_ticks: start_ticks.parse().ok()? })
    }

    /// The name of the cgroup of this process's sandbox.
    pub fn cgroup_name(self) -> String {
        format!("{}-{}", self.pid, self.start_ticks)
    }

    /// The name of the second cgroup that a supervisor may have: that of the next case of its
    /// session.
    pub fn second_cgroup_name(self) -> String {
        self.cgroup_name() + SECOND_SUFFIX
    }

    /// Whether the process is dead. A zombie counts as dead, since it looks after nothing any
    /// more.
    pub fn is_dead(self) -> bool {
        let Ok(stat) = fs::read_to_string(format!("/proc/{}/stat", self.pid)) else { return true };
        let is_zombie = stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with(['Z', 'X']));
        is_zombie || SupervisorIdentity::start_ticks(&stat) != Some(self.start_ticks)
    }

    /// Waits up to [`DEATH_TIMEOUT`] until the process is dead. Returns whether it is.
    pub fn await_death(self) -> bool {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let pidfd = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        // The start time is compared after the pidfd was opened. If it matches, the pidfd
        // refers to this process and not to a later one with the same pid.
        if self.is_dead() {
            return true;
        }
        let timeout = timespec(DEATH_TIMEOUT);
        pidfd.is_some_and(|pidfd| poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&timeout)) == Ok(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cgroup_name_identifies_its_process() {
        let own = ProcessIdentity::from(&own_identity().unwrap());
        assert!(!own.is_dead());
        assert_eq!(ProcessIdentity::from_cgroup_name(&own.cgroup_name()), Some(own));
        assert_eq!(ProcessIdentity::from_cgroup_name(&own.second_cgroup_name()), Some(own));
        let earlier_process_with_this_pid = ProcessIdentity { pid: std::process::id(), start_ticks: 1 };
        assert!(earlier_process_with_this_pid.is_dead());
        assert_eq!(ProcessIdentity::from_cgroup_name("0000000000000000000000000g"), None);
    }
}
