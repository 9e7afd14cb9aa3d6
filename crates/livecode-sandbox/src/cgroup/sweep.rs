//! Killing what runs in leftover groups, and removing them.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::group::CPU_IDLE_FILE;

/// Timeout for sweeping all groups together.
const SWEEP_TIMEOUT: Duration = Duration::from_secs(3);
/// The first pause between two rounds; it doubles up to the maximum.
const MIN_SWEEP_PAUSE: Duration = Duration::from_millis(1);
const MAX_SWEEP_PAUSE: Duration = Duration::from_millis(100);

/// Kills all processes of the groups with these folders and removes the folders, those of them
/// that exist. Returns whether all are removed within [`SWEEP_TIMEOUT`]: on a busy machine many
/// processes take a while to die.
pub(super) fn sweep(mut groups: Vec<PathBuf>) -> bool {
    let deadline = Instant::now() + SWEEP_TIMEOUT;
    let mut pause = MIN_SWEEP_PAUSE;
    loop {
        groups.retain(|group| group.is_dir());
        groups.iter().for_each(|group| kill_all(group));
        groups.retain(|group| fs::remove_dir(group).is_err() && group.is_dir());
        if groups.is_empty() || Instant::now() >= deadline {
            return groups.is_empty();
        }
        // In v1 the kernel does not notify anybody when the last process has left a group.
        thread::sleep(pause);
        pause = (pause * 2).min(MAX_SWEEP_PAUSE);
    }
}

/// Kills every process of a group if the group exists: all at once if the kernel can
/// (`cgroup.kill`, v2, Linux 5.14), and one by one otherwise.
fn kill_all(group: &Path) {
    // A deprioritised process would wait for the CPU before it dies. Most groups have no such
    // file.
    let _ = fs::write(group.join(CPU_IDLE_FILE), "0");
    if fs::write(group.join("cgroup.kill"), "1").is_ok() {
        return;
    }
    let read_pids = || fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    for pid in read_pids().lines().filter_map(|line| line.parse().ok()) {
        let Some(raw) = Pid::from_raw(pid) else { continue };
        let Ok(pidfd) = pidfd_open(raw, PidfdFlags::empty()) else { continue };
        // The pid may have been reused between the two calls. A process that now has the pid but
        // is not in the group is left alone.
        if read_pids().lines().any(|line| line == pid.to_string()) {
            let _ = pidfd_send_signal(pidfd, Signal::KILL);
        }
    }
}
