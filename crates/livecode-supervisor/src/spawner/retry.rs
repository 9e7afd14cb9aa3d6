//! How long a pool makes no warm sandbox after one could not be made, or has died.

use std::time::{Duration, Instant};

/// How long no warm sandbox is made after a failure: at first, and at most. The time doubles with
/// each failure in a row. Meanwhile each request makes its own sandbox.
const MIN_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(10);

/// The failures of one pool since its last success.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RetryPause {
    failures: u32,
    retry_at: Option<Instant>,
}

impl RetryPause {
    /// Notes a failure. Returns how many there were in a row.
    pub fn fail(&mut self, now: Instant) -> u32 {
        let backoff = MIN_BACKOFF.saturating_mul(1 << self.failures.min(16)).min(MAX_BACKOFF);
        self.failures = self.failures.saturating_add(1);
        self.retry_at = Some(now + backoff);
        self.failures
    }

    /// Notes a success: the next failure is the first again.
    pub fn succeed(&mut self) {
        *self = Self::default();
    }

    /// When the pause ends; `None` if there is none now.
    pub fn until(&self, now: Instant) -> Option<Instant> {
        self.retry_at.filter(|at| now < *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_doubles_with_each_failure_until_a_success() {
        let (mut pause, now) = (RetryPause::default(), Instant::now());
        assert_eq!(pause.until(now), None);
        for (failures, millis) in (1..).zip([100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]) {
            assert_eq!(pause.fail(now), failures);
            let end = now + Duration::from_millis(millis);
            assert_eq!((pause.until(now), pause.until(end)), (Some(end), None));
        }
        pause.succeed();
        assert_eq!((pause.until(now), pause.fail(now)), (None, 1));
    }
}
