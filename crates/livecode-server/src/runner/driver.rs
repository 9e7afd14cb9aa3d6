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

use crate::runner::{
    process,
    supervisor_client::{DeliveryQueue, SupervisorClient},
};
use crate::{
    metrics::{GaugeGuard, Metrics},
    runner::{
        spawner::{Generation, SpawnerClient},
        spawner_set::SpawnerSet,
    },
    sessions::{
        session::{Session, SessionEnd, SessionProgress},
        store::{Store, is_exhausted},
    },
};

/// How often a supervisor is asked for, where each dies before it has begun.
const START_TRIES: u32 = 3;
/// How long a supervisor that lives but does not listen is waited for before the next try: at first, and at most.
const PAUSE: Duration = Duration::from_millis(20);
const MAX_PAUSE: Duration = Duration::from_secs(1);
/// How long a supervisor may take to end its session when it is asked to; then it is killed itself.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);
/// How long it may take from asking for a supervisor until one has begun its journal. A spawner does nothing but fork.
const JOURNAL_START_TIMEOUT: Duration = Duration::from_secs(10);
/// How long sweeping up may take.
const SWEEP_TIMEOUT: Duration = Duration::from_secs(10);

/// Who wrote how a session ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ClosedBy {
    Supervisor,
    /// The supervisor is dead, or never was.
    Us,
}

/// What a session's task needs.
pub(crate) struct Driver {
    pub session: Arc<Session>,
    pub store: Arc<Store>,
    pub spawners: Arc<SpawnerSet>,
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
    pub async fn run_new(self, mut queue: DeliveryQueue) {
        let permits = self.permits.clone();
        let waiting = GaugeGuard::new(&self.metrics.waiting);
        let permit = tokio::select! {
            permit = permits.acquire_owned() => permit.ok(),
            () = self.session.cancelled() => None,
        };
        drop(waiting);
        let _running = permit.is_some().then(|| GaugeGuard::new(&self.metrics.running));
        let life = async {
            if permit.is_some() {
                self.start(&mut queue).await;
            }
            self.await_end(&mut queue).await
        };
        self.live(life).instrument(self.span()).await;
    }

    /// Takes a session up again that another server started.
    pub async fn run_recovered(
        self,
        mut queue: DeliveryQueue,
        _permit: Option<tokio::sync::OwnedSemaphorePermit>,
    ) {
        let _running = GaugeGuard::new(&self.metrics.running);
        self.live(self.await_end(&mut queue)).instrument(self.span()).await;
    }

    /// Waits for the end, or where the session is cancelled and nobody ends it, forces it.
    async fn live(&self, life: impl Future<Output = ClosedBy>) {
        let is_stuck = async {
            self.session.cancelled().await;
            tokio::time::sleep(CANCEL_TIMEOUT).await;
        };
        let closed_by = tokio::select! {
            closed_by = life => closed_by,
            () = is_stuck => self.force_kill().await,
        };
        self.session.close_queue();
        if closed_by == ClosedBy::Us {
            self.finalize(false).await;
            // A supervisor says who it is before it makes anything outside its folder.
            if self.store.state(self.id()).is_some() {
                self.sweep().await;
            }
        }
        self.finalize(true).instrument(tracing::debug_span!("finalize")).await;
    }

    /// Has a supervisor started and talks to it. What dies before it has begun, with its spawner as a rule, is started again.
    async fn start(&self, queue: &mut DeliveryQueue) {
        let mut pauses = Pauses::new();
        let mut tries = 0;
        // What goes wrong in a template goes on without one.
        let mut spawner = self.spawners.spawner_for(&self.session.runtime);
        while tries < START_TRIES && !self.session.is_cancelled() && !self.store.has_begun(self.id()) {
            match self.start_supervisor(spawner).await {
                Ok((stream, generation)) => {
                    tries += 1;
                    tokio::select! {
                        _ = self.talk(stream, queue) => {}
                        () = self.nothing_begins() => self.replace_spawner(spawner, generation).await,
                    }
                }
                Err(error) => {
                    tries += u32::from(is_panic(&error));
                    tracing::error!(id = %self.id(), %error, "no supervisor can be started now; trying again");
                    tokio::select! {
                        () = pauses.wait() => {}
                        () = self.session.cancelled() => {}
                    }
                }
            }
            spawner = self.spawners.default_spawner();
        }
    }

