//! Facts about the machine and about the user that the server runs as. They are detected once and
//! used for every sandbox.

use std::{path::PathBuf, sync::OnceLock};

use livecode_protocol::SessionId;

use crate::{
    cgroup::CgroupHierarchies,
    kernel::{
        cpus::Cpus, fault_switch::is_not_disabled_by_test, landlock, privileges::SessionIds, rlimits,
        seccomp::SeccompProfile,
    },
    rootfs::mounts::HostMounts,
};

/// The uid and gid that a program sees itself run as in rootless mode.
const ROOTLESS_ID: u32 = 1000;
/// The lowest uid of sessions in root mode. It lies far beyond the uids of system accounts and the
/// ranges of subordinate uids (subuid(5)).
const FIRST_SESSION_ID: u32 = 0x2000_0000;
/// The number of uids of one data directory. It is larger than the number of sessions that one
/// data directory can have at once.
const IDS_PER_DATA_DIR: u32 = 0x1_0000;
/// The number of data directories that get uid ranges of their own.
const DATA_DIR_RANGES: u64 = 4096;

/// Distance from the uid of a session's program to that of its init in root mode. It is the number
/// of uids of all data directories together.
const INIT_ID_DISTANCE: u32 = DATA_DIR_RANGES as u32 * IDS_PER_DATA_DIR;

/// The slot of a trial run, with the last uid of the range. The slots of sessions are lower.
pub(crate) const TRIAL_SLOT: u32 = IDS_PER_DATA_DIR - 1;

/// The session id of a trial run.
pub(crate) fn trial_id() -> SessionId {
    SessionId::from_random([0; 16])
}

/// Whether the uids and gids of sessions and of their inits exist in this user namespace. Root of
/// a container may have a user namespace with only a few ids; such a root is treated as an
/// ordinary user.
fn has_session_ids(first_id: u32) -> bool {
    let last_id = first_id + INIT_ID_DISTANCE + (IDS_PER_DATA_DIR - 1);
    let covers = |line: &str| {
        let mut numbers = line.split_whitespace().map(|number| number.parse::<u64>().unwrap_or(0));
        let (start, _, length) = (numbers.next(), numbers.next(), numbers.next());
        let (start, length) = (start.unwrap_or(0), length.unwrap_or(0));
        start <= u64::from(first_id) && u64::from(last_id) < start + length
    };
    ["uid_map", "gid_map"].iter().all(|name| {
        let map = std::fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
        map.lines().any(covers)
    })
}

/// A machine that sandboxes can be made on.
pub struct Host {
    /// An empty folder that the root of each sandbox is mounted on.
    pub(crate) staging: PathBuf,
    /// Whether each sandbox needs a user namespace of its own, since sessions cannot have uids of
    /// their own.
    pub(crate) is_rootless: bool,
    pub(crate) cgroups: CgroupHierarchies,
    pub(crate) seccomp_profile: SeccompProfile,
    pub(crate) has_landlock: bool,
    /// The parts of the machine that every sandbox sees.
    pub(crate) mounts: HostMounts,
    dumps_reach_handler: bool,
    /// The CPUs that sessions may use.
    pub cpus: Cpus,
    /// The uid and gid that the server runs as.
    pub(crate) own_ids: (u32, u32),
    /// The first uid of this data directory's sessions in root mode.
    first_session_id: u32,
    /// Whether the seccomp filter of a sandbox is to notify, so that the order of output is exact.
    pub(crate) is_order_exact: bool,
    /// Whether the seccomp filter of a sandbox can have a listener. A trial run finds it out.
    has_seccomp_listener: OnceLock<bool>,
}

impl Host {
    /// Detects what this machine and this user can do.
    ///
    /// `staging` is an empty folder that exists as long as the result. `data_dir_hash`
    /// distinguishes the cgroups and uids of this data directory from those of others on the same
    /// machine.
    pub fn new(staging: PathBuf, data_dir_hash: u64) -> Self {
        // The ranges of all data directories, and those of their inits, end far below 2^32 - 1.
        let first_session_id = FIRST_SESSION_ID + (data_dir_hash % DATA_DIR_RANGES) as u32 * IDS_PER_DATA_DIR;
        Self {
            staging,
            is_rootless: !rustix::process::geteuid().is_root() || !has_session_ids(first_session_id),
            cgroups: CgroupHierarchies::find(format!("livecode-{data_dir_hash:016x}-")),
            seccomp_profile: SeccompProfile::compile(),
            has_landlock: is_not_disabled_by_test("landlock") && landlock::is_available(),
            mounts: HostMounts::find(),
            dumps_reach_handler: rlimits::core_dumps_reach_handler(),
            cpus: Cpus::all(),
            own_ids: (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()),
            first_session_id,
            is_order_exact: false,
            has_seccomp_listener: OnceLock::new(),
        }
    }

