//! The server's side of the spawner: asks for supervisors, and starts a new spawner where the old one died or hangs.

use std::{
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use livecode_protocol::{
    SessionId,
    control::{SpawnerReady, SpawnerRequest},
    warm::SpawnerSettings,
};
use rustix::{
    io::{Errno, retry_on_intr},
    net::{
        RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recv, sendmsg,
        sockopt::{Timeout, set_socket_timeout},
    },
    process::{Signal, pidfd_send_signal},
};

use crate::metrics::Metrics;

/// How long a spawner may take to take a request. Its socket holds a few, and each costs it one fork.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long it may take from its start until it has tried a sandbox.
const LAUNCH_TIMEOUT: Duration = Duration::from_secs(30);

/// Starts a spawner process.
pub type SpawnerLauncher = Arc<dyn Fn(&SpawnerSettings) -> io::Result<SpawnerProcess> + Send + Sync>;

/// A spawner process. It ends, and tidies up, when its socket is closed.
#[derive(Debug)]
pub struct SpawnerProcess {
    /// The socket to it.
    pub socket: OwnedFd,
    /// The process itself (pidfd_open(2)).
    pub pidfd: OwnedFd,
    /// The template that makes its sandboxes, if it has one.
    pub template: Option<OwnedFd>,
}

impl SpawnerProcess {
    /// For one that hangs, and does not see that its socket is closed.
    fn kill(&self) {
        for process in std::iter::once(&self.pidfd).chain(&self.template) {
            let _ = pidfd_send_signal(process, Signal::KILL); // it may be gone already
        }
    }
}

/// Tells one spawner from the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation(u64);

/// Why there is no spawner.
#[derive(Debug, thiserror::Error)]
pub enum SpawnerError {
    /// The process could not be started, or ended before it was ready.
    #[error("the spawner did not start")]
    Start(#[source] io::Error),
    /// It started, but no sandbox can be made on this machine.
    #[error("no sandbox can be made on this machine, and `livecode doctor` says what to do about it: {0}")]
    NoSandbox(String),
}

/// A running spawner.
pub struct SpawnerClient {
    start: SpawnerLauncher,
    settings: SpawnerSettings,
    living: Mutex<CurrentSpawner>,
    turn: Arc<tokio::sync::Mutex<()>>,
    degraded: Vec<String>,
    metrics: Arc<Metrics>,
}

/// The spawner that is asked now.
struct CurrentSpawner {
    process: SpawnerProcess,
    generation: Generation,
}

impl SpawnerClient {
    /// Starts a spawner and waits until it has tried a sandbox.
    ///
    /// # Errors
    /// Where it does not start, or no sandbox can be made.
    pub fn new(
        start: SpawnerLauncher,
        settings: SpawnerSettings,
        metrics: Arc<Metrics>,
    ) -> Result<Self, SpawnerError> {
        let process = start(&settings).map_err(SpawnerError::Start)?;
        Self::of(process, start, settings, metrics)
    }

    /// As [`Self::new`], of a process that is started already.
    ///
    /// # Errors
    /// The same.
    pub fn of(
        process: SpawnerProcess,
        start: SpawnerLauncher,
        settings: SpawnerSettings,
        metrics: Arc<Metrics>,
    ) -> Result<Self, SpawnerError> {
        let degraded = await_ready(&process)?;
        let living = Mutex::new(CurrentSpawner { process, generation: Generation(0) });
        Ok(Self { start, settings, living, turn: Arc::default(), degraded, metrics })
    }

    /// What of the sandbox this machine cannot enforce.
    pub fn degraded(&self) -> &[String] {
        &self.degraded
    }

    /// Waits until nobody else asks for anything, since asking may take long.
    pub async fn turn(&self) -> tokio::sync::OwnedMutexGuard<()> {
        self.turn.clone().lock_owned().await
    }

    /// Has a supervisor started for a session whose folder is complete, and returns the connection to it. A supervisor that
    /// could not be started shows as that connection's end; where nothing shows, whoever waits has the spawner replaced.
    ///
    /// # Errors
    /// Where no socket can be made, or the spawner is gone or hangs and cannot be started again.
    pub fn start_supervisor(&self, id: SessionId) -> io::Result<(UnixStream, Generation)> {
        self.ask(&SpawnerRequest::Start(id))
    }

    /// As [`Self::start_supervisor`], where that can be asked for at once; `None` where it would have to be waited for.
    pub fn start_supervisor_at_once(&self, id: SessionId) -> Option<(UnixStream, Generation)> {
        let _turn = self.turn.try_lock().ok()?;
        let living = self.living.try_lock().ok()?;
        let request = serde_json::to_vec(&SpawnerRequest::Start(id)).ok()?;
        let (ours, theirs) = UnixStream::pair().ok()?;
        send(&living.process.socket, &request, &theirs, SendFlags::DONTWAIT).ok()?;
        Some((ours, living.generation))
    }

    /// Has killed and removed what a dead supervisor left. The end of the returned connection says that it is done.
    ///
    /// # Errors
    /// As [`Self::start_supervisor`].
    pub fn sweep(&self, id: SessionId) -> io::Result<(UnixStream, Generation)> {
        self.ask(&SpawnerRequest::Sweep(id))
    }

    /// Kills the spawner of that generation, unless somebody else has, and starts another, which sweeps as each does.
    ///
    /// # Errors
    /// Where none can be started.
    pub fn replace(&self, generation: Generation) -> io::Result<()> {
        let mut living = self.living();
        if living.generation == generation {
            tracing::warn!("the spawner hangs; starting another");
            self.renew(&mut living)?;
        }
        Ok(())
    }

    fn ask(&self, request: &SpawnerRequest) -> io::Result<(UnixStream, Generation)> {
        let request = serde_json::to_vec(request)?;
        let (ours, theirs) = UnixStream::pair()?;
        let mut living = self.living();
        if let Err(error) = send(&living.process.socket, &request, &theirs, SendFlags::empty()) {
            tracing::warn!(%error, "the spawner is gone, or hangs; starting another");
            self.renew(&mut living)?;
            send(&living.process.socket, &request, &theirs, SendFlags::empty())?;
        }
        Ok((ours, living.generation))
    }

    fn renew(&self, living: &mut CurrentSpawner) -> io::Result<()> {
        living.process.kill();
        let process = (self.start)(&self.settings)?;
        await_ready(&process).map_err(io::Error::other)?;
        *living = CurrentSpawner { process, generation: Generation(living.generation.0 + 1) };
        self.metrics.spawner_restarts.inc();
        Ok(())
    }

    fn living(&self) -> MutexGuard<'_, CurrentSpawner> {
        self.living.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until it can be asked. The result is what cannot be enforced.
fn await_ready(process: &SpawnerProcess) -> Result<Vec<String>, SpawnerError> {
    let ready = hear(&process.socket).inspect_err(|_| process.kill()).map_err(SpawnerError::Start)?;
    match ready.error {
        Some(error) => Err(SpawnerError::NoSandbox(error)),
        None => Ok(ready.degraded),
    }
}

/// The first that a spawner says.
fn hear(socket: &OwnedFd) -> io::Result<SpawnerReady> {
    set_socket_timeout(socket, Timeout::Send, Some(REQUEST_TIMEOUT))?;
    set_socket_timeout(socket, Timeout::Recv, Some(LAUNCH_TIMEOUT))?;
    let mut bytes = vec![0; 64 * 1024];
    match retry_on_intr(|| recv(socket, &mut *bytes, RecvFlags::empty())) {
        Ok((length, _)) => Ok(serde_json::from_slice(&bytes[..length])?),
        Err(Errno::AGAIN) => {
            let seconds = LAUNCH_TIMEOUT.as_secs();
            Err(io::Error::new(io::ErrorKind::TimedOut, format!("it said nothing for {seconds} s")))
        }
        Err(error) => Err(error.into()),
    }
}

fn send(socket: &OwnedFd, request: &[u8], stream: &UnixStream, flags: SendFlags) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let descriptors = [stream.as_fd()];
    ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    let flags = flags | SendFlags::NOSIGNAL;
    match retry_on_intr(|| sendmsg(socket, &[IoSlice::new(request)], &mut ancillary, flags)) {
        Ok(_) => Ok(()),
        Err(Errno::AGAIN) => {
            let seconds = REQUEST_TIMEOUT.as_secs();
            Err(io::Error::new(io::ErrorKind::TimedOut, format!("it took no request for {seconds} s")))
        }
        Err(error) => Err(error.into()),
    }
}
