//! How much memory the processes of a sandbox hold together, where no cgroup counts it.
//!
//! Looked at again and again, so a program may pass its limit for a moment. What several processes share is divided among
//! them (`Pss`), so that a fork costs what it costs.

use std::fs;

/// More processes than any session may have; beyond it something is wrong, and what was found is enough.
const MAX_PROCESSES: usize = 65_536;

/// Whether all processes below `init` hold more than `limit_bytes` together. Init itself is not counted.
pub(crate) fn exceeds(init: i32, limit_bytes: u64) -> bool {
    let limit_kib = limit_bytes / 1024;
    let processes = descendants(init);
    // What is resident is told cheaply, and is never less than what is shared out.
    let resident: u64 = processes.iter().filter_map(|pid| resident_kib(*pid)).sum();
    resident > limit_kib && processes.iter().filter_map(|pid| proportional_kib(*pid)).sum::<u64>() > limit_kib
}

/// All processes below one: whoever's parent dies becomes a child of init, so nobody gets away.
fn descendants(init: i32) -> Vec<i32> {
    let mut found = vec![];
    let mut looking = vec![init];
    while let Some(pid) = looking.pop() {
        for thread in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            looking.extend(children.split_whitespace().filter_map(|child| child.parse::<i32>().ok()));
        }
        if pid != init {
            found.push(pid);
        }
        if found.len() > MAX_PROCESSES {
            break;
        }
    }
    found
}

/// Anonymous and shared memory of one process that is resident now; files that it maps are the machine's cache.
fn resident_kib(pid: i32) -> Option<u64> {
    fields(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?, &["RssAnon:", "RssShmem:"])
}

/// The same, with what is shared divided among those who share it.
fn proportional_kib(pid: i32) -> Option<u64> {
    fields(&fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?, &["Pss_Anon:", "Pss_Shmem:"])
}

/// The sum of the lines `NAME: N kB` with these names.
fn fields(text: &str, names: &[&str]) -> Option<u64> {
    let values = text.lines().filter_map(|line| {
        let name = names.iter().find(|name| line.starts_with(**name))?;
        line[name.len()..].trim().trim_end_matches(" kB").parse::<u64>().ok()
    });
    Some(values.sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_of_the_lines_named() {
        let text = "Rss: 12 kB\nPss_Anon:      30 kB\nPss_File: 500 kB\nPss_Shmem:  12 kB\n";
        assert_eq!(fields(text, &["Pss_Anon:", "Pss_Shmem:"]), Some(42));
    }

    #[test]
    fn children_of_children_are_found() {
        let mut child = std::process::Command::new("sh")
            .args(["-c", "sleep 60 & sleep 60"])
            .stdin(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let pid = std::process::id() as i32;
        while descendants(pid).len() < 3 {
            std::thread::yield_now();
        }
        for pid in descendants(child.id() as i32) {
            let pid = rustix::process::Pid::from_raw(pid).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        }
        child.wait().unwrap();
    }
}
