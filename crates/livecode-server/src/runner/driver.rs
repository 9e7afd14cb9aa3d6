//! The task that drives one session from its creation to its end.
//!
//! ```text
//!   new session ──▶ waits for a permit ──▶ requests a supervisor ──┐
//!                                                                  ▼
//!   session found at start ───────────▶ connection to the supervisor, made again if it breaks
//!                                        ◀── deliveries (bounded queue) ◀── any number of clients
//!                                        ──▶ progress (watch) ──▶ any number of followers
//! ```
//!
//! The task ends when the journal is closed: by the supervisor, or by the server (`lost`, or
//! `cancelled` if a client wanted that) if the supervisor is provably dead. An operation that
//! fails for lack of descriptors or memory proves nothing, and is retried. So is a start that
//! fails before the program's first step; meanwhile the session is `queued`.

use std::{io, sync::Arc, time::Duration};

use livecode_protocol::{SessionId, run_spec::SandboxLayout, session::Outcome};
use tokio::{io::AsyncReadExt as _, net::UnixStream};
use tracing::Instrument as _;

use crate::metrics::{GaugeGuard, Metrics};
use crate::runner::{
    backoff::Backoff,
    cpu_weights::{CpuWeights, WeighedSession},
    process,
    run_queue::RunTurn,
    spawner::{Generation, RequestSocket, SpawnerClient},
    spawner_set::SpawnerSet,
    start_attempts::{StartAttempts, StartFailure},
    supervisor_client::{ConnectionEnd, DeliveryQueue, SupervisorClient},
};
use crate::sessions::{
    blocking::{blocking, is_panic},
    ended::ended_progress,
    exhausted::{is_disk_full, is_exhausted},
    progress::SessionProgress,
    session::Session,
    store::Store,
};

/// How long a supervisor may take to end its session after a cancellation. Then it is killed.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);
/// How long it may take from the request for a supervisor until the journal exists. That
/// includes a fork of the spawner or a sandbox, if none was ready.
const JOURNAL_START_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a session that was granted its permit counts as one that starts, at the longest. A
/// start that hangs does not keep others from starting.
const MAX_STARTING: Duration = Duration::from_secs(1);
/// How long a session counts as one that starts after its first step has started. Many programs
/// end within this time, so their ends count too.
const STARTED_PAUSE: Duration = Duration::from_millis(20);
/// How long a sweep may take.
const SWEEP_TIMEOUT: Duration = Duration::from_secs(10);

/// The process that wrote the closing entry.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ClosedBy {
    Supervisor,
    /// The server, because the supervisor is dead or never existed.
    Server,
}

/// What drives one session.
pub(crate) struct Driver {
    pub session: Arc<Session>,
    /// The layout of its sandbox; `None` if an earlier server created the session. Then the layout
    /// is read from the disk if it is needed.
    pub layout: Option<SandboxLayout>,
    pub store: Arc<Store>,
    pub spawners: Arc<SpawnerSet>,
    pub metrics: Arc<Metrics>,
    pub weights: Arc<CpuWeights>,
}

impl Driver {
    /// Runs a new session to its end. The permit is held until then.
    pub async fn run_new(self, mut queue: DeliveryQueue, mut turn: RunTurn) {
        let waiting = GaugeGuard::new(&self.metrics.waiting);
        let may_run = tokio::select! {
            () = turn.granted() => true,
            () = self.session.cancelled() => false,
        };
        drop(waiting);
        // A cancelled session leaves the queue at once.
        let mut turn = may_run.then_some(turn);
        let _running = may_run.then(|| self.metrics.running_session(&self.session.runtime));
        let mut weighed = self.weights.add(self.session.payer);
        let serving = self.serve_until_closed(&mut queue, &mut weighed);
        let run = self.run_to_end(serving).instrument(self.span());
        tokio::select! {
            () = run => {}
            () = self.report_start(turn.as_mut()) => {}
        }
    }

    /// Tells the run queue when the session has started, so that another may start. This never
    /// completes.
    async fn report_start(&self, turn: Option<&mut RunTurn>) {
        if let Some(turn) = turn {
            let mut progress = self.session.watch();
            let is_running = progress.wait_for(|progress| progress.started_us.is_some());
            let _ = tokio::time::timeout(MAX_STARTING, is_running).await;
            tokio::time::sleep(STARTED_PAUSE).await;
            turn.has_started();
        }
        std::future::pending().await
    }

