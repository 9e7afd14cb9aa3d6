//! Processes, cgroups, files and mounts of the machine, as seen from outside.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path, time::Duration};

use anyhow::{Result, bail};
use rustix::{
    net::{Shutdown, SocketType, shutdown, sockopt},
    process::{Pid, PidfdFlags, PidfdGetfdFlags, Signal, pidfd_getfd, pidfd_open},
};
use tokio::time::{Instant, sleep};

/// Timeout of [`eventually`].
const STATE_TIMEOUT: Duration = Duration::from_secs(30);

/// Calls `poll` repeatedly until it returns something, for states of the machine that are not
/// announced by any event.
pub async fn eventually<T>(what: &str, mut poll: impl FnMut() -> Option<T>) -> Result<T> {
    let deadline = Instant::now() + STATE_TIMEOUT;
    loop {
        if let Some(found) = poll() {
            return Ok(found);
        }
        if Instant::now() > deadline {
            bail!("{what}: not within {} s", STATE_TIMEOUT.as_secs());
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// Whether a process runs. A zombie does not.
pub fn is_running(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next());
    state.is_some_and(|state| state != "Z" && state != "X")
}

/// The name of a process; empty if the process is gone.
pub fn process_name(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim_end().to_owned()
}

/// Whether a process belongs to LiveCode itself.
pub fn is_livecode(pid: u32) -> bool {
    process_name(pid).starts_with("livecode")
}

/// The process numbers of the children of all threads of a process.
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

/// The process numbers of all descendants of a process.
pub fn descendants(pid: u32) -> Vec<u32> {
    children(pid).iter().flat_map(|child| [vec![*child], descendants(*child)].concat()).collect()
}

/// The processes of a supervisor's sandbox. Init need not be a child of the supervisor, but the
/// supervisor holds a pidfd of it (proc_pid_fdinfo(5)). Its other pidfds are of processes that are
/// in no nested pid namespace.
pub fn sandbox_processes(supervisor: u32) -> Vec<u32> {
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

/// The process in a supervisor's sandbox that has installed a handler for `signal`
/// (proc_pid_status(5)). That is the program, once it is ready for the signal.
pub fn program_handling(supervisor: u32, signal: Signal) -> Option<u32> {
    let handles = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or_default();
        let mask = u64::from_str_radix(mask.trim(), 16).unwrap_or(0);
        mask & 1 << (signal.as_raw() - 1) != 0
    };
    sandbox_processes(supervisor).into_iter().find(handles)
}

/// Whether a process waits in a call that writes to its standard error (proc_pid_syscall(5)).
pub fn waits_to_write_errors(pid: u32) -> bool {
    const WRITE: &str = if cfg!(target_arch = "x86_64") { "1 0x2 " } else { "64 0x2 " };
    fs::read_to_string(format!("/proc/{pid}/syscall")).is_ok_and(|call| call.starts_with(WRITE))
}

/// Shuts down every connection between a supervisor and its server. Both processes keep their
/// sockets and read the end of the stream. Returns the number of connections, or `None` if there
/// is none.
pub fn cut_connections(supervisor: u32, server: u32) -> Option<usize> {
    let pid = |pid: u32| Pid::from_raw(i32::try_from(pid).ok()?);
    let (server, handle) = (pid(server)?, pidfd_open(pid(supervisor)?, PidfdFlags::empty()).ok()?);
    let fds = fs::read_dir(format!("/proc/{supervisor}/fd")).into_iter().flatten().flatten();
    let numbers = fds.filter_map(|fd| fd.file_name().to_str()?.parse::<i32>().ok());
    let cuts = numbers.filter(|number| {
        let Ok(socket) = pidfd_getfd(&handle, *number, PidfdGetfdFlags::empty()) else { return false };
        let is_stream = sockopt::socket_type(&socket) == Ok(SocketType::STREAM);
        // The peer is the process that connected, or that created the socket pair.
        let is_of_server = sockopt::socket_peercred(&socket).is_ok_and(|peer| peer.pid == server);
        is_stream && is_of_server && shutdown(&socket, Shutdown::Both).is_ok()
    });
    Some(cuts.count()).filter(|count| *count > 0)
}

/// The resident anonymous memory of a process, in bytes.
pub fn memory_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// The number of a process's open descriptors.
pub fn count_descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// The number of open connections of the server at this IPv4 address. In /proc/net/tcp the state
/// 01 is an established connection (proc_net_tcp(5)).
pub fn count_connections(address: &str) -> usize {
    let port = address.rsplit(':').next().and_then(|port| port.parse::<u16>().ok()).unwrap_or(0);
    let table = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let is_open = |line: &&str| {
        let mut fields = line.split_whitespace().skip(1);
        let local = fields.next().is_some_and(|local| local.ends_with(&format!(":{port:04X}")));
        local && fields.nth(1) == Some("01")
    };
    table.lines().filter(is_open).count()
}

/// The paths of the sandboxes' cgroups of the server with this data directory, in all hierarchies.
pub fn cgroups(data: &Path) -> Vec<String> {
    let prefix = cgroup_prefix(data);
    let mut found = vec![];
    walk(Path::new("/sys/fs/cgroup"), 6, &mut |folder| {
        if folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix)) {
            found.push(folder.display().to_string());
        }
    });
    found
}

