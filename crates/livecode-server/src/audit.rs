//! The audit: who created, watched, shared and ended which session, and who changed tokens, when
//! and from where. It never has what was run or written.
//!
//! Every action is a line of the log, except those of the local user of a server that does not know
//! its users. Where the server knows its users, actions are also kept in
//! the control store for `audit_keep_days`. They are written at intervals, so that an action costs
//! no write of its own; a crash of the server loses those of the last [`WRITE_INTERVAL`].

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use livecode_protocol::{SessionId, now_us};
use livecode_store::{AuditedAction, ControlStore, ControlStoreError};
use tokio::sync::Notify;

use crate::{auth::Caller, config::Config};

/// How often actions are written.
const WRITE_INTERVAL: Duration = Duration::from_secs(2);
/// How many different actions make the server write before the interval is over.
const WRITE_EARLY: usize = 1_000;
/// How many different actions wait to be written, for example while the disk is full. Further ones
/// are in the log alone, which says how many.
const WAITING_MAX: usize = 20_000;
const DAY_US: u64 = 24 * 60 * 60 * 1_000_000;

/// The kinds of actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// A session was created.
    SessionCreated,
    /// The stream of a session was opened.
    SessionWatched,
    /// A session was ended, or deleted after its end, because somebody asked for that.
    SessionEnded,
    /// A link was made that shares a session.
    ShareCreated,
    /// Such a link was revoked.
    ShareRevoked,
    /// The secret of such a link was redeemed.
    ShareRedeemed,
    /// A token was made.
    TokenCreated,
    /// A token was revoked.
    TokenRevoked,
    /// A token was replaced by another one.
    TokenRotated,
    /// All that the server has of a user was deleted.
    UserPurged,
}

impl Action {
    /// The name of the action, which never changes.
    fn as_str(self) -> &'static str {
        match self {
            Self::SessionCreated => "session_created",
            Self::SessionWatched => "session_watched",
            Self::SessionEnded => "session_ended",
            Self::ShareCreated => "share_created",
            Self::ShareRevoked => "share_revoked",
            Self::ShareRedeemed => "share_redeemed",
            Self::TokenCreated => "token_created",
            Self::TokenRevoked => "token_revoked",
            Self::TokenRotated => "token_rotated",
            Self::UserPurged => "user_purged",
        }
    }
}

/// What an action was done with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    /// The session.
    pub session: Option<SessionId>,
    /// Another thing, such as the id of a token.
    pub subject: Option<String>,
}

impl From<SessionId> for Target {
    fn from(session: SessionId) -> Self {
        Self { session: Some(session), subject: None }
    }
}

/// An action without its time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    action: Action,
    actor: String,
    credential: Option<String>,
    target: Target,
    client: Option<IpAddr>,
}

/// When an action was first done, and how often since.
#[derive(Clone, Copy, Debug)]
struct Times {
    first_us: u64,
    times: u64,
}

/// The audit of a server.
pub(crate) struct Audit {
    /// The store, and how long it keeps actions, in microseconds; `None` if actions are in the log
    /// alone.
    store: Option<(ControlStore, u64)>,
    knows_users: bool,
    waiting: Mutex<Waiting>,
    /// Notified when many actions wait.
    is_urgent: Notify,
    /// Locked while actions are written.
    writing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Waiting {
    actions: HashMap<Key, Times>,
    /// Actions for which there was no room.
    dropped: u64,
}

impl Audit {
    /// The audit of a server with these settings.
    pub fn new(config: &Config, store: Option<ControlStore>) -> Self {
        let (knows_users, keep_days) = (config.auth.knows_users(), config.audit_keep_days);
        let store = store.filter(|_| knows_users);
        let store = store.filter(|_| keep_days > 0).map(|store| (store, keep_days.saturating_mul(DAY_US)));
        Self {
            store,
            knows_users,
            waiting: Mutex::default(),
            is_urgent: Notify::new(),
            writing: tokio::sync::Mutex::default(),
        }
    }

    /// Notes that `caller`, who uses the server from `client`, has done something. What the same
    /// caller repeats within [`WRITE_INTERVAL`] is counted, and is one line of the log.
    pub fn note(&self, action: Action, caller: &Caller, client: Option<IpAddr>, target: impl Into<Target>) {
        if *caller == Caller::Local && !self.knows_users {
            return;
        }
        let key = Key {
            action,
            actor: caller.audit_name(),
            credential: caller.audit_credential(),
            target: target.into(),
            client,
        };
        if self.count(key.clone()) {
            log(&key, caller);
        }
    }

    /// Counts an action. Returns whether it is the first of its kind since actions were written.
    fn count(&self, key: Key) -> bool {
        let mut waiting = self.waiting();
        if let Some(times) = waiting.actions.get_mut(&key) {
            times.times += 1;
            return false;
        }
        if waiting.actions.len() >= WAITING_MAX {
            waiting.dropped += 1;
            return true;
        }
        waiting.actions.insert(key, Times { first_us: now_us(), times: 1 });
        if waiting.actions.len() == WRITE_EARLY {
            self.is_urgent.notify_one();
        }
        true
    }

