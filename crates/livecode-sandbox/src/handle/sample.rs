//! What the processes of a sandbox hold and use together, where no cgroup counts it.
//!
//! Looked at again and again, so a program may pass its limit for a moment. What several processes share is divided among
//! them (`Pss`), so that a fork costs what it costs.

use std::fs;

use livecode_protocol::run_spec::StepLimits;

/// More processes than any session may have; beyond it something is wrong, and what was found is enough.
const MAX_PROCESSES: usize = 65_536;

/// What was seen of one sandbox so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SampledUsage {
    /// CPU time used, in milliseconds.
    pub cpu_ms: u64,
    /// What the look before found of it: less than [`Self::cpu_ms`] where children died that nobody waited for.
    pub last_cpu_ms: u64,
    /// The most memory held at once, in KiB; what processes share counts for each.
    pub memory_peak_kib: u64,
    /// The most processes and threads at once.
    pub processes_peak: u64,
}

/// What one look showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleVerdict {
    /// Nothing has happened since the look before: the program waits.
    Rests,
    /// It computes: by so many milliseconds the CPU time of its processes is another than at the look before. That of a
    /// child that nobody waits for goes with it, so that less is a sign of work too.
    Works(u64),
    /// Its processes hold more memory together than they may.
    HoldsTooMuch,
}

/// Looks at all processes below `init`, which is not counted itself.
pub(crate) fn look(init: i32, limits: &StepLimits, seen: &mut SampledUsage) -> SampleVerdict {
    let limit_kib = limits.memory_bytes / 1024;
    let processes = descendants(init);
    let (mut resident_kib, mut threads) = (0, 0);
    for pid in &processes {
        let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { continue };
        // What is resident is told cheaply, and is never less than what is shared out.
        resident_kib += fields(&status, &["RssAnon:", "RssShmem:", "VmSwap:"]);
        threads += fields(&status, &["Threads:"]);
    }
    let cpu_ms = cpu_ms_of(init, &processes);
    let worked_ms = cpu_ms.abs_diff(seen.last_cpu_ms);
    seen.last_cpu_ms = cpu_ms;
    seen.cpu_ms = seen.cpu_ms.max(cpu_ms);
    seen.memory_peak_kib = seen.memory_peak_kib.max(resident_kib);
    seen.processes_peak = seen.processes_peak.max(threads);
    if resident_kib > limit_kib
        && processes.iter().filter_map(|pid| proportional_kib(*pid)).sum::<u64>() > limit_kib
    {
        return SampleVerdict::HoldsTooMuch;
    }
    if worked_ms == 0 { SampleVerdict::Rests } else { SampleVerdict::Works(worked_ms) }
}

/// CPU time of init and all processes below it so far, in milliseconds, with that of those it has buried.
pub(crate) fn cpu_ms(init: i32) -> u64 {
    cpu_ms_of(init, &descendants(init))
}

fn cpu_ms_of(init: i32, processes: &[i32]) -> u64 {
    let ticks: u64 = processes.iter().chain([&init]).filter_map(|pid| cpu_ticks(*pid)).sum();
    ticks * 1000 / rustix::param::clock_ticks_per_second().max(1)
}

/// CPU time of one process and of its children that it has waited for, in clock ticks (proc_pid_stat(5)).
fn cpu_ticks(pid: i32) -> Option<u64> {
    /// utime, stime, cutime, cstime are fields 14 to 17; the name before them, field 2, may hold anything but ends with the
    /// last parenthesis.
    const SKIPPED: usize = 14 - 3;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    let numbers = rest.split_whitespace().skip(SKIPPED).take(4);
    Some(numbers.filter_map(|number| number.parse::<u64>().ok()).sum())
}

/// All processes below one: whoever's parent dies becomes a child of init, so nobody gets away.
pub(crate) fn descendants(init: i32) -> Vec<i32> {
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

/// Anonymous and shared memory of one process, with what is shared divided among those who share it.
fn proportional_kib(pid: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    Some(fields(&text, &["Pss_Anon:", "Pss_Shmem:", "SwapPss:"]))
}

/// The sum of the lines `NAME: N` or `NAME: N kB` with these names.
fn fields(text: &str, names: &[&str]) -> u64 {
    let values = text.lines().filter_map(|line| {
        let name = names.iter().find(|name| line.starts_with(**name))?;
        line[name.len()..].trim().trim_end_matches(" kB").parse::<u64>().ok()
    });
    values.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_of_the_lines_named() {
        let text = "Rss: 12 kB\nPss_Anon:      30 kB\nPss_File: 500 kB\nPss_Shmem:  12 kB\nThreads:\t3\n";
        assert_eq!(fields(text, &["Pss_Anon:", "Pss_Shmem:"]), 42);
        assert_eq!(fields(text, &["Threads:"]), 3);
    }

    #[test]
    fn children_of_children_are_found_and_counted() {
        let mut child = std::process::Command::new("sh")
            .args(["-c", "sleep 60 & sleep 60 & while :; do :; done"])
            .stdin(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let pid = child.id() as i32;
        while descendants(pid).len() < 2 {
            std::thread::yield_now();
        }
        let limits = StepLimits { cpu_ms: 1, memory_bytes: 1 << 40, processes: 1 };
        let mut seen = SampledUsage::default();
        // It computes, so some look shows it.
        while !matches!(look(pid, &limits, &mut seen), SampleVerdict::Works(_)) {
            std::thread::yield_now();
        }
        assert_eq!(seen.processes_peak, 2);
        assert!(seen.cpu_ms > 0 && seen.memory_peak_kib > 0, "{seen:?}");
        assert_eq!(
            look(pid, &StepLimits { memory_bytes: 0, ..limits }, &mut seen),
            SampleVerdict::HoldsTooMuch
        );
        for pid in descendants(pid) {
            let pid = rustix::process::Pid::from_raw(pid).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
