//! One session, and the task that talks to its supervisor while it lives.
//!
//! ```text
//!   registry ──▶ drive(session): one task a living session
//!                  waits for a permit to run ─▶ has a supervisor started, or connects to one
//!                  ◀── deliveries (bounded queue) ◀── any number of clients
//!                  ──▶ progress (watch)           ──▶ any number of followers
//!                ends when the supervisor has, and the journal is closed
//! ```

use std::{collections::HashMap, io, sync::Arc, time::Duration};

use livecode_protocol::{
    SessionId,
    control::{self, Delivery, Ending, Notice, Request},
    session::{Outcome, State},
};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Mutex, Notify, mpsc, oneshot, watch},
};

use super::{
    now_us,
    store::{Record, Store},
};
use crate::{access::Owner, spawner::Spawner};

/// Deliveries that wait for a session's task; more are refused.
const QUEUED_DELIVERIES: usize = 256;
/// Bytes that wait for a supervisor to read; while more wait, no delivery is taken from the queue.
const MAX_UNSENT_BYTES: usize = 256 * 1024;
/// How often a supervisor is asked for, where the spawner dies with the request.
const START_TRIES: u32 = 3;
/// How long a supervisor that lives but does not listen is waited for before the next try.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);

/// How far a session is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// Number of the last entry.
    pub entries: u64,
    /// Length of the journal, in bytes: it may be read up to here.
    pub bytes: u64,
    /// When the program started, in microseconds since the epoch.
    pub started_us: Option<u64>,
    /// How it ended, once it has.
    pub ended: Option<Ended>,
    /// Whether all that belonged to it has gone.
    pub is_gone: bool,
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
    cancelled: Notify,
}

/// A delivery and where its answer goes.
struct Sent {
    id: Option<Value>,
    item: Delivery,
    answer: oneshot::Sender<Result<(), String>>,
}

impl Session {
    pub(super) fn new(record: &Record, runtime: Arc<str>, progress: Progress) -> Self {
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
            cancelled: Notify::new(),
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
        self.cancelled.notify_one();
    }
}

/// What a session's task needs.
pub(super) struct Driver {
    pub session: Arc<Session>,
    pub store: Arc<Store>,
    pub spawner: Arc<Spawner>,
    pub permits: Arc<tokio::sync::Semaphore>,
}

impl Driver {
    /// Opens the session's queue. To be called before the session can be found, so that nothing is refused in between.
    pub fn open_queue(&self) -> Queue {
        let (sender, receiver) = mpsc::channel(QUEUED_DELIVERIES);
        *self.session.deliveries.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(sender);
        Queue(Mutex::new(receiver))
    }

    /// Runs a new session to its end.
    pub async fn run_new(self, queue: Queue) {
        let permits = self.permits.clone();
        let permit = tokio::select! {
            permit = permits.acquire_owned() => permit.ok(),
            () = self.session.cancelled.notified() => {
                self.store.close(self.session.id, Outcome::Cancelled);
                return self.end();
            }
        };
        for _ in 0..START_TRIES {
            match self.start_supervisor().await {
                Ok(stream) => self.talk(stream, &queue).await,
                Err(error) => {
                    tracing::error!(id = %self.session.id, %error, "no supervisor could be started")
                }
            }
            // A spawner that died takes along what it was asked for; what never began can be asked for again.
            if self.store.has_begun(self.session.id) {
                break;
            }
        }
        self.conclude(&queue).await;
        drop(permit);
    }

    /// Off the threads that serve: it waits where the spawner is busy, or has to be started again.
    async fn start_supervisor(&self) -> io::Result<std::os::unix::net::UnixStream> {
        let (spawner, id) = (self.spawner.clone(), self.session.id);
        match tokio::task::spawn_blocking(move || spawner.start_supervisor(id)).await {
            Ok(started) => started,
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        }
    }

    /// Takes a session up again that another server started.
    pub async fn run_again(self, queue: Queue) {
        // A session that runs counts, though it may be one more than are started now.
        let permit = self.permits.clone().try_acquire_owned().ok();
        self.conclude(&queue).await;
        drop(permit);
    }

    /// Connects as long as there is a supervisor; then has the journal closed.
    async fn conclude(&self, queue: &Queue) {
        while self.store.ending(self.session.id).is_none() {
            match self.store.connect(self.session.id) {
                Ok(stream) => {
                    self.talk(stream, queue).await;
                    // Usually it has ended; one that hangs up on us is not asked again at once.
                    if self.store.ending(self.session.id).is_none() {
                        tokio::time::sleep(RECONNECT_PAUSE).await;
                    }
                }
                Err(_) if self.store.close(self.session.id, Outcome::Lost) => break,
                // It lives: it is about to listen, or about to end.
                Err(_) => tokio::time::sleep(RECONNECT_PAUSE).await,
            }
        }
        self.end();
    }

