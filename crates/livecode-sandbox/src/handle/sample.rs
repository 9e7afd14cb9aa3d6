//! Samples of the memory and CPU time that the processes of a sandbox use together, taken from
//! /proc if no cgroup counts them.
//!
//! A sample shows only one moment, so a program may exceed its limit between two samples. Memory
//! that several processes share is divided among them (`Pss` in proc_pid_smaps(5)), so that a
//! fork costs only what it copies. Page tables and the memory that belongs to no process
//! ([`super::kernel_memory`]) count too, as they do in a cgroup.

use std::{
    fs,
    time::{Duration, Instant},
};

use livecode_protocol::run_spec::StepLimits;

use crate::handle::kernel_memory::KernelMemoryProbe;

/// A limit on the number of processes that one sample visits. No session may have as many; if
/// there are more, a part of them is enough.
const MAX_PROCESSES: usize = 65_536;
/// How long the memory of processes is inspected exactly in one sample.
const INSPECTION_TIMEOUT: Duration = Duration::from_millis(100);

/// The usage of one sandbox, as far as samples have shown it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SampledUsage {
    /// CPU time used, in milliseconds.
    pub cpu_ms: u64,
    /// CPU time that the previous sample showed, in milliseconds. It is less than
    /// [`Self::cpu_ms`] if children have died that no process waited for.
    pub last_cpu_ms: u64,
    /// The most memory held at once, in KiB. Memory that processes share counts for each of them.
    pub memory_peak_kib: u64,
    /// The most processes and threads at once.
    pub processes_peak: u64,
}

/// The result of one sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleVerdict {
    /// The processes have used no CPU time since the previous sample: the program waits.
    Idle,
    /// The CPU time of the processes differs by this many milliseconds from the previous sample:
    /// the program computes. The CPU time may also be less than before, since the time of a child
    /// that no process waited for is lost when the child dies.
    Busy(u64),
    /// The processes hold more memory together than the limit allows.
    OverMemoryLimit,
}

/// Samples all processes below the process `init`, and what `kernel_memory` measures, and adds the
/// result to `usage`. `init` itself is counted only for CPU time.
pub(crate) fn sample(
    init: i32,
    kernel_memory: Option<&KernelMemoryProbe>,
    limits: &StepLimits,
    usage: &mut SampledUsage,
) -> SampleVerdict {
    let limit_kib = limits.memory_bytes / 1024;
    let processes = descendants(init);
    let mut threads = 0;
    let mut resident = Vec::with_capacity(processes.len());
    let mut kernel_kib = kernel_memory.map_or(0, |probe| probe.tmpfs_kib() + probe.sockets_kib(init));
    for pid in &processes {
        let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { continue };
        // The resident size is cheap to read, and never less than the proportional size.
        resident.push((*pid, sum_fields(&status, &["RssAnon:", "RssShmem:", "VmSwap:"])));
        kernel_kib += sum_fields(&status, &["VmPTE:"]);
        threads += sum_fields(&status, &["Threads:"]);
    }
    let total_kib = kernel_kib + resident.iter().map(|(_, kib)| kib).sum::<u64>();
    let cpu_ms = cpu_ms_of(init, &processes);
    let cpu_change_ms = cpu_ms.abs_diff(usage.last_cpu_ms);
    usage.last_cpu_ms = cpu_ms;
    usage.cpu_ms = usage.cpu_ms.max(cpu_ms);
    usage.memory_peak_kib = usage.memory_peak_kib.max(total_kib);
    usage.processes_peak = usage.processes_peak.max(threads);
    if total_kib > limit_kib {
        // A program can close its memory to inspection, or make the inspection slow; it then
        // counts in full.
        let give_up_at = Instant::now() + INSPECTION_TIMEOUT;
        let exact = |(pid, resident_kib): &(i32, u64)| {
            if Instant::now() > give_up_at {
                return *resident_kib;
            }
            proportional_kib(*pid, kernel_memory.map(KernelMemoryProbe::device)).unwrap_or(*resident_kib)
        };
        if kernel_kib + resident.iter().map(exact).sum::<u64>() > limit_kib {
            return SampleVerdict::OverMemoryLimit;
        }
    }
    if cpu_change_ms == 0 { SampleVerdict::Idle } else { SampleVerdict::Busy(cpu_change_ms) }
}

/// CPU time that init and all processes below it have used so far, in milliseconds. It includes
/// the children that they have reaped.
pub(crate) fn cpu_ms(init: i32) -> u64 {
    cpu_ms_of(init, &descendants(init))
}

fn cpu_ms_of(init: i32, processes: &[i32]) -> u64 {
    let ticks: u64 = processes.iter().chain([&init]).filter_map(|pid| cpu_ticks(*pid)).sum();
    ticks * 1000 / rustix::param::clock_ticks_per_second().max(1)
}

