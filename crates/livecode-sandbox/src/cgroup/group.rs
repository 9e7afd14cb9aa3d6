//! The cgroup of one sandbox: its limits and its counters.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::fd::{AsFd as _, AsRawFd, OwnedFd},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use livecode_protocol::{control::CpuWeight, run_spec::StepLimits};
use rustix::event::{EventfdFlags, eventfd};

use crate::setup_error::{MEMORY_LIMIT_STEP, SetupContext, SetupError};

/// Length of a period of the CPU bandwidth controller, in microseconds.
const CPU_PERIOD_US: u64 = 100_000;
/// The part of a session's memory limit that data in the buffers of its sockets may take in
/// addition, where the kernel does not count it with the rest of the memory: one over this number.
pub(crate) const SOCKET_SHARE: u64 = 4;
/// The file with the limit of the buffers of TCP and UDP sockets in a v1 group.
pub(super) const SOCKET_LIMIT_FILE: &str = "memory.kmem.tcp.limit_in_bytes";
/// The file that says whether a group is deprioritised.
pub(super) const CPU_IDLE_FILE: &str = "cpu.idle";
/// Pauses between attempts to remove a folder, in milliseconds. A process that is dead but not yet
/// gone keeps its group busy for a moment, and the kernel does not notify anybody when it is gone.
const REMOVE_PAUSES_MS: [u64; 9] = [0, 1, 2, 5, 10, 20, 50, 100, 200];

/// One sandbox's group, which is a folder in each hierarchy that is in use. Dropping it removes
/// the folders; by then its processes must be gone.
#[derive(Debug, Default)]
pub(crate) struct SandboxCgroup {
    /// The folder in the v2 tree.
    pub(super) unified: Option<CgroupFolder>,
    /// The folders in the v1 hierarchies.
    pub(super) memory: Option<CgroupFolder>,
    pub(super) pids: Option<CgroupFolder>,
    pub(super) cpu: Option<CgroupFolder>,
    pub(super) cpuacct: Option<CgroupFolder>,
    /// Whether the v2 folder has the memory, pids and cpu controllers.
    pub(super) has_v2_memory: bool,
    pub(super) has_v2_pids: bool,
    pub(super) has_v2_cpu: bool,
    /// The limits that are set now.
    memory_bytes: Option<u64>,
    processes: Option<u32>,
    cpu_millicores: Option<u32>,
}

impl SandboxCgroup {
    /// Sets the limits of the next step. A limit that already has its value is not written again.
    pub fn set_step_limits(&mut self, limits: &StepLimits) -> Result<(), SetupError> {
        if self.memory_bytes != Some(limits.memory_bytes) {
            self.write_memory_limit(limits.memory_bytes).context(MEMORY_LIMIT_STEP)?;
            self.memory_bytes = Some(limits.memory_bytes);
        }
        if self.processes != Some(limits.processes) {
            // Init is counted too, hence one more.
            write(self.pids_folder(), "pids.max", u64::from(limits.processes) + 1)
                .context("limit processes")?;
            self.processes = Some(limits.processes);
        }
        Ok(())
    }

    /// Sets the maximum share of the CPUs, in thousandths of one CPU.
    pub fn set_cpu_share(&mut self, millicores: u32) -> Result<(), SetupError> {
        if self.cpu_millicores != Some(millicores) {
            self.write_cpu_share(millicores).context("limit the CPU share")?;
            self.cpu_millicores = Some(millicores);
        }
        Ok(())
    }

    fn write_memory_limit(&self, bytes: u64) -> io::Result<()> {
        if self.has_v2_memory {
            write(self.unified.as_ref(), "memory.max", bytes)?;
            // The file is absent if the kernel has no swap accounting, or if there is no swap.
            let _ = write(self.unified.as_ref(), "memory.swap.max", 0);
            return write(self.unified.as_ref(), "memory.oom.group", 1);
        }
        // The limit of memory plus swap (memsw) must never be less than that of memory, so it is
        // raised before and lowered after it. A new group has no limit, so there is nothing to
        // raise at first. Some kernels do not have the memsw file.
        const MEMORY_AND_SWAP_LIMIT: &str = "memory.memsw.limit_in_bytes";
        if self.memory_bytes.is_some() {
            let _ = write(self.memory.as_ref(), MEMORY_AND_SWAP_LIMIT, bytes);
        }
        write(self.memory.as_ref(), "memory.limit_in_bytes", bytes)?;
        let _ = write(self.memory.as_ref(), MEMORY_AND_SWAP_LIMIT, bytes);
        // v1 counts what is in the buffers of TCP and UDP sockets apart, and only once this limit
        // is set. At the limit, UDP drops packets, and TCP makes the sender wait.
        let _ = write(self.memory.as_ref(), SOCKET_LIMIT_FILE, bytes / SOCKET_SHARE);
        Ok(())
    }

