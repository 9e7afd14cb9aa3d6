//! The maps and counters of the registry. They change together, behind one lock.

use std::{collections::HashMap, hash::Hash, sync::Arc};

use livecode_protocol::SessionId;

use crate::auth::{Owner, Payer};
use crate::lifecycle::{
    error::CreateError,
    kept::{KeptSession, KeptSessions},
    lists::{ListKey, ListScope, Lists},
    slots::SlotPool,
};
use crate::sessions::{IdempotencyKey, Session};

/// Limits on the number of sessions.
#[derive(Clone, Copy)]
pub(super) struct SessionCountLimits {
    /// Sessions of one owner, ended ones included.
    pub per_owner: u64,
    /// Sessions of the guests of one address, ended ones included.
    pub per_address: u64,
    /// Sessions of the server, ended ones included.
    pub total: u64,
}

#[derive(Default)]
pub(super) struct SessionTable {
    sessions: HashMap<SessionId, Arc<Session>>,
    lists: Lists,
    pub kept: KeptSessions,
    /// The number of sessions by owner and by payer, sessions under creation included.
    owner_counts: HashMap<Owner, u64>,
    payer_counts: HashMap<Payer, u64>,
    keys: HashMap<(Owner, String), KeyUse>,
    /// The names of runtimes, shared by all sessions of a runtime.
    runtime_names: HashMap<String, Arc<str>>,
    slots: SlotPool,
    /// The number of sessions under creation: they count before they can be found.
    creating: u64,
}

/// The request that an idempotency key was used for.
struct KeyUse {
    body_sha256: String,
    /// `None` while the session is being created.
    id: Option<SessionId>,
}

/// Why there is no room for another session.
pub(super) enum NoRoom {
    /// The owner has as many as an owner may have: this many.
    Owner(u64),
    /// The guests of the address have as many as an address may have.
    Address,
    /// The server has as many as it may have.
    Server,
    /// As many sessions live as the server has slots.
    Slots,
}

impl From<NoRoom> for CreateError {
    fn from(no_room: NoRoom) -> Self {
        match no_room {
            NoRoom::Owner(count) => Self::TooMany(count),
            NoRoom::Address => Self::AddressFull,
            NoRoom::Server | NoRoom::Slots => Self::Full,
        }
    }
}

impl SessionTable {
    /// Adds a session, and marks its slot as used unless the session has ended.
    pub fn insert(&mut self, session: Arc<Session>) {
        if session.progress().ended.is_none() {
            self.slots.mark_used(session.slot);
        }
        if !session.is_ephemeral {
            self.lists.insert(&session);
        }
        self.sessions.insert(session.id, session);
    }

    /// Notes that a session has ended and takes `bytes` of disk space from now on, and that all of
    /// its payer may take `payer_max_bytes`. Nothing happens if it was removed meanwhile.
    pub fn keep(&mut self, session: &Session, payer_max_bytes: u64, bytes: u64, has_output: bool) {
        let kept = kept(session).map(|kept| KeptSession { payer_max_bytes, ..kept });
        if let Some(kept) = kept.filter(|_| self.sessions.contains_key(&session.id)) {
            self.kept.add(kept, bytes, has_output);
        }
    }

    /// Has retention overlook an ended session until [`Self::keep`] is called for it again.
    pub fn overlook(&mut self, session: &Session) {
        if let Some(kept) = kept(session) {
            self.kept.remove(kept);
        }
    }

    /// At most `max` sessions of a list, the newest first; with `after` those that follow it.
    pub fn page(&self, scope: &ListScope, after: Option<ListKey>, max: usize) -> Vec<Arc<Session>> {
        self.lists.page(scope, after, max)
    }

    /// Removes a session, and its key if it has one. Nothing happens if the session is removed
    /// already.
    pub fn remove(&mut self, session: &Session) {
        if self.sessions.remove(&session.id).is_none() {
            return;
        }
        self.lists.remove(session);
        self.overlook(session);
        self.uncount(&session.owner, &session.payer);
        if let Some(key) = &session.idempotency_key {
            self.keys.remove(&(session.owner.clone(), key.to_string()));
        }
    }

    pub fn get(&self, id: SessionId) -> Option<Arc<Session>> {
        self.sessions.get(&id).cloned()
    }

    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Session>> {
        self.sessions.values()
    }

    /// The shared string for the name of a runtime.
    pub fn intern_runtime_name(&mut self, name: &str) -> Arc<str> {
        self.runtime_names.entry(name.to_owned()).or_insert_with(|| name.into()).clone()
    }