/// CPU time of one process and of the children that it has waited for, in clock ticks
/// (proc_pid_stat(5)).
fn cpu_ticks(pid: i32) -> Option<u64> {
    /// utime, stime, cutime and cstime are fields 14 to 17. Field 2, the process name, may
    /// contain any character, but it ends with the last parenthesis, so fields are counted from
    /// field 3 on.
    const SKIPPED_FIELDS: usize = 14 - 3;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    let numbers = rest.split_whitespace().skip(SKIPPED_FIELDS).take(4);
    Some(numbers.filter_map(|number| number.parse::<u64>().ok()).sum())
}

/// All processes below init. A process whose parent dies becomes a child of init, so no process
/// of the sandbox is missed.
pub(crate) fn descendants(init: i32) -> Vec<i32> {
    let mut found = vec![];
    let mut to_visit = vec![init];
    while let Some(pid) = to_visit.pop() {
        for thread in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            to_visit.extend(children.split_whitespace().filter_map(|child| child.parse::<i32>().ok()));
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

/// Anonymous and shared memory of one process, in KiB, without the files of the tmpfs with the
/// number `tmpfs_device`. Shared memory is divided among the processes that share it. `None` if
/// the process is dead or its memory cannot be inspected.
fn proportional_kib(pid: i32, tmpfs_device: Option<&str>) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let private_kib = sum_fields(&text, &["Pss_Anon:", "SwapPss:"]);
    let shared_kib = sum_fields(&text, &["Pss_Shmem:"]);
    let Some(device) = tmpfs_device.filter(|_| shared_kib > 0) else { return Some(private_kib + shared_kib) };
    let mappings = fs::read_to_string(format!("/proc/{pid}/smaps")).ok()?;
    Some(private_kib + shared_kib.saturating_sub(shared_of_device_kib(&mappings, device)))
}

/// Shared memory of the mappings of a device's files in a text of `/proc/<pid>/smaps`, in KiB.
fn shared_of_device_kib(mappings: &str, device: &str) -> u64 {
    let mut is_of_device = false;
    let (mut proportional_kib, mut private_kib) = (0, 0);
    for line in mappings.lines() {
        // A mapping begins with a line `START-END FLAGS OFFSET DEVICE INODE PATH`.
        let mut words = line.split_ascii_whitespace();
        if words.next().is_some_and(|word| !word.ends_with(':')) {
            is_of_device = words.nth(2) == Some(device);
        } else if is_of_device {
            proportional_kib += sum_fields(line, &["Pss:"]);
            private_kib += sum_fields(line, &["Anonymous:"]);
        }
    }
    proportional_kib.saturating_sub(private_kib)
}

/// The sum of the values of the lines `NAME: N` or `NAME: N kB` with these names.
fn sum_fields(text: &str, names: &[&str]) -> u64 {
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
    fn only_named_fields_are_summed() {
        let text = "Rss: 12 kB\nPss_Anon:      30 kB\nPss_File: 500 kB\nPss_Shmem:  12 kB\nThreads:\t3\n";
        assert_eq!(sum_fields(text, &["Pss_Anon:", "Pss_Shmem:"]), 42);
        assert_eq!(sum_fields(text, &["Threads:"]), 3);
    }

    #[test]
    fn files_of_the_tmpfs_are_told_from_other_shared_memory() {
        let text = "7f00-7f01 rw-s 00000000 00:01 7      /dev/zero (deleted)\nPss:  100 kB\nAnonymous: 0 kB\n\
                    7f01-7f02 rw-p 00000000 00:31 8      /tmp/x\nPss: 30 kB\nAnonymous: 10 kB\n\
                    7f02-7f03 rw-s 00000000 00:31 9      /tmp/y\nPss: 5 kB\nAnonymous: 0 kB\n";
        assert_eq!(shared_of_device_kib(text, "00:31"), 25);
    }

    #[test]
    fn all_descendants_are_sampled() {
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
        let mut usage = SampledUsage::default();
        // The shell computes without end, so some sample shows it.
        while !matches!(sample(pid, None, &limits, &mut usage), SampleVerdict::Busy(_)) {
            std::thread::yield_now();
        }
        assert_eq!(usage.processes_peak, 2);
        assert!(usage.cpu_ms > 0 && usage.memory_peak_kib > 0, "{usage:?}");
        assert_eq!(
            sample(pid, None, &StepLimits { memory_bytes: 0, ..limits }, &mut usage),
            SampleVerdict::OverMemoryLimit
        );
        for pid in descendants(pid) {
            let pid = rustix::process::Pid::from_raw(pid).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
