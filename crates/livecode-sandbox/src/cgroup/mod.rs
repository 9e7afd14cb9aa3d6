//! Limits that a session's processes share, by cgroup: v2, v1, and machines that mix both.
//!
//! A host finds out once which folders it may make groups in ([`CgroupHierarchies::find`]); each sandbox then has a [`SandboxCgroup`],
//! which is a folder of the same name in each hierarchy, removed when it is dropped.
//!
//! The groups stand beside the server's own processes, not in a group of their own: so one that gives way does so to every other
//! and to the server, and what it uses is not held against its neighbours.
//!
//! On v1 (cgroups(7), and the kernel's admin-guide/cgroup-v1) every controller may have a hierarchy of its own. The v2
//! tree exists there too as a rule, without controllers, but `cpu.stat` counts and a process can be born into it.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::fd::{AsFd as _, AsRawFd, OwnedFd},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use livecode_protocol::run_spec::StepLimits;
use rustix::{
    event::{EventfdFlags, eventfd},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};

use crate::{
    init_wire::{SetupContext, SetupError},
    kernel::fault_switch::is_enabled,
};

/// Length of a period of the CPU bandwidth controller, in microseconds.
const CPU_PERIOD_US: u64 = 100_000;

/// The v1 controllers that a session's group needs.
const V1_CONTROLLERS: [&str; 4] = ["memory", "pids", "cpu", "cpuacct"];

/// The folders that this host may make groups in.
#[derive(Debug, Default)]
pub(crate) struct CgroupHierarchies {
    /// What the names of this host's groups begin with.
    prefix: String,
    /// The v2 tree, with or without controllers.
    unified: Option<PathBuf>,
    memory: Option<Controller>,
    pids: Option<Controller>,
    cpu: Option<Controller>,
    cpuacct: Option<PathBuf>,
    /// The own v2 group, where its processes were moved into a leaf of it just now.
    made_room_in: Option<PathBuf>,
}

#[derive(Clone, Debug)]
enum Controller {
    V1(PathBuf),
    V2,
}

/// What no cgroup of this host can bound.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Missing {
    pub memory: bool,
    pub processes: bool,
    pub cpu_share: bool,
    pub cpu_time: bool,
}

impl CgroupHierarchies {
    /// Looks which of this process's own groups, one in each hierarchy, groups can be made in. Their names are to begin with
    /// `prefix`.
    pub fn find(prefix: String) -> Self {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mut found = Self { prefix, ..Self::default() };
        if !is_enabled("cgroups") {
            return found;
        }
        for line in mounts.lines() {
            let Some(mount) = CgroupMount::parse(line) else { continue };
            let Some(own) = own_group(&own, &mount) else { continue };
            if mount.v2 {
                (found.unified, found.made_room_in) = v2::prepare(&mount.path, &own, &found.prefix);
                continue;
            }
            let controllers: Vec<&str> =
                mount.options.split(',').filter(|name| V1_CONTROLLERS.contains(name)).collect();
            if controllers.is_empty() {
                continue; // a group there would bound nothing
            }
            if !is_usable(&own, &found.prefix) {
                continue;
            }
            for controller in controllers {
                match controller {
                    "memory" => found.memory = Some(Controller::V1(own.clone())),
                    "pids" => found.pids = Some(Controller::V1(own.clone())),
                    "cpu" => found.cpu = Some(Controller::V1(own.clone())),
                    _ => found.cpuacct = Some(own.clone()),
                }
            }
        }
        if let Some(folder) = &found.unified {
            let has = fs::read_to_string(folder.join("cgroup.subtree_control")).unwrap_or_default();
            let has = |name| has.split_whitespace().any(|controller| controller == name);
            let or_v2 = |v1: &mut Option<Controller>, name| {
                if v1.is_none() && has(name) {
                    *v1 = Some(Controller::V2);
                }
            };
            or_v2(&mut found.memory, "memory");
            or_v2(&mut found.pids, "pids");
            or_v2(&mut found.cpu, "cpu");
        }
        for folder in found.folders() {
            let _ = fs::remove_dir(found.former_parent(folder)); // not empty while one of those sessions runs on
        }
        found
    }

