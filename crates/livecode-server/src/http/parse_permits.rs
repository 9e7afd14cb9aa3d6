//! How many large bodies are parsed at once.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Limits how many large bodies are parsed at once: one for every two processors, so that others are
/// free for everything else. Further ones wait in the order in which they are complete.
#[derive(Clone)]
pub(crate) struct ParsePermits(Arc<Semaphore>);

impl Default for ParsePermits {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Semaphore::new((processors / 2).max(1))))
    }
}

impl ParsePermits {
    /// Waits for a permit, which is returned when the value is dropped.
    pub async fn acquire(&self) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed, so there always is one.
        self.0.clone().acquire_owned().await.ok()
    }
}
