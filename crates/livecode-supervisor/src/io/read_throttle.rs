//! When a program's pipes are looked at: at once for who says something now and then, or answers; in a little while for who
//! never stops.

use std::time::{Duration, Instant};

/// How long what a program says goes on gathering in its pipes when it says little at a time, all the time: each look costs more
/// than such a program's writing. Far less than a pipe takes to fill.
const GATHERING: Duration = Duration::from_micros(200);
/// Looks in quick succession after which that begins, and how long it takes to have one of them again.
const QUICK_LOOKS: u32 = 16;
const QUICK_LOOK_EVERY: Duration = Duration::from_millis(1);
/// CPU time that may be spent on what a program says before its share of the processors bounds that, too.
const BURST: Duration = Duration::from_millis(1);

/// The clock of one program's outputs.
pub(crate) struct ReadThrottle {
    quick_looks: u32,
    looked: Instant,
    until: Option<Instant>,
    /// The program's share of the processors, in thousandths of one: no more than that is spent on what it says.
    cpu_millicores: u32,
    /// CPU time that is left of it, what was spent in all by the last look, and by how much that was too much.
    left: Duration,
    spent: Duration,
    owed: Duration,
}

impl ReadThrottle {
    /// Of a program with this share of the processors, whose supervisor has used so much CPU time so far.
    pub fn new(cpu_millicores: u32, spent: Duration) -> Self {
        Self {
            quick_looks: QUICK_LOOKS,
            looked: Instant::now(),
            until: None,
            cpu_millicores: cpu_millicores.max(1),
            left: BURST,
            spent,
            owed: Duration::ZERO,
        }
    }

    /// Until when nothing is looked at.
    pub fn until(&self) -> Option<Instant> {
        self.until
    }

    /// It is so late.
    pub fn pass(&mut self, now: Instant) {
        self.until = self.until.filter(|until| now < *until);
    }

    /// Somebody waits for an answer.
    pub fn hurry(&mut self) {
        self.quick_looks = QUICK_LOOKS;
        self.until = None;
    }

    /// Something was read: as much as can be at once, or less. `spent` is what the supervisor has used by now.
    pub fn note(&mut self, is_much: bool, now: Instant, spent: Duration) {
        let passed = now.duration_since(self.looked);
        self.looked = now;
        let earned = u32::try_from(passed.as_millis() / QUICK_LOOK_EVERY.as_millis()).unwrap_or(QUICK_LOOKS);
        self.quick_looks = self.quick_looks.saturating_add(earned).min(QUICK_LOOKS);
        let gathering = match self.quick_looks.checked_sub(1) {
            Some(left) => {
                self.quick_looks = left;
                Duration::ZERO
            }
            None if is_much => Duration::ZERO,
            None => GATHERING,
        };
        let pause = gathering.max(self.pay(passed, spent));
        self.until = (!pause.is_zero()).then(|| now + pause);
    }

    /// Accounts for what was spent since the last look, so long ago. How long until the share makes up for it.
    fn pay(&mut self, passed: Duration, spent: Duration) -> Duration {
        let cost = spent.saturating_sub(self.spent);
        let earned = passed * self.cpu_millicores / 1000;
        let left = (self.left + earned.saturating_sub(self.owed)).min(BURST);
        let owed = self.owed.saturating_sub(earned);
        self.spent = spent;
        self.left = left.saturating_sub(cost);
        self.owed = owed + cost.saturating_sub(left);
        self.owed * 1000 / self.cpu_millicores
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_never_stops_is_looked_at_in_a_while() {
        let mut patience = ReadThrottle::new(1000, Duration::ZERO);
        let began = Instant::now();
        let later = |us| began + Duration::from_micros(us);
        let note = |patience: &mut ReadThrottle, is_much, us| {
            patience.note(is_much, later(us), Duration::ZERO);
            patience.until()
        };
        for _ in 0..QUICK_LOOKS {
            assert_eq!(note(&mut patience, false, 10), None);
        }
        assert_eq!(note(&mut patience, true, 20), None); // much at a time
        assert_eq!(note(&mut patience, false, 30), Some(later(30) + GATHERING));
        patience.pass(later(229));
        assert!(patience.until().is_some());
        patience.pass(later(230));
        assert_eq!(patience.until(), None);
        assert_eq!(note(&mut patience, false, 1500), None); // it has rested
        assert!(note(&mut patience, false, 1510).is_some());
        patience.hurry();
        assert_eq!(note(&mut patience, false, 1520), None);
    }

    #[test]
    fn a_share_bounds_what_is_spent_on_it() {
        let mut patience = ReadThrottle::new(100, Duration::from_secs(1));
        let began = Instant::now();
        let mut spent = Duration::from_secs(1) + BURST + Duration::from_millis(1);
        patience.note(true, began, spent);
        let pause = patience.until().unwrap().duration_since(began);
        assert!(pause >= Duration::from_millis(9) && pause <= Duration::from_millis(10), "{pause:?}");
        let after = began + pause;
        patience.pass(after);
        assert_eq!(patience.until(), None);
        patience.note(true, after, spent); // what was owed is paid
        assert_eq!(patience.until(), None);
        spent += Duration::from_millis(1);
        patience.note(true, after, spent);
        assert_eq!(patience.until(), Some(after + Duration::from_millis(10)));
        patience.note(true, after + Duration::from_secs(60), spent + BURST);
        assert_eq!(patience.until(), None);
    }
}
