//! Facts about the machine and its processes, read from /proc and /sys.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use crate::stats::{median, percentile};

/// The process numbers of the children of all threads of a process.
pub fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// Whether this is a process of a sandbox other than init. Such a process is in a nested pid
/// namespace and has a number other than 1 there (`NSpid`, proc_pid_status(5)).
pub fn is_program(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
    numbers.split_whitespace().nth(1).is_some_and(|number| number != "1")
}

/// The name of a process; empty if the process is gone.
fn process_name(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim_end().to_owned()
}

/// Whether this is an interpreter, such as an interpreter zygote, and not a process of LiveCode's
/// binary.
pub fn is_interpreter(pid: u32) -> bool {
    process_name(pid).starts_with("python")
}

/// Whether this is a worker or a supervisor.
pub fn is_supervisor(pid: u32) -> bool {
    process_name(pid) == "livecode-super"
}

/// Whether a supervisor's sandbox is set up. The supervisor holds a pidfd of init
/// (proc_pid_fdinfo(5)), and init has installed its seccomp filter (proc_pid_status(5)). If init
/// is cloned from an interpreter zygote, the pre-forked program must exist too.
pub fn is_sandbox_set_up(supervisor: u32) -> bool {
    let infos = fs::read_dir(format!("/proc/{supervisor}/fdinfo")).into_iter().flatten().flatten();
    let texts = infos.filter_map(|info| fs::read_to_string(info.path()).ok());
    let pid = |text: String| text.lines().find_map(|line| line.strip_prefix("Pid:"))?.trim().parse().ok();
    texts.filter_map(pid).any(|init: u32| {
        let status = fs::read_to_string(format!("/proc/{init}/status")).unwrap_or_default();
        status.contains("\nSeccomp:\t2") && (!is_interpreter(init) || !children(init).is_empty())
    })
}

/// Reads a field in MiB from a file with lines such as `MemAvailable:  1024 kB`.
fn field_mib(path: &str, name: &str) -> Option<f64> {
    let text = fs::read_to_string(path).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    value.split_whitespace().next()?.parse::<f64>().ok().map(|kib| kib / 1024.0)
}

/// The proportional set size of a process in MiB: shared pages count in proportion to their users.
/// Zero if the process is gone.
pub fn pss_mib(pid: u32) -> f64 {
    field_mib(&format!("/proc/{pid}/smaps_rollup"), "Pss").unwrap_or(0.0)
}

/// The machine's available memory in MiB, once it has been stable for `samples` samples at ten per
/// second. The memory of ended processes is freed gradually. A virtual machine that offers free
/// pages to its host first gets them back seconds later.
pub fn available_mib(samples: usize) -> Result<f64> {
    const SAMPLE_INTERVAL: Duration = Duration::from_millis(100);
    /// The largest spread, in MiB, that counts as stable.
    const STABLE_SPREAD_MIB: f64 = 2.0;
    // On a busy machine the memory never becomes stable.
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut available = vec![];
    loop {
        let now = field_mib("/proc/meminfo", "MemAvailable");
        available.push(now.context("/proc/meminfo has no MemAvailable")?);
        let recent = &available[available.len().saturating_sub(samples)..];
        let spread_mib = percentile(recent, 1.0) - percentile(recent, 0.0);
        let is_stable = recent.len() == samples && spread_mib < STABLE_SPREAD_MIB;
        if is_stable || Instant::now() > deadline {
            return Ok(median(recent));
        }
        std::thread::sleep(SAMPLE_INTERVAL);
    }
}

/// A description of the machine, without its host name, as names and values.
pub fn facts() -> Vec<(&'static str, String)> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or("unknown", |(_, model)| model.trim()).to_owned();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    // Only the version numbers: the rest of a release is often the name of a private build.
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release: String = release.trim().split('-').next().unwrap_or_default().chars().take(32).collect();
    let memory = field_mib("/proc/meminfo", "MemTotal").unwrap_or(0.0) / 1024.0;
    let has = |path| fs::exists(path).unwrap_or(false);
    let cgroups = match (has("/sys/fs/cgroup/cgroup.controllers"), has("/sys/fs/cgroup/unified")) {
        (true, _) => "v2",
        (false, true) => "v1, and v2 beside it",
        (false, false) => "v1",
    };
    let user = if rustix::process::geteuid().is_root() { "root" } else { "an ordinary user" };
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or_default().to_owned();
    vec![
        ("processor", model),
        ("cores", cores.to_string()),
        ("memory", format!("{memory:.0} GiB")),
        ("kernel", format!("Linux {release}")),
        ("control groups", cgroups.to_owned()),
        ("run as", user.to_owned()),
        ("load when it began", load),
    ]
}
