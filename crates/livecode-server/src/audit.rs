//! The audit: who created, watched, shared and ended which session, and who changed tokens, when
//! and from where. It never has what was run or written.
//!
//! Every action is a line of the log, except those of the local user of a server that does not know
//! its users. Where the server knows its users, actions are also kept in
//! the control store for `audit_keep_days`, at most `audit_rows_max` of them: the oldest go first.
//! They are written at intervals, so that an action costs no write of its own; a crash of the
//! server loses those of the last [`WRITE_INTERVAL`].

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use livecode_protocol::{SessionId, now_us};
use livecode_store::{AuditKeep, AuditedAction, ControlStore, ControlStoreError};
use tokio::sync::Notify;

use crate::{
    auth::{Caller, Payer},
    config::Config,
};

/// How often actions are written.
const WRITE_INTERVAL: Duration = Duration::from_secs(2);
/// How many different actions make the server write before the interval is over.
const WRITE_EARLY: usize = 1_000;
/// How many different actions wait to be written, for example while the disk is full. Further ones
/// are in the log alone, which says how many.
const WAITING_MAX: usize = 20_000;
/// How many different [cheap](Action::is_cheap) actions of one caller wait to be written. Of
/// further ones the log has the number, so that one caller does not soon push out the actions of
/// all others.
const WAITING_PER_CALLER_MAX: u32 = 100;
/// A part of `audit_rows_max`: how many actions are added before they are counted again.
const SLACK_DIVISOR: u64 = 100;
/// How often actions are forgotten that are too old.
const FORGET_INTERVAL: Duration = Duration::from_secs(60 * 60);
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
    /// An exercise was put, for the first time or in place of another version.
    ExercisePut,
    /// An exercise was deleted.
    ExerciseDeleted,
    /// A token was made.
    TokenCreated,
    /// A token was revoked.
    TokenRevoked,
    /// A token was replaced by another one.
    TokenRotated,
    /// A purge of a user began: all that the server has of it is deleted.
    UserPurged,
    /// The runtimes were read again, or that was tried.
    RuntimesReloaded,
}

impl Action {
    /// Whether callers can do many such actions at almost no cost.
    fn is_cheap(self) -> bool {
        matches!(self, Self::SessionWatched | Self::ShareRedeemed)
    }

    /// The name of the action, which never changes.
    fn as_str(self) -> &'static str {
        match self {
            Self::SessionCreated => "session_created",
            Self::SessionWatched => "session_watched",
            Self::SessionEnded => "session_ended",
            Self::ShareCreated => "share_created",
            Self::ShareRevoked => "share_revoked",
            Self::ShareRedeemed => "share_redeemed",
            Self::ExercisePut => "exercise_put",
            Self::ExerciseDeleted => "exercise_deleted",
            Self::TokenCreated => "token_created",
            Self::TokenRevoked => "token_revoked",
            Self::TokenRotated => "token_rotated",
            Self::UserPurged => "user_purged",
            Self::RuntimesReloaded => "runtimes_reloaded",
        }
    }
}

/// The things that an action was done with.
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
    /// `None` if the server has no store.
    store: Option<ControlStore>,
    /// How long the store keeps actions, in microseconds; 0 if actions are in the log alone.
    keep_us: u64,
    /// How many actions the store keeps.
    rows_max: u64,
    knows_users: bool,
    waiting: Mutex<Waiting>,
    /// Notified when many actions wait.
    is_urgent: Notify,
    /// How many rows were added to the store since its rows were counted. Locked while actions are
    /// written.
    writing: tokio::sync::Mutex<u64>,
}

#[derive(Debug, Default)]
struct Waiting {
    actions: HashMap<Key, Times>,
    /// How many different cheap actions of each caller wait.
    of_callers: HashMap<String, u32>,
    /// Actions for which there was no room.
    dropped: u64,
}

impl Waiting {
    /// Adds an action that does not wait yet. Returns whether there was room for it.
    fn insert(&mut self, key: Key, times: Times) -> bool {
        if self.actions.len() >= WAITING_MAX {
            self.dropped += times.times;
            return false;
        }
        if key.action.is_cheap() {
            *self.of_callers.entry(key.actor.clone()).or_default() += 1;
        }
        self.actions.insert(key, times);
        true
    }
}

