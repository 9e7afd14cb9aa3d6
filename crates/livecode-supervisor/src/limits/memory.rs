//! Enforces the memory limit of a program by sampling its processes, if no cgroup enforces it.

use std::time::{Duration, Instant};

use livecode_protocol::run_spec::StepLimits;
use livecode_sandbox::{SampleVerdict, Sandbox};

/// Interval between two samples of a program that works. Between two samples, the program can
/// exceed its limit by as much memory as it can allocate in this time.
const INTERVAL: Duration = Duration::from_millis(25);
/// The longest interval between two samples of a program that waits, so that a thousand waiting
/// programs cost next to nothing.
const MAX_INTERVAL: Duration = Duration::from_millis(400);
/// The pause after a sample is at least so many times as long as the sample took, up to
/// [`MAX_INTERVAL`]. So sampling a program with many processes takes about a twentieth of a
/// processor.
const MIN_PAUSE_FACTOR: u32 = 20;

/// Decides when to sample one session, and samples it.
pub(crate) struct MemorySampler {
    /// The time of the next sample, if there is to be one.
    due: Option<Instant>,
    interval: Duration,
}

impl MemorySampler {
    /// Makes a sampler for `sandbox`. It never takes a sample if the kernel enforces the limit.
    pub fn new(sandbox: &Sandbox, now: Instant) -> Self {
        Self { due: sandbox.is_memory_sampled().then(|| now + INTERVAL), interval: INTERVAL }
    }

    /// The time of the next sample.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Takes a sample if one is due, and returns its verdict. Between two steps, `limits` is
    /// `None` and there is nothing to sample.
    pub fn sample(
        &mut self,
        sandbox: &mut Sandbox,
        limits: Option<StepLimits>,
        now: Instant,
    ) -> Option<SampleVerdict> {
        if self.due.is_none_or(|due| due > now) {
            return None;
        }
        let started = Instant::now();
        let verdict = limits.map(|limits| sandbox.sample(&limits));
        self.interval = match verdict {
            Some(SampleVerdict::Idle) => (self.interval * 2).min(MAX_INTERVAL),
            _ => INTERVAL,
        };
        // A program that makes its samples slow does not escape them.
        let pause = self.interval.max((started.elapsed() * MIN_PAUSE_FACTOR).min(MAX_INTERVAL));
        self.due = (verdict != Some(SampleVerdict::OverMemoryLimit)).then(|| Instant::now() + pause);
        verdict
    }
}
