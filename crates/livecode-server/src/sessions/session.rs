//! The state of one session in memory, and the channels between its clients and its driver. The
//! driver itself is in `runner`.

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use livecode_protocol::{
    DeliveryRefused, ErrorCode, SessionId, control::Delivery, exercise::ExerciseVersion, now_us,
    session::SessionState, stream::QUEUE_FULL,
};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};

use crate::sessions::{
    progress::SessionProgress,
    record::{Charge, SessionRecord},
    seen_points::SeenPoints,
};
use crate::{
    auth::{Owner, Payer, Target},
    held_bytes::HeldBytes,
    metrics::Metrics,
};

/// Deliveries that wait for a session's driver. Further deliveries are refused.
const MAX_QUEUED_DELIVERIES: usize = 256;
/// Memory of all deliveries to one session that are not answered yet, in bytes. Further deliveries
/// are refused.
const MAX_UNANSWERED_BYTES: u64 = 2 * 1024 * 1024;

/// One session.
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// The owner.
    pub owner: Owner,
    /// Whether it is for its owner alone if this is a guest. Other sessions of guests are for all
    /// guests who know the id.
    pub is_private: bool,
    /// The payer that is charged for it.
    pub payer: Payer,
    /// The other counts to which it adds; `None` if they follow from the payer.
    pub charge: Option<Box<Charge>>,
    /// The address of the client that created it, if it is known.
    pub client: Option<IpAddr>,
    /// The name of its runtime.
    pub runtime: Arc<str>,
    /// When it was created, in microseconds since the epoch.
    pub created_us: u64,
    /// Whether it was created by a v0.1 endpoint for a single response.
    pub is_ephemeral: bool,
    /// Whether input that clients send is kept in the journal.
    pub has_echo: bool,
    /// The exercise that its program is for, if any.
    pub exercise: Option<Box<ExerciseVersion>>,
    /// Whether some of its cases are hidden. Then clients do not learn what it uses, nor how long
    /// it runs in more than whole seconds.
    pub has_hidden_cases: bool,
    /// Whether files of it are to be kept; `None` if only its run spec tells it.
    pub(crate) is_collecting: Option<bool>,
    /// A number unique among living sessions.
    pub(crate) slot: u32,
    /// The key under which it was created, if the client sent one.
    pub(crate) idempotency_key: Option<Box<str>>,
    phase: Mutex<SessionPhase>,
    /// Whether its owner is purged, so that its usage counts for nobody.
    is_purged: AtomicBool,
    /// When the valid request to create it was passed to the registry; `None` for a session that
    /// was found at the server's start.
    requested_at: Option<Instant>,
    pub(crate) metrics: Arc<Metrics>,
    /// Where readers have been in its journal, if that has no index.
    pub(crate) seen_points: SeenPoints,
}

/// Most sessions that a server holds are ended, and of those only the last progress is kept.
enum SessionPhase {
    /// Something of the session may still change.
    Live(Box<LiveChannels>),
    /// The session has ended, and its supervisor, processes and sandbox are gone.
    TornDown(SessionProgress),
}

/// The channels that connect a live session's clients with its driver.
struct LiveChannels {
    progress: watch::Sender<SessionProgress>,
    /// `None` before the queue is opened and after it is closed.
    deliveries: Option<mpsc::Sender<PendingDelivery>>,
    /// Memory of the deliveries that are not answered yet, in bytes.
    unanswered_bytes: Arc<AtomicU64>,
    /// Becomes true when the session is to be ended.
    cancelled: watch::Sender<bool>,
}

impl SessionPhase {
    fn new(progress: SessionProgress) -> Self {
        if progress.is_torn_down {
            return Self::TornDown(progress);
        }
        let (progress, cancelled) = (watch::Sender::new(progress), watch::Sender::new(false));
        let unanswered_bytes = Arc::default();
        Self::Live(Box::new(LiveChannels { progress, deliveries: None, unanswered_bytes, cancelled }))
    }

    fn progress(&self) -> SessionProgress {
        match self {
            Self::Live(channels) => *channels.progress.borrow(),
            Self::TornDown(progress) => *progress,
        }
    }

    fn channels(&self) -> Option<&LiveChannels> {
        match self {
            Self::Live(channels) => Some(channels),
            Self::TornDown(_) => None,
        }
    }
}