    /// Waits until a supervisor that was asked for should have begun, and for ever where it has.
    async fn nothing_begins(&self) {
        tokio::time::sleep(JOURNAL_START_TIMEOUT).await;
        if self.store.has_begun(self.id()) {
            std::future::pending::<()>().await;
        }
    }

    async fn start_supervisor(
        &self,
        spawner: &Arc<SpawnerClient>,
    ) -> io::Result<(tokio::net::UnixStream, Generation)> {
        let id = self.id();
        let asked = async {
            match spawner.start_supervisor_at_once(id) {
                Some(started) => Ok(started),
                None => at_spawner(spawner, move |spawner| spawner.start_supervisor(id)).await,
            }
        };
        let (stream, generation) = asked.instrument(tracing::debug_span!("spawn")).await?;
        Ok((from_std(stream)?, generation))
    }

    async fn replace_spawner(&self, spawner: &Arc<SpawnerClient>, generation: Generation) {
        if let Err(error) = at_spawner(spawner, move |spawner| spawner.replace(generation)).await {
            tracing::error!(id = %self.id(), %error, "no spawner can be started now");
        }
    }

    /// Talks to the supervisor as long as there is one; then has the journal closed.
    async fn await_end(&self, queue: &mut DeliveryQueue) -> ClosedBy {
        let mut pauses = Pauses::new();
        loop {
            match self.store.ending(self.id()) {
                Ok(Some(_)) => return ClosedBy::Supervisor,
                Ok(None) => {}
                Err(error) => tracing::warn!(id = %self.id(), %error, "a journal cannot be read now"),
            }
            match self.store.connect(self.id()).await {
                // One that was talked to is there; the next try need not wait for it to get ready.
                Ok(stream) => {
                    if self.talk(stream, queue).await {
                        pauses = Pauses::new();
                    }
                }
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

    /// Talks on one connection to its end. Whether it was answered at all.
    async fn talk(&self, stream: tokio::net::UnixStream, queue: &mut DeliveryQueue) -> bool {
        let mut talk = SupervisorClient::new(stream, queue);
        let run = talk.run(&self.session, &self.store).instrument(tracing::debug_span!("talk"));
        if let Err(error) = run.await {
            tracing::debug!(id = %self.id(), %error, "the connection to the supervisor ended");
        }
        talk.is_answered()
    }

    /// Closes the journal where nobody else can any more. `false` where somebody can.
    async fn close(&self, outcome: Outcome) -> bool {
        let (store, id) = (self.store.clone(), self.id());
        match blocking(move || store.close(id, outcome)).await {
            Ok(Ok(is_closed)) => is_closed,
            Err(error) => {
                tracing::error!(%id, %error, "closing a journal failed");
                true // what cannot be written down is still said
            }
            Ok(Err(error)) => {
                tracing::error!(%id, %error, "a journal cannot be closed");
                // A full disk refuses for long; what cannot be written down is still said.
                !error.cause().is_some_and(is_exhausted)
            }
        }
    }

    /// Kills a supervisor that does not do as it is asked, and closes the session in its place.
    async fn force_kill(&self) -> ClosedBy {
        tracing::warn!(id = %self.id(), "the supervisor does not end its session; it is killed");
        let mut pauses = Pauses::new();
        loop {
            if has_ended(&self.store, self.id()) {
                return ClosedBy::Supervisor;
            }
            kill_supervisor(&self.store, self.id());
            if self.close(Outcome::Cancelled).await {
                return ClosedBy::Us;
            }
            pauses.wait().await;
        }
    }

    /// Has the spawner kill what a dead supervisor left, and waits until it has.
    async fn sweep(&self) {
        let id = self.id();
        let swept = async {
            let (stream, generation) =
                at_spawner(self.spawners.default_spawner(), move |spawner| spawner.sweep(id)).await?;
            let mut stream = from_std(stream)?;
            if tokio::time::timeout(SWEEP_TIMEOUT, stream.read(&mut [0])).await.is_err() {
                // The next one sweeps when it starts.
                at_spawner(self.spawners.default_spawner(), move |spawner| spawner.replace(generation))
                    .await?;
            }
            io::Result::Ok(())
        };
        if let Err(error) = swept.await {
            tracing::warn!(%id, %error, "what a dead supervisor left was not swept up; the next spawner will try");
        }
        self.store.clear_leftovers(id);
    }

    /// Makes known how the session ended.
    async fn finalize(&self, is_gone: bool) {
        let mut pauses = Pauses::new();
        let ended = loop {
            match ended_progress(&self.store, self.id()) {
                Err(error) if is_exhausted(&error) => pauses.wait().await,
                other => break other.ok(),
            }
        };
        self.session.set_progress(|progress| progress.finalize(ended, is_gone));
    }

    fn id(&self) -> SessionId {
        self.session.id
    }

    /// What a session's steps are logged under.
    fn span(&self) -> tracing::Span {
        tracing::debug_span!("session", id = %self.id(), runtime = %self.session.runtime)
    }
}

/// Off the threads that serve: it waits where the spawner is busy, or has to be started again. One at a time, so that a
/// spawner that hangs holds up one thread and not all that there are for waiting.
async fn at_spawner<T: Send + 'static>(
    spawner: &Arc<SpawnerClient>,
    ask: impl FnOnce(&SpawnerClient) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (spawner, turn) = (spawner.clone(), spawner.turn().await);
    let asked = move || {
        let _turn = turn; // kept though nobody may wait for the answer any more
        ask(&spawner)
    };
    blocking(asked).await?
}

/// Settles a session whose task failed: its supervisor is killed, and the session says `lost`, here at least; the next server
/// closes its journal.
pub(crate) fn abandon(store: &Store, session: &Session) {
    session.close_queue();
    if session.progress().ended.is_none() {
        kill_supervisor(store, session.id);
    }
    session.set_progress(|progress| progress.finalize(None, true));
}

fn has_ended(store: &Store, id: SessionId) -> bool {
    matches!(store.ending(id), Ok(Some(_)))
}

/// Kills a session's supervisor, unless the session has ended: then it may serve another.
fn kill_supervisor(store: &Store, id: SessionId) {
    if let Some(state) = store.state(id).filter(|_| !has_ended(store, id))
        && let Err(error) = process::kill(&state)
    {
        tracing::error!(%id, %error, "the supervisor cannot be killed");
    }
}

/// The progress of a session whose journal is closed.
///
/// # Errors
/// Where the journal cannot be read, or is not closed.
pub(crate) fn ended_progress(store: &Store, id: SessionId) -> io::Result<SessionProgress> {
    let (entries, ending) = store.ending(id)?.ok_or(io::ErrorKind::NotFound)?;
    Ok(SessionProgress {
        entries,
        bytes: store.journal_bytes(id),
        started_us: Some(ending.started_us).filter(|us| *us != 0),
        active_us: None,
        compiled: None,
        ended: Some(SessionEnd::new(&ending)),
        is_gone: true,
    })
}

fn from_std(stream: std::os::unix::net::UnixStream) -> io::Result<tokio::net::UnixStream> {
    stream.set_nonblocking(true)?;
    tokio::net::UnixStream::from_std(stream)
}

/// Runs what may wait for a disk or another process off the threads that serve.
///
/// # Errors
/// Where it panicked: a mistake of ours must not take along the task that settles a session.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}

/// Whether [`blocking`] work panicked, which trying for ever does not help.
fn is_panic(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<tokio::task::JoinError>())
}

#[cfg(test)]
mod tests;
