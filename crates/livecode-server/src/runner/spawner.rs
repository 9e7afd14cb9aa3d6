//! The client of one spawner process. It requests supervisors, and restarts the spawner if the
//! process dies or hangs.

use std::{
    io::{self, IoSlice},
    mem::{self, MaybeUninit},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use livecode_protocol::{
    SessionId,
    control::{LayoutRequest, SpawnerReady, SpawnerRequest},
    run_spec::SandboxLayout,
    warm::SpawnerSettings,
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::{Errno, retry_on_intr},
    net::{
        RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recv, sendmsg,
        sockopt::{Timeout, set_socket_timeout},
    },
    process::{Signal, pidfd_send_signal},
};

use crate::metrics::Metrics;

/// How long a spawner may take to accept a request. Its socket buffers a few requests. A worker
/// takes each, or the spawner forks once for it.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a spawner may take from its start until it has tried to make a sandbox.
const LAUNCH_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest [`SpawnerReady`] message.
const MAX_READY_BYTES: usize = 64 * 1024;

/// Starts a spawner process.
pub type SpawnerLauncher = Arc<dyn Fn(&SpawnerSettings) -> io::Result<SpawnerProcess> + Send + Sync>;

/// A spawner process. It cleans up and exits when its socket is closed.
#[derive(Debug)]
pub struct SpawnerProcess {
    /// The server's end of the spawner's socket.
    pub socket: OwnedFd,
    /// The server's end of the socket for requests of other layouts than the spawner's usual one.
    pub layout_socket: OwnedFd,
    /// The spawner process (pidfd_open(2)).
    pub pidfd: OwnedFd,
    /// The process of the interpreter zygote that makes this spawner's sandboxes, if there is one.
    pub zygote_pidfd: Option<OwnedFd>,
}

impl SpawnerProcess {
    /// Kills a spawner that hangs and does not notice that its socket is closed, and its zygote.
    fn kill(&self) {
        for pidfd in std::iter::once(&self.pidfd).chain(&self.zygote_pidfd) {
            let _ = pidfd_send_signal(pidfd, Signal::KILL); // the process may have ended already
        }
    }
}

/// A socket on which a spawner receives requests. When it is full, a request on it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestSocket {
    /// [`SpawnerProcess::socket`].
    Usual,
    /// [`SpawnerProcess::layout_socket`].
    Layout,
}

/// A request as it is sent to a spawner.
enum EncodedRequest {
    /// A [`SpawnerRequest`], which goes to the spawner's workers.
    Usual(Vec<u8>),
    /// A [`LayoutRequest`], which goes to the spawner itself.
    Layout(Vec<u8>),
}

impl EncodedRequest {
    fn send(&self, process: &SpawnerProcess, stream: &UnixStream, flags: SendFlags) -> io::Result<()> {
        match self {
            Self::Usual(bytes) => send(&process.socket, bytes, stream, flags),
            Self::Layout(bytes) => send(&process.layout_socket, bytes, stream, flags),
        }
    }
}

/// Distinguishes a spawner process from those that it has replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation(u64);

/// Why there is no spawner.
#[derive(Debug, thiserror::Error)]
pub enum SpawnerError {
    /// The process could not be started, or ended before it was ready.
    #[error("the spawner did not start")]
    Start(#[source] io::Error),
    /// The process started, but it can make no sandbox, or its interpreter zygote did not start.
    #[error("the spawner can make no sandbox; `livecode doctor` says what to do about it: {0}")]
    NoSandbox(String),
}

/// The server's handle to one spawner.
pub struct SpawnerClient {
    launcher: SpawnerLauncher,
    settings: SpawnerSettings,
    current: Mutex<CurrentSpawner>,
    /// One for each socket of a spawner, in the order of [`RequestSocket`].
    request_locks: [Arc<tokio::sync::Mutex<()>>; 2],
    degraded: Vec<String>,
    inexact: Vec<String>,
    metrics: Arc<Metrics>,
    /// The spawners that were renewed and may still be doing what they were asked for.
    retired: Mutex<Vec<RetiredSpawner>>,
}

/// The spawner process that requests go to.
#[derive(Clone)]
struct CurrentSpawner {
    /// Shared with requests that are being sent, so that none waits for another.
    process: Arc<SpawnerProcess>,
    generation: Generation,
}

/// A spawner that gets no further requests. Its sockets are closed, so it ends by itself unless it
/// hangs.
struct RetiredSpawner {
    pidfds: Vec<OwnedFd>,
    generation: Generation,
}

impl RetiredSpawner {
    /// Whether one of its processes is still there.
    fn is_alive(&self) -> bool {
        self.pidfds.iter().any(|pidfd| {
            let mut polled = [PollFd::new(pidfd, PollFlags::IN)];
            // The pidfd of a process that has ended is readable.
            poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ended| ended == 0)
        })
    }
}

impl CurrentSpawner {
    fn new(process: SpawnerProcess, generation: Generation) -> Self {
        Self { process: Arc::new(process), generation }
    }
}