    /// Counts a session to be created, and acquires its slot.
    pub fn reserve(
        &mut self,
        owner: &Owner,
        payer: &Payer,
        limits: SessionCountLimits,
    ) -> Result<u32, NoRoom> {
        let count = self.owner_counts.get(owner).copied().unwrap_or(0);
        if count >= limits.per_owner {
            return Err(NoRoom::Owner(count));
        }
        let payer_count = self.payer_counts.get(payer).copied().unwrap_or(0);
        if *payer != Payer::Local && payer_count >= limits.per_address {
            return Err(NoRoom::Address);
        }
        if self.sessions.len() as u64 + self.creating >= limits.total {
            return Err(NoRoom::Server);
        }
        let slot = self.slots.acquire().ok_or(NoRoom::Slots)?;
        self.creating += 1;
        self.count(owner, payer);
        Ok(slot)
    }

    /// Whether nobody can create a session, because there are as many as there may be and none of
    /// them has ended, or because no slot is free.
    pub fn is_full(&self, limits: SessionCountLimits) -> bool {
        let has_all = self.sessions.len() as u64 + self.creating >= limits.total;
        self.slots.is_exhausted() || (has_all && self.kept.oldest_of_most().is_none())
    }

    /// Undoes [`Self::reserve`] after the creation failed.
    pub fn cancel_reservation(&mut self, owner: &Owner, payer: &Payer, slot: u32) {
        self.release_slot(slot);
        self.uncount(owner, payer);
        self.creating -= 1;
    }

    /// Notes that a session under creation is in the table now. Its slot and its place in the
    /// owner's count, which were reserved for it, stay its own.
    pub fn complete_reservation(&mut self) {
        self.creating -= 1;
    }

    /// Frees the slot of a session that has ended.
    pub fn release_slot(&mut self, slot: u32) {
        self.slots.release(slot);
    }

    /// Counts a session.
    pub fn count(&mut self, owner: &Owner, payer: &Payer) {
        *self.owner_counts.entry(owner.clone()).or_default() += 1;
        *self.payer_counts.entry(*payer).or_default() += 1;
    }

    fn uncount(&mut self, owner: &Owner, payer: &Payer) {
        decrement(&mut self.owner_counts, owner);
        decrement(&mut self.payer_counts, payer);
    }

    /// Claims an idempotency key for a session to be created, or returns the session that was
    /// created under the key.
    pub fn claim_key(
        &mut self,
        owner: &Owner,
        key: &IdempotencyKey,
    ) -> Result<Option<Arc<Session>>, CreateError> {
        let found = self.find_key(owner, key)?;
        if found.is_none() {
            let key_use = KeyUse { body_sha256: key.body_sha256.clone(), id: None };
            self.keys.insert((owner.clone(), key.key.clone()), key_use);
        }
        Ok(found)
    }

    /// The session that was created under an idempotency key; `None` if there is none (any more).
    pub fn find_key(&self, owner: &Owner, key: &IdempotencyKey) -> Result<Option<Arc<Session>>, CreateError> {
        match self.keys.get(&(owner.clone(), key.key.clone())) {
            Some(key_use) if key_use.body_sha256 != key.body_sha256 => Err(CreateError::KeyReused),
            Some(KeyUse { id: None, .. }) => Err(CreateError::InProgress),
            Some(KeyUse { id: Some(id), .. }) => Ok(self.sessions.get(id).cloned()),
            None => Ok(None),
        }
    }

    /// Records the session that was created under a claimed key.
    pub fn complete_key(&mut self, owner: Owner, key: String, id: SessionId) {
        if let Some(key_use) = self.keys.get_mut(&(owner, key)) {
            key_use.id = Some(id);
        }
    }

    /// Frees a claimed key after the creation failed.
    pub fn release_key(&mut self, owner: Owner, key: String) {
        self.keys.remove(&(owner, key));
    }

    /// Adds the key of a session found at start.
    pub fn insert_key(&mut self, owner: Owner, key: IdempotencyKey, id: SessionId) {
        let IdempotencyKey { key, body_sha256 } = key;
        self.keys.insert((owner, key), KeyUse { body_sha256, id: Some(id) });
    }
}

/// Counts one less, and removes a count that becomes 0.
fn decrement<K: Eq + Hash>(counts: &mut HashMap<K, u64>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

/// The facts about a session that retention needs; `None` before its end.
fn kept(session: &Session) -> Option<KeptSession> {
    let ended_us = session.progress().ended?.ended_us;
    Some(KeptSession { id: session.id, payer: session.payer, ended_us, payer_max_bytes: u64::MAX })
}
