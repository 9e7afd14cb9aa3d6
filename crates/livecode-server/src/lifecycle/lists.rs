//! The lists of sessions, newest first: of each owner, and of all.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use livecode_protocol::SessionId;

use crate::auth::{Caller, Owner, Role};
use crate::sessions::Session;

/// Where a session stands in a list: when it was created, in microseconds since the epoch, and its
/// id. The newest session has the largest key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListKey {
    /// When the session was created, in microseconds since the epoch.
    pub created_us: u64,
    /// Its id.
    pub id: SessionId,
}

/// The sessions that a list has.
#[derive(Clone, Debug)]
pub enum ListScope {
    /// The sessions of all owners.
    All,
    /// The sessions of one owner.
    Owner(Owner),
    /// None, because the caller owns none.
    Nothing,
}

type List = BTreeMap<ListKey, Arc<Session>>;

#[derive(Default)]
pub(super) struct Lists {
    all: List,
    by_owner: HashMap<Owner, List>,
}

impl ListScope {
    /// The list that a caller gets: the local user and admins get all sessions, others their own.
    pub fn of(caller: &Caller) -> Self {
        match caller {
            Caller::Local => Self::All,
            Caller::User(user) if user.role == Role::Admin => Self::All,
            Caller::Guest(_) | Caller::User(_) | Caller::Share(_) | Caller::Nobody => {
                caller.owner().map_or(Self::Nothing, Self::Owner)
            }
        }
    }
}

impl ListKey {
    /// Where a session stands.
    pub fn of(session: &Session) -> Self {
        Self { created_us: session.created_us, id: session.id }
    }
}

impl Lists {
    pub fn insert(&mut self, session: &Arc<Session>) {
        self.all.insert(ListKey::of(session), session.clone());
        let list = self.by_owner.entry(session.owner.clone()).or_default();
        list.insert(ListKey::of(session), session.clone());
    }

    pub fn remove(&mut self, session: &Session) {
        self.all.remove(&ListKey::of(session));
        if let Some(list) = self.by_owner.get_mut(&session.owner) {
            list.remove(&ListKey::of(session));
            if list.is_empty() {
                self.by_owner.remove(&session.owner);
            }
        }
    }

    /// At most `max` sessions, the newest first; with `after` those that follow it in the list.
    pub fn page(&self, scope: &ListScope, after: Option<ListKey>, max: usize) -> Vec<Arc<Session>> {
        let list = match scope {
            ListScope::All => Some(&self.all),
            ListScope::Owner(owner) => self.by_owner.get(owner),
            ListScope::Nothing => None,
        };
        let Some(list) = list else { return vec![] };
        let newest_first = match after {
            Some(after) => list.range(..after),
            None => list.range(..),
        };
        newest_first.rev().take(max).map(|(_, session)| session.clone()).collect()
    }
}
