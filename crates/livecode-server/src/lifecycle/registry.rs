//! All sessions of a server.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use livecode_protocol::{SessionId, quota::QuotaName, run_spec::SandboxLayout, session::SessionState};
use tokio::sync::watch;

use crate::lifecycle::{
    disk_limits::DiskLimits,
    disk_turns::DiskTurns,
    error::{DeleteError, TEARDOWN_TIMEOUT},
    lists::{ListKey, ListScope},
    quotas::{QuotaUse, Quotas, scope_of},
    refusals::RefusalCounts,
    session_log::log_end,
    table::{SessionCountLimits, SessionTable},
};
use crate::sessions::{
    Follower, Session, SessionProgress, Store, StoreError, blocking::blocking, ended::ended_progress,
    record::SessionRecord, skip::SkipTurns,
};
use crate::{
    auth::{Account, Owner, Payer, Policy, PortionLimits, Roles},
    compile_cache::CompileCache,
    config::Config,
    metrics::Metrics,
    runner::{
        cpu_weights::CpuWeights,
        driver::{Driver, give_up},
        run_queue::{RunBounds, RunQueue, RunQueueLimits},
        spawner_set::SpawnerSet,
        supervisor_client::DeliveryQueue,
    },
};

/// All sessions, by id.
pub struct Registry {
    table: Mutex<SessionTable>,
    pub(super) store: Arc<Store>,
    spawners: Arc<SpawnerSet>,
    pub(super) metrics: Arc<Metrics>,
    /// The permits to run, and the sessions that wait for one.
    pub(super) run_queue: Arc<RunQueue>,
    cpu_weights: Arc<CpuWeights>,
    /// Turns of the followers that skip much of a long journal.
    skip_turns: SkipTurns,
    /// Set when the server is about to stop; no session is created from then on.
    pub(super) is_closed: AtomicBool,
    /// Read-locked while a session is created.
    pub(super) creation_lock: tokio::sync::RwLock<()>,
    pub(super) limits: SessionCountLimits,
    pub(super) disk_min_free_bytes: u64,
    pub(super) disk_limits: DiskLimits,
    pub(super) disk_turns: DiskTurns,
    pub(super) refusals: RefusalCounts,
    pub(super) quotas: Arc<Quotas>,
}

impl Registry {
    /// Recovers the sessions that are in a data directory.
    ///
    /// # Errors
    /// If the data directory cannot be read.
    pub fn open(
        config: &Config,
        store: Store,
        spawners: Arc<SpawnerSet>,
        metrics: Arc<Metrics>,
        quotas: Arc<Quotas>,
    ) -> Result<Arc<Self>, StoreError> {
        let cache = CompileCache::open(config, metrics.clone());
        let store = Arc::new(store.with_compile_cache(cache));
        let registry = Arc::new(Self {
            table: Mutex::default(),
            store,
            spawners,
            metrics,
            run_queue: RunQueue::new(run_queue_limits(config)),
            cpu_weights: CpuWeights::new(),
            skip_turns: SkipTurns::default(),
            is_closed: AtomicBool::new(false),
            creation_lock: tokio::sync::RwLock::new(()),
            limits: SessionCountLimits {
                per_owner: config.sessions_per_owner_max,
                per_address: config.sessions_per_address_max,
                total: config.sessions_max,
            },
            disk_min_free_bytes: config.disk_min_free_bytes,
            disk_limits: DiskLimits::new(config),
            disk_turns: DiskTurns::default(),
            refusals: RefusalCounts::default(),
            quotas,
        });
        // Running sessions get their permits first. Otherwise queued sessions would be started
        // beside them. The queued sessions of an owner keep their order.
        let mut records: Vec<_> = registry
            .store
            .scan()?
            .into_iter()
            .map(|record| (registry.store.has_journal(record.id), record))
            .collect();
        records.sort_by_key(|(has_journal, record)| (!has_journal, record.created_us));
        for (has_journal, record) in records {
            registry.recover(record, has_journal);
        }
        Ok(registry)
    }

