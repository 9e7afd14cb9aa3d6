//! The task that brings one session to its end, and that talks to its supervisor meanwhile.
//!
//! ```text
//!   waits for a permit to run ─▶ has a supervisor started ──▶ talks to it, again and again where the connection breaks
//!                                (a session found at start) ─▲        ◀── deliveries (bounded queue) ◀── any number of clients
//!                                                                      ──▶ progress (watch)          ──▶ any number of followers
//!   ends when the journal is closed: by the supervisor, or, where that is provably dead, by us (`lost`)
//! ```
//!
//! What fails for want of descriptors or memory proves nothing, and is tried again.

use std::{io, sync::Arc, time::Duration};

use livecode_protocol::{SessionId, session::Outcome};
use tokio::io::AsyncReadExt as _;
use tracing::Instrument as _;

use super::{
    process,
    session::{Ended, Progress, Session},
    store::{Store, is_exhausted},
    talk::{Queue, Talk},
};
use crate::{
    metrics::{Held, Metrics},
    spawner::Spawner,
};

/// How often a supervisor is asked for, where each dies before it has begun.
const START_TRIES: u32 = 3;
/// How long a supervisor that lives but does not listen is waited for before the next try: at first, and at most.
const PAUSE: Duration = Duration::from_millis(20);
const MAX_PAUSE: Duration = Duration::from_secs(1);
/// How long a supervisor may take to end its session when it is asked to; then it is killed itself.
const CANCEL_PATIENCE: Duration = Duration::from_secs(5);

/// How long sweeping up may take.
const SWEEP_PATIENCE: Duration = Duration::from_secs(10);

/// Who wrote how a session ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ClosedBy {
    Supervisor,
    /// The supervisor is dead, or never was.
    Us,
}

/// What a session's task needs.
pub(super) struct Driver {
    pub session: Arc<Session>,
    pub store: Arc<Store>,
    pub spawner: Arc<Spawner>,
    pub permits: Arc<tokio::sync::Semaphore>,
    pub metrics: Arc<Metrics>,
}

/// Pauses between tries, each twice as long as the one before.
struct Pauses(Duration);

impl Pauses {
    fn new() -> Self {
        Self(PAUSE)
    }

    async fn wait(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(MAX_PAUSE);
    }
}

impl Driver {
    /// Runs a new session to its end.
    pub async fn run_new(self, mut queue: Queue) {
        let permits = self.permits.clone();
        let waiting = Held::new(&self.metrics.waiting);
        let permit = tokio::select! {
            permit = permits.acquire_owned() => permit.ok(),
            () = self.session.cancelled() => None,
        };
        drop(waiting);
        let _running = permit.is_some().then(|| Held::new(&self.metrics.running));
        let life = async {
            if permit.is_some() {
                self.start(&mut queue).await;
            }
            self.await_end(&mut queue).await
        };
        self.live(life).instrument(self.span()).await;
    }

    /// Takes a session up again that another server started.
    pub async fn run_again(self, mut queue: Queue, _permit: Option<tokio::sync::OwnedSemaphorePermit>) {
        let _running = Held::new(&self.metrics.running);
        self.live(self.await_end(&mut queue)).instrument(self.span()).await;
    }

    /// Waits for the end, or where the session is cancelled and nobody ends it, forces it.
    async fn live(&self, life: impl Future<Output = ClosedBy>) {
        let is_stuck = async {
            self.session.cancelled().await;
            tokio::time::sleep(CANCEL_PATIENCE).await;
        };
        let closed_by = tokio::select! {
            closed_by = life => closed_by,
            () = is_stuck => self.put_down().await,
        };
        self.session.close_queue();
        if closed_by == ClosedBy::Us {
            self.settle(false).await;
            // A supervisor says who it is before it makes anything outside its folder.
            if self.store.state(self.id()).is_some() {
                self.sweep().await;
            }
        }
        self.settle(true).instrument(tracing::debug_span!("settle")).await;
    }

    /// Has a supervisor started and talks to it. What dies before it has begun, with its spawner as a rule, is started again.
    async fn start(&self, queue: &mut Queue) {
        let mut pauses = Pauses::new();
        let mut tries = 0;
        while tries < START_TRIES && !self.session.is_cancelled() && !self.store.has_begun(self.id()) {
            match self.start_supervisor().await {
                Ok(stream) => {
                    tries += 1;
                    self.talk(stream, queue).await;
                }
                Err(error) => {
                    tracing::error!(id = %self.id(), %error, "no supervisor can be started now; trying again");
                    tokio::select! {
                        () = pauses.wait() => {}
                        () = self.session.cancelled() => {}
                    }
                }
            }
        }
    }

    async fn start_supervisor(&self) -> io::Result<tokio::net::UnixStream> {
        let id = self.id();
        let spawn = tracing::debug_span!("spawn");
        self.ask_spawner(move |spawner| spawner.start_supervisor(id)).instrument(spawn).await
    }