    pub fn missing(&self) -> Missing {
        Missing {
            memory: self.memory.is_none(),
            processes: self.pids.is_none(),
            cpu_share: self.cpu.is_none(),
            cpu_time: self.unified.is_none() && self.cpuacct.is_none(),
        }
    }

    /// Undoes what [`Self::find`] did.
    pub fn dissolve(self) {
        if let Some(own) = &self.made_room_in {
            v2::give_back(own);
        }
    }

    /// Whether the kernel kills a whole group at once here (Linux 5.14, and a v2 tree).
    pub fn has_kill(&self) -> bool {
        self.unified.as_ref().is_some_and(|folder| folder.join("cgroup.kill").exists())
    }

    /// Every folder that sandboxes have groups in, the v2 tree first.
    fn folders(&self) -> Vec<&Path> {
        let v1 = |controller| match controller {
            &Some(Controller::V1(ref folder)) => Some(folder.as_path()),
            _ => None,
        };
        let folders = [v1(&self.memory), v1(&self.pids), v1(&self.cpu), self.cpuacct.as_deref()];
        let mut folders: Vec<_> = folders.into_iter().flatten().collect();
        folders.sort_unstable();
        folders.dedup(); // cpu and cpuacct are mounted together as a rule
        folders.splice(0..0, self.unified.as_deref());
        folders
    }

    /// Names of the groups of sandboxes.
    pub fn names(&self) -> Vec<String> {
        let beside = |entry: &str| entry.strip_prefix(&self.prefix).map(str::to_owned);
        let mut names = std::collections::BTreeSet::new();
        for folder in self.folders() {
            names.extend(entries(folder).iter().filter_map(|entry| beside(entry)));
            let folder = self.former_parent(folder);
            names.extend(entries(&folder).into_iter().filter(|entry| folder.join(entry).is_dir()));
        }
        names.into_iter().collect()
    }

    /// Kills all processes of the groups with these names and removes the groups, in every hierarchy. Whether that was done in
    /// the time there is for it: many processes take a while to die on a machine that is full.
    pub fn sweep(&self, names: &[String]) -> bool {
        let places = |folder: &Path, name: &String| {
            [folder.join(self.prefix.clone() + name), self.former_parent(folder).join(name)]
        };
        let folders = self.folders().into_iter();
        let mut groups: Vec<PathBuf> =
            folders.flat_map(|folder| names.iter().flat_map(move |name| places(folder, name))).collect();
        let until = Instant::now() + SWEEP_TIMEOUT;
        let mut pause = MIN_SWEEP_PAUSE;
        loop {
            groups.retain(|group| group.is_dir());
            groups.iter().for_each(|group| kill_all(group));
            groups.retain(|group| fs::remove_dir(group).is_err() && group.is_dir());
            if groups.is_empty() || Instant::now() >= until {
                return groups.is_empty();
            }
            thread::sleep(pause); // nothing tells when the last has left a group, in v1
            pause = (pause * 2).min(MAX_SWEEP_PAUSE);
        }
    }

    /// The group in `folder` that supervisors of before version 0.3 made theirs in.
    fn former_parent(&self, folder: &Path) -> PathBuf {
        folder.join(self.prefix.trim_end_matches('-'))
    }

