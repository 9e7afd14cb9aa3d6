//! When a program's memory is looked at, where no cgroup keeps it within its limit.

use std::time::{Duration, Instant};

use livecode_sandbox::Sandbox;

/// How often: between two looks a program can take what the machine gives in this time, and no more.
const INTERVAL: Duration = Duration::from_millis(25);
/// And how much rarer than that, so that looking at many processes does not itself take the processor: a twentieth.
const SHARE: u32 = 20;

/// The clock of one session.
pub(crate) struct MemoryClock {
    due: Option<Instant>,
}

impl MemoryClock {
    /// One that never strikes where the kernel does the work.
    pub fn new(sandbox: &Sandbox, now: Instant) -> Self {
        Self { due: sandbox.is_memory_sampled().then(|| now + INTERVAL) }
    }

    /// When to look next.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Looks where it is time to; whether there is too much.
    pub fn exceeds(&mut self, sandbox: &Sandbox, limit_bytes: u64, now: Instant) -> bool {
        if self.due.is_none_or(|due| due > now) {
            return false;
        }
        let began = Instant::now();
        let exceeds = sandbox.holds_more_than(limit_bytes);
        let pause = INTERVAL.max(began.elapsed() * SHARE);
        self.due = (!exceeds).then(|| Instant::now() + pause);
        exceeds
    }
}