    /// Off the threads that serve: it waits where the spawner is busy, or has to be started again. One at a time, so that a
    /// spawner that hangs holds up one thread and not all that there are for waiting.
    async fn ask_spawner(
        &self,
        ask: impl FnOnce(&Spawner) -> io::Result<std::os::unix::net::UnixStream> + Send + 'static,
    ) -> io::Result<tokio::net::UnixStream> {
        let (spawner, turn) = (self.spawner.clone(), self.spawner.turn().await);
        let asked = move || {
            let _turn = turn; // kept though nobody may wait for the answer any more
            ask(&spawner)
        };
        let stream = blocking(asked).await?;
        stream.set_nonblocking(true)?;
        tokio::net::UnixStream::from_std(stream)
    }

    /// Talks to the supervisor as long as there is one; then has the journal closed.
    async fn await_end(&self, queue: &mut Queue) -> ClosedBy {
        let mut pauses = Pauses::new();
        loop {
            match self.store.ending(self.id()) {
                Ok(Some(_)) => return ClosedBy::Supervisor,
                Ok(None) => {}
                Err(error) => tracing::warn!(id = %self.id(), %error, "a journal cannot be read now"),
            }
            match self.store.connect(self.id()).await {
                Ok(stream) => self.talk(stream, queue).await,
                Err(error) if is_exhausted(&error) => {
                    tracing::warn!(id = %self.id(), %error, "a supervisor cannot be connected to now");
                }
                Err(_) => {
                    let outcome =
                        if self.session.is_cancelled() { Outcome::Cancelled } else { Outcome::Lost };
                    if self.close(outcome).await {
                        return ClosedBy::Us;
                    }
                    // It lives: it is about to listen, or about to end.
                }
            }
            if matches!(self.store.ending(self.id()), Ok(Some(_))) {
                return ClosedBy::Supervisor;
            }
            pauses.wait().await;
        }
    }

    async fn talk(&self, stream: tokio::net::UnixStream, queue: &mut Queue) {
        let talk = tracing::debug_span!("talk");
        if let Err(error) = Talk::new(stream, queue).run(&self.session, &self.store).instrument(talk).await {
            tracing::debug!(id = %self.id(), %error, "the connection to the supervisor ended");
        }
    }

    /// Closes the journal where nobody else can any more. `false` where somebody can.
    async fn close(&self, outcome: Outcome) -> bool {
        let (store, id) = (self.store.clone(), self.id());
        match blocking(move || store.close(id, outcome)).await {
            Ok(is_closed) => is_closed,
            Err(error) => {
                tracing::error!(%id, %error, "a journal cannot be closed");
                // A full disk refuses for long; what cannot be written down is still said.
                !error.cause().is_some_and(is_exhausted)
            }
        }
    }

    /// Kills a supervisor that does not do as it is asked, and closes the session in its place.
    async fn put_down(&self) -> ClosedBy {
        tracing::warn!(id = %self.id(), "the supervisor does not end its session; it is killed");
        let mut pauses = Pauses::new();
        loop {
            if let Some(state) = self.store.state(self.id())
                && let Err(error) = process::kill(&state)
            {
                tracing::error!(id = %self.id(), %error, "the supervisor cannot be killed");
            }
            if self.close(Outcome::Cancelled).await {
                return ClosedBy::Us;
            }
            pauses.wait().await;
        }
    }

    /// Has the spawner kill what a dead supervisor left, and waits until it has.
    async fn sweep(&self) {
        let id = self.id();
        let swept = async { self.ask_spawner(move |spawner| spawner.sweep(id)).await?.read(&mut [0]).await };
        let swept = tokio::time::timeout(SWEEP_PATIENCE, swept).await;
        if let Err(error) = swept.map_err(io::Error::from).and_then(|swept| swept) {
            tracing::warn!(%id, %error, "what a dead supervisor left was not swept up; the next server will try");
        }
        self.store.clear_leftovers(id);
    }

    /// Makes known how the session ended.
    async fn settle(&self, is_gone: bool) {
        let mut pauses = Pauses::new();
        let ended = loop {
            match ended_progress(&self.store, self.id()) {
                Err(error) if is_exhausted(&error) => pauses.wait().await,
                other => break other.ok(),
            }
        };
        self.session.set_progress(|progress| {
            let started_us = progress.started_us;
            match ended {
                Some(ended) => *progress = Progress { started_us: ended.started_us.or(started_us), ..ended },
                // A closing entry that could not be written is told all the same, after all that is known to be there.
                None if progress.ended.is_none() => {
                    progress.entries += 1;
                    progress.ended = Some(Ended::lost());
                }
                None => {}
            }
            progress.is_gone = is_gone;
        });
    }

    fn id(&self) -> SessionId {
        self.session.id
    }

    /// What a session's steps are logged under.
    fn span(&self) -> tracing::Span {
        tracing::debug_span!("session", id = %self.id(), runtime = %self.session.runtime)
    }
}

/// The progress of a session whose journal is closed.
///
/// # Errors
/// Where the journal cannot be read, or is not closed.
pub(super) fn ended_progress(store: &Store, id: SessionId) -> io::Result<Progress> {
    let (entries, ending) = store.ending(id)?.ok_or(io::ErrorKind::NotFound)?;
    Ok(Progress {
        entries,
        bytes: store.journal_bytes(id),
        started_us: Some(ending.started_us).filter(|us| *us != 0),
        active_us: None,
        ended: Some(Ended::new(&ending)),
        is_gone: true,
    })
}

/// Runs what may wait for a disk or another process off the threads that serve.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}
