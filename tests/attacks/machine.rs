//! Processes, files and memory of the machine, as seen from outside of the sandbox.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

pub use crate::common::processes;
use crate::common::{Server, eventually};

/// The length and the FNV-1a hash of a file, to detect a change.
#[derive(Debug, PartialEq)]
pub struct Hash(u64, u64);

impl Hash {
    pub fn of(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
        });
        Self(bytes.len() as u64, hash)
    }
}

/// A word that is in no other process's command line.
pub fn mark() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("mark-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Asserts that all processes with this mark are gone within `timeout`. Kills the remaining
/// processes before it panics.
pub fn assert_gone(mark: &str, timeout: Duration) {
    let deadline = Instant::now() + timeout;
    loop {
        let left = processes(mark);
        if left.is_empty() {
            return;
        }
        if Instant::now() >= deadline {
            left.iter().for_each(|pid| kill(*pid));
            panic!("{} processes are alive after {timeout:?}", left.len());
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Kills one process.
pub fn kill(pid: u32) {
    if let Some(pid) = Pid::from_raw(pid as i32) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// The process number of a session's supervisor, from `state.json`.
pub fn supervisor(server: &Server, id: &str) -> u32 {
    let state = session_folder(server, id).join("state.json");
    let state = eventually("the supervisor's identity is written", || fs::read(&state).ok());
    let state: serde_json::Value = serde_json::from_slice(&state).expect("JSON");
    state["pid"].as_u64().expect("a process number") as u32
}

/// The folder of a session.
pub fn session_folder(server: &Server, id: &str) -> PathBuf {
    server.data().join("sessions").join(id)
}

/// The peak resident memory of a process in KiB, including shared pages: the kernel counts no peak
/// of `RssAnon` alone.
pub fn peak_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// The number of a process's open descriptors.
pub fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}
