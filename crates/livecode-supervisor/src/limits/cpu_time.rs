//! CPU time of the supervisor and of its program.

use std::time::Duration;

use livecode_sandbox::Sandbox;
use rustix::time::{ClockId, clock_gettime};

/// CPU time that this process has used.
pub(crate) fn own_cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

/// CPU time of the program so far, in milliseconds, including the time that its supervisor has
/// spent on its output. Returns `None` if the program's group counts no CPU time or cannot be
/// deprioritised.
pub(crate) fn used_ms(sandbox: &Sandbox) -> Option<u64> {
    Some(sandbox.cgroup_cpu_ms()? + own_cpu_time().as_millis() as u64)
}
