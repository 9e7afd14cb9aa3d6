//! Resource limits that the kernel keeps per process (getrlimit(2)). What a session uses as a whole is bounded by its
//! cgroup; these bound what a cgroup does not.

use livecode_protocol::run_spec::{SandboxLayout, StepLimits};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{
    cgroup::Missing,
    init_wire::{SetupContext, SetupError},
};

/// Open descriptors of one process.
const OPEN_FILES: u64 = 1024;
/// Locked memory of one process, in bytes.
const LOCKED_BYTES: u64 = 64 * 1024;
/// Stack of a main thread, in bytes.
const STACK_BYTES: u64 = 8 * 1024 * 1024;
/// Signals queued for one user.
const QUEUED_SIGNALS: u64 = 4096;

/// Whether the core dumps of programs reach a handler of the machine's: it pipes them, and this user may not have the limit
/// of one byte at which it does not.
pub(crate) fn dumps_reach_handler() -> bool {
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    let is_root = rustix::process::geteuid().is_root();
    !is_root && pattern.starts_with(['|', '@']) && getrlimit(Resource::Core).maximum == Some(0)
}

fn limit(resource: Resource, name: &str, value: u64) -> Result<(), SetupError> {
    limit_softly(resource, name, value, value)
}

fn limit_softly(resource: Resource, name: &str, value: u64, maximum: u64) -> Result<(), SetupError> {
    // Whoever may not raise what it was given itself passes on that.
    let given = getrlimit(resource).maximum;
    let most = |value: u64| Some(value.min(given.unwrap_or(u64::MAX)));
    setrlimit(resource, Rlimit { current: most(value), maximum: most(maximum) })
        .context(format!("limit {name}"))
}

/// Limits for all of a session's processes.
pub(crate) fn for_session(layout: &SandboxLayout) -> Result<(), SetupError> {
    // One byte, not none: a machine that pipes core dumps to a handler of its own (core(5)) runs it whatever the limit, but
    // not at exactly one; and no dump is so small. The seccomp filter keeps it so.
    limit(Resource::Core, "core dumps", 1)?;
    limit(Resource::Nofile, "open files", OPEN_FILES)?;
    limit(Resource::Fsize, "file size", layout.disk_bytes)?;
    limit(Resource::Memlock, "locked memory", LOCKED_BYTES)?;
    limit(Resource::Sigpending, "queued signals", QUEUED_SIGNALS)?;
    limit(Resource::Msgqueue, "message queues", 0)?;
    limit(Resource::Stack, "stack", STACK_BYTES)
}

/// Limits for the processes of one step, where no cgroup bounds them together.
pub(crate) fn for_step(missing: Missing, limits: &StepLimits) -> Result<(), SetupError> {
    if missing.processes {
        // Counted in the user namespace, so that sessions do not take from each other. One more for init.
        limit(Resource::Nproc, "processes", u64::from(limits.processes) + 1)?;
    }
    if missing.memory {
        // Not the address space, of which the JVM, Go and Node reserve far more than they use.
        limit(Resource::Data, "data segment", limits.memory_bytes)?;
    }
    if missing.cpu_time {
        // Whoever looks at all processes is more exact, so a second later; SIGXCPU first, which tells what happened, and after
        // another SIGKILL for who does not listen.
        let seconds = limits.cpu_ms.div_ceil(1000) + 1;
        limit_softly(Resource::Cpu, "CPU time", seconds, seconds + 1)?;
    }
    Ok(())
}