    /// Makes the group of one sandbox, without limits.
    pub fn create(&self, name: &str) -> Result<SandboxCgroup, SetupError> {
        let name = self.prefix.clone() + name;
        let mut group = SandboxCgroup::default();
        if let Some(folder) = &self.unified {
            group.unified = Some(Folder::make(folder, &name)?);
        }
        let v1 = |controller: &Option<Controller>| match controller {
            Some(Controller::V1(folder)) => Folder::make(folder, &name).map(Some),
            Some(Controller::V2) | None => Ok(None),
        };
        group.memory = v1(&self.memory)?;
        group.pids = v1(&self.pids)?;
        group.cpu = v1(&self.cpu)?;
        // Counting needs a group of its own only where the v2 tree does not count already.
        group.cpuacct = match (&self.cpuacct, &group.unified) {
            (Some(folder), None) => Some(Folder::make(folder, &name)?),
            _ => None,
        };
        group.v2_memory = matches!(self.memory, Some(Controller::V2));
        group.v2_pids = matches!(self.pids, Some(Controller::V2));
        group.v2_cpu = matches!(self.cpu, Some(Controller::V2));
        Ok(group)
    }
}

/// Names of what is in a folder.
fn entries(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// A line of mountinfo (proc_pid_mountinfo(5)) that shows a cgroup hierarchy.
struct CgroupMount {
    root: String,
    path: PathBuf,
    v2: bool,
    options: String,
}

impl CgroupMount {
    fn parse(line: &str) -> Option<Self> {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(3);
        let (root, path) = (left.next()?, left.next()?);
        let mut right = right.split(' ');
        let v2 = match right.next()? {
            "cgroup" => false,
            "cgroup2" => true,
            _ => return None,
        };
        let options = right.nth(1)?.to_owned();
        Some(Self { root: root.to_owned(), path: path.into(), v2, options })
    }
}

/// The folder of this process's own group in a hierarchy, from /proc/self/cgroup (`ID:controllers:path` a line).
fn own_group(own: &str, mount: &CgroupMount) -> Option<PathBuf> {
    let path = own.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let same = if mount.v2 {
            controllers.is_empty()
        } else {
            !controllers.is_empty()
                && controllers.split(',').all(|name| mount.options.split(',').any(|o| o == name))
        };
        same.then_some(path)
    })?;
    let below = path.strip_prefix(&*mount.root).unwrap_or(path);
    Some(mount.path.join(below.trim_start_matches('/')))
}

/// Whether groups with this prefix can be made in `folder`: found out by making one.
fn is_usable(folder: &Path, prefix: &str) -> bool {
    let probe = folder.join(format!("{prefix}probe-{}", std::process::id()));
    match fs::create_dir(&probe) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => false,
        _ => fs::remove_dir(&probe).is_ok(),
    }
}

mod v2 {
    //! A v2 group hands controllers on to its children only while it holds no process itself.

    use super::*;

