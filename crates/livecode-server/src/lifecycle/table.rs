//! The maps and counters of the registry. They change together, behind one lock.

use std::{collections::HashMap, sync::Arc};

use livecode_protocol::SessionId;

use crate::auth::Owner;
use crate::lifecycle::{error::CreateError, slots::SlotPool};
use crate::sessions::{IdempotencyKey, Session};

/// Limits on the number of sessions.
#[derive(Clone, Copy)]
pub(super) struct SessionCountLimits {
    /// Sessions of one owner, ended ones included.
    pub per_owner: u64,
    /// Sessions of the server, ended ones included.
    pub total: u64,
}

#[derive(Default)]
pub(super) struct SessionTable {
    sessions: HashMap<SessionId, Arc<Session>>,
    /// The number of sessions by owner, sessions under creation included.
    counts: HashMap<Owner, u64>,
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

impl SessionTable {
    /// Adds a session, and marks its slot as used unless the session has ended.
    pub fn insert(&mut self, session: Arc<Session>) {
        if session.progress().ended.is_none() {
            self.slots.mark_used(session.slot);
        }
        self.sessions.insert(session.id, session);
    }

    /// Removes a session, and its key if it has one. Nothing happens if the session is removed
    /// already.
    pub fn remove(&mut self, session: &Session) {
        if self.sessions.remove(&session.id).is_none() {
            return;
        }
        self.decrement_count(&session.owner);
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
    pub fn reserve(&mut self, owner: &Owner, limits: SessionCountLimits) -> Result<u32, CreateError> {
        let count = self.counts.get(owner).copied().unwrap_or(0);
        if count >= limits.per_owner {
            return Err(CreateError::TooMany(count));
        }
        if self.sessions.len() as u64 + self.creating >= limits.total {
            return Err(CreateError::Full);
        }
        let slot = self.slots.acquire().ok_or(CreateError::Full)?;
        self.creating += 1;
        self.increment_count(owner);
        Ok(slot)
    }

    /// Undoes [`Self::reserve`] after the creation failed.
    pub fn cancel_reservation(&mut self, owner: &Owner, slot: u32) {
        self.release_slot(slot);
        self.decrement_count(owner);
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

    /// Counts a session of `owner`.
    pub fn increment_count(&mut self, owner: &Owner) {
        *self.counts.entry(owner.clone()).or_default() += 1;
    }

    fn decrement_count(&mut self, owner: &Owner) {
        if let Some(count) = self.counts.get_mut(owner) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(owner);
            }
        }
    }

    /// Claims an idempotency key for a session to be created, or returns the session that was
    /// created under the key.
    pub fn claim_key(
        &mut self,
        owner: &Owner,
        key: &IdempotencyKey,
    ) -> Result<Option<Arc<Session>>, CreateError> {
        let name = (owner.clone(), key.key.clone());
        match self.keys.get(&name) {
            Some(key_use) if key_use.body_sha256 != key.body_sha256 => Err(CreateError::KeyReused),
            Some(KeyUse { id: None, .. }) => Err(CreateError::InProgress),
            Some(KeyUse { id: Some(id), .. }) if self.sessions.contains_key(id) => {
                Ok(self.sessions.get(id).cloned())
            }
            _ => {
                self.keys.insert(name, KeyUse { body_sha256: key.body_sha256.clone(), id: None });
                Ok(None)
            }
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
