//! When ended sessions are trimmed and deleted: the output after `keep_output_ms`, the session
//! after `keep_ms`, and earlier while all together take more than `keep_max_bytes`, or the disk
//! has less than `disk_keep_free_bytes` left. Then the oldest session of the payer goes whose
//! sessions take the most disk space. While the sessions of a payer take more than its role allows,
//! its own oldest go.

use std::{sync::Arc, time::Duration};

use livecode_journal::TRIMMED_BYTES;
use livecode_protocol::{SessionId, now_us};

use crate::auth::Payer;
use crate::config::Config;
use crate::lifecycle::{registry::Registry, table::SessionTable};
use crate::sessions::{Session, blocking::blocking, ended::ended_progress};

/// The longest and the shortest interval between two passes. The interval is a quarter of the
/// shortest retention period, within these bounds. A pass also begins when an ended session takes
/// more disk space than is left for ended sessions.
const MAX_INTERVAL: Duration = Duration::from_secs(60);
const MIN_INTERVAL: Duration = Duration::from_millis(200);
/// The time between two passes while the limits are exceeded and nothing may be removed yet.
const EXCEEDED_INTERVAL: Duration = Duration::from_secs(1);
/// How long an ended session is kept although the disk lacks free space, so that its clients can
/// read the end.
const KEEP_ENDED: Duration = Duration::from_secs(20);
/// The same time for the guests of the address whose sessions take the most, when free space is so
/// scarce that a creation of somebody else may find none.
const KEEP_ENDED_IF_SCARCE: Duration = Duration::from_secs(1);

impl Registry {
    /// Trims and deletes old sessions at intervals, and when there are too many. This never
    /// returns.
    pub async fn retain(self: Arc<Self>, config: Arc<Config>) {
        let shortest = Duration::from_millis(config.keep_ms.min(config.keep_output_ms) / 4);
        let mut interval = tokio::time::interval(shortest.clamp(MIN_INTERVAL, MAX_INTERVAL));
        let mut is_exceeded = false;
        loop {
            tokio::select! {
                _ = interval.tick() => {
                    let registry = self.clone();
                    let _ = blocking(move || registry.store.empty_trash()).await;
                }
                () = self.disk_limits.is_exceeded.notified() => {}
                () = tokio::time::sleep(EXCEEDED_INTERVAL), if is_exceeded => {}
            }
            is_exceeded = self.apply_retention(&config).await;
        }
    }

    /// As [`Self::note_end`]; a pass begins if the limits are exceeded now.
    pub(super) fn note_end_and_check(&self, session: &Session) {
        self.note_end(session);
        let (kept_bytes, is_over_quota) = {
            let kept = &self.table().kept;
            (kept.total_bytes(), kept.is_over_quota())
        };
        let is_exceeded = is_over_quota || kept_bytes > self.disk_limits.keep_max_bytes;
        if is_exceeded || self.disk_limits.lacks_space(&self.store) {
            self.disk_limits.is_exceeded.notify_one();
        }
    }