    const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];
    /// The leaf of a delegated group that its processes are moved into.
    const LEAF: &str = "livecode-main";
    /// The most that `cpu.weight` takes; a group has 100.
    const MAX_WEIGHT: &str = "10000";

    /// The own group, or, for root, the top, whichever hands on more controllers, where groups can be made there. The other
    /// result is the own group, where processes were moved to make room in it.
    pub(crate) fn prepare(top: &Path, own: &Path, prefix: &str) -> (Option<PathBuf>, Option<PathBuf>) {
        // Who was moved into the leaf, or is a child of such a process, is of the group above.
        let own = if own.ends_with(LEAF) { own.parent().unwrap_or(own) } else { own };
        let leaf = own.join(LEAF);
        let is_new = !leaf.exists();
        let has_room = own != top && count(own, "cgroup.controllers") > 0 && make_room(own, &leaf).is_ok();
        let mut best: Option<(usize, &Path)> = None;
        for folder in [own, top] {
            hand_on(folder);
            if !is_usable(folder, prefix) {
                continue;
            }
            let controllers = count(folder, "cgroup.subtree_control");
            if best.is_none_or(|(most, _)| controllers > most) {
                best = Some((controllers, folder));
            }
        }
        if has_room {
            // What serves all goes before any one of them.
            let _ = fs::write(leaf.join("cpu.weight"), MAX_WEIGHT);
        }
        (best.map(|(_, folder)| folder.to_owned()), (has_room && is_new).then(|| own.to_owned()))
    }

    /// How many of the controllers a file of a group names.
    fn count(folder: &Path, file: &str) -> usize {
        let names = fs::read_to_string(folder.join(file)).unwrap_or_default();
        CONTROLLERS.iter().filter(|name| names.split_whitespace().any(|n| n == **name)).count()
    }

    /// Moves the processes back that were moved to make room.
    pub(crate) fn give_back(own: &Path) {
        for name in CONTROLLERS {
            let _ = fs::write(own.join("cgroup.subtree_control"), format!("-{name}"));
        }
        let leaf = own.join(LEAF);
        for pid in fs::read_to_string(leaf.join("cgroup.procs")).unwrap_or_default().lines() {
            let _ = fs::write(own.join("cgroup.procs"), pid);
        }
        let _ = fs::remove_dir(leaf);
    }

    /// Moves the processes of a group that was delegated to us into a leaf of it.
    fn make_room(own: &Path, leaf: &Path) -> io::Result<()> {
        match fs::create_dir(leaf) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        for pid in fs::read_to_string(own.join("cgroup.procs"))?.lines() {
            fs::write(leaf.join("cgroup.procs"), pid)?;
        }
        Ok(())
    }

    fn hand_on(folder: &Path) {
        for name in CONTROLLERS {
            // What is not offered cannot be handed on; `missing` tells.
            let _ = fs::write(folder.join("cgroup.subtree_control"), format!("+{name}"));
        }
    }
}

/// One sandbox's folders in all hierarchies. Dropping it removes them; by then its processes must be gone.
#[derive(Debug, Default)]
pub(crate) struct SandboxCgroup {
    unified: Option<Folder>,
    memory: Option<Folder>,
    pids: Option<Folder>,
    cpu: Option<Folder>,
    cpuacct: Option<Folder>,
    v2_memory: bool,
    v2_pids: bool,
    v2_cpu: bool,
    memory_bytes: Option<u64>,
    processes: Option<u32>,
    cpu_millicores: Option<u32>,
}

impl SandboxCgroup {
    /// Sets the limits of the next step. What is as it should be is left alone.
    pub fn set_step(&mut self, limits: &StepLimits) -> Result<(), SetupError> {
        if self.memory_bytes != Some(limits.memory_bytes) {
            self.set_memory(limits.memory_bytes).context("limit memory")?;
            self.memory_bytes = Some(limits.memory_bytes);
        }
        if self.processes != Some(limits.processes) {
            let pids = if self.v2_pids { &self.unified } else { &self.pids };
            // One more than asked for: init is counted too.
            put(pids, "pids.max", u64::from(limits.processes) + 1).context("limit processes")?;
            self.processes = Some(limits.processes);
        }
        Ok(())
    }

    /// Sets the share of the processors, in thousandths of one.
    pub fn set_cpu_share(&mut self, millicores: u32) -> Result<(), SetupError> {
        if self.cpu_millicores != Some(millicores) {
            self.put_cpu_share(millicores).context("limit the CPU share")?;
            self.cpu_millicores = Some(millicores);
        }
        Ok(())
    }

    fn set_memory(&self, bytes: u64) -> io::Result<()> {
        if self.v2_memory {
            put(&self.unified, "memory.max", bytes)?;
            // Absent where the kernel has no swap accounting, or there is no swap.
            let _ = put(&self.unified, "memory.swap.max", 0);
            return put(&self.unified, "memory.oom.group", 1);
        }
        // Memory plus swap may never be less than memory: raise it first, lower it last. At first it is without limit; and it
        // is absent on some kernels.
        if self.memory_bytes.is_some() {
            let _ = put(&self.memory, "memory.memsw.limit_in_bytes", bytes);
        }
        put(&self.memory, "memory.limit_in_bytes", bytes)?;
        let _ = put(&self.memory, "memory.memsw.limit_in_bytes", bytes);
        Ok(())
    }

