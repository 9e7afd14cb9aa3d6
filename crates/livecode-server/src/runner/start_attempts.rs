//! The attempts to start a session, and when to give up.
//!
//! A start that fails before the program's first step has repeated nothing and lost nothing, so it
//! may be tried again. While a resource is missing, the session waits as `queued`.

use std::time::{Duration, Instant};

use livecode_protocol::session::Outcome;

use crate::runner::backoff::Backoff;

/// How often a session is started if each attempt fails for another reason than the want of a
/// resource.
const MAX_PERMANENT_FAILURES: u32 = 3;
/// How long such attempts go on at least. A want of resources may show as another error: init has
/// ended, and its supervisor finds its socket closed.
const PERMANENT_FAILURES_TIME: Duration = Duration::from_secs(2);

/// Why an attempt has failed.
pub(super) struct StartFailure {
    /// The step that failed, and its error.
    pub error: String,
    /// Whether the same step may succeed later.
    pub is_transient: bool,
}

impl StartFailure {
    /// The failure of a supervisor that has ended without a word and without a journal: it could
    /// not be forked, or was killed.
    pub fn without_notice() -> Self {
        Self { error: "its supervisor ended before the program began".into(), is_transient: true }
    }
}

/// The attempts to start one session.
pub(super) struct StartAttempts {
    /// How long to try while a resource is missing.
    timeout: Duration,
    failed_at: Option<Instant>,
    permanent_failures: u32,
    /// The pause before the next attempt.
    pub backoff: Backoff,
}

impl StartAttempts {
    pub fn new(timeout: Duration) -> Self {
        Self { timeout, failed_at: None, permanent_failures: 0, backoff: Backoff::new() }
    }

    /// Whether no attempt has failed yet.
    pub fn is_first(&self) -> bool {
        self.failed_at.is_none()
    }

    /// Notes a failed attempt. Returns the outcome of the session if that was the last attempt.
    pub fn record(&mut self, failure: &StartFailure) -> Option<Outcome> {
        let now = Instant::now();
        let failed_at = *self.failed_at.get_or_insert(now);
        if failure.is_transient {
            return (now.duration_since(failed_at) >= self.timeout).then_some(Outcome::Timeout);
        }
        self.permanent_failures += 1;
        let is_last = self.permanent_failures >= MAX_PERMANENT_FAILURES
            && now.duration_since(failed_at) >= PERMANENT_FAILURES_TIME;
        is_last.then_some(Outcome::Lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_failure_that_stays_or_lasts_ends_the_session() {
        let failure = |is_transient| StartFailure { error: String::new(), is_transient };
        let mut patient = StartAttempts::new(Duration::from_secs(3600));
        assert!((0..1000).all(|_| patient.record(&failure(true)).is_none()));
        assert!((0..10).all(|_| patient.record(&failure(false)).is_none()), "too soon");
        patient.failed_at = Instant::now().checked_sub(PERMANENT_FAILURES_TIME);
        assert_eq!(patient.record(&failure(false)), Some(Outcome::Lost));
        let mut late = StartAttempts { failed_at: patient.failed_at, ..StartAttempts::new(Duration::ZERO) };
        assert_eq!([(); 2].map(|()| late.record(&failure(false))), [None; 2], "too few");
        assert_eq!(late.record(&failure(false)), Some(Outcome::Lost));
        let mut impatient = StartAttempts::new(Duration::ZERO);
        assert_eq!(impatient.record(&failure(true)), Some(Outcome::Timeout));
    }
}
