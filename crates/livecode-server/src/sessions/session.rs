//! One session: what is known of it, and the ways to it. The task that drives it is in `driver`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use livecode_protocol::{
    SessionId,
    control::{Delivery, Ending},
    session::{Compiled, Outcome, State},
};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};

use super::{now_us, store::Record};
use crate::{access::Owner, metrics::Metrics};

/// Deliveries that wait for a session's task; more are refused.
const QUEUED_DELIVERIES: usize = 256;

/// How far a session is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// Number of the last entry.
    pub entries: u64,
    /// Length of the journal, in bytes: it may be read up to here.
    pub bytes: u64,
    /// When the program started, in microseconds since the epoch.
    pub started_us: Option<u64>,
    /// When the program or a client last did something, in microseconds since the epoch.
    pub active_us: Option<u64>,
    /// Where its program came from, once that is known; of one that ended see there.
    pub compiled: Option<Compiled>,
    /// How it ended, once it has.
    pub ended: Option<Ended>,
    /// Whether all that belonged to it has gone.
    pub is_gone: bool,
}

impl Progress {
    /// Where its program came from.
    pub fn compiled(&self) -> Option<Compiled> {
        self.compiled.or_else(|| self.ended?.compiled)
    }

    /// Takes over how a session ended, as its journal says. A closing entry that could not be written is told all the same,
    /// after all that is known to be there.
    pub(super) fn settle(&mut self, ended: Option<Self>, is_gone: bool) {
        match ended {
            Some(ended) => *self = Self { started_us: ended.started_us.or(self.started_us), ..ended },
            None if self.ended.is_none() => {
                self.entries += 1;
                self.ended = Some(Ended::lost());
            }
            None => {}
        }
        self.is_gone = is_gone;
    }
}

/// How a session ended, without what only its document tells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ended {
    /// The exit status.
    pub exitstatus: i32,
    /// The outcome.
    pub outcome: Outcome,
    /// When, in microseconds since the epoch.
    pub ended_us: u64,
    /// What it used.
    pub usage: Option<livecode_protocol::session::Usage>,
    /// Where its program came from.
    pub compiled: Option<Compiled>,
}

/// One session.
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Whose it is.
    pub owner: Owner,
    /// Its runtime's name.
    pub runtime: Arc<str>,
    /// When it was created, in microseconds since the epoch.
    pub created_us: u64,
    /// Whether it was made for one answer of a v0.1 endpoint.
    pub ephemeral: bool,
    pub(super) slot: u32,
    pub(super) idempotency_key: Option<String>,
    progress: watch::Sender<Progress>,
    deliveries: std::sync::Mutex<Option<mpsc::Sender<Sent>>>,
    cancelled: watch::Sender<bool>,
    /// When it was asked for; `None` where that was of another server.
    asked: Option<Instant>,
    pub(super) metrics: Arc<Metrics>,
}

/// A delivery and where its answer goes.
pub(super) struct Sent {
    pub id: Option<Value>,
    pub item: Delivery,
    pub answer: oneshot::Sender<Result<(), String>>,
}