/// A delivery that is not answered yet, and where its answer goes.
pub(crate) struct PendingDelivery {
    /// The client's id of the delivery, by which the supervisor recognises a repetition.
    pub id: Option<Value>,
    pub item: Delivery,
    pub answer: oneshot::Sender<Result<(), DeliveryRefused>>,
    _charge: DeliveryCharge,
}

/// The charge for a delivery until it is answered: to the client's payer and to the session.
struct DeliveryCharge {
    held: HeldBytes,
    unanswered_bytes: Arc<AtomicU64>,
}

impl DeliveryCharge {
    /// `None` if the session has too many bytes already. A single delivery always fits.
    fn new(held: HeldBytes, unanswered_bytes: &Arc<AtomicU64>) -> Option<Self> {
        let before = unanswered_bytes.fetch_add(held.bytes(), Ordering::Relaxed);
        let charge = Self { held, unanswered_bytes: unanswered_bytes.clone() };
        (before == 0 || before + charge.held.bytes() <= MAX_UNANSWERED_BYTES).then_some(charge)
    }
}

impl Drop for DeliveryCharge {
    fn drop(&mut self) {
        self.unanswered_bytes.fetch_sub(self.held.bytes(), Ordering::Relaxed);
    }
}

impl Session {
    pub(crate) fn new(
        record: &SessionRecord,
        runtime: Arc<str>,
        progress: SessionProgress,
        requested_at: Option<Instant>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let payer = record.payer.unwrap_or_else(|| Payer::of_old_record(&record.owner));
        let charge = record.charge.clone().filter(|charge| !charge.follows_from(&payer));
        Self {
            id: record.id,
            owner: record.owner.clone(),
            is_private: record.is_private,
            payer,
            charge: charge.map(Box::new),
            client: record.client,
            runtime,
            created_us: record.created_us,
            is_ephemeral: record.is_ephemeral,
            has_echo: record.has_echo,
            exercise: record.exercise.clone().map(Box::new),
            has_hidden_cases: record.has_hidden_cases,
            is_collecting: record.is_collecting,
            slot: record.slot,
            idempotency_key: record.idempotency.as_ref().map(|idempotency| idempotency.key.as_str().into()),
            phase: Mutex::new(SessionPhase::new(progress)),
            is_purged: AtomicBool::new(false),
            requested_at,
            metrics,
            seen_points: SeenPoints::default(),
        }
    }