    /// Runs a session to its end that an earlier server started. The permit is held until then.
    pub async fn run_recovered(self, mut queue: DeliveryQueue, _permit: RunTurn) {
        let _running = self.metrics.running_session(&self.session.runtime);
        let mut weighed = self.weights.add(self.session.payer);
        self.run_to_end(self.serve_until_closed(&mut queue, &mut weighed)).instrument(self.span()).await;
    }

    /// Runs `serving` until the journal is closed. If the session is cancelled and does not end in
    /// time, its supervisor is killed. Then sweeps if the supervisor is dead, and publishes the
    /// session's end.
    async fn run_to_end(&self, serving: impl Future<Output = ClosedBy>) {
        let cancel_timeout = async {
            self.session.cancelled().await;
            tokio::time::sleep(CANCEL_TIMEOUT).await;
        };
        let closed_by = tokio::select! {
            closed_by = serving => closed_by,
            () = cancel_timeout => self.force_kill().await,
        };
        self.session.close_queue();
        if closed_by == ClosedBy::Server {
            self.publish_end(false).await; // the sandbox is not torn down yet
            // A supervisor writes its identity before it creates anything outside the folder.
            // Without an identity there is nothing to sweep.
            if self.store.supervisor_identity(self.id()).is_some() {
                self.sweep().await;
            }
        }
        self.publish_end(true).instrument(tracing::debug_span!("finalize")).await;
    }

    /// Requests a supervisor and serves the connection to it, usually until the session's end. If
    /// the program is not started, waits until the next attempt is due. Returns whether the
    /// session was given up and its journal is closed.
    async fn start_and_serve(
        &self,
        attempts: &mut StartAttempts,
        queue: &mut DeliveryQueue,
        weighed: &mut WeighedSession,
    ) -> bool {
        let layout = match &self.layout {
            Some(layout) => Some(layout.clone()),
            None => self.stored_layout().await,
        };
        // Only the first attempt uses an interpreter zygote, since the zygote may be the cause of
        // a failure.
        let spawner = match &layout {
            Some(layout) if attempts.is_first() => self.spawners.spawner_for(&self.session.runtime, layout),
            _ => self.spawners.default_spawner().clone(),
        };
        // A spawner that the server lets go of does not have to stay for this session.
        let weak = Arc::downgrade(&spawner);
        let started = self.start_supervisor(&spawner, layout).await;
        drop(spawner);
        let failure = match started {
            Ok((stream, generation)) => tokio::select! {
                end = self.serve_connection(stream, queue, weighed) => end.start_failure,
                () = self.journal_timeout() => {
                    kill_supervisor(&self.store, &self.session);
                    if let Some(spawner) = weak.upgrade() {
                        self.replace_spawner(&spawner, generation).await;
                    }
                    None
                }
            },
            Err(error) => Some(StartFailure { is_transient: !is_panic(&error), error: error.to_string() }),
        };
        if self.store.has_journal(self.id()) || self.session.is_cancelled() {
            return false;
        }
        let failure = failure.unwrap_or_else(StartFailure::without_notice);
        tracing::warn!(id = %self.id().short(), error = failure.error, "a session could not be started");
        self.session.set_progress(|progress| *progress = SessionProgress::default());
        if let Some(outcome) = attempts.record(&failure)
            && self.close_unstarted(outcome, &failure).await
        {
            return true;
        }
        tokio::select! {
            () = attempts.backoff.wait() => {}
            () = self.session.cancelled() => {}
        }
        false
    }

    /// Completes after [`JOURNAL_START_TIMEOUT`] if there is no journal then, and otherwise never.
    async fn journal_timeout(&self) {
        tokio::time::sleep(JOURNAL_START_TIMEOUT).await;
        if self.store.has_journal(self.id()) {
            std::future::pending::<()>().await;
        }
    }

    /// The layout of a session that an earlier server created; `None` if it cannot be read. Then
    /// the supervisor cannot read it either, and reports whether trying again would help.
    async fn stored_layout(&self) -> Option<SandboxLayout> {
        let (store, id) = (self.store.clone(), self.id());
        blocking(move || store.layout(id)).await.ok()?.ok()
    }

