//! The creation of a session, once per idempotency key.

use std::{
    net::IpAddr,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use livecode_protocol::{
    SessionId, now_us,
    run_spec::{CasesSpec, RunSpec},
};
use tracing::Instrument as _;

use crate::lifecycle::{
    disk_limits::RESERVE_FACTOR, error::CreateError, registry::Registry, session_log::log_creation,
    table::NoRoom,
};
use crate::sessions::{
    IdempotencyKey, Session, SessionProgress, StoreError,
    blocking::blocking,
    record::{Charge, SessionRecord},
};
use crate::{
    auth::{Account, Owner, Payer},
    runner::{run_queue::RunBounds, supervisor_client::DeliveryQueue},
    spec::ResolvedSpec,
};

/// How many old sessions are removed at most to make room for one new session.
const MAX_EVICTIONS: usize = 8;

/// How long a client waits for the answer that the queue is full. A client that tries again at
/// once, as often as it can, so costs little.
const REFUSAL_DELAY: Duration = Duration::from_millis(200);

/// The parts that a new session is made of.
pub struct SessionSpec {
    /// The owner.
    pub owner: Owner,
    /// Whether it is for its owner alone if this is a guest.
    pub is_private: bool,
    /// For what the session counts, and within which limits.
    pub account: Account,
    /// The address of the client, if it is known.
    pub client: Option<IpAddr>,
    /// The resolved request: all that the session runs.
    pub resolved: ResolvedSpec,
    /// Whether the session is for a single response of a v0.1 endpoint.
    pub is_ephemeral: bool,
    /// The key under which the session is to be created at most once.
    pub idempotency: Option<IdempotencyKey>,
}

impl Registry {
    /// Creates a session and starts it. The flag says whether the session is new; if the same
    /// request was made before under the same idempotency key, the result is the session of that
    /// request.
    ///
    /// # Errors
    /// See [`CreateError`]. After an error nothing of the session is left.
    pub async fn create(self: &Arc<Self>, spec: SessionSpec) -> Result<(Arc<Session>, bool), CreateError> {
        let requested_at = Instant::now();
        // The creation is a task of its own because a client that disconnects drops its request's
        // future. A creation cancelled half-way would leave a claimed key or an unknown folder.
        let registry = self.clone();
        let create = async move { registry.create_once(spec, requested_at).await };
        let created = tokio::spawn(create.instrument(tracing::debug_span!("create"))).await;
        if let Ok(Err(error)) = &created {
            self.refusals.note(error, &self.metrics);
        }
        match created {
            Ok(Err(error @ CreateError::QueueFull(_))) => {
                tokio::time::sleep(REFUSAL_DELAY).await;
                Err(error)
            }
            Ok(result) => result,
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        }
    }

    /// Whether a session could be created for an account now, as far as this is known without the
    /// session. A refusal counts as that of a session.
    ///
    /// # Errors
    /// Why not.
    pub fn check_admission(&self, account: &Account) -> Result<(), CreateError> {
        let check = || {
            if self.is_closed.load(Ordering::Acquire) {
                return Err(CreateError::Closed);
            }
            self.check_disk_space()?;
            self.quotas.admit(account)?;
            self.quotas.take_back(account);
            Ok(())
        };
        check().inspect_err(|error| self.refusals.note(error, &self.metrics))
    }

    /// Whether the disk has room for something new. This calls statvfs(3).
    ///
    /// # Errors
    /// [`CreateError::NoRoom`] if it has not; also if the disk cannot be examined.
    pub fn check_disk_space(&self) -> Result<(), CreateError> {
        let (free_bytes, needed_bytes) = (self.store.disk_space()?.free_bytes, self.disk_min_free_bytes);
        if free_bytes < needed_bytes {
            // Ended sessions may be removed, so a later request may succeed.
            self.disk_limits.is_exceeded.notify_one();
            return Err(CreateError::NoRoom { free_bytes, needed_bytes });
        }
        Ok(())
    }

    /// The session that the same request has created before under the same idempotency key;
    /// `None` if the key is new.
    ///
    /// # Errors
    /// If the key was used for another request, or the same request is in progress.
    pub fn created_before(
        &self,
        owner: &Owner,
        key: &IdempotencyKey,
    ) -> Result<Option<Arc<Session>>, CreateError> {
        let found = self.table().find_key(owner, key);
        found.inspect_err(|error| self.refusals.note(error, &self.metrics))
    }

    /// Claims the idempotency key, creates the session, and records the result under the key.
    async fn create_once(
        self: Arc<Self>,
        spec: SessionSpec,
        requested_at: Instant,
    ) -> Result<(Arc<Session>, bool), CreateError> {
        let (owner, idempotency) = (spec.owner.clone(), spec.idempotency.clone());
        if let Some(key) = &idempotency
            && let Some(session) = self.table().claim_key(&owner, key)?
        {
            return Ok((session, false));
        }
        let created = self.create_new(spec, requested_at).await;
        if let Some(IdempotencyKey { key, .. }) = idempotency {
            let mut table = self.table();
            match &created {
                Ok(session) => table.complete_key(owner, key, session.id),
                Err(_) => table.release_key(owner, key),
            }
        }
        Ok((created?, true))
    }

    async fn create_new(
        self: &Arc<Self>,
        spec: SessionSpec,
        requested_at: Instant,
    ) -> Result<Arc<Session>, CreateError> {
        // `Registry::drain` waits for this lock, and so for this session.
        let _creation = self.creation_lock.read().await;
        if self.is_closed.load(Ordering::Acquire) {
            return Err(CreateError::Closed);
        }
        self.check_disk_space()?;
        // A refusal for another reason uses up no quota.
        let account = spec.account.clone();
        self.quotas.admit(&account)?;
        let created = self.create_admitted(spec, requested_at).await;
        if created.is_err() {
            self.quotas.take_back(&account);
        }
        created
    }

    async fn create_admitted(
        self: &Arc<Self>,
        mut spec: SessionSpec,
        requested_at: Instant,
    ) -> Result<Arc<Session>, CreateError> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(CreateError::Random)?;
        let id = SessionId::from_random(random);
        let owner = spec.owner.clone();
        let payer = spec.account.payer;
        let layout = spec.resolved.limits.layout(&spec.resolved.mounts, spec.resolved.root.as_deref());
        let root_lock = spec.resolved.root_lock.take();
        let turn = self.run_queue.enter(id, payer, &owner, RunBounds::of(&spec.account.allowance))?;
        let slot = self.reserve(&owner, &payer).await?;
        let written = {
            let _turn = self.disk_turns.acquire(payer).await;
            self.write(spec, id, slot).await
        };
        let record = match written {
            Ok(record) => record,
            Err(error) => {
                self.table().cancel_reservation(&owner, &payer, slot);
                return Err(error.into());
            }
        };
        let session = self.insert(&record, SessionProgress::default(), Some(requested_at));
        self.metrics.count_created(&session.runtime);
        log_creation(&session);
        self.table().complete_reservation();
        let driver = self.driver(&session, Some(layout));
        let queue = DeliveryQueue::new(session.open_queue());
        self.drive(session.clone(), async move {
            driver.run_new(queue, turn).await;
            drop(root_lock); // by now, the session needs its image no more
        });
        Ok(session)
    }

    /// Counts a session to be created, and acquires its slot. If the server has as many sessions
    /// as it may have, the oldest of the payer who keeps the most is removed; if the address has,
    /// its own oldest.
    async fn reserve(self: &Arc<Self>, owner: &Owner, payer: &Payer) -> Result<u32, CreateError> {
        let mut evictions = 0;
        loop {
            let (no_room, oldest) = {
                let mut table = self.table();
                let no_room = match table.reserve(owner, payer, self.limits) {
                    Ok(slot) => return Ok(slot),
                    Err(no_room) => no_room,
                };
                let oldest = match no_room {
                    NoRoom::Owner(_) | NoRoom::Slots => None,
                    NoRoom::Address => table.kept.oldest_of(payer),
                    NoRoom::Server => table.kept.oldest_of_most(),
                };
                (no_room, oldest.and_then(|id| table.get(id)))
            };
            // Other creations may take the room that was made.
            let Some(oldest) = oldest.filter(|_| evictions < MAX_EVICTIONS) else {
                return Err(no_room.into());
            };
            evictions += 1;
            if let Err(error) = self.delete(&oldest).await {
                tracing::warn!(id = %oldest.id.short(), %error, "an old session could not be deleted");
                return Err(no_room.into());
            }
        }
    }

    /// Writes the session's folder.
    async fn write(&self, spec: SessionSpec, id: SessionId, slot: u32) -> Result<SessionRecord, StoreError> {
        let SessionSpec { owner, is_private, account, client, resolved, is_ephemeral, idempotency } = spec;
        let ResolvedSpec {
            runtime,
            compile,
            run,
            env,
            files,
            stdin,
            mounts,
            root,
            root_lock: _,
            limits,
            mode: _,
            stages,
            collect,
            cases,
            exercise,
            echo,
            diagnostics,
            cache_key_inputs,
        } = resolved;
        let (stored, cache) = (None, None);
        let has_hidden_cases = cases.as_ref().is_some_and(CasesSpec::has_hidden);
        let mut run_spec = RunSpec {
            id,
            slot,
            compile,
            run,
            env,
            files,
            stdin,
            stored,
            mounts,
            root,
            limits,
            echo,
            diagnostics,
            cache,
            stages,
            collect,
            cases,
        };
        let reserve_bytes = self.disk_min_free_bytes.saturating_mul(RESERVE_FACTOR);
        run_spec.limits.disk_reserve_bytes = (reserve_bytes > 0).then_some(reserve_bytes);
        let created_us = now_us();
        let is_collecting = Some(run_spec.collect.is_some());
        let record = SessionRecord {
            id,
            owner,
            is_private,
            payer: Some(account.payer),
            charge: Some(Charge::new(&account)),
            client,
            runtime,
            created_us,
            is_ephemeral,
            has_echo: echo,
            exercise,
            has_hidden_cases,
            is_collecting,
            slot,
            idempotency,
        };
        let store = self.store.clone();
        let span = tracing::debug_span!("write", id = %id.short());
        let write = move || {
            run_spec.cache = cache_key_inputs
                .and_then(|inputs| store.compile_cache()?.entry_for(&record.owner, &inputs, &run_spec));
            store.create(&record, run_spec).map(|()| record)
        };
        blocking(move || span.in_scope(write)).await.map_err(StoreError::Write)?
    }
}