    fn end(&self) {
        *self.session.deliveries.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
        self.session.progress.send_modify(|progress| {
            *progress = ended_progress(&self.store, self.session.id, progress.started_us);
            progress.is_gone = true;
        });
    }

    /// Talks to the supervisor until it closes the connection.
    async fn talk(&self, stream: std::os::unix::net::UnixStream, queue: &Queue) {
        let connected = stream.set_nonblocking(true).and_then(|()| UnixStream::from_std(stream));
        let result = match connected {
            Ok(stream) => Talk::new(stream).run(&self.session, &self.store, queue).await,
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            tracing::debug!(id = %self.session.id, %error, "the connection to the supervisor ended");
        }
    }
}

/// The progress of a session whose journal is closed.
pub(super) fn ended_progress(store: &Store, id: SessionId, started_us: Option<u64>) -> Progress {
    let lost =
        Ending { exitstatus: 255, outcome: Outcome::Lost, started_us: 0, ended_us: now_us(), usage: None };
    let (entries, ending) = store.ending(id).unwrap_or((0, lost));
    Progress {
        entries,
        bytes: store.journal_bytes(id),
        started_us: Some(ending.started_us).filter(|us| *us != 0).or(started_us),
        ended: Some(Ended {
            exitstatus: ending.exitstatus,
            outcome: ending.outcome,
            ended_us: ending.ended_us,
            usage: ending.usage,
        }),
        is_gone: true,
    }
}

/// The receiving end of a session's deliveries.
pub(super) struct Queue(Mutex<mpsc::Receiver<Sent>>);

/// One connection to a supervisor.
struct Talk {
    from: BufReader<OwnedReadHalf>,
    to: OwnedWriteHalf,
    unsent: Vec<u8>,
    unanswered: HashMap<u64, oneshot::Sender<Result<(), String>>>,
    next_tag: u64,
}

impl Talk {
    fn new(stream: UnixStream) -> Self {
        let (from, to) = stream.into_split();
        Self { from: BufReader::new(from), to, unsent: vec![], unanswered: HashMap::new(), next_tag: 0 }
    }

    async fn run(mut self, session: &Session, store: &Store, queue: &Queue) -> io::Result<()> {
        enum Next {
            Line(usize),
            Sent(usize),
            Delivery(Sent),
            Cancel,
        }
        let mut queue = queue.0.lock().await;
        let mut line = vec![];
        self.send(&Request::Hello { version: control::VERSION })?;
        loop {
            let may_take = self.unsent.len() < MAX_UNSENT_BYTES;
            let next = tokio::select! {
                read = self.from.read_until(b'\n', &mut line) => Next::Line(read?),
                sent = self.to.write(&self.unsent), if !self.unsent.is_empty() => Next::Sent(sent?),
                Some(delivery) = queue.recv(), if may_take => Next::Delivery(delivery),
                () = session.cancelled.notified() => Next::Cancel,
            };
            match next {
                Next::Line(0) => return Ok(()),
                Next::Line(_) => {
                    let notice = serde_json::from_slice(&line)?;
                    line.clear();
                    self.hear(notice, session, store);
                }
                Next::Sent(length) => drop(self.unsent.drain(..length)),
                Next::Delivery(Sent { id, item, answer }) => {
                    self.next_tag += 1;
                    self.unanswered.insert(self.next_tag, answer);
                    self.send(&Request::Deliver { tag: self.next_tag, id, item })?;
                }
                Next::Cancel => self.send(&Request::Cancel)?,
            }
        }
    }

    fn send(&mut self, request: &Request) -> io::Result<()> {
        serde_json::to_writer(&mut self.unsent, request)?;
        self.unsent.push(b'\n');
        Ok(())
    }

    fn hear(&mut self, notice: Notice, session: &Session, store: &Store) {
        match notice {
            Notice::Hello { .. } => {}
            Notice::Progress { entries, bytes, started_us, ended } => {
                session.progress.send_modify(|progress| {
                    *progress = if ended {
                        // What belongs to it is gone when the connection ends, not yet.
                        Progress { is_gone: false, ..ended_progress(store, session.id, started_us) }
                    } else {
                        Progress { entries, bytes, started_us, ended: None, is_gone: false }
                    };
                });
            }
            Notice::Delivered { tag } => self.answer(tag, Ok(())),
            Notice::Refused { tag, error } => self.answer(tag, Err(error)),
        }
    }

    fn answer(&mut self, tag: u64, result: Result<(), String>) {
        if let Some(answer) = self.unanswered.remove(&tag) {
            let _ = answer.send(result); // a client that has gone needs no answer
        }
    }
}