impl SpawnerClient {
    /// Starts a spawner process and waits until it has tried to make a sandbox.
    ///
    /// # Errors
    /// If the process does not start, or if no sandbox can be made.
    pub fn launch(
        launcher: SpawnerLauncher,
        settings: SpawnerSettings,
        metrics: Arc<Metrics>,
    ) -> Result<Self, SpawnerError> {
        let process = launcher(&settings).map_err(SpawnerError::Start)?;
        Self::from_process(process, launcher, settings, metrics)
    }

    /// Waits until a spawner process that was started already has tried to make a sandbox. The
    /// launcher starts its replacements.
    ///
    /// # Errors
    /// As [`Self::launch`].
    pub fn from_process(
        process: SpawnerProcess,
        launcher: SpawnerLauncher,
        settings: SpawnerSettings,
        metrics: Arc<Metrics>,
    ) -> Result<Self, SpawnerError> {
        let SpawnerReady { degraded, inexact, .. } = await_ready(&process)?;
        let current = Mutex::new(CurrentSpawner::new(process, Generation(0)));
        Ok(Self {
            launcher,
            settings,
            current,
            request_locks: Default::default(),
            degraded,
            inexact,
            metrics,
            retired: Mutex::default(),
        })
    }

    /// What of the sandbox cannot be enforced on this machine, one sentence each.
    pub fn degraded(&self) -> &[String] {
        &self.degraded
    }

    /// The document's `degraded` of a session on this machine: all of [`Self::degraded`], and what
    /// sessions show less exactly than on other machines.
    pub fn degraded_in_sessions(&self) -> Vec<String> {
        [&*self.degraded, &self.inexact].concat()
    }

    /// Waits until no other request on this socket is in progress. The caller holds the guard
    /// during a request that may block, so that only one thread for each socket is blocked by a
    /// spawner that hangs, and requests on a socket that is full do not delay those on the other.
    pub async fn lock_requests(&self, socket: RequestSocket) -> tokio::sync::OwnedMutexGuard<()> {
        self.request_locks[socket as usize].clone().lock_owned().await
    }

    /// The socket on which a supervisor for a session with this layout is requested. If the layout
    /// is not known, it is requested as one of the usual layout: a worker finds out that it is not,
    /// or why it cannot be known, which it reports.
    pub fn request_socket(&self, layout: Option<&SandboxLayout>) -> RequestSocket {
        let is_usual = layout.is_none_or(|layout| self.is_usual(layout));
        if is_usual { RequestSocket::Usual } else { RequestSocket::Layout }
    }

    /// Whether this is the layout of which the spawner always has a warm sandbox, except perhaps
    /// for its size. A spawner without warm sandboxes makes no difference between layouts.
    pub fn is_usual(&self, layout: &SandboxLayout) -> bool {
        self.settings.warm.as_ref().is_none_or(|warm| warm.layout.has_same_files(layout))
    }

    /// Requests a supervisor for a session with this layout, if it is known, whose folder is
    /// complete, and returns the connection to it. If the supervisor cannot be started, the
    /// connection ends. If nothing happens on the connection, the caller calls [`Self::replace`].
    ///
    /// # Errors
    /// If no socket can be made, or if the spawner died or hangs and cannot be restarted.
    pub fn start_supervisor(
        &self,
        id: SessionId,
        layout: Option<&SandboxLayout>,
    ) -> io::Result<(UnixStream, Generation)> {
        self.send_request(&self.start_request(id, layout)?)
    }

    /// As [`Self::start_supervisor`], but never blocks; `None` if the request would have to wait.
    pub fn try_start_supervisor(
        &self,
        id: SessionId,
        layout: Option<&SandboxLayout>,
    ) -> Option<(UnixStream, Generation)> {
        let _guard = self.request_locks[self.request_socket(layout) as usize].try_lock().ok()?;
        let current = self.current.try_lock().ok()?;
        let request = self.start_request(id, layout).ok()?;
        let (ours, theirs) = UnixStream::pair().ok()?;
        request.send(&current.process, &theirs, SendFlags::DONTWAIT).ok()?;
        Some((ours, current.generation))
    }

    /// Requests that everything a dead supervisor left is killed and removed. The returned
    /// connection ends when that is done.
    ///
    /// # Errors
    /// As [`Self::start_supervisor`].
    pub fn sweep(&self, id: SessionId) -> io::Result<(UnixStream, Generation)> {
        self.send_request(&EncodedRequest::Usual(serde_json::to_vec(&SpawnerRequest::Sweep(id))?))
    }

