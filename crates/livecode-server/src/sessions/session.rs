//! One session: what is known of it, and the ways to it. The task that drives it is in `driver`.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use livecode_protocol::{
    DeliveryRefused, ErrorCode, SessionId,
    control::{ClosingEntry, Delivery},
    session::{Compiled, Outcome, SessionState},
};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};

use crate::sessions::{now_us, store::SessionRecord};
use crate::{auth::Owner, metrics::Metrics};

/// Deliveries that wait for a session's task; more are refused.
const QUEUED_DELIVERIES: usize = 256;

/// How far a session is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SessionProgress {
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
    pub ended: Option<SessionEnd>,
    /// Whether all that belonged to it has gone.
    pub is_gone: bool,
}

impl SessionProgress {
    /// Where its program came from.
    pub fn compiled(&self) -> Option<Compiled> {
        self.compiled.or_else(|| self.ended?.compiled)
    }

    /// Takes over how a session ended, as its journal says. A closing entry that could not be written is told all the same,
    /// after all that is known to be there.
    pub(crate) fn finalize(&mut self, ended: Option<Self>, is_gone: bool) {
        match ended {
            Some(ended) => *self = Self { started_us: ended.started_us.or(self.started_us), ..ended },
            None if self.ended.is_none() => {
                self.entries += 1;
                self.ended = Some(SessionEnd::lost());
            }
            None => {}
        }
        self.is_gone = is_gone;
    }
}

/// How a session ended, without what only its document tells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SessionEnd {
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
    pub(crate) slot: u32,
    pub(crate) idempotency_key: Option<Box<str>>,
    life: Mutex<Life>,
    /// When it was asked for; `None` where that was of another server.
    asked: Option<Instant>,
    pub(crate) metrics: Arc<Metrics>,
}

/// A session while something is yet to come of it, and after. Thousands that have ended are kept: they hold no more than is
/// known of them.
enum Life {
    Lives(Box<Channels>),
    /// Nothing of it is left to change.
    IsGone(SessionProgress),
}

/// What the parts of a living session tell each other through.
struct Channels {
    progress: watch::Sender<SessionProgress>,
    deliveries: Option<mpsc::Sender<PendingDelivery>>,
    cancelled: watch::Sender<bool>,
}

impl Life {
    fn new(progress: SessionProgress) -> Self {
        if progress.is_gone {
            return Self::IsGone(progress);
        }
        let (progress, cancelled) = (watch::Sender::new(progress), watch::Sender::new(false));
        Self::Lives(Box::new(Channels { progress, deliveries: None, cancelled }))
    }

    fn progress(&self) -> SessionProgress {
        match self {
            Self::Lives(channels) => *channels.progress.borrow(),
            Self::IsGone(progress) => *progress,
        }
    }

    fn channels(&self) -> Option<&Channels> {
        match self {
            Self::Lives(channels) => Some(channels),
            Self::IsGone(_) => None,
        }
    }
}

/// A delivery and where its answer goes.
pub(crate) struct PendingDelivery {
    pub id: Option<Value>,
    pub item: Delivery,
    pub answer: oneshot::Sender<Result<(), DeliveryRefused>>,
}

impl Session {
    pub(crate) fn new(
        record: &SessionRecord,
        runtime: Arc<str>,
        progress: SessionProgress,
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
            idempotency_key: record.idempotency.as_ref().map(|idempotency| idempotency.key.as_str().into()),
            life: Mutex::new(Life::new(progress)),
            asked,
            metrics,
        }
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far it is.
    pub fn progress(&self) -> SessionProgress {
        self.life().progress()
    }

    /// To wait for it to go on. Once it is gone that is told, and then that nothing more will be.
    pub fn watch(&self) -> watch::Receiver<SessionProgress> {
        match &*self.life() {
            Life::Lives(channels) => channels.progress.subscribe(),
            Life::IsGone(progress) => watch::channel(*progress).1,
        }
    }

    /// Where it is in its life.
    pub fn state(&self) -> SessionState {
        let progress = self.progress();
        match (progress.ended, progress.started_us) {
            (Some(_), _) => SessionState::Ended,
            (None, Some(_)) => SessionState::Running,
            (None, None) => SessionState::Queued,
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
    ) -> Result<oneshot::Receiver<Result<(), DeliveryRefused>>, DeliveryRefused> {
        let life = self.life();
        let queue = life.channels().and_then(|channels| channels.deliveries.as_ref());
        let (answer, answered) = oneshot::channel();
        match queue.map(|queue| queue.try_send(PendingDelivery { id, item, answer })) {
            Some(Ok(())) => Ok(answered),
            Some(Err(mpsc::error::TrySendError::Full(_))) => {
                let error = "too much is on its way already; send it again later";
                Err(DeliveryRefused::new(ErrorCode::QueueFull, error))
            }
            Some(Err(mpsc::error::TrySendError::Closed(_))) | None => {
                Err(DeliveryRefused::new(ErrorCode::ProgramEnded, "the program has ended"))
            }
        }
    }

    /// Ends the program, or takes it from the queue.
    pub fn cancel(&self) {
        if let Some(channels) = self.life().channels() {
            channels.cancelled.send_replace(true);
        }
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.life().channels().is_some_and(|channels| *channels.cancelled.borrow())
    }

    /// Waits until somebody has it ended; for ever, where it is gone.
    pub(crate) async fn cancelled(&self) {
        let cancelled = self.life().channels().map(|channels| channels.cancelled.subscribe());
        let is_cancelled = match cancelled {
            Some(mut cancelled) => cancelled.wait_for(|is_cancelled| *is_cancelled).await.is_ok(),
            None => false,
        };
        if !is_cancelled {
            std::future::pending::<()>().await;
        }
    }

    /// Opens the queue of deliveries. To be called before the session can be found, so that nothing is refused in between.
    pub(crate) fn open_queue(&self) -> mpsc::Receiver<PendingDelivery> {
        let (sender, receiver) = mpsc::channel(QUEUED_DELIVERIES);
        self.set_queue(Some(sender));
        receiver
    }

    /// Refuses all further deliveries.
    pub(crate) fn close_queue(&self) {
        self.set_queue(None);
    }

    fn set_queue(&self, queue: Option<mpsc::Sender<PendingDelivery>>) {
        if let Life::Lives(channels) = &mut *self.life() {
            channels.deliveries = queue;
        }
    }

    pub(crate) fn set_progress(&self, change: impl FnOnce(&mut SessionProgress)) {
        let mut life = self.life();
        let before = life.progress();
        let mut now = before;
        change(&mut now);
        self.count(&before, &now);
        match &mut *life {
            Life::Lives(channels) => drop(channels.progress.send_replace(now)),
            Life::IsGone(progress) => *progress = now,
        }
        // Who watches sees this last, and then that it was the last.
        if now.is_gone && life.channels().is_some() {
            *life = Life::IsGone(now);
        }
    }

    /// Counts what has come about between two looks.
    fn count(&self, before: &SessionProgress, now: &SessionProgress) {
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

impl SessionEnd {
    /// The end of a session that could not even be closed.
    pub(crate) fn lost() -> Self {
        Self { exitstatus: 255, outcome: Outcome::Lost, ended_us: now_us(), usage: None, compiled: None }
    }

    pub(crate) fn new(ending: &ClosingEntry) -> Self {
        let &ClosingEntry { exitstatus, outcome, ended_us, usage, compiled, started_us: _ } = ending;
        Self { exitstatus, outcome, ended_us, usage, compiled }
    }
}
