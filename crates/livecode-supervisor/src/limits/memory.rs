//! When a program's memory is looked at, where no cgroup keeps it within its limit.

use std::time::{Duration, Instant};

use livecode_protocol::run_spec::StepLimits;
use livecode_sandbox::{SampleVerdict, Sandbox};

/// How often: between two looks a program can take what the machine gives in this time, and no more.
const INTERVAL: Duration = Duration::from_millis(25);
/// How seldom, at most, where it only waits: a thousand that wait are to cost next to nothing.
const MAX_INTERVAL: Duration = Duration::from_millis(400);
/// And how much rarer than that, so that looking at many processes does not itself take the processor: a twentieth.
const SHARE: u32 = 20;

/// The clock of one session.
pub(crate) struct MemorySampler {
    due: Option<Instant>,
    interval: Duration,
}

impl MemorySampler {
    /// One that never strikes where the kernel does the work.
    pub fn new(sandbox: &Sandbox, now: Instant) -> Self {
        Self { due: sandbox.is_memory_sampled().then(|| now + INTERVAL), interval: INTERVAL }
    }

    /// When to look next.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Looks where it is time to, and says what it saw. Between two steps there is nothing to see.
    pub fn look(
        &mut self,
        sandbox: &mut Sandbox,
        limits: Option<StepLimits>,
        now: Instant,
    ) -> Option<SampleVerdict> {
        if self.due.is_none_or(|due| due > now) {
            return None;
        }
        let began = Instant::now();
        let look = limits.map(|limits| sandbox.look(&limits));
        self.interval = match look {
            Some(SampleVerdict::Rests) => (self.interval * 2).min(MAX_INTERVAL),
            _ => INTERVAL,
        };
        let pause = self.interval.max(began.elapsed() * SHARE);
        self.due = (look != Some(SampleVerdict::HoldsTooMuch)).then(|| Instant::now() + pause);
        look
    }
}