    /// Kills the spawner process of this generation and starts another, which sweeps when it
    /// starts. A process that was renewed is only killed, if it is still there.
    ///
    /// # Errors
    /// If no process can be started.
    pub fn replace(&self, generation: Generation) -> io::Result<()> {
        let mut current = self.current();
        if current.generation == generation {
            tracing::warn!("the spawner hangs; it is restarted");
            self.restart(&mut current)?;
        } else if let Some(retired) = self.retired().iter().find(|retired| retired.generation == generation) {
            tracing::warn!("a spawner hangs that was replaced already; it is killed");
            for pidfd in &retired.pidfds {
                let _ = pidfd_send_signal(pidfd, Signal::KILL); // the process may have ended already
            }
        }
        Ok(())
    }

    /// Starts another spawner process for the requests to come. The current one ends by itself once
    /// it has done what it was asked for.
    ///
    /// # Errors
    /// If no process can be started. Then the current one stays.
    pub fn renew(&self) -> io::Result<()> {
        let process = (self.launcher)(&self.settings)?;
        await_ready(&process).map_err(io::Error::other)?;
        let mut current = self.current();
        let generation = Generation(current.generation.0 + 1);
        let old = mem::replace(&mut *current, CurrentSpawner::new(process, generation));
        let pidfds = std::iter::once(&old.process.pidfd).chain(&old.process.zygote_pidfd);
        let pidfds = pidfds.map(OwnedFd::try_clone).collect::<io::Result<_>>()?;
        let mut retired = self.retired();
        retired.retain(RetiredSpawner::is_alive);
        retired.push(RetiredSpawner { pidfds, generation: old.generation });
        Ok(())
    }

    /// The request for a supervisor.
    fn start_request(&self, id: SessionId, layout: Option<&SandboxLayout>) -> io::Result<EncodedRequest> {
        Ok(match layout.filter(|layout| !self.is_usual(layout)) {
            None => EncodedRequest::Usual(serde_json::to_vec(&SpawnerRequest::StartSupervisor(id))?),
            Some(layout) => {
                EncodedRequest::Layout(serde_json::to_vec(&LayoutRequest { id, layout: layout.clone() })?)
            }
        })
    }

    fn send_request(&self, request: &EncodedRequest) -> io::Result<(UnixStream, Generation)> {
        let (ours, theirs) = UnixStream::pair()?;
        // The lock is not held while a request waits for room in its socket.
        let CurrentSpawner { process, generation } = self.current().clone();
        let Err(error) = request.send(&process, &theirs, SendFlags::empty()) else {
            return Ok((ours, generation));
        };
        drop(process);
        let mut current = self.current();
        if current.generation == generation {
            tracing::warn!(%error, "the spawner has died or hangs; it is restarted");
            self.restart(&mut current)?;
        }
        request.send(&current.process, &theirs, SendFlags::empty())?;
        Ok((ours, current.generation))
    }

    fn restart(&self, current: &mut CurrentSpawner) -> io::Result<()> {
        current.process.kill();
        let process = (self.launcher)(&self.settings)?;
        await_ready(&process).map_err(io::Error::other)?;
        *current = CurrentSpawner::new(process, Generation(current.generation.0 + 1));
        self.metrics.spawner_restarts.inc();
        Ok(())
    }

    fn retired(&self) -> MutexGuard<'_, Vec<RetiredSpawner>> {
        self.retired.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn current(&self) -> MutexGuard<'_, CurrentSpawner> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until a spawner accepts requests. The result says what this machine cannot do.
fn await_ready(process: &SpawnerProcess) -> Result<SpawnerReady, SpawnerError> {
    let ready = receive_ready(process).inspect_err(|_| process.kill());
    let mut ready = ready.map_err(SpawnerError::Start)?;
    match ready.error.take() {
        Some(error) => Err(SpawnerError::NoSandbox(error)),
        None => Ok(ready),
    }
}

/// Sets the sockets' timeouts and receives the spawner's first message.
fn receive_ready(SpawnerProcess { socket, layout_socket, .. }: &SpawnerProcess) -> io::Result<SpawnerReady> {
    set_socket_timeout(layout_socket, Timeout::Send, Some(REQUEST_TIMEOUT))?;
    set_socket_timeout(socket, Timeout::Send, Some(REQUEST_TIMEOUT))?;
    set_socket_timeout(socket, Timeout::Recv, Some(LAUNCH_TIMEOUT))?;
    let mut bytes = vec![0; MAX_READY_BYTES];
    match retry_on_intr(|| recv(socket, &mut *bytes, RecvFlags::empty())) {
        Ok((length, _)) => Ok(serde_json::from_slice(&bytes[..length])?),
        Err(Errno::AGAIN) => {
            let seconds = LAUNCH_TIMEOUT.as_secs();
            let text = format!("the spawner sent no message within {seconds} s");
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        }
        Err(error) => Err(error.into()),
    }
}

/// Sends a request with `stream` attached (unix(7), `SCM_RIGHTS`).
///
/// `livecode_sandbox::fd_passing` does the same for any number of descriptors. This crate must not
/// depend on the sandbox, and a request has exactly one descriptor, so the call is written out
/// here.
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
            let text = format!("the spawner accepted no request within {seconds} s");
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        }
        Err(error) => Err(error.into()),
    }
}