    async fn start_supervisor(
        &self,
        spawner: &Arc<SpawnerClient>,
        layout: Option<SandboxLayout>,
    ) -> io::Result<(UnixStream, Generation)> {
        let id = self.id();
        let request = async {
            if let Some(started) = spawner.try_start_supervisor(id, layout.as_ref()) {
                return Ok(started);
            }
            let socket = spawner.request_socket(layout.as_ref());
            let request = move |spawner: &SpawnerClient| spawner.start_supervisor(id, layout.as_ref());
            request_blocking(spawner, socket, request).await
        };
        let (stream, generation) = request.instrument(tracing::debug_span!("spawn")).await?;
        Ok((from_std(stream)?, generation))
    }

    async fn replace_spawner(&self, spawner: &Arc<SpawnerClient>, generation: Generation) {
        if let Err(error) =
            request_blocking(spawner, RequestSocket::Usual, move |spawner| spawner.replace(generation)).await
        {
            tracing::error!(id = %self.id().short(), %error, "no spawner can be started now");
        }
    }

    /// Starts the session if it has no journal, and serves connections to its supervisor, again
    /// and again, until the journal is closed. If the supervisor is dead, closes the journal.
    async fn serve_until_closed(&self, queue: &mut DeliveryQueue, weighed: &mut WeighedSession) -> ClosedBy {
        let mut attempts = StartAttempts::new(self.spawners.start_timeout());
        let mut backoff = Backoff::new();
        loop {
            match self.store.closing_entry(self.id()) {
                Ok(Some(_)) => return ClosedBy::Supervisor,
                Ok(None) => {}
                Err(error) => tracing::warn!(id = %self.id().short(), %error, "a journal cannot be read now"),
            }
            if !self.session.is_cancelled() && !self.store.has_journal(self.id()) {
                if self.start_and_serve(&mut attempts, queue, weighed).await {
                    return ClosedBy::Server;
                }
                continue;
            }
            match self.store.connect(self.id()).await {
                // After a connection with a valid notice the supervisor is ready, and the next
                // connection needs no long pause.
                Ok(stream) => {
                    if self.serve_connection(stream, queue, weighed).await.has_received_notice {
                        backoff = Backoff::new();
                    }
                }
                Err(error) if is_exhausted(&error) => {
                    tracing::warn!(id = %self.id().short(), %error, "a supervisor cannot be connected to now");
                }
                Err(_) => {
                    let outcome =
                        if self.session.is_cancelled() { Outcome::Cancelled } else { Outcome::Lost };
                    if self.close_journal(outcome).await {
                        return ClosedBy::Server;
                    }
                    // The supervisor lives: it is about to listen, or about to end.
                }
            }
            if has_ended(&self.store, self.id()) {
                return ClosedBy::Supervisor;
            }
            backoff.wait().await;
        }
    }

    /// Serves one connection to its end.
    async fn serve_connection(
        &self,
        stream: UnixStream,
        queue: &mut DeliveryQueue,
        weighed: &mut WeighedSession,
    ) -> ConnectionEnd {
        let mut client = SupervisorClient::new(stream, queue, weighed);
        let run = client.run(&self.session, &self.store).instrument(tracing::debug_span!("connection"));
        if let Err(error) = run.await {
            tracing::debug!(id = %self.id().short(), %error, "the connection to the supervisor broke");
        }
        client.end()
    }

