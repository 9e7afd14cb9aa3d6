//! When the CPU time of the running step is compared with its limit, if a cgroup or samples
//! count it.

use std::time::{Duration, Instant};

/// The shortest time between two checks of a step that uses CPU time.
const MIN_CHECK_INTERVAL: Duration = Duration::from_millis(10);
/// The longest time between two checks of a step that has almost used up its CPU time and uses
/// none at the moment. A step that starts to compute again can exceed its limit by what it uses in
/// this time.
const MAX_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The timer of one session.
#[derive(Default)]
pub(crate) struct CpuTimer {
    /// CPU time that the session had used before the running step.
    base_ms: u64,
    /// CPU time that the session had used at the last check.
    last_ms: u64,
    /// The time between the last check and the next.
    interval: Duration,
    check_at: Option<Instant>,
}

impl CpuTimer {
    /// Sets the CPU time that the session has used before the step that starts.
    pub fn set_base(&mut self, base_ms: u64) {
        self.base_ms = base_ms;
    }

    /// When [`Self::is_limit_reached`] must be asked.
    pub fn due(&self) -> Option<Instant> {
        self.check_at
    }

    /// The CPU time that the session had used at the last check, in milliseconds.
    pub fn last_ms(&self) -> u64 {
        self.last_ms
    }

    /// Plans no more checks.
    pub fn stop(&mut self) {
        self.check_at = None;
    }

    /// Returns whether the running step has used up its `limit_ms`, if the session has used
    /// `total_ms` so far. If not, plans the next check.
    ///
    /// The time is not before the step can have used all that is left to it on `cpu_millicores`,
    /// and its supervisor on one more processor. While the step uses nothing, the checks become
    /// rarer.
    pub fn is_limit_reached(
        &mut self,
        now: Instant,
        total_ms: u64,
        limit_ms: u64,
        cpu_millicores: u32,
    ) -> bool {
        let left_ms = limit_ms.saturating_sub(total_ms.saturating_sub(self.base_ms));
        if left_ms == 0 {
            self.check_at = None;
            return true;
        }
        let cores = u64::from(cpu_millicores).div_ceil(1000).max(1) + 1;
        let is_unused = total_ms == std::mem::replace(&mut self.last_ms, total_ms);
        let min_interval =
            if is_unused { (self.interval * 2).min(MAX_CHECK_INTERVAL) } else { MIN_CHECK_INTERVAL };
        self.interval = Duration::from_millis(left_ms / cores).max(min_interval);
        self.check_at = now.checked_add(self.interval);
        false
    }
}