    fn write_cpu_share(&self, millicores: u32) -> io::Result<()> {
        let quota_us = u64::from(millicores) * CPU_PERIOD_US / 1000;
        if self.has_v2_cpu {
            write(self.unified.as_ref(), "cpu.max", format!("{quota_us} {CPU_PERIOD_US}"))
        } else {
            write(self.cpu.as_ref(), "cpu.cfs_quota_us", quota_us)
        }
    }

    fn pids_folder(&self) -> Option<&CgroupFolder> {
        if self.has_v2_pids { self.unified.as_ref() } else { self.pids.as_ref() }
    }

    /// Whether the group has a cpu controller, and so a share of the CPUs of its own.
    pub fn has_cpu_share(&self) -> bool {
        self.has_v2_cpu || self.cpu.is_some()
    }

    /// Sets the group's priority on the CPU. A deprioritised group without a weight of its own is
    /// run only when no other process wants the CPU, as with `SCHED_IDLE` (`cpu.idle`, Linux 5.15;
    /// sched(7)). Does nothing if the kernel cannot do it.
    pub fn set_priority(&self, is_deprioritized: bool, weight: CpuWeight) {
        let folder = if self.has_v2_cpu { &self.unified } else { &self.cpu };
        let is_idle = is_deprioritized && weight.deprioritized_permille.is_none();
        let _ = write(folder.as_ref(), CPU_IDLE_FILE, u8::from(is_idle));
        // The kernel refuses a weight while the group is idle, and sets the default one after that.
        if !is_idle {
            let permille =
                weight.deprioritized_permille.filter(|_| is_deprioritized).unwrap_or(weight.permille);
            let (file, default, least) =
                if self.has_v2_cpu { ("cpu.weight", 100, 1) } else { ("cpu.shares", 1024, 2) };
            let _ = write(folder.as_ref(), file, (default * u64::from(permille) / 1000).max(least));
        }
    }

    /// Opens the v2 folder, so that a process can be cloned into the group.
    pub fn cgroup_fd(&self) -> io::Result<Option<OwnedFd>> {
        let open = |folder: &CgroupFolder| Ok(File::open(&folder.0)?.into());
        self.unified.as_ref().map(open).transpose()
    }

    /// Opens the `tasks` files of the v1 folders, for [`join_v1_group`].
    pub fn tasks_files(&self) -> io::Result<Vec<File>> {
        let folders = [&self.memory, &self.pids, &self.cpu, &self.cpuacct].into_iter().flatten();
        folders.map(|folder| File::options().write(true).open(folder.0.join("tasks"))).collect()
    }

    /// Whether the group counts CPU time and memory.
    pub fn counts_usage(&self) -> bool {
        let has_memory = self.memory.is_some() || (self.unified.is_some() && self.has_v2_memory);
        has_memory && (self.unified.is_some() || self.cpuacct.is_some())
    }

    /// CPU time that all processes of the group have used so far, in milliseconds.
    pub fn cpu_ms(&self) -> Option<u64> {
        if let Some(folder) = &self.unified {
            let stat = fs::read_to_string(folder.0.join("cpu.stat")).ok()?;
            let usage_us = stat.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
            return Some(usage_us.parse::<u64>().ok()? / 1000);
        }
        let usage_ns = fs::read_to_string(self.cpuacct.as_ref()?.0.join("cpuacct.usage")).ok()?;
        Some(usage_ns.trim().parse::<u64>().ok()? / 1_000_000)
    }

    /// Peak memory of the group, in bytes.
    pub fn memory_peak_bytes(&self) -> Option<u64> {
        let file = match (&self.memory, &self.unified) {
            (Some(folder), _) => folder.0.join("memory.max_usage_in_bytes"),
            (None, Some(folder)) if self.has_v2_memory => folder.0.join("memory.peak"),
            _ => return None,
        };
        fs::read_to_string(file).ok()?.trim().parse().ok()
    }

