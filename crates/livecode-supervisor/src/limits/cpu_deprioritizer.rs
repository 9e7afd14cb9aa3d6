//! Decides which programs are deprioritised. A program that computes for long gets CPU time only
//! after programs that have just started or that answer a client, so that a fork bomb or a busy
//! loop does not slow them down. On a machine with free CPU time, a deprioritised program is not
//! slower.

use std::time::{Duration, Instant};

/// Time between the start of a program and its first check. Most programs have ended by then.
const FIRST_CHECK: Duration = Duration::from_millis(10);
/// The longest interval between two checks of a program that uses CPU time. The interval doubles
/// from check to check until then.
const MAX_BUSY_INTERVAL: Duration = Duration::from_millis(320);
/// The longest interval between two checks of a program that uses no CPU time. A program that
/// starts to compute keeps its priority for at most this time.
const MAX_IDLE_INTERVAL: Duration = Duration::from_secs(2);
/// The least share of a processor, in percent, that a program must use between two checks to be
/// deprioritised. Programs that share the weight of one payer share these percents too: beside
/// many others, none of them gets more of a busy processor.
const BUSY_PERCENT: u64 = 12;
/// The least CPU time, in milliseconds, that a program must also use between two checks to be
/// deprioritised. A small program needs less than this in total.
const BUSY_MS: u64 = 6;
/// A deprioritised program gets its priority back when it uses less than this share of a
/// processor, in percent. The value is much lower than [`BUSY_PERCENT`], because a deprioritised
/// program gets less CPU time than it would use.
const QUIET_PERCENT: u64 = 3;
/// The least part of [`QUIET_PERCENT`], in thousandths, that counts for a program that shares its
/// weight. With less, a program that answers a client now and then would never be quiet.
const QUIET_LEAST_PERMILLE: u32 = 400;

/// Decides for one session.
#[derive(Default)]
pub(crate) struct CpuDeprioritizer {
    /// The time of the next check, if there is to be one.
    due: Option<Instant>,
    /// The time between the last two checks.
    interval: Duration,
    last_check: Option<Instant>,
    /// CPU time that the program had used at the last check.
    cpu_ms: u64,
    is_deprioritized: bool,
}

impl CpuDeprioritizer {
    /// Restarts the checks for a new step, which is not deprioritised. `cpu_ms` is the CPU time
    /// that all steps before it have used. Returns whether the step before it was deprioritised.
    pub fn start_step(&mut self, now: Instant, cpu_ms: u64) -> bool {
        let was_deprioritized = self.is_deprioritized;
        let due = now.checked_add(FIRST_CHECK);
        *self = Self { due, interval: FIRST_CHECK, last_check: Some(now), cpu_ms, is_deprioritized: false };
        was_deprioritized
    }

    /// Whether the program is deprioritised. Cases count as one program, so the next one is so
    /// from its start.
    pub fn is_deprioritized(&self) -> bool {
        self.is_deprioritized
    }

