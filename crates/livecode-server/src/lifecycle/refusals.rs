//! The log of refused creations. The first refusal of a kind is logged, and then, once in each
//! interval in which there are more of the kind, their number.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use livecode_protocol::ErrorCode;

use crate::{lifecycle::error::CreateError, metrics::Metrics};

/// The interval in which refusals are counted.
const INTERVAL: Duration = Duration::from_secs(60);

/// The refusals since the last report, by their codes. A code is here from its first refusal until
/// an interval passes without one.
#[derive(Default)]
pub(super) struct RefusalCounts(Mutex<Vec<(ErrorCode, u64)>>);

impl RefusalCounts {
    fn counts(&self) -> MutexGuard<'_, Vec<(ErrorCode, u64)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a refused creation, and logs it if it is the first of its kind.
    pub fn note(&self, error: &CreateError, metrics: &Metrics) {
        let code = error.code();
        metrics.count_refused_session(code);
        if self.is_first(code) {
            tracing::warn!(reason = code.as_str(), %error, "a new session was refused");
        }
    }

    /// Logs the numbers of refused creations at intervals. This never returns.
    pub async fn log(&self) {
        let mut interval = tokio::time::interval(INTERVAL);
        loop {
            interval.tick().await;
            for (code, count) in self.take() {
                let interval_s = INTERVAL.as_secs();
                tracing::warn!(reason = code.as_str(), count, interval_s, "more new sessions were refused");
            }
        }
    }

    /// Notes a refusal. Returns whether it is the first of its kind, which is to be logged.
    fn is_first(&self, code: ErrorCode) -> bool {
        let mut counts = self.counts();
        if let Some((_, count)) = counts.iter_mut().find(|(known, _)| *known == code) {
            *count += 1;
            return false;
        }
        counts.push((code, 0));
        true
    }

    /// Takes the numbers of refusals since the last call, without those that were logged. Of a
    /// kind without any, the next refusal counts as the first.
    fn take(&self) -> Vec<(ErrorCode, u64)> {
        let mut counts = self.counts();
        counts.retain(|(_, count)| *count > 0);
        counts.iter_mut().map(|(code, count)| (*code, std::mem::take(count))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_refusal_of_a_kind_is_logged_and_then_their_number() {
        let counts = RefusalCounts::default();
        let (disk, queue) = (ErrorCode::DiskFull, ErrorCode::RunQueueFull);
        assert!(counts.is_first(disk) && counts.is_first(queue));
        assert!(!counts.is_first(disk) && !counts.is_first(disk));
        assert_eq!(counts.take(), [(disk, 2)]);
        assert!(counts.is_first(queue), "an interval without a refusal ends the series");
        assert!(!counts.is_first(disk), "the series goes on");
        assert_eq!(counts.take(), [(disk, 1)]);
        assert_eq!(counts.take(), []);
        assert!(counts.is_first(disk) && counts.is_first(queue));
    }
}
