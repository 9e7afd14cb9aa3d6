//! Two cgroups: one keeps the attackers to half a core, so that a row measures the server and not
//! the want of another core; one gives the server and its programs no more memory than a small
//! machine has. In version 1 each controller has a mount of its own; in version 2 it must be
//! enabled in the root.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

/// The period of the quota. It is short, so that attackers work evenly and not in bursts.
const PERIOD_US: u32 = 10_000;
/// The CPU time of all attackers together in each period: half a core.
const QUOTA_US: u32 = PERIOD_US / 2;
/// How long the removal of the group waits for its processes to be gone.
const REMOVE_TIMEOUT: Duration = Duration::from_secs(5);

/// A cgroup. It is removed when this value is dropped.
pub struct Group(PathBuf);

impl Group {
    /// Makes a group that may use half a core. This needs root.
    pub fn of_half_a_core() -> Result<Self> {
        if let Some(group) = Self::create_v2("cpu")? {
            group.write("cpu.max", &format!("{QUOTA_US} {PERIOD_US}"))?;
            group.write("cpu.weight", "1")?;
            return Ok(group);
        }
        let group = Self::create_in(&Path::new("/sys/fs/cgroup/cpu").join(name()))?;
        group.write("cpu.cfs_period_us", &PERIOD_US.to_string())?;
        group.write("cpu.cfs_quota_us", &QUOTA_US.to_string())?;
        group.write("cpu.shares", "2")?;
        Ok(group)
    }

    /// Makes a group that may use so much memory, together with the groups below it. This needs
    /// root.
    pub fn with_memory(bytes: u64) -> Result<Self> {
        if let Some(group) = Self::create_v2("memory")? {
            group.write("memory.max", &bytes.to_string())?;
            return Ok(group);
        }
        // Below the bench's own group, whose limit then still holds.
        let groups = fs::read_to_string("/proc/self/cgroup")?;
        let own = groups.lines().find_map(|line| line.split_once(":memory:"));
        let (_, own) = own.context("there is no memory controller")?;
        let folder = Path::new("/sys/fs/cgroup/memory").join(own.trim_start_matches('/'));
        let group = Self::create_in(&folder.join(name()))?;
        group.write("memory.limit_in_bytes", &bytes.to_string())?;
        Ok(group)
    }

    /// Makes a group with this controller if the machine has version 2 alone.
    fn create_v2(controller: &str) -> Result<Option<Self>> {
        let root = Path::new("/sys/fs/cgroup");
        if !root.join("cgroup.controllers").exists() {
            return Ok(None);
        }
        let enable = root.join("cgroup.subtree_control");
        fs::write(enable, format!("+{controller}")).with_context(|| format!("enable {controller}"))?;
        Self::create_in(&root.join(name())).map(Some)
    }

    fn create_in(path: &Path) -> Result<Self> {
        fs::create_dir(path)
            .with_context(|| format!("make the cgroup {}; this needs root", path.display()))?;
        Ok(Self(path.to_owned()))
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = self.0.join(file);
        fs::write(&path, text).with_context(|| format!("write {text:?} to {}", path.display()))
    }

    /// The file that takes the numbers of processes that enter the group.
    pub fn processes_file(&self) -> PathBuf {
        self.0.join("cgroup.procs")
    }

    /// Moves a process into the group.
    pub fn add(&self, pid: u32) -> Result<()> {
        self.write("cgroup.procs", &pid.to_string())
    }
}

/// The name of a new group: no two groups of this process have the same.
fn name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("livecode-siege-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Drop for Group {
    fn drop(&mut self) {
        let deadline = Instant::now() + REMOVE_TIMEOUT;
        // The removal fails as long as a killed process is in the group.
        while fs::remove_dir(&self.0).is_err() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
