//! Ends a session in which nothing has happened for too long.
//!
//! Activity is what the program does (it writes, or it uses CPU time) and what a client sends to
//! it. A client that reconnects and only reads is not activity: a page that reconnects all night
//! must not keep a forgotten program alive.

use std::time::{Duration, Instant};

use livecode_protocol::now_us;

/// CPU time between two checks, in milliseconds, that counts as activity. It is more than the
/// housekeeping of a sleeping runtime uses.
const ACTIVE_CPU_MS: u64 = 50;

/// Measures the time since the last activity of one session.
pub(crate) struct IdleTimer {
    timeout: Option<Duration>,
    /// The time of the last activity.
    last_active_at: Instant,
    /// The time of the last output or delivery, in microseconds since the epoch.
    active_us: Option<u64>,
    /// CPU time of the session at the last check.
    cpu_ms: u64,
    /// CPU time that samples have shown since the last check.
    sampled_cpu_ms: u64,
}

impl IdleTimer {
    /// Makes a timer that expires after `timeout_ms` without activity, or never if that is `None`.
    pub fn new(timeout_ms: Option<u64>, now: Instant) -> Self {
        Self {
            timeout: timeout_ms.map(Duration::from_millis),
            last_active_at: now,
            active_us: None,
            cpu_ms: 0,
            sampled_cpu_ms: 0,
        }
    }

    /// Restarts the timer for a new step, because the program could not do anything before.
    pub fn start_step(&mut self) {
        self.last_active_at = Instant::now();
    }

    /// Restarts the timer for a new sandbox, whose processes have used no CPU time.
    pub fn start_sandbox(&mut self) {
        self.last_active_at = Instant::now();
        (self.cpu_ms, self.sampled_cpu_ms) = (0, 0);
    }

    /// Records that there was output or a delivery just now.
    pub fn record_activity(&mut self) {
        self.last_active_at = Instant::now();
        self.active_us = Some(now_us());
    }

    /// Records that a sample showed CPU time of the program. This time may be missing in the
    /// total of the session, because the CPU time of a child that its parent does not wait for
    /// disappears with the child.
    pub fn record_sampled_cpu(&mut self, cpu_ms: u64) {
        self.sampled_cpu_ms += cpu_ms;
    }

    /// The time of the last output or delivery, in microseconds since the epoch.
    pub fn active_us(&self) -> Option<u64> {
        self.active_us
    }

    /// The time at which [`Self::has_expired`] must be called next.
    pub fn due(&self) -> Option<Instant> {
        self.last_active_at.checked_add(self.timeout?)
    }

    /// Whether there was no activity for the whole timeout. `cpu_ms` returns the CPU time of the
    /// session so far, or `None` if nothing counts it.
    pub fn has_expired(&mut self, now: Instant, cpu_ms: impl FnOnce() -> Option<u64>) -> bool {
        if self.due().is_none_or(|due| now < due) {
            return false;
        }
        let total_ms = cpu_ms().unwrap_or(0);
        let sampled_ms = std::mem::take(&mut self.sampled_cpu_ms);
        let is_active = total_ms >= self.cpu_ms + ACTIVE_CPU_MS || sampled_ms >= ACTIVE_CPU_MS;
        self.cpu_ms = total_ms;
        if is_active {
            self.last_active_at = now;
        }
        !is_active
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_and_cpu_time_are_activity() {
        let started = Instant::now();
        let mut idle = IdleTimer::new(Some(1000), started);
        let later = |ms| started + Duration::from_millis(ms);
        assert!(!idle.has_expired(later(999), || Some(0)));
        // The total has grown by enough CPU time.
        assert!(!idle.has_expired(later(1000), || Some(ACTIVE_CPU_MS)));
        assert!(!idle.has_expired(later(1999), || Some(ACTIVE_CPU_MS)));
        assert!(idle.has_expired(later(2000), || Some(ACTIVE_CPU_MS + 1)));
        idle.record_activity();
        assert!(!idle.has_expired(idle.last_active_at + Duration::from_millis(999), || None));
        idle.record_sampled_cpu(ACTIVE_CPU_MS);
        // A sample has shown CPU time.
        assert!(!idle.has_expired(idle.last_active_at + Duration::from_millis(1000), || None));
        assert!(idle.has_expired(idle.last_active_at + Duration::from_millis(1000), || None));
        assert!(IdleTimer::new(None, started).due().is_none());
    }
}