    pub(super) fn table(&self) -> MutexGuard<'_, SessionTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over a session that an earlier server created. A session with a journal has had a
    /// supervisor.
    fn recover(self: &Arc<Self>, record: SessionRecord, has_journal: bool) {
        let id = record.id;
        // Until the supervisor reports the start time, a session with a journal counts as running.
        let not_ended = || SessionProgress {
            started_us: has_journal.then_some(record.created_us),
            ..SessionProgress::default()
        };
        let progress = ended_progress(&self.store, id).unwrap_or_else(|_| not_ended());
        let has_ended = progress.ended.is_some();
        let session = self.insert(&record, progress, None);
        self.table().count(&session.owner, &session.payer);
        if has_ended {
            self.note_end(&session);
            // Servers that wrote neither address nor charge did not log ends either, and there may
            // be many such sessions.
            if session.client.is_some() || record.charge.is_some() {
                log_end(&self.store, &self.quotas, &session);
            }
        }
        let SessionRecord { owner, is_ephemeral, idempotency, .. } = record;
        if let Some(key) = idempotency {
            self.table().insert_key(owner, key, id);
        }
        if !has_ended {
            let driver = self.driver(&session, None);
            let queue = DeliveryQueue::new(session.open_queue());
            let payer = session.payer;
            if has_journal {
                let permit = self.run_queue.permit_of_running(id, payer, &session.owner);
                self.drive(session, driver.run_recovered(queue, permit));
            } else {
                // The last server died before it had a supervisor started.
                let turn = self.run_queue.reenter(id, payer, &session.owner, self.bounds_of(&session));
                self.drive(session, driver.run_new(queue, turn));
            }
        }
        if is_ephemeral {
            // The connection to its client ended with the last server.
            self.delete_in_background(id);
        }
    }

    /// How many sessions may run beside this one, which an earlier server has queued.
    fn bounds_of(&self, session: &Session) -> RunBounds {
        let bounds = RunBounds::of(self.quotas.allowance_of(session));
        let own_max = session.charge.as_ref().and_then(|charge| charge.sessions_running_max);
        RunBounds { running_max: bounds.running_max.min(own_max.unwrap_or(u64::MAX)), ..bounds }
    }

    /// Runs the task that drives a session to its end. If the task panics, the
    /// session is given up: its supervisor is killed.
    pub(super) fn drive(
        self: &Arc<Self>,
        session: Arc<Session>,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let registry = self.clone();
        tokio::spawn(async move {
            if let Err(error) = tokio::spawn(task).await {
                tracing::error!(id = %session.id.short(), %error, "a session's task failed; the session is given up");
                give_up(&registry.store, &session);
            }
            registry.table().release_slot(session.slot);
            let finish = move || {
                log_end(&registry.store, &registry.quotas, &session);
                registry.note_end_and_check(&session);
                registry.store.make_spare_folder();
            };
            let _ = blocking(finish).await;
        });
    }

    /// The driver of a session. `layout` is that of its sandbox, if it is known.
    pub(super) fn driver(&self, session: &Arc<Session>, layout: Option<SandboxLayout>) -> Driver {
        Driver {
            session: session.clone(),
            layout,
            store: self.store.clone(),
            spawners: self.spawners.clone(),
            metrics: self.metrics.clone(),
            weights: self.cpu_weights.clone(),
        }
    }

    /// Adds a session. `requested_at` is when the valid request came here; `None` if an
    /// earlier server created it.
    pub(super) fn insert(
        &self,
        record: &SessionRecord,
        progress: SessionProgress,
        requested_at: Option<Instant>,
    ) -> Arc<Session> {
        let mut table = self.table();
        let runtime = table.intern_runtime_name(&record.runtime);
        let session = Arc::new(Session::new(record, runtime, progress, requested_at, self.metrics.clone()));
        table.insert(session.clone());
        session
    }

