//! What is forgotten when: ended sessions that are too old, and the oldest while all together are too large.

use std::{sync::Arc, time::Duration};

use super::{Registry, now_us};
use crate::config::Config;

/// How often is looked.
const INTERVAL: Duration = Duration::from_secs(60);

impl Registry {
    /// Looks again and again, for ever.
    pub async fn retain(self: Arc<Self>, config: Arc<Config>) {
        let mut interval = tokio::time::interval(INTERVAL);
        loop {
            interval.tick().await;
            self.forget_old(config.keep_ms, config.keep_max_bytes).await;
        }
    }

    /// Forgets what ended more than `keep_ms` ago, and of the rest the oldest beyond `keep_max_bytes`.
    async fn forget_old(self: &Arc<Self>, keep_ms: u64, keep_max_bytes: u64) {
        let mut sessions = self.ended();
        sessions
            .sort_by_key(|session| std::cmp::Reverse(session.progress().ended.map(|ended| ended.ended_us)));
        let oldest_us = now_us().saturating_sub(keep_ms.saturating_mul(1000));
        let mut total_bytes = 0u64;
        for session in sessions {
            let ended_us = session.progress().ended.map_or(0, |ended| ended.ended_us);
            total_bytes = total_bytes.saturating_add(self.store().disk_bytes(session.id));
            if (ended_us < oldest_us || total_bytes > keep_max_bytes)
                && let Err(error) = self.forget(&session).await
            {
                tracing::warn!(id = %session.id, %error, "an old session could not be forgotten");
            }
        }
    }
}
