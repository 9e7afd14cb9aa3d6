//! What the machine says of itself and of processes.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use crate::stats::{median, percentile};

/// Process numbers of a process's children, of all its threads.
pub fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// Whether this is a process of a sandbox other than its first: in a pid namespace of its own, under a number that is not 1
/// (`NSpid`, proc_pid_status(5)).
pub fn is_program(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
    numbers.split_whitespace().nth(1).is_some_and(|number| number != "1")
}

fn name(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim_end().to_owned()
}

/// Whether this is a template, and not a process of livecode's binary.
pub fn is_interpreter(pid: u32) -> bool {
    name(pid).starts_with("python")
}

/// Whether this is a supervisor.
pub fn is_supervisor(pid: u32) -> bool {
    name(pid) == "livecode-super"
}

/// Whether a supervisor's sandbox is set up: its first process, of which it holds a pidfd (proc_pid_fdinfo(5)), has its filter
/// (proc_pid_status(5)), and where that is a copy of an interpreter, there is another that waits to be the program.
pub fn is_up(supervisor: u32) -> bool {
    let infos = fs::read_dir(format!("/proc/{supervisor}/fdinfo")).into_iter().flatten().flatten();
    let texts = infos.filter_map(|info| fs::read_to_string(info.path()).ok());
    let pid = |text: String| text.lines().find_map(|line| line.strip_prefix("Pid:"))?.trim().parse().ok();
    texts.filter_map(pid).any(|init: u32| {
        let status = fs::read_to_string(format!("/proc/{init}/status")).unwrap_or_default();
        status.contains("\nSeccomp:\t2") && (!is_interpreter(init) || !children(init).is_empty())
    })
}

/// A field of a file of lines such as `MemAvailable:  1024 kB`, in MiB.
fn field_mib(path: &str, name: &str) -> Option<f64> {
    let text = fs::read_to_string(path).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    value.split_whitespace().next()?.parse::<f64>().ok().map(|kib| kib / 1024.0)
}

/// The memory of a process, in MiB, where what it shares is counted in proportion (proportional set size). Of one that is
/// gone, none.
pub fn pss_mib(pid: u32) -> f64 {
    field_mib(&format!("/proc/{pid}/smaps_rollup"), "Pss").unwrap_or(0.0)
}

/// What the machine could still give to programs, in MiB, once that has stayed as it is for this many looks, ten a second: what
/// ended is given back bit by bit, and in a virtual machine only after it was offered to the machine below, seconds later.
pub fn available_mib(looks: usize) -> Result<f64> {
    const PAUSE: Duration = Duration::from_millis(100);
    const STILL_MIB: f64 = 2.0;
    let until = Instant::now() + Duration::from_secs(20); // on a busy machine it never stays
    let mut seen = vec![];
    loop {
        let now = field_mib("/proc/meminfo", "MemAvailable");
        seen.push(now.context("/proc/meminfo does not say what is available")?);
        let last = &seen[seen.len().saturating_sub(looks)..];
        let is_still = last.len() == looks && percentile(last, 1.0) - percentile(last, 0.0) < STILL_MIB;
        if is_still || Instant::now() > until {
            return Ok(median(last));
        }
        std::thread::sleep(PAUSE);
    }
}

/// The machine in a few words, without its name.
pub fn facts() -> Vec<(&'static str, String)> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or("unknown", |(_, model)| model.trim()).to_owned();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    // Numbers alone: what follows them is often a name that somebody gave to a build.
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
