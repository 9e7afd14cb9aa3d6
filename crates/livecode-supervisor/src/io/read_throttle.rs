//! Spaces out the reads of a program's pipes. Output of a program that writes now and then is
//! read at once. Output of a program that writes all the time, a little at a time, is read in
//! batches.

use std::time::{Duration, Instant};

/// Pause between two reads when batching has started. Output gathers in the pipes meanwhile.
/// Batching saves CPU time, because a read costs the supervisor more than a small write costs the
/// program. The pause is far shorter than the time in which a pipe fills.
const BATCH_DELAY: Duration = Duration::from_micros(200);
/// Bucket size: reads allowed back to back before batching starts.
const READ_BURST: u32 = 16;
/// Time in which the bucket gets one read back.
const READ_REFILL: Duration = Duration::from_millis(1);
/// CPU time that the supervisor may spend on the program's output in a burst. Beyond it, the
/// program's CPU share limits that time too.
const CPU_BURST: Duration = Duration::from_millis(1);

/// A token bucket that decides when the pipes of one program are read next.
pub(crate) struct ReadThrottle {
    /// Reads that are allowed back to back now.
    burst_tokens: u32,
    last_read: Instant,
    /// The end of the current pause, if there is one.
    paused_until: Option<Instant>,
    /// The time at which the program's share has earned the current debt, if there is one.
    debt_until: Option<Instant>,
    /// The program's CPU share, in thousandths of a processor. The supervisor spends no larger
    /// share on the program's output.
    cpu_millicores: u32,
    /// CPU time that may be spent without a pause.
    credit: Duration,
    /// CPU time that the supervisor had used in total at the last read.
    spent: Duration,
    /// CPU time that was spent beyond the credit and that the share has not earned yet.
    debt: Duration,
}

impl ReadThrottle {
    /// Makes a throttle for a program with a CPU share of `cpu_millicores`, in thousandths of a
    /// processor. `spent` is the CPU time that the supervisor has used so far.
    pub fn new(cpu_millicores: u32, spent: Duration) -> Self {
        Self {
            burst_tokens: READ_BURST,
            last_read: Instant::now(),
            paused_until: None,
            debt_until: None,
            cpu_millicores: cpu_millicores.max(1),
            credit: CPU_BURST,
            spent,
            debt: Duration::ZERO,
        }
    }

    /// The end of the current pause, during which the pipes are not read; `None` if there is no
    /// pause.
    pub fn paused_until(&self) -> Option<Instant> {
        self.paused_until
    }

    /// The time at which the program's share of the processor has paid for what its output has
    /// cost; `None` if it has. Until then the program waits, too, if it makes a call of which the
    /// supervisor is notified. It is no later than the end of the pause.
    pub fn debt_until(&self) -> Option<Instant> {
        self.debt_until
    }

    /// Whether no read is left of those that are allowed back to back.
    pub fn is_batching(&self) -> bool {
        self.burst_tokens == 0
    }

    /// Clears the pause if `now` is past its end.
    pub fn clear_expired_pause(&mut self, now: Instant) {
        self.paused_until = self.paused_until.filter(|until| now < *until);
        self.debt_until = self.debt_until.filter(|until| now < *until);
    }

    /// Refills the bucket and ends the pause, so that the next read happens at once. This is
    /// called when a client is waiting for the program's reply.
    pub fn refill(&mut self) {
        self.burst_tokens = READ_BURST;
        (self.paused_until, self.debt_until) = (None, None);
    }

    /// Records a read and starts a pause if one is due. `is_full_read` says whether the read
    /// returned as many bytes as one read can. `spent` is the CPU time that the supervisor has
    /// used so far.
    pub fn record_read(&mut self, is_full_read: bool, now: Instant, spent: Duration) {
        let elapsed = now.duration_since(self.last_read);
        self.last_read = now;
        let refilled = u32::try_from(elapsed.as_millis() / READ_REFILL.as_millis()).unwrap_or(READ_BURST);
        self.burst_tokens = self.burst_tokens.saturating_add(refilled).min(READ_BURST);
        let batch_delay = match self.burst_tokens.checked_sub(1) {
            Some(tokens) => {
                self.burst_tokens = tokens;
                Duration::ZERO
            }
            None if is_full_read => Duration::ZERO,
            None => BATCH_DELAY,
        };
        let debt_pause = self.charge(elapsed, spent);
        let until = |pause: Duration| (!pause.is_zero()).then(|| now + pause);
        self.debt_until = until(debt_pause);
        self.paused_until = until(batch_delay.max(debt_pause));
    }

    /// Charges the CPU time that was spent since the last read, `elapsed` ago. Returns the time in
    /// which the program's share earns the remaining debt.
    fn charge(&mut self, elapsed: Duration, spent: Duration) -> Duration {
        let cost = spent.saturating_sub(self.spent);
        let earned = elapsed * self.cpu_millicores / 1000;
        let credit = (self.credit + earned.saturating_sub(self.debt)).min(CPU_BURST);
        let debt = self.debt.saturating_sub(earned);
        self.spent = spent;
        self.credit = credit.saturating_sub(cost);
        self.debt = debt + cost.saturating_sub(credit);
        self.debt * 1000 / self.cpu_millicores
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_writes_all_the_time_is_read_in_batches() {
        let mut throttle = ReadThrottle::new(1000, Duration::ZERO);
        let started = Instant::now();
        let later = |us| started + Duration::from_micros(us);
        let record_read = |throttle: &mut ReadThrottle, is_full_read, us| {
            throttle.record_read(is_full_read, later(us), Duration::ZERO);
            throttle.paused_until()
        };
        for _ in 0..READ_BURST {
            assert_eq!(record_read(&mut throttle, false, 10), None);
        }
        assert!(throttle.is_batching());
        assert_eq!(record_read(&mut throttle, true, 20), None); // full reads are not batched
        assert_eq!(record_read(&mut throttle, false, 30), Some(later(30) + BATCH_DELAY));
        assert_eq!(throttle.debt_until(), None);
        throttle.clear_expired_pause(later(229));
        assert!(throttle.paused_until().is_some());
        throttle.clear_expired_pause(later(230));
        assert_eq!(throttle.paused_until(), None);
        assert_eq!(record_read(&mut throttle, false, 1500), None); // one token was refilled
        assert!(record_read(&mut throttle, false, 1510).is_some());
        throttle.refill();
        assert_eq!(record_read(&mut throttle, false, 1520), None);
    }

    #[test]
    fn the_cpu_share_limits_the_time_spent_on_output() {
        let mut throttle = ReadThrottle::new(100, Duration::from_secs(1));
        let started = Instant::now();
        let mut spent = Duration::from_secs(1) + CPU_BURST + Duration::from_millis(1);
        throttle.record_read(true, started, spent);
        let pause = throttle.paused_until().unwrap().duration_since(started);
        assert!(pause >= Duration::from_millis(9) && pause <= Duration::from_millis(10), "{pause:?}");
        assert_eq!(throttle.debt_until(), throttle.paused_until());
        let after = started + pause;
        throttle.clear_expired_pause(after);
        assert_eq!(throttle.paused_until(), None);
        assert_eq!(throttle.debt_until(), None);
        throttle.record_read(true, after, spent); // the debt is paid
        assert_eq!(throttle.paused_until(), None);
        spent += Duration::from_millis(1);
        throttle.record_read(true, after, spent);
        assert_eq!(throttle.paused_until(), Some(after + Duration::from_millis(10)));
        throttle.record_read(true, after + Duration::from_secs(60), spent + CPU_BURST);
        assert_eq!(throttle.paused_until(), None);
    }
}