    fn put_cpu_share(&self, millicores: u32) -> io::Result<()> {
        let quota_us = u64::from(millicores) * CPU_PERIOD_US / 1000;
        if self.v2_cpu {
            put(&self.unified, "cpu.max", format!("{quota_us} {CPU_PERIOD_US}"))
        } else {
            put(&self.cpu, "cpu.cfs_quota_us", quota_us)
        }
    }

    /// Whether a share of the processors is its own.
    pub fn has_cpu_share(&self) -> bool {
        self.v2_cpu || self.cpu.is_some()
    }

    /// Has the scheduler serve the group's processes when no other waits, as `SCHED_IDLE` does (`cpu.idle`, since Linux 5.15;
    /// sched(7)).
    pub fn give_way(&self, gives_way: bool) {
        let folder = if self.v2_cpu { &self.unified } else { &self.cpu };
        let _ = put(folder, CPU_IDLE, u8::from(gives_way));
    }

    /// The v2 folder, for a process to be born into.
    pub fn cgroup_fd(&self) -> io::Result<Option<OwnedFd>> {
        let open = |folder: &Folder| Ok(File::open(&folder.0)?.into());
        self.unified.as_ref().map(open).transpose()
    }

    /// Files of the v1 groups; a process that writes `0` to each moves itself there.
    pub fn tasks_files(&self) -> io::Result<Vec<File>> {
        let folders = [&self.memory, &self.pids, &self.cpu, &self.cpuacct].into_iter().flatten();
        folders.map(|folder| File::options().write(true).open(folder.0.join("tasks"))).collect()
    }

    /// Whether it counts CPU time and memory.
    pub fn counts(&self) -> bool {
        let has_memory = self.memory.is_some() || (self.unified.is_some() && self.v2_memory);
        has_memory && (self.unified.is_some() || self.cpuacct.is_some())
    }

    /// CPU time of all processes so far, in milliseconds.
    pub fn cpu_ms(&self) -> Option<u64> {
        if let Some(folder) = &self.unified {
            let stat = fs::read_to_string(folder.0.join("cpu.stat")).ok()?;
            let usage = stat.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
            return Some(usage.parse::<u64>().ok()? / 1000);
        }
        let usage_ns = fs::read_to_string(self.cpuacct.as_ref()?.0.join("cpuacct.usage")).ok()?;
        Some(usage_ns.trim().parse::<u64>().ok()? / 1_000_000)
    }

    /// The most memory held at once, in bytes.
    pub fn memory_peak_bytes(&self) -> Option<u64> {
        let file = match (&self.memory, &self.unified) {
            (Some(folder), _) => folder.0.join("memory.max_usage_in_bytes"),
            (None, Some(folder)) if self.v2_memory => folder.0.join("memory.peak"),
            _ => return None,
        };
        fs::read_to_string(file).ok()?.trim().parse().ok()
    }

    /// The most processes and threads at once, without init; told by the kernel since Linux 6.1.
    pub fn processes_peak(&self) -> Option<u64> {
        let folder = if self.v2_pids { &self.unified } else { &self.pids };
        let peak = fs::read_to_string(folder.as_ref()?.0.join("pids.peak")).ok()?;
        Some(peak.trim().parse::<u64>().ok()?.saturating_sub(1))
    }

    /// How many processes and threads there are now, with init.
    pub fn processes(&self) -> Option<u64> {
        let folder = if self.v2_pids { &self.unified } else { &self.pids };
        fs::read_to_string(folder.as_ref()?.0.join("pids.current")).ok()?.trim().parse().ok()
    }

    /// How many processes the kernel has killed for want of memory.
    pub fn memory_kills(&self) -> u64 {
        let file = match (&self.memory, &self.unified) {
            (Some(folder), _) => folder.0.join("memory.oom_control"),
            (None, Some(folder)) if self.v2_memory => folder.0.join("memory.events"),
            _ => return 0,
        };
        let text = fs::read_to_string(file).unwrap_or_default();
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
    }

