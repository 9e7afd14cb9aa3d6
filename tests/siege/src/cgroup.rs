//! A cgroup that keeps the attackers to half a core, so that a row measures the server and not the
//! want of another core. In a hierarchy of version 1 the controller `cpu` has a mount of its own;
//! in version 2 it must be enabled in the root.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

/// The period of the quota. It is short, so that attackers work evenly and not in bursts.
const PERIOD_US: u32 = 10_000;
/// The CPU time of all attackers together in each period: half a core.
const QUOTA_US: u32 = PERIOD_US / 2;
/// How long the removal of the group waits for its processes to be gone.
const REMOVE_TIMEOUT: Duration = Duration::from_secs(5);

/// The cgroup of the attackers. It is removed when this value is dropped.
pub struct HalfCore(PathBuf);

impl HalfCore {
    /// Makes the group. This needs root.
    pub fn create() -> Result<Self> {
        let root = Path::new("/sys/fs/cgroup");
        let name = format!("livecode-siege-{}", std::process::id());
        if root.join("cgroup.controllers").exists() {
            let group = Self::create_in(&root.join(name))?;
            fs::write(root.join("cgroup.subtree_control"), "+cpu").context("enable the controller cpu")?;
            group.write("cpu.max", &format!("{QUOTA_US} {PERIOD_US}"))?;
            return Ok(group);
        }
        let group = Self::create_in(&root.join("cpu").join(name))?;
        group.write("cpu.cfs_period_us", &PERIOD_US.to_string())?;
        group.write("cpu.cfs_quota_us", &QUOTA_US.to_string())?;
        Ok(group)
    }

    fn create_in(path: &Path) -> Result<Self> {
        fs::create_dir(path).with_context(|| {
            format!("make the cgroup {} of the attackers; this needs root", path.display())
        })?;
        Ok(Self(path.to_owned()))
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = self.0.join(file);
        fs::write(&path, text).with_context(|| format!("write {text:?} to {}", path.display()))
    }

    /// Moves a process into the group.
    pub fn add(&self, pid: u32) -> Result<()> {
        self.write("cgroup.procs", &pid.to_string())
    }
}

impl Drop for HalfCore {
    fn drop(&mut self) {
        let deadline = Instant::now() + REMOVE_TIMEOUT;
        // The removal fails as long as a killed process is in the group.
        while fs::remove_dir(&self.0).is_err() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