    /// The time of the next check.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Checks the program if a check is due. Returns whether the program is to be deprioritised
    /// from now on, or `None` if nothing changes. `weight_permille` is the weight that it has while
    /// it is not deprioritised. `cpu_ms` returns the CPU time that the program has used so far. If
    /// nothing counts that time, `cpu_ms` returns `None` and the checks end.
    pub fn check(
        &mut self,
        now: Instant,
        weight_permille: u32,
        cpu_ms: impl FnOnce() -> Option<u64>,
    ) -> Option<bool> {
        if self.due.is_none_or(|due| now < due) {
            return None;
        }
        let Some(cpu_ms) = cpu_ms() else {
            self.due = None;
            return None;
        };
        let elapsed_ms =
            self.last_check.map_or(0, |checked| now.duration_since(checked).as_millis() as u64).max(1);
        let used_ms = cpu_ms.saturating_sub(self.cpu_ms);
        let max_interval = if used_ms == 0 { MAX_IDLE_INTERVAL } else { MAX_BUSY_INTERVAL };
        self.interval = (self.interval * 2).min(max_interval);
        (self.last_check, self.cpu_ms, self.due) = (Some(now), cpu_ms, now.checked_add(self.interval));
        let has_used_part =
            |percent, permille| used_ms * 100 * 1000 >= elapsed_ms * percent * u64::from(permille);
        let is_deprioritized = if self.is_deprioritized {
            has_used_part(QUIET_PERCENT, weight_permille.max(QUIET_LEAST_PERMILLE))
        } else {
            used_ms >= BUSY_MS && has_used_part(BUSY_PERCENT, weight_permille)
        };
        let was_deprioritized = std::mem::replace(&mut self.is_deprioritized, is_deprioritized);
        (was_deprioritized != is_deprioritized).then_some(is_deprioritized)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_program_is_deprioritised_until_it_is_quiet() {
        let started = Instant::now();
        let mut deprioritizer = CpuDeprioritizer::default();
        let (mut now, mut used_ms) = (started, 20);
        let mut check_after_using = |deprioritizer: &mut CpuDeprioritizer, percent: u64| {
            let due = deprioritizer.due().unwrap();
            let too_early = due - Duration::from_millis(1);
            assert_eq!(deprioritizer.check(too_early, 1000, || unreachable!()), None);
            used_ms += due.duration_since(now).as_millis() as u64 * percent / 100;
            now = due;
            deprioritizer.check(now, 1000, || Some(used_ms))
        };
        assert!(!deprioritizer.start_step(started, 20));
        assert_eq!(check_after_using(&mut deprioritizer, 40), None); // most programs
        assert_eq!(check_after_using(&mut deprioritizer, 25), None);
        // A share of a quarter of a processor allows no more than this.
        assert_eq!(check_after_using(&mut deprioritizer, 25), Some(true));
        assert_eq!(check_after_using(&mut deprioritizer, 100), None);
        // Between the two limits, nothing changes.
        assert_eq!(check_after_using(&mut deprioritizer, 5), None);
        assert_eq!(check_after_using(&mut deprioritizer, 2), Some(false));
        assert_eq!(check_after_using(&mut deprioritizer, 10), None);
        assert_eq!(check_after_using(&mut deprioritizer, 90), Some(true));
        assert!(deprioritizer.start_step(now, used_ms)); // the next step is another program
        assert!(!deprioritizer.start_step(now, used_ms));
    }

    #[test]
    fn a_program_that_shares_its_weight_is_deprioritised_for_less() {
        let is_deprioritized_after = |weight_permille, shares: &[u64]| {
            let (mut now, mut used_ms) = (Instant::now(), 0);
            let mut deprioritizer = CpuDeprioritizer::default();
            deprioritizer.start_step(now, used_ms);
            for percent in shares.iter().flat_map(|percent| [*percent; 20]) {
                let due = deprioritizer.due().unwrap();
                used_ms += due.duration_since(now).as_millis() as u64 * percent / 100;
                now = due;
                deprioritizer.check(now, weight_permille, || Some(used_ms));
            }
            deprioritizer.is_deprioritized
        };
        // Sixteen programs share two processors, and others want these too.
        assert!(!is_deprioritized_after(1000, &[6]));
        assert!(is_deprioritized_after(62, &[6]));
        assert!(is_deprioritized_after(62, &[6, 2]));
        assert!(!is_deprioritized_after(62, &[6, 1]), "a program that answers its client now and then");
    }

    #[test]
    fn an_idle_program_is_rarely_checked() {
        let started = Instant::now();
        let mut deprioritizer = CpuDeprioritizer::default();
        deprioritizer.start_step(started, 5);
        let mut checks = 0;
        while let Some(due) = deprioritizer.due().filter(|due| *due < started + Duration::from_secs(60)) {
            assert_eq!(deprioritizer.check(due, 1000, || Some(5)), None);
            checks += 1;
        }
        assert!((30..=40).contains(&checks), "{checks}");
        // If nothing counts the CPU time, the checks end.
        assert_eq!(deprioritizer.check(deprioritizer.due().unwrap(), 1000, || None), None);
        assert_eq!(deprioritizer.due(), None);
    }
}
