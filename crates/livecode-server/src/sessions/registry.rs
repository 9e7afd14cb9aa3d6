//! All sessions of a server.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use livecode_protocol::{SessionId, control, run_spec::RunSpec};
use tokio::sync::Semaphore;
use tracing::Instrument as _;

use crate::sessions::{
    Follower, Session, now_us,
    session::SessionProgress,
    store::{Idempotency, SessionRecord, Store, StoreError},
};
use crate::{
    auth::Owner,
    compile_cache::CompileCache,
    config::Config,
    metrics::Metrics,
    runner::{
        driver::{Driver, abandon, blocking, ended_progress},
        spawner_set::SpawnerSet,
        supervisor_client::DeliveryQueue,
    },
    spec::ResolvedSpec,
};

/// How long forgetting waits for a supervisor to have everything killed.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// What a session is to be made of.
pub struct SessionSpec {
    /// Whose it will be.
    pub owner: Owner,
    /// What it runs.
    pub prepared: ResolvedSpec,
    /// Whether it is for one answer of a v0.1 endpoint.
    pub ephemeral: bool,
    /// The key under which it is to be made once.
    pub idempotency: Option<IdempotencyKey>,
}

/// A client's `Idempotency-Key`, with a digest of what it asked for.
#[derive(Clone, Debug)]
pub struct IdempotencyKey {
    /// The key, the client's own.
    pub key: String,
    /// SHA-256 of the request's body, in hexadecimal.
    pub body_sha256: String,
}

/// Why no session was created.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The owner has as many as one may have.
    #[error("you have {0} sessions, as many as one owner may have; delete one first")]
    TooMany(u64),
    /// The server has as many as it may have.
    #[error("the server has as many sessions as it may have; try again later")]
    Full,
    /// Another request was made under the same key.
    #[error("another request was made under this Idempotency-Key; use a new key for a new request")]
    KeyReused,
    /// The same request is being worked on.
    #[error("a request under this Idempotency-Key is being worked on; ask again in a moment")]
    InProgress,
    /// The server is about to stop.
    #[error("the server is stopping and makes no new sessions; try again in a moment")]
    Closed,
    /// So little room is left on the disk that what runs needs it.
    #[error(
        "the disk of the sessions has {free_bytes} bytes left, and a new session needs {needed_bytes} (disk_min_free_bytes): \
         delete sessions, or make room"
    )]
    NoRoom {
        /// What is left.
        free_bytes: u64,
        /// What must be left.
        needed_bytes: u64,
    },
    /// The disk is full, or fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system has no randomness to give.
    #[error("no random id could be drawn: {0}")]
    Random(getrandom::Error),
}

/// Why a session could not be forgotten.
#[derive(Debug, thiserror::Error)]
pub enum ForgetError {
    /// Its supervisor did not end.
    #[error("the session's processes did not end within {} seconds; try again", KILL_TIMEOUT.as_secs())]
    Alive,
    /// Its folder could not be removed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// All sessions, by id.
pub struct Registry {
    inner: Mutex<Inner>,
    store: Arc<Store>,
    spawners: Arc<SpawnerSet>,
    metrics: Arc<Metrics>,
    permits: Arc<Semaphore>,
    is_closed: AtomicBool,
    /// Read-locked while a session is made.
    making: tokio::sync::RwLock<()>,
    per_owner_max: u64,
    max: u64,
    disk_min_free_bytes: u64,
}

#[derive(Default)]
struct Inner {
    sessions: HashMap<SessionId, Arc<Session>>,
    per_owner: HashMap<Owner, u64>,
    keys: HashMap<(Owner, String), Key>,
    runtimes: HashMap<String, Arc<str>>,
    slots: Slots,
    /// Sessions that are being made: they count before they can be found.
    making: u64,
}

impl Inner {
    /// Counts a session of `owner` no more.
    fn discount(&mut self, owner: &Owner) {
        if let Some(count) = self.per_owner.get_mut(owner) {
            *count -= 1;
            if *count == 0 {
                self.per_owner.remove(owner);
            }
        }
    }
}

/// What became of an idempotency key.
struct Key {
    body_sha256: String,
    /// `None` while the session is being made.
    id: Option<SessionId>,
}

/// Numbers that tell living sessions apart, taken round-robin so that one is not soon used again.
#[derive(Default)]
struct Slots {
    used: BTreeSet<u32>,
    next: u32,
}

impl Slots {
    /// As many as the sandbox has uids, less its own.
    const COUNT: u32 = 0xffff;