    /// Writes actions at intervals. This never returns.
    pub async fn write_at_intervals(&self) {
        let mut interval = tokio::time::interval(WRITE_INTERVAL);
        loop {
            tokio::select! {
                _ = interval.tick() => {}
                () = self.is_urgent.notified() => {}
            }
            self.write().await;
        }
    }

    /// Writes the actions that wait. If that fails, they wait for the next time.
    pub async fn write(&self) {
        let _writing = self.writing.lock().await;
        let Waiting { actions, dropped } = std::mem::take(&mut *self.waiting());
        if dropped > 0 {
            tracing::warn!(
                dropped,
                "more actions were done than the audit can keep; they are in the log alone"
            );
        }
        let Some((store, keep_us)) = &self.store else { return };
        if actions.is_empty() {
            return;
        }
        let rows: Vec<_> = actions.iter().map(|(key, times)| row(key, *times)).collect();
        if let Err(error) = store.add_to_audit(&rows, now_us().saturating_sub(*keep_us)).await {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "the audit could not be written; it is tried again");
            let mut waiting = self.waiting();
            for (key, times) in actions {
                if waiting.actions.len() >= WAITING_MAX && !waiting.actions.contains_key(&key) {
                    waiting.dropped += times.times;
                    continue;
                }
                let later = waiting.actions.insert(key.clone(), times);
                if let (Some(later), Some(both)) = (later, waiting.actions.get_mut(&key)) {
                    both.times += later.times;
                }
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps an action with a token that a command has done on a data directory without a server.
///
/// # Errors
/// If the store fails.
pub async fn add_local_action(
    store: &ControlStore,
    action: Action,
    token: &str,
) -> Result<(), ControlStoreError> {
    let caller = Caller::Local;
    let target = Target { session: None, subject: Some(token.to_owned()) };
    let key = Key { action, actor: caller.audit_name(), credential: None, target, client: None };
    // The next server forgets what is too old.
    store.add_to_audit(&[row(&key, Times { first_us: now_us(), times: 1 })], 0).await
}

/// The row of the store for an action.
fn row(key: &Key, times: Times) -> AuditedAction {
    AuditedAction {
        time_us: times.first_us,
        times: times.times,
        action: key.action.as_str().to_owned(),
        actor: key.actor.clone(),
        credential: key.credential.clone(),
        session: key.target.session.map(|session| session.to_string()),
        subject: key.target.subject.clone(),
        client: key.client.map(|client| client.to_string()),
    }
}

/// Logs an action. The creation of a session has a line with more of it already.
fn log(key: &Key, caller: &Caller) {
    if key.action == Action::SessionCreated {
        return;
    }
    tracing::info!(
        action = key.action.as_str(),
        by = caller.log_name().as_deref(),
        credential = key.credential.as_deref(),
        id = key.target.session.map(|session| session.short().to_string()),
        subject = key.target.subject.as_deref(),
        client = key.client.map(tracing::field::display),
        "audit"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audit() -> Audit {
        Audit::new(&Config::default(), None)
    }

    fn key(number: u64) -> Key {
        Key {
            action: Action::SessionWatched,
            actor: number.to_string(),
            credential: None,
            target: Target::default(),
            client: None,
        }
    }

    #[test]
    fn a_repeated_action_is_counted() {
        let audit = audit();
        assert!(audit.count(key(1)));
        assert!(!audit.count(key(1)));
        assert!(audit.count(key(2)));
        let waiting = audit.waiting();
        assert_eq!((waiting.actions.len(), waiting.actions[&key(1)].times), (2, 2));
    }

    #[test]
    fn the_memory_for_waiting_actions_is_bounded() {
        let audit = audit();
        for number in 0..100_000 {
            audit.count(key(number));
        }
        assert_eq!(audit.waiting().actions.len(), WAITING_MAX);
        assert_eq!(audit.waiting().dropped, 100_000 - WAITING_MAX as u64);
    }

    #[tokio::test]
    async fn actions_that_cannot_be_written_are_written_later() {
        let folder = tempfile::tempdir().unwrap();
        let store = ControlStore::open(folder.path()).await.unwrap();
        let audit = Audit { store: Some((store.clone(), DAY_US)), ..audit() };
        audit.count(key(1));
        store.close().await;
        audit.write().await;
        audit.count(key(1));
        let store = ControlStore::open(folder.path()).await.unwrap();
        let audit = Audit { store: Some((store.clone(), DAY_US)), ..audit };
        audit.write().await;
        let found =
            store.audit(&livecode_store::AuditFilter { max: 10, ..Default::default() }).await.unwrap();
        assert_eq!(found.iter().map(|action| action.times).collect::<Vec<_>>(), [2]);
    }
}
