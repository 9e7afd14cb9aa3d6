//! Which programs give way: one that computes for long yields the processors to those that begin, or answer somebody, so
//! that a bomb beside them is not felt. On a machine that is not full nobody is the slower for it.

use std::time::{Duration, Instant};

use livecode_sandbox::Sandbox;
use rustix::time::{ClockId, clock_gettime};

/// How long after its start a program is first looked at: most have ended by then.
const FIRST_LOOK: Duration = Duration::from_millis(10);
/// How often while it works, after ever longer pauses.
const INTERVAL: Duration = Duration::from_millis(320);
/// How seldom, at most, while it rests: for so long one that begins to compute is taken for one that does not.
const MAX_INTERVAL: Duration = Duration::from_secs(2);
/// What a program must use of a processor between two looks to be one that computes: so many percent, and so many
/// milliseconds, which is more than a small program needs in all.
const BUSY_PERCENT: u64 = 12;
const BUSY_MS: u64 = 6;
/// What it must not use any more to be none: much less, for who gives way gets less than it would use.
const QUIET_PERCENT: u64 = 3;

/// The clock of one session.
#[derive(Default)]
pub(crate) struct CpuDeprioritizer {
    due: Option<Instant>,
    interval: Duration,
    looked: Option<Instant>,
    cpu_ms: u64,
    gives_way: bool,
}

impl CpuDeprioritizer {
    /// A step begins, when so much was used by all before it. Whether those gave way, which is over.
    pub fn begin(&mut self, now: Instant, cpu_ms: u64) -> bool {
        let gave_way = self.gives_way;
        let due = now.checked_add(FIRST_LOOK);
        *self = Self { due, interval: FIRST_LOOK, looked: Some(now), cpu_ms, gives_way: false };
        gave_way
    }

    /// When to look next.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Looks where it is time to: whether the program is to give way from now on, if that is new. `cpu_ms` is what it has
    /// used so far; where nothing counts that, it is not asked again.
    pub fn look(&mut self, now: Instant, cpu_ms: impl FnOnce() -> Option<u64>) -> Option<bool> {
        if self.due.is_none_or(|due| now < due) {
            return None;
        }
        let Some(cpu_ms) = cpu_ms() else {
            self.due = None;
            return None;
        };
        let passed_ms = self.looked.map_or(0, |looked| now.duration_since(looked).as_millis() as u64).max(1);
        let used_ms = cpu_ms.saturating_sub(self.cpu_ms);
        let at_most = if used_ms == 0 { MAX_INTERVAL } else { INTERVAL };
        self.interval = (self.interval * 2).min(at_most);
        (self.looked, self.cpu_ms, self.due) = (Some(now), cpu_ms, now.checked_add(self.interval));
        let is_more_than = |percent| used_ms * 100 >= passed_ms * percent;
        let gives_way = if self.gives_way {
            is_more_than(QUIET_PERCENT)
        } else {
            used_ms >= BUSY_MS && is_more_than(BUSY_PERCENT)
        };
        (std::mem::replace(&mut self.gives_way, gives_way) != gives_way).then_some(gives_way)
    }
}

/// CPU time that went into a program so far, in milliseconds, where it can be had to give way: also what its supervisor does
/// with what it says.
pub(crate) fn used_ms(sandbox: &Sandbox) -> Option<u64> {
    Some(sandbox.counted_cpu_ms()? + own_cpu_time().as_millis() as u64)
}

/// CPU time that this process has used.
pub(crate) fn own_cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_computes_gives_way_until_it_rests() {
        let began = Instant::now();
        let mut pace = CpuDeprioritizer::default();
        let (mut now, mut used_ms) = (began, 20);
        let mut passes = |pace: &mut CpuDeprioritizer, percent: u64| {
            let due = pace.due().unwrap();
            assert_eq!(pace.look(due - Duration::from_millis(1), || unreachable!()), None);
            used_ms += due.duration_since(now).as_millis() as u64 * percent / 100;
            now = due;
            pace.look(now, || Some(used_ms))
        };
        assert!(!pace.begin(began, 20));
        assert_eq!(passes(&mut pace, 40), None); // most programs
        assert_eq!(passes(&mut pace, 25), None);
        assert_eq!(passes(&mut pace, 25), Some(true)); // as much as a quarter of a processor allows
        assert_eq!(passes(&mut pace, 100), None);
        assert_eq!(passes(&mut pace, 5), None); // between the two it stays what it is
        assert_eq!(passes(&mut pace, 2), Some(false));
        assert_eq!(passes(&mut pace, 10), None);
        assert_eq!(passes(&mut pace, 90), Some(true));
        assert!(pace.begin(now, used_ms)); // the next step is another program
        assert!(!pace.begin(now, used_ms));
    }

    #[test]
    fn who_rests_is_seldom_looked_at() {
        let began = Instant::now();
        let mut pace = CpuDeprioritizer::default();
        pace.begin(began, 5);
        let mut looks = 0;
        while let Some(due) = pace.due().filter(|due| *due < began + Duration::from_secs(60)) {
            assert_eq!(pace.look(due, || Some(5)), None);
            looks += 1;
        }
        assert!((30..=40).contains(&looks), "{looks}");
        assert_eq!(pace.look(pace.due().unwrap(), || None), None); // nothing counts
        assert_eq!(pace.due(), None);
    }
}
