//! Exponential backoff with jitter, so that many clients do not reconnect at the same moment.

use std::time::Duration;

/// Upper bound of the first delay.
const INITIAL_DELAY: Duration = Duration::from_millis(100);
/// Upper bound of every delay.
const MAX_DELAY: Duration = Duration::from_secs(5);

/// Computes the delays between attempts: the bound doubles with each attempt up to [`MAX_DELAY`].
#[derive(Default)]
pub struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// The delay before the next attempt: a random duration between half of the current bound and
    /// the whole bound.
    pub fn next_delay(&mut self) -> Duration {
        let bound = INITIAL_DELAY.saturating_mul(2u32.saturating_pow(self.attempts)).min(MAX_DELAY);
        self.attempts += 1;
        let mut random = [0; 1];
        // If there is no randomness, the delays have no jitter, which does no harm.
        let _ = getrandom::fill(&mut random);
        bound / 2 + (bound / 2).mul_f64(f64::from(random[0]) / 255.0)
    }

    /// Starts again with the initial delay; called after an attempt has succeeded.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_up_to_a_bound() {
        let mut backoff = Backoff::default();
        for attempt in 0..20 {
            let bound = (INITIAL_DELAY * 2u32.pow(attempt.min(10))).min(MAX_DELAY);
            let delay = backoff.next_delay();
            assert!(delay >= bound / 2 && delay <= bound, "{delay:?} of {bound:?}");
        }
        backoff.reset();
        assert!(backoff.next_delay() <= INITIAL_DELAY);
    }
}