impl Audit {
    /// The audit of a server with these settings.
    pub fn new(config: &Config, store: Option<ControlStore>) -> Self {
        let knows_users = config.auth.knows_users();
        let keep_days = if knows_users { config.audit_keep_days } else { 0 };
        Self {
            store,
            keep_us: keep_days.saturating_mul(DAY_US),
            rows_max: config.audit_rows_max,
            knows_users,
            waiting: Mutex::default(),
            is_urgent: Notify::new(),
            writing: tokio::sync::Mutex::default(),
        }
    }

    /// Notes that `caller`, who uses the server from `client`, has done something. Repetitions by
    /// the same caller within [`WRITE_INTERVAL`] are counted, and are one line of the log.
    pub fn note(&self, action: Action, caller: &Caller, client: Option<IpAddr>, target: impl Into<Target>) {
        if *caller == Caller::Local && !self.knows_users {
            return;
        }
        let key = Key {
            action,
            actor: caller.audit_name(),
            credential: caller.audit_credential(),
            target: target.into(),
            client: client.map(Payer::network_of),
        };
        if self.count(key.clone()) {
            log(&key, caller);
        }
    }

    /// Counts an action. Returns whether it is to be a line of the log: it is the first of its kind
    /// since actions were written.
    fn count(&self, key: Key) -> bool {
        let mut waiting = self.waiting();
        if let Some(times) = waiting.actions.get_mut(&key) {
            times.times += 1;
            return false;
        }
        let is_kept = self.store.is_some() && self.keep_us > 0;
        let of_caller = waiting.of_callers.get(&key.actor).copied().unwrap_or(0);
        if is_kept && key.action.is_cheap() && of_caller >= WAITING_PER_CALLER_MAX {
            waiting.dropped += 1;
            return false;
        }
        let is_added = waiting.insert(key, Times { first_us: now_us(), times: 1 });
        if is_added && waiting.actions.len() == WRITE_EARLY {
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
            // A failure is logged, and the actions wait for the next time.
            let _ = self.write().await;
        }
    }

    /// Forgets actions that are too old, at intervals; all of them if actions are not kept any
    /// more. This never returns.
    pub async fn forget_at_intervals(&self) {
        let Some(store) = &self.store else { return };
        let mut interval = tokio::time::interval(FORGET_INTERVAL);
        loop {
            interval.tick().await;
            if let Err(error) = store.add_to_audit(&[], self.keep(Some(self.rows_max))).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "old actions of the audit are left");
            }
        }
    }

    fn keep(&self, rows_max: Option<u64>) -> AuditKeep {
        let since_us = if self.keep_us > 0 { now_us().saturating_sub(self.keep_us) } else { u64::MAX };
        AuditKeep { since_us, rows_max }
    }

    /// Writes the actions that wait.
    ///
    /// # Errors
    /// If the store fails. The actions then wait for the next time, and the failure is logged.
    pub async fn write(&self) -> Result<(), ControlStoreError> {
        let mut added = self.writing.lock().await;
        let Waiting { actions, dropped, .. } = std::mem::take(&mut *self.waiting());
        if dropped > 0 {
            tracing::warn!(dropped, "more actions were done than the audit can keep");
        }
        let Some(store) = self.store.as_ref().filter(|_| self.keep_us > 0) else { return Ok(()) };
        if actions.is_empty() {
            return Ok(());
        }
        let rows: Vec<_> = actions.iter().map(|(key, times)| row(key, *times)).collect();
        // As many rows as may be added uncounted are left free when they are counted.
        let slack = self.rows_max / SLACK_DIVISOR;
        *added += rows.len() as u64;
        let rows_max = (*added > slack).then_some(self.rows_max - slack);
        let Err(error) = store.add_to_audit(&rows, self.keep(rows_max)).await else {
            if rows_max.is_some() {
                *added = 0;
            }
            return Ok(());
        };
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "the audit could not be written; it is tried again"
        );
        let mut waiting = self.waiting();
        for (key, times) in actions {
            match waiting.actions.get_mut(&key) {
                Some(later) => *later = Times { times: later.times + times.times, ..times },
                None => {
                    waiting.insert(key, times);
                }
            }
        }
        Err(error)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps an action, with the token `subject` or with none, that a command has done on a data