    /// Deletes sessions that ended more than `keep_ms` ago, and others while limits or quotas are
    /// exceeded. Trims sessions that ended more than `keep_output_ms` ago. Returns whether the
    /// limits are still exceeded.
    async fn apply_retention(self: &Arc<Self>, config: &Config) -> bool {
        let ms_ago_us = |ms: u64| now_us().saturating_sub(ms.saturating_mul(1000));
        let (oldest_us, oldest_output_us) = (ms_ago_us(config.keep_ms), ms_ago_us(config.keep_output_ms));
        let mut failed = vec![];
        while let Some(session) = self.find_kept(|table| table.kept.ended_before(oldest_us)) {
            self.delete_kept(session, &mut failed).await;
        }
        while let Some(session) = self.find_kept(|table| table.kept.with_output_before(oldest_output_us)) {
            self.trim(session, &mut failed).await;
        }
        let before_us = now_us().saturating_sub(KEEP_ENDED.as_micros() as u64);
        while let Some(session) = self.find_kept(|table| table.kept.oldest_over_quota(before_us)) {
            self.delete_kept(session, &mut failed).await;
        }
        let mut is_exceeded = false;
        while let Some(session) = self.find_excess().await {
            let ended_us = session.progress().ended.map_or(0, |ended| ended.ended_us);
            let is_scarce = session.payer != Payer::Local && self.disk_limits.is_scarce(&self.store);
            let keep_ended = if is_scarce { KEEP_ENDED_IF_SCARCE } else { KEEP_ENDED };
            let is_recent = now_us().saturating_sub(ended_us) < keep_ended.as_micros() as u64;
            is_exceeded = is_recent && self.table().kept.total_bytes() <= config.keep_max_bytes;
            if is_exceeded {
                break;
            }
            self.delete_kept(session, &mut failed).await;
        }
        // The next pass tries again.
        let registry = self.clone();
        let keep_failed = move || failed.iter().for_each(|session| registry.note_end(session));
        let _ = blocking(keep_failed).await;
        is_exceeded || self.table().kept.is_over_quota()
    }

    fn find_kept(&self, find: impl FnOnce(&SessionTable) -> Option<SessionId>) -> Option<Arc<Session>> {
        let table = self.table();
        find(&table).and_then(|id| table.get(id))
    }

    /// The session to be removed next if ended sessions take too much of the disk.
    async fn find_excess(self: &Arc<Self>) -> Option<Arc<Session>> {
        let registry = self.clone();
        let find = move || {
            let kept_bytes = registry.table().kept.total_bytes();
            let limits = &registry.disk_limits;
            let is_exceeded = kept_bytes > limits.keep_max_bytes || limits.lacks_space(&registry.store);
            is_exceeded.then(|| registry.find_kept(|table| table.kept.oldest_of_largest())).flatten()
        };
        blocking(find).await.ok().flatten()
    }

    /// Notes that a session has ended, with the disk space that it takes. This reads the disk.
    pub(super) fn note_end(&self, session: &Session) {
        let bytes = self.store.disk_bytes(session.id);
        let has_output = session.progress().bytes > TRIMMED_BYTES;
        self.table().keep(session, self.kept_bytes_max(session), bytes, has_output);
    }

    /// How much disk space the ended sessions of a session's payer may take, in bytes.
    fn kept_bytes_max(&self, session: &Session) -> u64 {
        self.quotas.allowance_of(session).kept_bytes_max.unwrap_or(u64::MAX)
    }

    async fn delete_kept(self: &Arc<Self>, session: Arc<Session>, failed: &mut Vec<Arc<Session>>) {
        if let Err(error) = self.delete(&session).await {
            tracing::warn!(id = %session.id.short(), %error, "an old session could not be deleted");
            self.table().overlook(&session);
            failed.push(session);
        }
    }

    /// Removes a session's output from its journal.
    async fn trim(self: &Arc<Self>, session: Arc<Session>, failed: &mut Vec<Arc<Session>>) {
        let (registry, id) = (self.clone(), session.id);
        let trim = move || {
            let store = &registry.store;
            store.trim_journal(id).map(|()| (ended_progress(store, id), store.disk_bytes(id)))
        };
        match blocking(trim).await {
            Ok(Ok((Ok(trimmed), disk_bytes))) => {
                session.set_progress(|progress| progress.bytes = trimmed.bytes);
                self.table().keep(&session, self.kept_bytes_max(&session), disk_bytes, false);
                return;
            }
            Ok(Ok((Err(error), _))) => {
                tracing::warn!(id = %id.short(), %error, "a trimmed journal cannot be read")
            }
            Ok(Err(error)) => {
                tracing::warn!(id = %id.short(), %error, "the output of an old session could not be removed")
            }
            Err(error) => tracing::error!(id = %id.short(), %error, "the task that trims a journal failed"),
        }
        self.table().overlook(&session);
        failed.push(session);
    }
}
