//! Limits how many messages a client may send in a second.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    auth::Caller,
    config::Config,
    metrics::{MESSAGE_RATE, Metrics},
};

/// The capacity of the bucket, as the time in which an empty bucket refills.
const BURST: Duration = Duration::from_secs(2);

/// A token bucket: each message takes one token, and tokens are refilled at the configured rate.
pub(super) struct TokenBucket {
    /// `None` for the local user, who has no limit.
    refill_per_s: Option<f64>,
    tokens: f64,
    refilled_at: Instant,
    metrics: Arc<Metrics>,
}

impl TokenBucket {
    /// A full bucket for one connection, with the configured `messages_per_s`.
    pub fn new(config: &Config, metrics: Arc<Metrics>, caller: &Caller) -> Self {
        let refill_per_s = (*caller != Caller::Local).then_some(config.messages_per_s as f64);
        Self {
            refill_per_s,
            tokens: refill_per_s.unwrap_or(0.0) * BURST.as_secs_f64(),
            refilled_at: Instant::now(),
            metrics,
        }
    }

    /// Takes the token for one message; `false` if there is none left. A refusal is counted in the
    /// metrics.
    pub fn try_take(&mut self) -> bool {
        let Some(refill_per_s) = self.refill_per_s else { return true };
        let now = Instant::now();
        let refilled = self.tokens + (now - self.refilled_at).as_secs_f64() * refill_per_s;
        self.refilled_at = now;
        self.tokens = refilled.min(refill_per_s * BURST.as_secs_f64()) - 1.0;
        if self.tokens < 0.0 {
            self.metrics.count_refusal(MESSAGE_RATE);
        }
        self.tokens >= 0.0
    }
}
