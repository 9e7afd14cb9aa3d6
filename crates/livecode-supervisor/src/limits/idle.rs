//! For how long nothing was done.
//!
//! What counts is what the program does (it writes, or uses a processor) and what a client passes in. Somebody who comes
//! back and only reads has done nothing: a page that reconnects all night must not keep a forgotten program alive.

use std::time::{Duration, Instant};

use crate::time::now_us;

/// CPU time between two looks that shows a program at work, in milliseconds: more than a sleeping runtime's housekeeping.
const WORK_MS: u64 = 50;

pub(crate) struct IdleTimer {
    limit: Option<Duration>,
    since: Instant,
    active_us: Option<u64>,
    /// CPU time of the session when it was last looked at.
    cpu_ms: u64,
    /// CPU time that was seen to be used since.
    worked_ms: u64,
}

impl IdleTimer {
    /// Nothing may be done for `limit_ms` at most.
    pub fn new(limit_ms: Option<u64>, now: Instant) -> Self {
        Self {
            limit: limit_ms.map(Duration::from_millis),
            since: now,
            active_us: None,
            cpu_ms: 0,
            worked_ms: 0,
        }
    }

    /// A step of the program begins: nothing could be done before.
    pub fn begin(&mut self) {
        self.since = Instant::now();
    }

    /// Something was done just now.
    pub fn note(&mut self) {
        self.since = Instant::now();
        self.active_us = Some(now_us());
    }

    /// The program was seen to use CPU time, which may not show in what it used in all: that of children nobody waits for
    /// goes with them.
    pub fn works(&mut self, ms: u64) {
        self.worked_ms += ms;
    }

    /// When something was last done, in microseconds since the epoch.
    pub fn active_us(&self) -> Option<u64> {
        self.active_us
    }

    /// When [`Self::is_over`] must be asked.
    pub fn due(&self) -> Option<Instant> {
        self.since.checked_add(self.limit?)
    }

    /// Whether nothing was done for too long. `cpu_ms` is what the session used so far, where that is counted.
    pub fn is_over(&mut self, now: Instant, cpu_ms: impl FnOnce() -> Option<u64>) -> bool {
        if self.due().is_none_or(|due| now < due) {
            return false;
        }
        let used_ms = cpu_ms().unwrap_or(0);
        let worked_ms = std::mem::take(&mut self.worked_ms);
        let is_at_work = used_ms >= self.cpu_ms + WORK_MS || worked_ms >= WORK_MS;
        self.cpu_ms = used_ms;
        if is_at_work {
            self.since = now;
        }
        !is_at_work
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writing_and_computing_count() {
        let began = Instant::now();
        let mut idle = IdleTimer::new(Some(1000), began);
        let later = |ms| began + Duration::from_millis(ms);
        assert!(!idle.is_over(later(999), || Some(0)));
        assert!(!idle.is_over(later(1000), || Some(WORK_MS))); // it computes
        assert!(!idle.is_over(later(1999), || Some(WORK_MS)));
        assert!(idle.is_over(later(2000), || Some(WORK_MS + 1)));
        idle.note();
        assert!(!idle.is_over(idle.since + Duration::from_millis(999), || None));
        idle.works(WORK_MS);
        assert!(!idle.is_over(idle.since + Duration::from_millis(1000), || None)); // it was seen to compute
        assert!(idle.is_over(idle.since + Duration::from_millis(1000), || None));
        assert!(IdleTimer::new(None, began).due().is_none());
    }
}