    /// Peak number of processes and threads, without init. The kernel counts it since Linux 6.1.
    pub fn processes_peak(&self) -> Option<u64> {
        let peak = fs::read_to_string(self.pids_folder()?.0.join("pids.peak")).ok()?;
        Some(peak.trim().parse::<u64>().ok()?.saturating_sub(1))
    }

    /// Current number of processes and threads, with init.
    pub fn process_count(&self) -> Option<u64> {
        fs::read_to_string(self.pids_folder()?.0.join("pids.current")).ok()?.trim().parse().ok()
    }

    /// Number of processes that the kernel has killed because memory ran out.
    pub fn oom_kills(&self) -> u64 {
        let file = match (&self.memory, &self.unified) {
            (Some(folder), _) => folder.0.join("memory.oom_control"),
            (None, Some(folder)) if self.has_v2_memory => folder.0.join("memory.events"),
            _ => return 0,
        };
        let text = fs::read_to_string(file).unwrap_or_default();
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
    }

    /// Whether memory ran out in this v1 group itself. The kernel also notifies the groups below
    /// one without memory left, such as that of the whole server, although they are within their
    /// limits.
    pub fn is_out_of_memory(&self) -> bool {
        /// The kernel charges memory in batches, which fail while less than a batch is left.
        const CHARGE_BATCH_BYTES: u64 = 512 * 1024;
        let Some(folder) = &self.memory else { return false };
        let read = |file: String| fs::read_to_string(folder.0.join(file)).ok()?.trim().parse::<u64>().ok();
        let is_full = |counter: &str| {
            let usage_bytes = read(format!("{counter}.usage_in_bytes"));
            let limit_bytes = read(format!("{counter}.limit_in_bytes"));
            usage_bytes.zip(limit_bytes).is_some_and(|(usage, limit)| usage + CHARGE_BATCH_BYTES >= limit)
        };
        is_full("memory") || is_full("memory.memsw") || self.oom_kills() > 0
    }

    /// Makes a descriptor that becomes readable when memory runs out in the v1 group (the kernel's
    /// admin-guide/cgroup-v1/memory, "OOM Control"). A v2 group needs none: there the kernel kills
    /// the whole group (`memory.oom.group`).
    pub fn oom_notifier(&self) -> io::Result<Option<OwnedFd>> {
        let Some(folder) = &self.memory else { return Ok(None) };
        let notifier = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let control = File::open(folder.0.join("memory.oom_control"))?;
        let line = format!("{} {}", notifier.as_raw_fd(), control.as_fd().as_raw_fd());
        fs::write(folder.0.join("cgroup.event_control"), line)?;
        Ok(Some(notifier))
    }
}

/// Moves this process into the v1 group that `tasks_file` belongs to.
pub(crate) fn join_v1_group(mut tasks_file: &File) -> io::Result<()> {
    tasks_file.write_all(b"0") // 0 stands for the writer
}

/// Writes to a file of the group. Without a folder there is nothing to write.
fn write(folder: Option<&CgroupFolder>, file: &str, value: impl ToString) -> io::Result<()> {
    match folder {
        Some(folder) => fs::write(folder.0.join(file), value.to_string()),
        None => Ok(()),
    }
}

/// Whether groups whose names begin with `prefix` can be made in `folder`, found out by making
/// one.
pub(super) fn can_create_in(folder: &Path, prefix: &str) -> bool {
    let probe = folder.join(format!("{prefix}probe-{}", std::process::id()));
    match fs::create_dir(&probe) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => false,
        _ => fs::remove_dir(&probe).is_ok(),
    }
}

/// A group's folder in one hierarchy, which is removed on drop.
#[derive(Debug)]
pub(super) struct CgroupFolder(PathBuf);

impl CgroupFolder {
    pub fn create(parent: &Path, name: &str) -> Result<Self, SetupError> {
        let path = parent.join(name);
        match fs::create_dir(&path) {
            // A leftover is replaced. That it can be removed proves that no process is in it.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_dir(&path).and_then(|()| fs::create_dir(&path))
            }
            other => other,
        }
        .context(format!("make cgroup {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for CgroupFolder {
    fn drop(&mut self) {
        for pause_ms in REMOVE_PAUSES_MS {
            thread::sleep(Duration::from_millis(pause_ms));
            match fs::remove_dir(&self.0) {
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
                _ => return,
            }
        }
    }
}
