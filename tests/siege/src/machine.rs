//! What /proc says about the server: memory, threads, descriptors, processes.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

/// A field of /proc/PID/status (proc_pid_status(5)), without its unit.
fn status_field(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// The resident anonymous memory of a process in bytes: what it holds and cannot give back.
pub fn memory_bytes(pid: u32) -> u64 {
    status_field(pid, "RssAnon") * 1024
}

/// The proportional set size of a process in bytes: shared pages count in proportion to their
/// users. Zero if the process is gone.
pub fn pss_bytes(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

pub fn threads(pid: u32) -> u64 {
    status_field(pid, "Threads")
}

pub fn descriptors(pid: u32) -> u64 {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |entries| entries.count() as u64)
}

/// The CPU time of a process, with that of its ended children that it has waited for, in
/// milliseconds.
pub fn cpu_ms(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<u64> = stat
        .rsplit(')')
        .next()
        .into_iter()
        .flat_map(str::split_whitespace)
        .map(|field| field.parse().unwrap_or(0))
        .collect();
    // The fields utime and stime are the 12th and 13th after the name (proc_pid_stat(5)); a tick
    // is 10 ms on every system that Linux supports today (sysconf(3), _SC_CLK_TCK).
    fields.get(11..13).map_or(0, |times| times.iter().sum::<u64>() * 10)
}

/// The process numbers of the children of all threads of a process.
pub fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// The process numbers of all descendants of a process.
pub fn descendants(pid: u32) -> Vec<u32> {
    children(pid).iter().flat_map(|child| [vec![*child], descendants(*child)].concat()).collect()
}

/// Watches a process's memory in a thread of its own.
pub struct MemoryWatch {
    shared: Arc<Watched>,
    thread: Option<JoinHandle<()>>,
}

struct Watched {
    peak_bytes: AtomicU64,
    is_stopped: AtomicBool,
}

impl MemoryWatch {
    /// Watches the memory of the process `pid`.
    pub fn start(pid: u32) -> Self {
        let shared = Arc::new(Watched { peak_bytes: AtomicU64::new(0), is_stopped: AtomicBool::new(false) });
        let watched = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            while !watched.is_stopped.load(Ordering::Relaxed) {
                watched.peak_bytes.fetch_max(memory_bytes(pid), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        Self { shared, thread: Some(thread) }
    }

    /// The largest memory so far, in bytes.
    pub fn peak_bytes(&self) -> u64 {
        self.shared.peak_bytes.load(Ordering::Relaxed)
    }
}

impl Drop for MemoryWatch {
    fn drop(&mut self) {
        self.shared.is_stopped.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