    /// Sets whether the seccomp filters of sandboxes notify their supervisors of some calls, so
    /// that the order of output is exact. They do not otherwise.
    pub fn set_order_exact(&mut self, is_order_exact: bool) {
        self.is_order_exact = is_order_exact;
    }

    /// Notes whether the filter of a sandbox that was set up has a listener.
    pub(crate) fn note_seccomp_listener(&self, has_listener: bool) {
        let _ = self.has_seccomp_listener.set(has_listener); // it is the same for all sandboxes
    }

    /// Sentences about things that sessions show less exactly here than elsewhere, as far as a
    /// trial run has found out. They weaken no protection.
    pub fn inexact(&self) -> Vec<String> {
        let has_no_order = self.is_order_exact && self.has_seccomp_listener.get() == Some(&false);
        let sentence = "the order between standard output, standard error and messages is not exact: \
                        the kernel gives the server's sandboxes no listener of system calls, because \
                        this container has one or the kernel is too old";
        has_no_order.then(|| sentence.to_owned()).into_iter().collect()
    }

    /// The limits and protections that this machine cannot enforce, one sentence each. The list is
    /// empty if all can be enforced.
    pub fn unenforced(&self) -> Vec<String> {
        let missing = self.cgroups.unenforced();
        let sentences = [
            (
                missing.memory,
                "memory is limited per process, and only sampled for the session: no cgroup memory controller may be used",
            ),
            (
                missing.processes,
                "processes are limited per user, not by cgroup: no cgroup pids controller may be used",
            ),
            (missing.cpu_share, "the CPU share is not limited: no cgroup cpu controller may be used"),
            (
                missing.cpu_time,
                "CPU time is limited per process, and only sampled for the session: no cgroup may be used",
            ),
            (
                self.dumps_reach_handler,
                "crashes reach this machine's handler of core dumps: the core dump limit of the server's user is zero",
            ),
            (!self.has_landlock, "files are not restricted a second time: Landlock cannot be used"),
        ];
        sentences.into_iter().filter(|(is_missing, _)| *is_missing).map(|(_, text)| text.to_owned()).collect()
    }

    /// Moves the processes back that [`Self::new`] moved into a leaf cgroup. Only for a host that
    /// was made to examine the machine: no other host may use the same cgroups.
    pub(crate) fn dissolve(&mut self) {
        std::mem::take(&mut self.cgroups).undo_delegation();
    }

    /// The names of the cgroups that exist now, of living and of dead sandboxes.
    pub fn group_names(&self) -> Vec<String> {
        self.cgroups.group_names()
    }

    /// Whether this is the session id of a trial run ([`crate::try_sandbox`]).
    pub fn is_trial(&self, id: SessionId) -> bool {
        id == trial_id()
    }

    /// Kills all processes in the cgroups with these names, waits for a limited time until they
    /// are gone, and removes the cgroups. Returns whether all were removed. The supervisors of
    /// these sandboxes must be dead.
    pub fn sweep_groups(&self, names: &[String]) -> bool {
        self.cgroups.sweep(names)
    }

    /// The uid and gid of a session's processes, as those processes see them.
    pub(crate) fn inner_id(&self, slot: u32) -> u32 {
        if self.is_rootless { ROOTLESS_ID } else { self.first_session_id + slot % IDS_PER_DATA_DIR }
    }

    /// The uids of a session's program and of its init in root mode. In rootless mode there is
    /// only one uid.
    pub(crate) fn session_ids(&self, slot: u32) -> Option<SessionIds> {
        let program = self.inner_id(slot);
        // Each of the two steps alone keeps a program from the files of init in /proc.
        let distance = if is_not_disabled_by_test("dumpable") { INIT_ID_DISTANCE } else { 0 };
        let ids = SessionIds { program, init: program + distance };
        (!self.is_rootless && is_not_disabled_by_test("privileges")).then_some(ids)
    }
}
