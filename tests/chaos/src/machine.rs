//! What is there on the machine.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path, time::Duration};

use anyhow::{Result, bail};
use rustix::{
    net::{Shutdown, SocketType, shutdown, sockopt},
    process::{Pid, PidfdFlags, PidfdGetfdFlags, Signal, pidfd_getfd, pidfd_open},
};
use tokio::time::{Instant, sleep};

/// How long a state of the machine may take to come about that nobody announces.
const PATIENCE: Duration = Duration::from_secs(30);

/// Looks until `look` gives something.
pub async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if Instant::now() > until {
            bail!("{what}: not within {} s", PATIENCE.as_secs());
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// Whether a process runs. One that is dead and waits to be reaped does not.
pub fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next());
    state.is_some_and(|state| state != "Z" && state != "X")
}

/// A process's name; empty where it is gone.
pub fn name(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim_end().to_owned()
}

/// Whether a process is one of livecode's.
pub fn is_livecode(pid: u32) -> bool {
    name(pid).starts_with("livecode")
}

/// Process numbers of the children that `pid`'s threads have.
pub fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let children =
        threads.map(|thread| fs::read_to_string(thread.path().join("children")).unwrap_or_default());
    let children: Vec<_> = children.collect();
    children
        .iter()
        .flat_map(|children| children.split_whitespace())
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

/// Process numbers below `pid`, in all generations.
pub fn descendants(pid: u32) -> Vec<u32> {
    children(pid).iter().flat_map(|child| [vec![*child], descendants(*child)].concat()).collect()
}

/// The processes of a supervisor's sandbox. Its first is no child of the supervisor's, which holds a pidfd of it
/// (proc_pid_fdinfo(5)); other processes of which it does are in no pid namespace of their own.
pub fn sandbox(supervisor: u32) -> Vec<u32> {
    let infos = fs::read_dir(format!("/proc/{supervisor}/fdinfo")).into_iter().flatten().flatten();
    let texts = infos.filter_map(|info| fs::read_to_string(info.path()).ok());
    let held = texts.filter_map(|text| {
        let numbers = text.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
        let mut numbers = numbers.split_whitespace();
        let pid = numbers.next()?.parse().ok();
        numbers.next().and(pid)
    });
    held.flat_map(|init| [vec![init], descendants(init)].concat()).collect()
}

/// The process in the sandbox of `supervisor` that handles a signal (proc_pid_status(5)): its program, ready for it.
pub fn program(supervisor: u32, signal: Signal) -> Option<u32> {
    let handles = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or_default();
        let mask = u64::from_str_radix(mask.trim(), 16).unwrap_or(0);
        mask & 1 << (signal.as_raw() - 1) != 0
    };
    sandbox(supervisor).into_iter().find(handles)
}

/// Breaks every connection between a supervisor and its server, and nothing else: both keep their ends, which say that the
/// other is gone. `None` where there is none.
pub fn cut(supervisor: u32, server: u32) -> Option<usize> {
    let pid = |pid: u32| Pid::from_raw(i32::try_from(pid).ok()?);
    let (server, handle) = (pid(server)?, pidfd_open(pid(supervisor)?, PidfdFlags::empty()).ok()?);
    let fds = fs::read_dir(format!("/proc/{supervisor}/fd")).into_iter().flatten().flatten();
    let numbers = fds.filter_map(|fd| fd.file_name().to_str()?.parse::<i32>().ok());
    let cuts = numbers.filter(|number| {
        let Ok(socket) = pidfd_getfd(&handle, *number, PidfdGetfdFlags::empty()) else { return false };
        let is_stream = sockopt::socket_type(&socket) == Ok(SocketType::STREAM);
        // Whoever connected, or made both ends.
        let is_servers = sockopt::socket_peercred(&socket).is_ok_and(|peer| peer.pid == server);
        is_stream && is_servers && shutdown(&socket, Shutdown::Both).is_ok()
    });
    Some(cuts.count()).filter(|count| *count > 0)
}

/// Memory of a process's own, in bytes: resident, anonymous.
pub fn memory_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Open descriptors of a process.
pub fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// Connections that the server at this IPv4 address has open (proc_net_tcp(5): state 1 is established).
pub fn connections(address: &str) -> usize {
    let port = address.rsplit(':').next().and_then(|port| port.parse::<u16>().ok()).unwrap_or(0);
    let table = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let is_ours = |line: &&str| {
        let mut fields = line.split_whitespace().skip(1);
        let local = fields.next().is_some_and(|local| local.ends_with(&format!(":{port:04X}")));
        local && fields.nth(1) == Some("01")
    };
    table.lines().filter(is_ours).count()
}

/// Names of the cgroups of sandboxes of the server with these data, in all hierarchies.
pub fn cgroups(data: &Path) -> Vec<String> {
    let prefix = prefix(data);
    let mut found = vec![];
    walk(Path::new("/sys/fs/cgroup"), 6, &mut |folder| {
        if folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix)) {
            found.push(folder.display().to_string());
        }
    });
    found
}

/// Of those the ones of sessions, dead supervisors' included: without the sandboxes that wait for one. A group is named after
/// its supervisor's number; one that looks after a session has something open in the data.
pub fn session_cgroups(data: &Path) -> Vec<String> {
    let prefix = prefix(data);
    let waits = |group: &String| {
        let name = group.rsplit('/').next().and_then(|name| name.strip_prefix(&prefix)).unwrap_or_default();
        let pid = name.split_once('-').and_then(|(pid, _)| pid.parse::<u32>().ok());
        pid.is_some_and(|pid| is_alive(pid) && !has_open(pid, data))
    };
    cgroups(data).into_iter().filter(|group| !waits(group)).collect()
}

/// Removes what supervisors that were killed have left, as soon as nobody is in it.
pub fn remove_cgroups(data: &Path) {
    let until = std::time::Instant::now() + Duration::from_secs(2);
    loop {
        let groups = cgroups(data);
        for group in &groups {
            let _ = fs::remove_dir(group); // somebody may be in it yet
        }
        if groups.is_empty() || std::time::Instant::now() > until {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What the names of a data directory's groups begin with (FNV-1a of its device and inode).
fn prefix(data: &Path) -> String {
    let numbers = fs::metadata(data).map_or([0, 0], |metadata| [metadata.dev(), metadata.ino()]);
    let hash = numbers
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    format!("livecode-{hash:016x}-")
}

fn walk(folder: &Path, depth: u32, visit: &mut impl FnMut(&Path)) {
    visit(folder);
    if depth == 0 {
        return;
    }
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|file_type| file_type.is_dir()) {
            walk(&entry.path(), depth - 1, visit);
        }
    }
}

/// Files and folders below a folder.
pub fn files(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| {
            1 + if entry.file_type().is_ok_and(|kind| kind.is_dir()) { files(&entry.path()) } else { 0 }
        })
        .sum()
}

/// Mounts that this process sees.
pub fn mounts() -> usize {
    fs::read_to_string("/proc/self/mountinfo").map_or(0, |mounts| mounts.lines().count())
}

/// Whether a process has something open in a folder.
pub fn has_open(pid: u32, folder: &Path) -> bool {
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    fds.into_iter().any(|fd| fs::read_link(fd.path()).is_ok_and(|target| target.starts_with(folder)))
}

/// Processes of livecode's on this machine that have something open in these data.
pub fn processes(data: &Path) -> usize {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| is_livecode(*pid) && has_open(*pid, data)).count()
}
