//! What this machine and this user can do: found out once, used for every sandbox.

use std::{
    fs::File,
    io,
    os::{fd::AsFd as _, unix::fs::FileExt as _},
    path::PathBuf,
};

use livecode_protocol::{
    SessionId,
    run_spec::{RunSpec, SessionLimits, Step, StepLimits},
};

use rustix::fs::{MemfdFlags, memfd_create};

use crate::{
    cgroup::CgroupHierarchies,
    handle::sandbox::Sandbox,
    init_wire::{InitEvent, SetupContext as _, SetupError, StepStatus},
    kernel::{cpus::Cpus, fault_switch::is_enabled, landlock, rlimits, seccomp::SeccompProfile},
    rootfs::mounts::HostMounts,
};

/// The uid and gid of a program as it sees itself in rootless mode.
const ROOTLESS_ID: u32 = 1000;
/// The first uid of sessions in root mode. Far beyond those that system accounts and subordinate ranges use (subuid(5)).
const FIRST_ID: u32 = 0x2000_0000;
/// How many uids one data directory uses: more than it can have sessions at once.
const IDS: u32 = 0x1_0000;

/// The id of the sandbox made to try.
fn trial_id() -> SessionId {
    SessionId::from_random([0; 16])
}

/// An order of the server's own, of a program that needs little.
pub(crate) fn trial(run: Step) -> RunSpec {
    RunSpec {
        version: 0,
        // The id names the cgroup, after the name of this host.
        id: trial_id(),
        slot: IDS - 1,
        compile: vec![],
        run,
        env: vec![],
        files: vec![],
        stdin: None,
        mounts: vec![],
        cache: None,
        limits: SessionLimits {
            wall_ms: 10_000,
            output_bytes: 4096,
            disk_bytes: 1024 * 1024,
            disk_files: 64,
            cpu_millicores: 1000,
            idle_ms: None,
        },
    }
}

/// A file that an order can be read from.
pub(crate) fn order_file(order: &RunSpec) -> Result<File, SetupError> {
    let text = serde_json::to_vec(order).map_err(io::Error::from).context("write the order")?;
    let file = memfd_create("order", MemfdFlags::CLOEXEC).map(File::from).context("make the order's file")?;
    file.write_all_at(&text, 0).context("write the order")?;
    Ok(file)
}

/// Whether the uids and gids of sessions exist here. Root of a container may have a user namespace with a few only; then it
/// is an ordinary user to us.
fn has_ids(first: u32) -> bool {
    let covers = |line: &str| {
        let mut numbers = line.split_whitespace().map(|number| number.parse::<u64>().unwrap_or(0));
        let (start, _, length) = (numbers.next(), numbers.next(), numbers.next());
        let (start, length) = (start.unwrap_or(0), length.unwrap_or(0));
        start <= u64::from(first) && u64::from(first + (IDS - 1)) < start + length
    };
    ["uid_map", "gid_map"].iter().all(|name| {
        let map = std::fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
        map.lines().any(covers)
    })
}

/// A machine that sandboxes can be made on.
pub struct Host {
    pub(crate) staging: PathBuf,
    pub(crate) rootless: bool,
    pub(crate) cgroups: CgroupHierarchies,
    pub(crate) profile: SeccompProfile,
    pub(crate) has_landlock: bool,
    pub(crate) fixtures: HostMounts,
    dumps_reach_handler: bool,
    /// The CPUs that sessions may use.
    pub cpus: Cpus,
    /// The user as which sandboxes are made.
    pub(crate) ids: (u32, u32),
    first_id: u32,
}

/// Why no sandbox can be made here.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// A sandbox made to try failed.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// A sandbox made to try did not end as it should.
    #[error("a first sandbox ended unexpectedly: {0}")]
    Trial(String),
}

impl Host {
    /// Looks at the machine. `staging` is an empty folder that stays; `name` tells this data directory's sandboxes
    /// from those of others on the same machine.
    pub fn new(staging: PathBuf, name: u64) -> Self {
        // 4,096 ranges of 65,536 fit below 2^32 - 1, from FIRST_ID on, twelve times over.
        let first_id = FIRST_ID + (name % 4096) as u32 * IDS;
        Self {
            staging,
            rootless: !rustix::process::geteuid().is_root() || !has_ids(first_id),
            cgroups: CgroupHierarchies::find(format!("livecode-{name:016x}-")),
            profile: SeccompProfile::compile(),
            has_landlock: is_enabled("landlock") && landlock::is_available(),
            fixtures: HostMounts::find(),
            dumps_reach_handler: rlimits::core_dumps_reach_handler(),
            cpus: Cpus::all(),
            ids: (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()),
            first_id,
        }
    }

