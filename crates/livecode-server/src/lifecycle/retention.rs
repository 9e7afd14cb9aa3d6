//! When ended sessions are trimmed and deleted: the output after `keep_output_ms`, the session
//! after `keep_ms`, and the oldest sessions while all together take more than `keep_max_bytes`.

use std::{cmp::Reverse, sync::Arc, time::Duration};

use livecode_journal::TRIMMED_BYTES;
use livecode_protocol::now_us;

use crate::config::Config;
use crate::lifecycle::registry::Registry;
use crate::sessions::{Session, blocking::blocking, ended::ended_progress};

/// The longest and the shortest interval between two passes. The interval is a quarter of the
/// shortest retention period, within these bounds.
const MAX_INTERVAL: Duration = Duration::from_secs(60);
const MIN_INTERVAL: Duration = Duration::from_millis(200);

/// An ended session, with what decides about its retention.
struct RetentionCandidate {
    session: Arc<Session>,
    ended_us: u64,
    disk_bytes: u64,
}

impl Registry {
    /// Trims and deletes old sessions at intervals. This never returns.
    pub async fn retain(self: Arc<Self>, config: Arc<Config>) {
        let shortest = Duration::from_millis(config.keep_ms.min(config.keep_output_ms) / 4);
        let mut interval = tokio::time::interval(shortest.clamp(MIN_INTERVAL, MAX_INTERVAL));
        loop {
            interval.tick().await;
            let candidates = self.find_candidates().await;
            self.apply_retention(&candidates, &config).await;
        }
    }

    /// All ended sessions, the newest first. The trash is emptied too. The disk is read on a
    /// thread for blocking work.
    async fn find_candidates(self: &Arc<Self>) -> Vec<RetentionCandidate> {
        let registry = self.clone();
        let find = move || {
            registry.store.empty_trash();
            let sessions = registry.ended_sessions().into_iter();
            let mut candidates: Vec<_> = sessions
                .map(|session| RetentionCandidate {
                    ended_us: session.progress().ended.map_or(0, |ended| ended.ended_us),
                    disk_bytes: registry.store.disk_bytes(session.id),
                    session,
                })
                .collect();
            candidates.sort_by_key(|candidate| Reverse(candidate.ended_us));
            candidates
        };
        let found = blocking(find).await;
        found
            .inspect_err(|error| tracing::error!(%error, "the search for old sessions failed"))
            .unwrap_or_default()
    }

    /// Deletes sessions that ended more than `keep_ms` ago, and of the rest the oldest beyond
    /// `keep_max_bytes`. Trims sessions that ended more than `keep_output_ms` ago.
    async fn apply_retention(self: &Arc<Self>, newest_first: &[RetentionCandidate], config: &Config) {
        let ms_ago_us = |ms: u64| now_us().saturating_sub(ms.saturating_mul(1000));
        let (oldest_us, oldest_output_us) = (ms_ago_us(config.keep_ms), ms_ago_us(config.keep_output_ms));
        let mut total_bytes = 0u64;
        for RetentionCandidate { session, ended_us, disk_bytes } in newest_first {
            total_bytes = total_bytes.saturating_add(*disk_bytes);
            if *ended_us < oldest_us || total_bytes > config.keep_max_bytes {
                if let Err(error) = self.delete(session).await {
                    tracing::warn!(id = %session.id, %error, "an old session could not be deleted");
                }
            } else if *ended_us < oldest_output_us {
                self.trim(session).await;
            }
        }
    }

    /// Removes a session's output from its journal, unless that was done before.
    async fn trim(self: &Arc<Self>, session: &Arc<Session>) {
        if session.progress().bytes <= TRIMMED_BYTES {
            return;
        }
        let (store, id) = (self.store.clone(), session.id);
        let trim = move || store.trim_journal(id).map(|()| ended_progress(&store, id));
        match blocking(trim).await {
            Ok(Ok(Ok(trimmed))) => session.set_progress(|progress| progress.bytes = trimmed.bytes),
            Ok(Ok(Err(error))) => tracing::warn!(%id, %error, "a trimmed journal cannot be read"),
            Ok(Err(error)) => {
                tracing::warn!(%id, %error, "the output of an old session could not be removed")
            }
            Err(error) => tracing::error!(%id, %error, "the task that trims a journal failed"),
        }
    }
}