    /// The facts about this session by which access to it is decided.
    pub fn target(&self) -> Target<'_> {
        Target { id: self.id, owner: &self.owner, is_private: self.is_private }
    }

    fn phase(&self) -> MutexGuard<'_, SessionPhase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the usage of the session count for nobody from now on, because its owner is purged.
    pub fn mark_purged(&self) {
        self.is_purged.store(true, Ordering::Release);
    }

    /// Whether its owner is purged.
    pub fn is_purged(&self) -> bool {
        self.is_purged.load(Ordering::Acquire)
    }

    /// How far the session is.
    pub fn progress(&self) -> SessionProgress {
        self.phase().progress()
    }

    /// A receiver of every change of the progress. After the change that sets `is_torn_down` the
    /// channel is closed.
    pub fn watch(&self) -> watch::Receiver<SessionProgress> {
        match &*self.phase() {
            SessionPhase::Live(channels) => channels.progress.subscribe(),
            SessionPhase::TornDown(progress) => watch::channel(*progress).1,
        }
    }

    /// Whether the session is queued, running or ended.
    pub fn state(&self) -> SessionState {
        let progress = self.progress();
        match (progress.ended, progress.started_us) {
            (Some(_), _) => SessionState::Ended,
            (None, Some(_)) => SessionState::Running,
            (None, None) => SessionState::Queued,
        }
    }

    /// How long the session has run, or ran, compile steps included, in seconds.
    pub fn elapsed_s(&self) -> f64 {
        let progress = self.progress();
        let until_us = progress.ended.map_or_else(now_us, |ended| ended.ended_us);
        let elapsed_us = progress.started_us.map_or(0, |started_us| until_us.saturating_sub(started_us));
        match self.has_hidden_cases {
            true => elapsed_us.div_ceil(1_000_000) as f64,
            false => (elapsed_us / 1000) as f64 / 1000.0,
        }
    }

    /// Queues a delivery to the program. Deliveries arrive in the order of these calls. The
    /// returned channel yields `Ok` once the supervisor has the delivery, or why it
    /// was refused. `held` is the charge for the delivery's memory, which ends with the answer.
    ///
    /// # Errors
    /// If the session has ended or its queue is full, by number or by bytes.
    pub fn deliver(
        &self,
        id: Option<Value>,
        item: Delivery,
        held: HeldBytes,
    ) -> Result<oneshot::Receiver<Result<(), DeliveryRefused>>, DeliveryRefused> {
        let full = || {
            let error = format!("too much is on its way already; {QUEUE_FULL}");
            DeliveryRefused::new(ErrorCode::QueueFull, error)
        };
        let ended = || DeliveryRefused::new(ErrorCode::ProgramEnded, "the program has ended");
        let phase = self.phase();
        let channels = phase.channels().ok_or_else(ended)?;
        let queue = channels.deliveries.as_ref().ok_or_else(ended)?;
        let charge = DeliveryCharge::new(held, &channels.unanswered_bytes).ok_or_else(full)?;
        let (answer, answered) = oneshot::channel();
        match queue.try_send(PendingDelivery { id, item, answer, _charge: charge }) {
            Ok(()) => Ok(answered),
            Err(mpsc::error::TrySendError::Full(_)) => Err(full()),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(ended()),
        }
    }

    /// Ends the program. A session that still waits for its permit ends without having run.
    pub fn cancel(&self) {
        if let Some(channels) = self.phase().channels() {
            channels.cancelled.send_replace(true);
        }
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.phase().channels().is_some_and(|channels| *channels.cancelled.borrow())
    }

    /// Waits until [`Self::cancel`] is called. Never completes if the session is torn down first.
    pub(crate) async fn cancelled(&self) {
        let cancelled = self.phase().channels().map(|channels| channels.cancelled.subscribe());
        let is_cancelled = match cancelled {
            Some(mut cancelled) => cancelled.wait_for(|is_cancelled| *is_cancelled).await.is_ok(),
            None => false,
        };
        if !is_cancelled {
            std::future::pending::<()>().await;
        }
    }

    /// Opens the queue of deliveries, before the session's driver starts. Deliveries wait in it
    /// for the supervisor.
    pub(crate) fn open_queue(&self) -> mpsc::Receiver<PendingDelivery> {
        let (sender, receiver) = mpsc::channel(MAX_QUEUED_DELIVERIES);
        self.set_queue(Some(sender));
        receiver
    }

    /// Refuses deliveries from now on. Those in the queue fail when the driver drops its
    /// `DeliveryQueue`.
    pub(crate) fn close_queue(&self) {
        self.set_queue(None);
    }

    fn set_queue(&self, queue: Option<mpsc::Sender<PendingDelivery>>) {
        if let SessionPhase::Live(channels) = &mut *self.phase() {
            channels.deliveries = queue;
        }
    }

    /// Changes the progress, notifies all watchers and updates the metrics.
    pub(crate) fn set_progress(&self, change: impl FnOnce(&mut SessionProgress)) {
        let mut phase = self.phase();
        let before = phase.progress();
        let mut after = before;
        change(&mut after);
        self.update_metrics(&before, &after);
        match &mut *phase {
            SessionPhase::Live(channels) => drop(channels.progress.send_replace(after)),
            SessionPhase::TornDown(progress) => *progress = after,
        }
        // This drops the sender. Watchers still receive the last value, and then the channel's
        // end.
        if after.is_torn_down && phase.channels().is_some() {
            *phase = SessionPhase::TornDown(after);
        }
    }

    /// Counts what changed from `before` to `after`.
    fn update_metrics(&self, before: &SessionProgress, after: &SessionProgress) {
        let between = |from_us: u64, to_us: u64| Duration::from_micros(to_us.saturating_sub(from_us));
        if let Some(requested_at) = self.requested_at {
            if let (None, Some(started_us)) = (before.started_us, after.started_us) {
                self.metrics.observe_start(between(self.created_us, started_us));
            }
            if before.entries == 0 && after.entries > 0 {
                self.metrics.observe_first_entry(requested_at.elapsed());
            }
        }
        // The first length that is known of a recovered session is not counted, because those
        // bytes were written while an earlier server ran.
        if self.requested_at.is_some() || before.bytes > 0 {
            self.metrics.journal_bytes.inc_by(after.bytes.saturating_sub(before.bytes));
        }
        if let (None, Some(compiled)) = (before.compiled(), after.compiled()) {
            self.metrics.count_compiled(compiled);
        }
        if let (None, Some(ended)) = (before.ended, after.ended) {
            let ran = after.started_us.map(|started_us| between(started_us, ended.ended_us));
            self.metrics.count_end(ended.outcome, ran);
        }
    }
}
