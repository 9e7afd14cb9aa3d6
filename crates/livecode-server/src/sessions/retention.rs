//! What is forgotten when: the output of ended sessions after a time, they themselves after a longer one, and the oldest
//! while all together are too large.

use std::{sync::Arc, time::Duration};

use crate::sessions::{Registry, Session, now_us};
use crate::{
    config::Config,
    runner::driver::{blocking, ended_progress},
};

/// How often is looked, unless something is kept for less than a few times that.
const INTERVAL: Duration = Duration::from_secs(60);
const MIN_INTERVAL: Duration = Duration::from_millis(200);

/// An ended session, as it is weighed.
struct Kept {
    session: Arc<Session>,
    ended_us: u64,
    disk_bytes: u64,
}

impl Registry {
    /// Looks again and again, for ever.
    pub async fn retain(self: Arc<Self>, config: Arc<Config>) {
        let shortest = Duration::from_millis(config.keep_ms.min(config.keep_output_ms) / 4);
        let mut interval = tokio::time::interval(shortest.clamp(MIN_INTERVAL, INTERVAL));
        loop {
            interval.tick().await;
            let kept = self.weigh().await;
            self.forget_old(&kept, &config).await;
        }
    }

    /// All ended sessions, the newest first; what is left of forgotten ones goes. The disk is asked off the threads that serve.
    async fn weigh(self: &Arc<Self>) -> Vec<Kept> {
        let registry = self.clone();
        let weigh = move || {
            registry.store().clear_trash();
            let sessions = registry.ended().into_iter();
            let mut kept: Vec<_> = sessions
                .map(|session| Kept {
                    ended_us: session.progress().ended.map_or(0, |ended| ended.ended_us),
                    disk_bytes: registry.store().disk_bytes(session.id),
                    session,
                })
                .collect();
            kept.sort_by_key(|kept| std::cmp::Reverse(kept.ended_us));
            kept
        };
        let weighed = blocking(weigh).await;
        weighed
            .inspect_err(|error| tracing::error!(%error, "weighing old sessions failed"))
            .unwrap_or_default()
    }

    /// Forgets what ended more than `keep_ms` ago, and of the rest the oldest beyond `keep_max_bytes`; drops the output of
    /// what ended more than `keep_output_ms` ago.
    async fn forget_old(self: &Arc<Self>, newest_first: &[Kept], config: &Config) {
        let before = |ms: u64| now_us().saturating_sub(ms.saturating_mul(1000));
        let (oldest_us, oldest_output_us) = (before(config.keep_ms), before(config.keep_output_ms));
        let mut total_bytes = 0u64;
        for Kept { session, ended_us, disk_bytes } in newest_first {
            total_bytes = total_bytes.saturating_add(*disk_bytes);
            if *ended_us < oldest_us || total_bytes > config.keep_max_bytes {
                if let Err(error) = self.forget(session).await {
                    tracing::warn!(id = %session.id, %error, "an old session could not be forgotten");
                }
            } else if *ended_us < oldest_output_us {
                self.trim(session).await;
            }
        }
    }

    /// Drops a session's output, if that was not done yet.
    async fn trim(self: &Arc<Self>, session: &Arc<Session>) {
        if session.progress().bytes <= livecode_journal::TRIMMED_BYTES {
            return;
        }
        let (registry, id) = (self.clone(), session.id);
        let trim = move || registry.store().trim(id).map(|()| ended_progress(registry.store(), id));
        match blocking(trim).await {
            Ok(Ok(Ok(trimmed))) => session.set_progress(|progress| progress.bytes = trimmed.bytes),
            Ok(Ok(Err(error))) => tracing::warn!(%id, %error, "a trimmed journal cannot be read"),
            Ok(Err(error)) => tracing::warn!(%id, %error, "an old session's output could not be dropped"),
            Err(error) => tracing::error!(%id, %error, "trimming failed"),
        }
    }
}