/// The cgroups of sessions, including those of dead supervisors, but not those of warm sandboxes.
/// A cgroup's name contains the process number of its supervisor. Only a supervisor with a session
/// has a file of the data directory open.
pub fn session_cgroups(data: &Path) -> Vec<String> {
    let prefix = cgroup_prefix(data);
    let is_warm = |group: &String| {
        let name = group.rsplit('/').next().and_then(|name| name.strip_prefix(&prefix)).unwrap_or_default();
        let pid = name.split_once('-').and_then(|(pid, _)| pid.parse::<u32>().ok());
        pid.is_some_and(|pid| is_running(pid) && !has_open(pid, data))
    };
    cgroups(data).into_iter().filter(|group| !is_warm(group)).collect()
}

/// Removes the cgroups that killed supervisors have left, once they are empty.
pub fn remove_cgroups(data: &Path) {
    let deadline = std::time::Instant::now() + Duration::from_secs(2);
    loop {
        let groups = cgroups(data);
        for group in &groups {
            let _ = fs::remove_dir(group); // fails as long as processes are in it
        }
        if groups.is_empty() || std::time::Instant::now() > deadline {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The prefix of a data directory's cgroup names: it contains the FNV-1a hash of the directory's
/// device and inode.
fn cgroup_prefix(data: &Path) -> String {
    let numbers = fs::metadata(data).map_or([0, 0], |metadata| [metadata.dev(), metadata.ino()]);
    let hash = numbers
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    format!("livecode-{hash:016x}-")
}

/// Calls `visit` with a folder and with the folders below it, up to `depth` levels.
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

/// The number of files and folders below a folder.
pub fn count_files(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| {
            1 + if entry.file_type().is_ok_and(|kind| kind.is_dir()) { count_files(&entry.path()) } else { 0 }
        })
        .sum()
}

/// The number of mounts in this process's mount namespace.
pub fn count_mounts() -> usize {
    fs::read_to_string("/proc/self/mountinfo").map_or(0, |mounts| mounts.lines().count())
}

/// Whether a process has a file of a folder open.
pub fn has_open(pid: u32, folder: &Path) -> bool {
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    fds.into_iter().any(|fd| fs::read_link(fd.path()).is_ok_and(|target| target.starts_with(folder)))
}

/// The number of LiveCode's processes that have a file of this data directory open.
pub fn count_processes(data: &Path) -> usize {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| is_livecode(*pid) && has_open(*pid, data)).count()
}