    /// A descriptor that becomes readable when memory ran out. v2 needs none: there the kernel kills the group whole.
    pub fn memory_alarm(&self) -> io::Result<Option<OwnedFd>> {
        let Some(folder) = &self.memory else { return Ok(None) };
        let alarm = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let control = File::open(folder.0.join("memory.oom_control"))?;
        let line = format!("{} {}", alarm.as_raw_fd(), control.as_fd().as_raw_fd());
        fs::write(folder.0.join("cgroup.event_control"), line)?;
        Ok(Some(alarm))
    }
}

/// Whether a group's processes give way.
const CPU_IDLE: &str = "cpu.idle";
/// How long groups are swept, all together, and how long it pauses between two rounds, at first and at most.
const SWEEP_TIMEOUT: Duration = Duration::from_secs(3);
const MIN_SWEEP_PAUSE: Duration = Duration::from_millis(1);
const MAX_SWEEP_PAUSE: Duration = Duration::from_millis(100);

/// Kills every process of a group that there is: at once where the kernel offers that (v2, since Linux 5.14), else one by one.
fn kill_all(group: &Path) {
    let _ = fs::write(group.join(CPU_IDLE), "0"); // what gives way dies late; most groups have no such file
    if fs::write(group.join("cgroup.kill"), "1").is_ok() {
        return;
    }
    let members = || fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    for pid in members().lines().filter_map(|line| line.parse().ok()) {
        let Some(raw) = Pid::from_raw(pid) else { continue };
        let Ok(pidfd) = pidfd_open(raw, PidfdFlags::empty()) else { continue };
        // A number that came back for a stranger between the two looks is not in the group any more.
        if members().lines().any(|line| line == pid.to_string()) {
            let _ = pidfd_send_signal(pidfd, Signal::KILL);
        }
    }
}

/// Moves this process into the group behind an entrance.
pub(crate) fn enter(mut entrance: &File) -> io::Result<()> {
    entrance.write_all(b"0")
}

fn put(folder: &Option<Folder>, file: &str, value: impl ToString) -> io::Result<()> {
    match folder {
        Some(folder) => fs::write(folder.0.join(file), value.to_string()),
        None => Ok(()),
    }
}

/// A group's folder in one hierarchy, removed on drop.
#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    fn make(parent: &Path, name: &str) -> Result<Self, SetupError> {
        let path = parent.join(name);
        match fs::create_dir(&path) {
            // A leftover is used again only where removing it shows that nobody is in it.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_dir(&path).and_then(|()| fs::create_dir(&path))
            }
            other => other,
        }
        .context(format!("make cgroup {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Processes that are dead but not yet gone keep a group busy for a moment; nothing tells when they have left.
        for pause_ms in [0, 1, 2, 5, 10, 20, 50, 100, 200] {
            thread::sleep(Duration::from_millis(pause_ms));
            match fs::remove_dir(&self.0) {
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
                _ => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_groups_are_found() {
        let v1 = "35 24 0:30 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct";
        let mount = CgroupMount::parse(v1).unwrap();
        let own = "4:memory:/a/b\n1:cpu,cpuacct:/x\n0::/init.scope\n";
        assert_eq!(own_group(own, &mount).unwrap(), Path::new("/sys/fs/cgroup/cpu/x"));

        let v2 = "36 24 0:31 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate";
        let mount = CgroupMount::parse(v2).unwrap();
        assert_eq!(own_group(own, &mount).unwrap(), Path::new("/sys/fs/cgroup/init.scope"));

        // Inside a container only a part of the hierarchy is mounted.
        let part = "35 24 0:30 /docker/1 /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory";
        let mount = CgroupMount::parse(part).unwrap();
        assert_eq!(own_group("4:memory:/docker/1/a", &mount).unwrap(), Path::new("/sys/fs/cgroup/memory/a"));
    }
}