    /// Ends a session whose program has not begun, and notes the reason for its readers. Returns
    /// `false` if the caller is to try again to start it: there is a journal now, or no room for
    /// one.
    async fn close_unstarted(&self, outcome: Outcome, failure: &StartFailure) -> bool {
        let (store, id) = (self.store.clone(), self.id());
        // The error may name a file of the first case. The log has it.
        let why = if self.session.has_hidden_cases { "the server's log tells why" } else { &*failure.error };
        let note = format!("livecode: the program could not be started: {why}\n");
        let closed = blocking(move || store.close_unstarted(id, outcome, &note)).await;
        match closed.and_then(|closed| closed) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            Err(error) => {
                tracing::error!(id = %id.short(), %error, "a session that cannot be started cannot be ended either");
                !is_exhausted(&error) && !is_disk_full(&error)
            }
        }
    }

    /// Closes the journal if the supervisor is dead. Returns `false` if the caller is to try
    /// again, because the supervisor lives or because resources are exhausted.
    async fn close_journal(&self, outcome: Outcome) -> bool {
        let (store, id) = (self.store.clone(), self.id());
        match blocking(move || store.close_journal(id, outcome)).await {
            Ok(Ok(is_closed)) => is_closed,
            // After the errors below the journal has no closing entry, but the session ends for
            // its clients all the same.
            Err(error) => {
                tracing::error!(id = %id.short(), %error, "the task that closes a journal failed");
                true
            }
            Ok(Err(error)) => {
                tracing::error!(id = %id.short(), %error, "a journal cannot be closed");
                // A full disk may stay full for long, so only a lack of other resources is
                // retried.
                !error.cause().is_some_and(is_exhausted)
            }
        }
    }

    /// Kills a supervisor that does not end its session, and closes the journal in its place.
    async fn force_kill(&self) -> ClosedBy {
        tracing::warn!(id = %self.id().short(), "the supervisor does not end its session; it is killed");
        let mut backoff = Backoff::new();
        loop {
            if has_ended(&self.store, self.id()) {
                return ClosedBy::Supervisor;
            }
            kill_supervisor(&self.store, &self.session);
            if self.close_journal(Outcome::Cancelled).await {
                return ClosedBy::Server;
            }
            backoff.wait().await;
        }
    }

    /// Has the spawner kill and remove what a dead supervisor left, and waits until that is done.
    async fn sweep(&self) {
        let (id, spawner) = (self.id(), self.spawners.default_spawner());
        let swept = async {
            let (stream, generation) =
                request_blocking(spawner, RequestSocket::Usual, move |spawner| spawner.sweep(id)).await?;
            let mut stream = from_std(stream)?;
            if tokio::time::timeout(SWEEP_TIMEOUT, stream.read(&mut [0])).await.is_err() {
                // A new spawner sweeps when it starts.
                request_blocking(spawner, RequestSocket::Usual, move |spawner| spawner.replace(generation))
                    .await?;
            }
            io::Result::Ok(())
        };
        if let Err(error) = swept.await {
            tracing::warn!(id = %id.short(), %error, "the sweep after a dead supervisor failed; the next spawner retries");
        }
        self.store.remove_leftovers(id);
    }

    /// Reads how the session ended from its journal and publishes that as the session's progress,
    /// with whether its processes and its sandbox are gone.
    async fn publish_end(&self, is_torn_down: bool) {
        let mut backoff = Backoff::new();
        let ended = loop {
            match ended_progress(&self.store, self.id()) {
                Err(error) if is_exhausted(&error) => backoff.wait().await,
                other => break other.ok(),
            }
        };
        self.session.set_progress(|progress| progress.finalize(ended, is_torn_down));
    }

    fn id(&self) -> SessionId {
        self.session.id
    }

    /// The tracing span of everything that is done for the session.
    fn span(&self) -> tracing::Span {
        tracing::debug_span!("session", id = %self.id().short(), runtime = %self.session.runtime)
    }
}

/// Makes a request to a spawner on a thread for blocking work, since the request blocks while the
/// spawner is busy or is restarted. Requests on one socket of a spawner are made one after the
/// other, so that a spawner that hangs blocks few threads and not the whole thread pool.
async fn request_blocking<T: Send + 'static>(
    spawner: &Arc<SpawnerClient>,
    socket: RequestSocket,
    request: impl FnOnce(&SpawnerClient) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (spawner, guard) = (spawner.clone(), spawner.lock_requests(socket).await);
    let work = move || {
        // The guard is held until the request is done, even if the caller's future is dropped.
        let _guard = guard;
        request(&spawner)
    };
    blocking(work).await?
}

/// Gives a session up whose driver failed: kills the supervisor and ends the session as `lost` in
/// this server's memory. The journal is closed by the next server.
pub(crate) fn give_up(store: &Store, session: &Session) {
    session.close_queue();
    kill_supervisor(store, session);
    session.set_progress(|progress| progress.finalize(None, true));
}

/// Whether the session's journal is closed.
fn has_ended(store: &Store, id: SessionId) -> bool {
    matches!(store.closing_entry(id), Ok(Some(_)))
}

/// Kills a session's supervisor unless the session has ended. The process is never one that serves
/// another session by now: it does so only after this server has released it, and the server does
/// that only when it has published the session's end.
fn kill_supervisor(store: &Store, session: &Session) {
    let id = session.id;
    if session.progress().ended.is_some() || has_ended(store, id) {
        return;
    }
    if let Some(identity) = store.supervisor_identity(id)
        && let Err(error) = process::kill(&identity)
    {
        tracing::error!(id = %id.short(), %error, "the supervisor cannot be killed");
    }
}

fn from_std(stream: std::os::unix::net::UnixStream) -> io::Result<UnixStream> {
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

#[cfg(test)]
pub(crate) mod tests;