    /// A number that is free; `None` where none is.
    fn take(&mut self) -> Option<u32> {
        if self.used.len() >= Self::COUNT as usize {
            return None;
        }
        while !self.used.insert(self.next) {
            self.next = (self.next + 1) % Self::COUNT;
        }
        let slot = self.next;
        self.next = (self.next + 1) % Self::COUNT;
        Some(slot)
    }
}

impl Registry {
    /// Takes up the sessions that are in a data directory.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn open(
        config: &Config,
        store: Store,
        spawners: SpawnerSet,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Self>, StoreError> {
        let cache = CompileCache::open(config, metrics.clone());
        let store = Arc::new(store.with_compile_cache(cache));
        let permits = usize::try_from(config.sessions_running_max).unwrap_or(Semaphore::MAX_PERMITS);
        let registry = Arc::new(Self {
            inner: Mutex::default(),
            store,
            spawners: Arc::new(spawners),
            metrics,
            permits: Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS))),
            per_owner_max: config.sessions_per_owner_max,
            max: config.sessions_max,
            disk_min_free_bytes: config.disk_min_free_bytes,
            is_closed: AtomicBool::new(false),
            making: tokio::sync::RwLock::new(()),
        });
        // Those that run take their permits first, or what waits would be started beside them; what waits keeps its order.
        let mut records: Vec<_> = registry
            .store
            .scan()?
            .into_iter()
            .map(|record| (registry.store.has_begun(record.id), record))
            .collect();
        records.sort_by_key(|(has_begun, record)| (!has_begun, record.created_us));
        for (has_begun, record) in records {
            registry.recover(record, has_begun);
        }
        Ok(registry)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session that another server made.
    fn recover(self: &Arc<Self>, record: SessionRecord, has_begun: bool) {
        let id = record.id;
        // Until its supervisor says better: what has begun runs, and is not taken for waiting.
        let unknown = || SessionProgress {
            started_us: has_begun.then_some(record.created_us),
            ..SessionProgress::default()
        };
        let progress = ended_progress(&self.store, id).unwrap_or_else(|_| unknown());
        let ended = progress.ended.is_some();
        let (ephemeral, idempotency) = (record.ephemeral, record.idempotency.clone());
        *self.inner().per_owner.entry(record.owner.clone()).or_default() += 1;
        let session = self.insert(&record, progress, None);
        if let Some(Idempotency { key, body_sha256 }) = idempotency {
            self.inner().keys.insert((record.owner, key), Key { body_sha256, id: Some(id) });
        }
        if !ended {
            let driver = self.driver(&session);
            let queue = DeliveryQueue::new(session.open_queue());
            // A session that runs counts, though it may be one more than are started now.
            let permit = has_begun.then(|| self.permits.clone().try_acquire_owned().ok()).flatten();
            self.drive(session, async move {
                if has_begun {
                    driver.run_recovered(queue, permit).await;
                } else {
                    driver.run_new(queue).await; // the last server died before it could have it started
                }
            });
        }
        if ephemeral {
            self.forget_soon(id); // whoever it was for went with the last server
        }
    }

    /// Has a task bring a session to its end. Should that fail by a mistake of ours, the session is settled all the same.
    pub(crate) fn drive(
        self: &Arc<Self>,
        session: Arc<Session>,
        life: impl Future<Output = ()> + Send + 'static,
    ) {
        let registry = self.clone();
        tokio::spawn(async move {
            if let Err(error) = tokio::spawn(life).await {
                tracing::error!(id = %session.id, %error, "the task of a session failed; the session is given up");
                abandon(&registry.store, &session);
            }
            registry.release_slot(&session);
            let _ = blocking(move || registry.store.make_ahead()).await;
        });
    }

    fn driver(&self, session: &Arc<Session>) -> Driver {
        Driver {
            session: session.clone(),
            store: self.store.clone(),
            spawners: self.spawners.clone(),
            permits: self.permits.clone(),
            metrics: self.metrics.clone(),
        }
    }

    /// Adds a session; `asked` is when it was asked for, if that was of this server.
    fn insert(
        &self,
        record: &SessionRecord,
        progress: SessionProgress,
        asked: Option<Instant>,
    ) -> Arc<Session> {
        let mut inner = self.inner();
        // Sessions share the names of their runtimes.
        let runtime =
            inner.runtimes.entry(record.runtime.clone()).or_insert_with(|| record.runtime.as_str().into());
        let session = Arc::new(Session::new(record, runtime.clone(), progress, asked, self.metrics.clone()));
        if progress.ended.is_none() {
            inner.slots.used.insert(record.slot);
        }
        inner.sessions.insert(record.id, session.clone());
        session
    }

    fn release_slot(&self, session: &Session) {
        self.inner().slots.used.remove(&session.slot);
    }

    /// Creates a session and has it started. The flag says whether it is new: under an idempotency key that was used
    /// for the same request before, it is the session of then.
    ///
    /// # Errors
    /// See [`CreateError`]; nothing is left behind.
    pub async fn create(self: &Arc<Self>, draft: SessionSpec) -> Result<(Arc<Session>, bool), CreateError> {
        let asked = Instant::now();
        // In a task of its own: a client that goes away in the middle drops its request's future, and must leave neither
        // a key that is taken for ever nor a folder that nobody knows of.
        let registry = self.clone();
        match tokio::spawn(
            async move { registry.create_whole(draft, asked).await }
                .instrument(tracing::debug_span!("create")),
        )
        .await
        {
            Ok(result) => result,
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        }
    }

    async fn create_whole(
        self: Arc<Self>,
        draft: SessionSpec,
        asked: Instant,
    ) -> Result<(Arc<Session>, bool), CreateError> {
        let SessionSpec { owner, prepared, ephemeral, idempotency } = draft;
        if let Some(key) = &idempotency
            && let Some(session) = self.claim(&owner, key)?
        {
            return Ok((session, false));
        }
        let made = self.make(owner.clone(), prepared, ephemeral, idempotency.clone(), asked).await;
        if let Some(IdempotencyKey { key, .. }) = idempotency {
            let mut inner = self.inner();
            match &made {
                Ok(session) => {
                    if let Some(entry) = inner.keys.get_mut(&(owner, key)) {
                        entry.id = Some(session.id);
                    }
                }
                Err(_) => drop(inner.keys.remove(&(owner, key))),
            }
        }
        Ok((made?, true))
    }

    /// Takes a key for a session to be made, or finds the session made under it.
    fn claim(&self, owner: &Owner, key: &IdempotencyKey) -> Result<Option<Arc<Session>>, CreateError> {
        let mut inner = self.inner();
        let name = (owner.clone(), key.key.clone());
        match inner.keys.get(&name) {
            Some(entry) if entry.body_sha256 != key.body_sha256 => Err(CreateError::KeyReused),
            Some(Key { id: None, .. }) => Err(CreateError::InProgress),
            Some(Key { id: Some(id), .. }) if inner.sessions.contains_key(id) => {
                Ok(inner.sessions.get(id).cloned())
            }
            _ => {
                inner.keys.insert(name, Key { body_sha256: key.body_sha256.clone(), id: None });
                Ok(None)
            }
        }
    }

    async fn make(
        self: &Arc<Self>,
        owner: Owner,
        prepared: ResolvedSpec,
        ephemeral: bool,
        idempotency: Option<IdempotencyKey>,
        asked: Instant,
    ) -> Result<Arc<Session>, CreateError> {
        // Who waits for all sessions to end waits for this one to be made.
        let _making = self.making.read().await;
        if self.is_closed.load(Ordering::Acquire) {
            return Err(CreateError::Closed);
        }
        let (free_bytes, needed_bytes) = (self.store.free_bytes()?, self.disk_min_free_bytes);
        if free_bytes < needed_bytes {
            return Err(CreateError::NoRoom { free_bytes, needed_bytes });
        }
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(CreateError::Random)?;
        let slot = self.reserve(&owner)?;
        let ResolvedSpec {
            runtime,
            compile,
            run,
            env,
            files,
            stdin,
            mounts,
            limits,
            mode: _,
            cache_key_inputs,
        } = prepared;
        let id = SessionId::from_random(random);
        let version = control::VERSION;
        let mut order =
            RunSpec { version, id, slot, compile, run, env, files, stdin, mounts, limits, cache: None };
        let idempotency =
            idempotency.map(|IdempotencyKey { key, body_sha256 }| Idempotency { key, body_sha256 });
        let reserved_for = owner.clone();
        let record = SessionRecord { id, owner, runtime, created_us: now_us(), ephemeral, slot, idempotency };
        let store = self.store.clone();
        let span = tracing::debug_span!("write", %id);
        let write = move || {
            order.cache = cache_key_inputs
                .and_then(|inputs| store.compile_cache()?.slot(&record.owner, &inputs, &order));
            store.create(&record, &order).map(|()| record)
        };
        let written = blocking(move || span.in_scope(write)).await;
        let record = match written.map_err(StoreError::Write).and_then(|written| written) {
            Ok(record) => record,
            Err(error) => {
                let mut inner = self.inner();
                inner.slots.used.remove(&slot);
                inner.discount(&reserved_for);
                inner.making -= 1;
                return Err(error.into());
            }
        };
        let session = self.insert(&record, SessionProgress::default(), Some(asked));
        self.metrics.created.inc();
        self.inner().making -= 1;
        let driver = self.driver(&session);
        let queue = DeliveryQueue::new(session.open_queue());
        self.drive(session.clone(), driver.run_new(queue));
        Ok(session)
    }

    /// Counts a session to be made, and gives it its slot.
    fn reserve(&self, owner: &Owner) -> Result<u32, CreateError> {
        let mut inner = self.inner();
        let count = inner.per_owner.get(owner).copied().unwrap_or(0);
        if count >= self.per_owner_max {
            return Err(CreateError::TooMany(count));
        }
        if inner.sessions.len() as u64 + inner.making >= self.max {
            return Err(CreateError::Full);
        }
        let slot = inner.slots.take().ok_or(CreateError::Full)?;
        inner.making += 1;
        *inner.per_owner.entry(owner.clone()).or_default() += 1;
        Ok(slot)
    }

    /// Makes no new sessions from now on.
    pub fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
    }

    /// Waits until no session runs. To be called after [`Self::close`].
    pub async fn drained(&self) {
        drop(self.making.write().await);
        let sessions: Vec<_> = self.inner().sessions.values().cloned().collect();
        for session in sessions {
            let _ = session.watch().wait_for(|progress| progress.is_gone).await; // its sender is in `session`
        }
    }

    /// How many sessions can be found.
    pub fn count(&self) -> usize {
        self.inner().sessions.len()
    }

    /// The session with this id.
    pub fn get(&self, id: SessionId) -> Option<Arc<Session>> {
        self.inner().sessions.get(&id).cloned()
    }

    /// The sessions whose owner `is_listed`, the newest first; those made for one answer are nobody's to see.
    pub fn list(&self, is_listed: impl Fn(&Owner) -> bool) -> Vec<Arc<Session>> {
        let mut sessions: Vec<_> =
            self.inner().sessions.values().filter(|s| !s.ephemeral && is_listed(&s.owner)).cloned().collect();
        sessions.sort_by_key(|session| std::cmp::Reverse((session.created_us, session.id)));
        sessions
    }

    /// Every session that has ended.
    pub(crate) fn ended(&self) -> Vec<Arc<Session>> {
        self.inner().sessions.values().filter(|session| session.progress().ended.is_some()).cloned().collect()
    }

    /// What is counted.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// A reader of a session's journal that begins after the entry with number `after`.
    pub fn follow(&self, session: &Arc<Session>, after: u64) -> Follower {
        Follower::new(session, self.store.journal(session.id), after)
    }

    /// Ends what runs of a session, waits until all of it is gone, and forgets it.
    ///
    /// # Errors
    /// Where its processes do not end, or its folder cannot be removed.
    pub async fn forget(self: &Arc<Self>, session: &Arc<Session>) -> Result<(), ForgetError> {
        session.cancel();
        let mut progress = session.watch();
        let gone = progress.wait_for(|progress| progress.is_gone);
        if tokio::time::timeout(KILL_TIMEOUT, gone).await.is_err() {
            return Err(ForgetError::Alive);
        }
        let (store, id) = (self.store.clone(), session.id);
        // As long as it can be found on the disk, it can be found here, and forgotten again.
        blocking(move || store.discard(id)).await.map_err(StoreError::Write)??;
        self.remove(session);
        let store = self.store.clone();
        let cleared = blocking(move || store.clear(id)).await;
        if let Err(error) = cleared.and_then(|cleared| cleared) {
            tracing::warn!(%id, %error, "files of a forgotten session are left; they are tried again");
        }
        Ok(())
    }

    /// Takes a session out of the maps, if it is there.
    fn remove(&self, session: &Session) {
        let mut inner = self.inner();
        if inner.sessions.remove(&session.id).is_none() {
            return; // somebody else forgot it just now
        }
        inner.discount(&session.owner);
        if let Some(key) = &session.idempotency_key {
            inner.keys.remove(&(session.owner.clone(), key.to_string()));
        }
    }

    /// Has a session forgotten, without waiting.
    pub fn forget_soon(self: &Arc<Self>, id: SessionId) {
        let Some(session) = self.get(id) else { return };
        let registry = self.clone();
        tokio::spawn(async move {
            if let Err(error) = registry.forget(&session).await {
                tracing::warn!(%id, %error, "a session could not be forgotten");
            }
        });
    }
}
