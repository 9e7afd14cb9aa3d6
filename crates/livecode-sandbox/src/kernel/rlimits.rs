//! Resource limits that the kernel keeps for each process (getrlimit(2)). The cgroup of a session
//! limits what the session uses as a whole; these limits cover what a cgroup does not.

use livecode_protocol::run_spec::StepLimits;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{
    kernel::fault_switch::is_not_disabled_by_test,
    setup_error::{SetupContext, SetupError},
};

/// Open descriptors of one process, if the server may open at least twice as many.
///
/// The kernel also limits descriptors that are in flight between processes (`SCM_RIGHTS`): all
/// those of one user together against the limit of the process that sends more. Since programs
/// have at most half of the limit that the server's processes and init have, the programs of an
/// ordinary user's server cannot keep these from sending.
const OPEN_FILES: u64 = 1024;
/// Locked memory of one process, in bytes.
const LOCKED_BYTES: u64 = 64 * 1024;
/// Stack of a main thread, in bytes.
const STACK_BYTES: u64 = 8 * 1024 * 1024;
/// Signals queued for one user.
const QUEUED_SIGNALS: u64 = 4096;
/// Maximum size of a core dump, in bytes. If the machine pipes core dumps to a handler (core(5)),
/// the kernel runs the handler whatever the limit is, except if the limit is exactly 1. No core
/// dump is as small as one byte, so none is written either.
const CORE_BYTES: u64 = 1;

/// The limits that no cgroup of this host can enforce. Limits for each process stand in for them
/// if there are any.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UnenforcedLimits {
    pub memory: bool,
    pub processes: bool,
    pub cpu_share: bool,
    pub cpu_time: bool,
}

/// Whether the core dumps of programs reach the machine's handler: the machine pipes them to one,
/// and this user may not set the limit of [`CORE_BYTES`] that prevents it.
pub(crate) fn core_dumps_reach_handler() -> bool {
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    let is_root = rustix::process::geteuid().is_root();
    !is_root && pattern.starts_with(['|', '@']) && getrlimit(Resource::Core).maximum == Some(0)
}

/// Sets the soft and the hard limit of a resource to the same value.
fn set_limit(resource: Resource, name: &str, value: u64) -> Result<(), SetupError> {
    set_soft_and_hard_limit(resource, name, value, value)
}

fn set_soft_and_hard_limit(resource: Resource, name: &str, soft: u64, hard: u64) -> Result<(), SetupError> {
    // A process without privilege cannot raise its hard limit, so neither value may exceed it.
    let current_hard = getrlimit(resource).maximum;
    let capped = |value: u64| Some(value.min(current_hard.unwrap_or(u64::MAX)));
    setrlimit(resource, Rlimit { current: capped(soft), maximum: capped(hard) })
        .context(format!("limit {name}"))
}

/// Sets the limits that are the same for every session. It runs before the session is known;
/// limits that a request chooses belong in [`set_step_limits`].
pub(crate) fn set_sandbox_limits() -> Result<(), SetupError> {
    // The seccomp filter keeps programs from changing this limit.
    set_limit(Resource::Core, "core dumps", CORE_BYTES)?;
    set_limit(Resource::Memlock, "locked memory", LOCKED_BYTES)?;
    set_limit(Resource::Sigpending, "queued signals", QUEUED_SIGNALS)?;
    set_limit(Resource::Msgqueue, "message queues", 0)?;
    set_limit(Resource::Stack, "stack", STACK_BYTES)
}

/// Sets the limits of each process of one step: its open files, the size of a file, which is that
/// of the session's file system (`disk_bytes`), and those that stand in for what no cgroup
/// enforces.
pub(crate) fn set_step_limits(
    missing: UnenforcedLimits,
    limits: &StepLimits,
    disk_bytes: u64,
) -> Result<(), SetupError> {
    if is_not_disabled_by_test("limits") {
        set_limit(Resource::Fsize, "file size", disk_bytes)?;
        let half = getrlimit(Resource::Nofile).maximum.map_or(OPEN_FILES, |hard| hard / 2);
        set_limit(Resource::Nofile, "open files", OPEN_FILES.min(half))?;
    }
    if missing.processes {
        // Processes are counted for each user namespace, so sessions do not take from each other.
        // Init is counted too, hence one more.
        set_limit(Resource::Nproc, "processes", u64::from(limits.processes) + 1)?;
    }
    if missing.memory {
        // Not the address space, of which the JVM, Go and Node reserve far more than they use.
        set_limit(Resource::Data, "data segment", limits.memory_bytes)?;
    }
    if missing.cpu_time {
        // The supervisor's samples of all processes are more exact, so this limit comes a second
        // later. At the soft limit the kernel sends SIGXCPU, which identifies the cause; a second
        // later, at the hard limit, SIGKILL.
        let seconds = limits.cpu_ms.div_ceil(1000) + 1;
        set_soft_and_hard_limit(Resource::Cpu, "CPU time", seconds, seconds + 1)?;
    }
    Ok(())
}