    /// What cannot be enforced here, one sentence each; empty where everything can.
    pub fn degraded(&self) -> Vec<String> {
        let missing = self.cgroups.missing();
        let sentences = [
            (
                missing.memory,
                "memory is limited per process, and only looked at for the session: no cgroup memory controller may be used",
            ),
            (
                missing.processes,
                "processes are limited per user, not by cgroup: no cgroup pids controller may be used",
            ),
            (missing.cpu_share, "the CPU share is not limited: no cgroup cpu controller may be used"),
            (
                missing.cpu_time,
                "CPU time is limited per process, and only looked at for the session: no cgroup may be used",
            ),
            (
                self.dumps_reach_handler,
                "crashes reach this machine's handler of core dumps: its user's limit of core dumps is zero",
            ),
            (!self.has_landlock, "files are not restricted a second time: this kernel has no Landlock"),
        ];
        sentences.into_iter().filter(|(is_missing, _)| *is_missing).map(|(_, text)| text.to_owned()).collect()
    }

    /// Makes a sandbox and runs a program that does nothing in it.
    ///
    /// # Errors
    /// The step that failed, or how the trial ended instead.
    pub fn try_sandbox(&self) -> Result<(), HostError> {
        self.try_program(&["true"]).map(drop)
    }

    /// Makes a sandbox, runs a program in it that exits with 0, and returns what it printed, up to what a pipe holds.
    ///
    /// # Errors
    /// As [`Self::try_sandbox`].
    pub(crate) fn try_program(&self, argv: &[&str]) -> Result<Vec<u8>, HostError> {
        let limits = StepLimits { cpu_ms: 10_000, memory_bytes: 64 * 1024 * 1024, processes: 8 };
        let argv = argv.iter().map(|word| (*word).to_owned()).collect();
        let mut order = trial(Step { argv, limits });
        order.env = vec![("PATH".into(), "/usr/bin:/bin".into())];
        let (mut sandbox, pipes) =
            Sandbox::prepare(self, &order.id.to_string(), &order.layout(), None, None)?;
        sandbox.begin(&order, order_file(&order)?.as_fd(), None)?;
        let ending = loop {
            match sandbox.wait_report() {
                Some(InitEvent::Ready | InitEvent::Started(_)) => {}
                Some(InitEvent::Ended(_, StepStatus::Exited(0))) => break Ok(()),
                Some(InitEvent::SetupFailed(error)) => break Err(error.into()),
                Some(other) => break Err(HostError::Trial(format!("{other:?}"))),
                None => break Err(HostError::Trial("its first process died".into())),
            }
        };
        sandbox.reap();
        ending?;
        let mut output = vec![0; 64 * 1024];
        let length = rustix::io::read(&pipes.stdout, &mut *output).unwrap_or(0); // nothing was printed
        output.truncate(length);
        Ok(output)
    }

    /// Gives back the group that it moved processes in. For a host that was only made to look; no other may use its groups.
    pub(crate) fn dissolve(&mut self) {
        std::mem::take(&mut self.cgroups).undo_delegation();
    }

    /// Names of the groups that are there now, of living and of dead sandboxes.
    pub fn group_names(&self) -> Vec<String> {
        self.cgroups.group_names()
    }

    /// Whether an id is that of [`Self::try_sandbox`].
    pub fn is_trial(&self, id: SessionId) -> bool {
        id == trial_id()
    }

    /// Kills what is left in the groups with these names, waits a while until it is gone, and removes them: whether all are
    /// removed. To be called when nobody else looks after those sandboxes any more.
    pub fn sweep(&self, names: &[String]) -> bool {
        self.cgroups.sweep(names)
    }

    /// The id that a session's processes have, as they see it themselves.
    pub(crate) fn inner_id(&self, slot: u32) -> u32 {
        if self.rootless { ROOTLESS_ID } else { self.first_id + slot % IDS }
    }
}