/// directory without a server.
///
/// # Errors
/// If the store fails.
pub async fn add_local_action(
    store: &ControlStore,
    action: Action,
    subject: Option<&str>,
) -> Result<(), ControlStoreError> {
    let caller = Caller::Local;
    let target = Target { session: None, subject: subject.map(ToOwned::to_owned) };
    let key = Key { action, actor: caller.audit_name(), credential: None, target, client: None };
    // The next server forgets those that are too old.
    store.add_to_audit(&[row(&key, Times { first_us: now_us(), times: 1 })], AuditKeep::default()).await
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
    async fn one_caller_has_a_bounded_number_of_cheap_actions() {
        let folder = tempfile::tempdir().unwrap();
        let store = ControlStore::open(folder.path()).await.unwrap();
        let audit = Audit { store: Some(store), keep_us: DAY_US, ..audit() };
        for share in 0..1_000 {
            let target = Target { session: None, subject: Some(share.to_string()) };
            audit.count(Key { target, ..key(1) });
        }
        audit.count(key(2));
        audit.count(Key { action: Action::TokenCreated, ..key(1) });
        assert_eq!(audit.waiting().actions.len(), WAITING_PER_CALLER_MAX as usize + 2);
        assert_eq!(audit.waiting().dropped, 1_000 - u64::from(WAITING_PER_CALLER_MAX));
    }

    #[test]
    fn addresses_of_one_network_are_one() {
        let audit = Audit { knows_users: true, ..audit() };
        for address in ["2001:db8::1", "2001:db8::2", "2001:db8:0:0:5::"] {
            audit.note(Action::ShareRedeemed, &Caller::Local, address.parse().ok(), Target::default());
        }
        let clients: Vec<_> = audit.waiting().actions.keys().map(|key| key.client).collect();
        assert_eq!(clients, ["2001:db8::".parse().ok()]);
    }

    async fn rows(store: &ControlStore) -> usize {
        let all = livecode_store::AuditFilter { max: u64::MAX, ..Default::default() };
        store.audit(&all).await.unwrap().len()
    }

    #[tokio::test]
    async fn the_store_keeps_a_bounded_number_of_actions() {
        let folder = tempfile::tempdir().unwrap();
        let store = ControlStore::open(folder.path()).await.unwrap();
        let audit = Audit { store: Some(store.clone()), keep_us: DAY_US, rows_max: 500, ..audit() };
        for write in 0..80 {
            (0..7).for_each(|number| _ = audit.count(key(write * 7 + number)));
            audit.write().await.unwrap();
            assert!(rows(&store).await <= 500);
        }
        assert!(rows(&store).await >= 480, "as many as possible are kept");
    }

    #[tokio::test]
    async fn a_server_that_keeps_no_audit_forgets_that_of_earlier_ones() {
        let folder = tempfile::tempdir().unwrap();
        let store = ControlStore::open(folder.path()).await.unwrap();
        add_local_action(&store, Action::TokenCreated, None).await.unwrap();
        let audit = Audit { store: Some(store.clone()), ..audit() };
        let forget = audit.forget_at_intervals();
        let is_forgotten = async {
            while rows(&store).await > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = forget => {}
            () = is_forgotten => {}
        }
        assert_eq!(rows(&store).await, 0);
    }

    #[tokio::test]
    async fn actions_that_cannot_be_written_are_written_later() {
        let folder = tempfile::tempdir().unwrap();
        let store = ControlStore::open(folder.path()).await.unwrap();
        let audit = Audit { store: Some(store.clone()), keep_us: DAY_US, ..audit() };
        audit.count(key(1));
        store.close().await;
        assert!(audit.write().await.is_err());
        audit.count(key(1));
        let store = ControlStore::open(folder.path()).await.unwrap();
        let audit = Audit { store: Some(store.clone()), ..audit };
        audit.write().await.unwrap();
        let found =
            store.audit(&livecode_store::AuditFilter { max: 10, ..Default::default() }).await.unwrap();
        assert_eq!(found.iter().map(|action| action.times).collect::<Vec<_>>(), [2]);
    }
}