impl Session {
    pub(super) fn new(
        record: &Record,
        runtime: Arc<str>,
        progress: Progress,
        asked: Option<Instant>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            id: record.id,
            owner: record.owner.clone(),
            runtime,
            created_us: record.created_us,
            ephemeral: record.ephemeral,
            slot: record.slot,
            idempotency_key: record.idempotency.as_ref().map(|idempotency| idempotency.key.clone()),
            progress: watch::Sender::new(progress),
            deliveries: std::sync::Mutex::new(None),
            cancelled: watch::Sender::new(false),
            asked,
            metrics,
        }
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        *self.progress.borrow()
    }

    /// To wait for it to go on.
    pub fn watch(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Where it is in its life.
    pub fn state(&self) -> State {
        let progress = self.progress();
        match (progress.ended, progress.started_us) {
            (Some(_), _) => State::Ended,
            (None, Some(_)) => State::Running,
            (None, None) => State::Queued,
        }
    }

    /// How long the program has run, or ran, in seconds.
    pub fn elapsed_s(&self) -> f64 {
        let progress = self.progress();
        let until = progress.ended.map_or_else(now_us, |ended| ended.ended_us);
        let elapsed_us = progress.started_us.map_or(0, |started| until.saturating_sub(started));
        (elapsed_us / 1000) as f64 / 1000.0
    }

    /// Passes something in. The answer comes once the supervisor has it; a refusal says why in words for the client.
    /// Deliveries arrive in the order of these calls.
    ///
    /// # Errors
    /// At once where the session has ended or its queue is full.
    pub fn deliver(
        &self,
        id: Option<Value>,
        item: Delivery,
    ) -> Result<oneshot::Receiver<Result<(), String>>, &'static str> {
        let queue = self.deliveries.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (answer, answered) = oneshot::channel();
        match queue.as_ref().map(|queue| queue.try_send(Sent { id, item, answer })) {
            Some(Ok(())) => Ok(answered),
            Some(Err(mpsc::error::TrySendError::Full(_))) => {
                Err("too much is on its way already; send it again later")
            }
            Some(Err(mpsc::error::TrySendError::Closed(_))) | None => Err("the program has ended"),
        }
    }

    /// Ends the program, or takes it from the queue.
    pub fn cancel(&self) {
        self.cancelled.send_replace(true);
    }

    pub(super) fn is_cancelled(&self) -> bool {
        *self.cancelled.borrow()
    }

    /// Waits until somebody has it ended.
    pub(super) async fn cancelled(&self) {
        let _ = self.cancelled.subscribe().wait_for(|is_cancelled| *is_cancelled).await; // its sender is `self`
    }

    /// Opens the queue of deliveries. To be called before the session can be found, so that nothing is refused in between.
    pub(super) fn open_queue(&self) -> mpsc::Receiver<Sent> {
        let (sender, receiver) = mpsc::channel(QUEUED_DELIVERIES);
        *self.deliveries.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(sender);
        receiver
    }

    /// Refuses all further deliveries.
    pub(super) fn close_queue(&self) {
        *self.deliveries.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
    }

    pub(super) fn set_progress(&self, change: impl FnOnce(&mut Progress)) {
        self.progress.send_modify(|progress| {
            let before = *progress;
            change(progress);
            self.count(&before, progress);
        });
    }

    /// Counts what has come about between two looks.
    fn count(&self, before: &Progress, now: &Progress) {
        let between = |from_us: u64, to_us: u64| Duration::from_micros(to_us.saturating_sub(from_us));
        if let Some(asked) = self.asked {
            if let (None, Some(started_us)) = (before.started_us, now.started_us) {
                self.metrics.started(between(self.created_us, started_us));
            }
            if before.entries == 0 && now.entries > 0 {
                self.metrics.has_entry(asked.elapsed());
            }
        }
        // What another server has seen is not counted again.
        if self.asked.is_some() || before.bytes > 0 {
            self.metrics.journal_bytes.inc_by(now.bytes.saturating_sub(before.bytes));
        }
        if let (None, Some(compiled)) = (before.compiled(), now.compiled()) {
            self.metrics.compiled(compiled);
        }
        if let (None, Some(ended)) = (before.ended, now.ended) {
            let ran = now.started_us.map(|started_us| between(started_us, ended.ended_us));
            self.metrics.ended(ended.outcome, ran);
        }
    }
}

impl Ended {
    /// The end of a session that could not even be closed.
    pub(super) fn lost() -> Self {
        Self { exitstatus: 255, outcome: Outcome::Lost, ended_us: now_us(), usage: None, compiled: None }
    }

    pub(super) fn new(ending: &Ending) -> Self {
        let &Ending { exitstatus, outcome, ended_us, usage, compiled, started_us: _ } = ending;
        Self { exitstatus, outcome, ended_us, usage, compiled }
    }
}
