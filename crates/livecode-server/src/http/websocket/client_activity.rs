//! The state that the two halves of a websocket connection share: when the client was last
//! active, and how many of its messages wait for an answer.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

/// When the client was last active, and how many of its messages are not answered yet.
pub(super) struct ClientActivity {
    began: Instant,
    /// When the client last sent something or accepted output, in milliseconds since `began`.
    last_active_ms: AtomicU64,
    /// How many messages of the client wait for an answer.
    pub unanswered: watch::Sender<usize>,
}

impl ClientActivity {
    /// A connection that begins now.
    pub fn new() -> Self {
        Self {
            began: Instant::now(),
            last_active_ms: AtomicU64::new(0),
            unanswered: watch::Sender::default(),
        }
    }

    /// Records that the client is active now.
    pub fn record(&self) {
        self.last_active_ms.store(self.began.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// How long the client has been inactive.
    pub fn idle_time(&self) -> Duration {
        let last_active = Duration::from_millis(self.last_active_ms.load(Ordering::Relaxed));
        self.began.elapsed().saturating_sub(last_active)
    }
}