    /// Refuses to create sessions from now on.
    pub fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
    }

    /// Waits until every session is torn down. The caller calls [`Self::close`] first.
    pub async fn drain(&self) {
        drop(self.creation_lock.write().await);
        let sessions: Vec<_> = self.table().iter().cloned().collect();
        for session in sessions {
            // The channel stays open while `session` is held, so the wait does not end early.
            let _ = session.watch().wait_for(|progress| progress.is_torn_down).await;
        }
    }

    /// Cancels every session, and waits until all their processes have ended. The caller calls
    /// [`Self::close`] first. Returns the number of sessions that had not ended.
    pub async fn end_all(&self) -> usize {
        drop(self.creation_lock.write().await);
        let mut sessions: Vec<_> = self.table().iter().cloned().collect();
        sessions.retain(|session| !session.progress().is_torn_down);
        sessions.iter().for_each(|session| session.cancel());
        for session in &sessions {
            // The channel stays open while `session` is held, so the wait does not end early.
            let _ = session.watch().wait_for(|progress| progress.is_torn_down).await;
        }
        sessions.len()
    }

    /// The number of sessions that can be found.
    pub fn count(&self) -> usize {
        self.table().len()
    }

    /// The session with this id.
    pub fn get(&self, id: SessionId) -> Option<Arc<Session>> {
        self.table().get(id)
    }

    /// The place of a session in the queue of those that wait for a permit to run, from 1; `None`
    /// if it does not wait.
    pub fn queue_position(&self, session: &Session) -> Option<u64> {
        (session.state() == SessionState::Queued)
            .then(|| self.run_queue.position(session.id, &session.payer, &session.owner))
            .flatten()
    }

    /// Tells when a session has entered or left the queue of those that wait for a permit to run.
    pub fn queue_changes(&self) -> watch::Receiver<()> {
        self.run_queue.changes()
    }

    /// At most `max` sessions of a list, the newest first; with `after` those that follow it in
    /// the list. Sessions for a single response of a v0.1 endpoint are not listed. The time that
    /// this takes depends on `max`, not on the number of sessions.
    pub fn page(&self, scope: &ListScope, after: Option<ListKey>, max: usize) -> Vec<Arc<Session>> {
        self.table().page(scope, after, max)
    }

    /// Waits until the sessions exist that are being created now.
    pub async fn wait_for_creations(&self) {
        drop(self.creation_lock.write().await);
    }

    /// All sessions of an owner, with those that are not listed. The time that this takes depends
    /// on the number of all sessions.
    pub fn sessions_of(&self, owner: &Owner) -> Vec<Arc<Session>> {
        self.table().iter().filter(|session| session.owner == *owner).cloned().collect()
    }

    /// Starts the sessions that wait for the end of a pause. This never returns.
    pub async fn end_pauses(&self) {
        self.run_queue.end_pauses().await;
    }

    /// Logs the numbers of refused creations at intervals. This never returns.
    pub async fn log_refusals(&self) {
        self.refusals.log().await;
    }

    /// The roles of this server.
    pub fn roles(&self) -> &Roles {
        self.quotas.roles()
    }

    /// How much an account has used of its quotas.
    pub fn quotas_used(&self, account: &Account) -> Vec<QuotaUse> {
        let (running, queued) = self.run_queue.held(&account.payer);
        let kept_bytes = self.table().kept.bytes_of(&account.payer);
        let allowance = &account.allowance;
        let held = [
            (QuotaName::SessionsRunningMax, allowance.sessions_running_max, running),
            (QuotaName::SessionsQueuedMax, allowance.sessions_queued_max, queued),
            (QuotaName::KeptBytesMax, allowance.kept_bytes_max, kept_bytes),
        ];
        let scope = scope_of(&account.payer);
        let held = held.into_iter().filter_map(|(quota, limit, used)| {
            Some(QuotaUse { quota, scope, limit: limit?, used, refilled_us: None })
        });
        held.chain(self.quotas.used(account)).collect()
    }

    /// Forgets the usage of a payer and of each of these tokens, while `forget_stored` deletes it
    /// from the control store.
    pub async fn forget_usage<T>(
        &self,
        payer: Payer,
        tokens: impl IntoIterator<Item = String>,
        forget_stored: impl Future<Output = T>,
    ) -> T {
        self.quotas.forget(payer, tokens, forget_stored).await
    }

    /// The data directory.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// The server's metrics.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// A reader of a session's journal that begins after the entry with number `after`.
    pub fn follow(&self, session: &Arc<Session>, after: u64) -> Follower {
        Follower::new(session, self.store.journal(session.id), after, self.skip_turns.clone())
    }

    /// Cancels a session, waits until it is torn down, and removes it from disk and from memory.
    ///
    /// # Errors
    /// If the session's processes do not end, or its folder cannot be removed.
    pub async fn delete(self: &Arc<Self>, session: &Arc<Session>) -> Result<(), DeleteError> {
        session.cancel();
        let mut progress = session.watch();
        let torn_down = progress.wait_for(|progress| progress.is_torn_down);
        if tokio::time::timeout(TEARDOWN_TIMEOUT, torn_down).await.is_err() {
            return Err(DeleteError::Alive);
        }
        let _turn = self.disk_turns.acquire(session.payer).await;
        let (store, id) = (self.store.clone(), session.id);
        // The session leaves the table only after its folder is gone. If the removal fails, the
        // session can still be found and deleted again.
        blocking(move || store.move_to_trash(id)).await.map_err(StoreError::Write)??;
        self.table().remove(session);
        let store = self.store.clone();
        let removed = blocking(move || store.remove_from_trash(id)).await;
        if let Err(error) = removed.and_then(|removed| removed) {
            tracing::warn!(id = %id.short(), %error, "files of a deleted session are left; their removal is retried");
        }
        Ok(())
    }

    /// Deletes a session without waiting for the result.
    pub fn delete_in_background(self: &Arc<Self>, id: SessionId) {
        let Some(session) = self.get(id) else { return };
        let registry = self.clone();
        tokio::spawn(async move {
            if let Err(error) = registry.delete(&session).await {
                tracing::warn!(id = %id.short(), %error, "a session could not be deleted");
            }
        });
    }
}

/// How many sessions may run, wait and start at once.
fn run_queue_limits(config: &Config) -> RunQueueLimits {
    let has_local_user = Policy::new(config).has_local_user();
    // The role of a payer says how much it may have.
    let portions = |total| PortionLimits::new(total, u64::MAX, has_local_user);
    RunQueueLimits {
        running: portions(config.sessions_running_max),
        queued: portions(config.sessions_queued_max),
        starting: std::thread::available_parallelism().map_or(1, |count| count.get() as u64),
        starts_per_second: config.starts_per_payer_per_s,
    }
}
