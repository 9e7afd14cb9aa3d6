//! Pauses between tries.

use std::time::Duration;

/// The first and the longest pause between two tries, for example to connect to a supervisor that
/// lives but does not listen.
const INITIAL_BACKOFF: Duration = Duration::from_millis(20);
const MAX_BACKOFF: Duration = Duration::from_secs(1);

/// Pauses between tries. Each is twice as long as the one before, up to [`MAX_BACKOFF`].
pub(super) struct Backoff(Duration);

impl Backoff {
    pub fn new() -> Self {
        Self(INITIAL_BACKOFF)
    }

    pub async fn wait(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(MAX_BACKOFF);
    }
}
