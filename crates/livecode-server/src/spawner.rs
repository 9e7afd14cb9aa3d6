//! The server's side of the spawner: asks for supervisors, and starts a new spawner where the old one died.

use std::{
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    sync::{Arc, Mutex},
};

use livecode_protocol::{
    SessionId,
    control::{Ready, SpawnerRequest},
};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recv, sendmsg};

use crate::metrics::Metrics;

/// Starts a spawner process and returns the socket to it.
pub type Start = Box<dyn Fn() -> io::Result<OwnedFd> + Send + Sync>;

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
pub struct Spawner {
    start: Start,
    socket: Mutex<OwnedFd>,
    turn: Arc<tokio::sync::Mutex<()>>,
    degraded: Vec<String>,
    metrics: Arc<Metrics>,
}

impl Spawner {
    /// Starts a spawner and waits until it has tried a sandbox.
    ///
    /// # Errors
    /// Where it does not start, or no sandbox can be made.
    pub fn new(start: Start, metrics: Arc<Metrics>) -> Result<Self, SpawnerError> {
        let (socket, degraded) = launch(&start)?;
        Ok(Self { start, socket: Mutex::new(socket), turn: Arc::default(), degraded, metrics })
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
    /// could not be started shows as that connection's end.
    ///
    /// # Errors
    /// Where no socket can be made, or the spawner is gone and cannot be started again.
    pub fn start_supervisor(&self, id: SessionId) -> io::Result<UnixStream> {
        self.ask(&SpawnerRequest::Start(id))
    }

    /// Has killed and removed what a dead supervisor left. The end of the returned connection says that it is done.
    ///
    /// # Errors
    /// As [`Self::start_supervisor`].
    pub fn sweep(&self, id: SessionId) -> io::Result<UnixStream> {
        self.ask(&SpawnerRequest::Sweep(id))
    }

    fn ask(&self, request: &SpawnerRequest) -> io::Result<UnixStream> {
        let request = serde_json::to_vec(request)?;
        let (ours, theirs) = UnixStream::pair()?;
        let mut socket = self.socket.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Err(error) = send(&socket, &request, &theirs) {
            tracing::warn!(%error, "the spawner is gone; starting another");
            (*socket, _) = launch(&self.start).map_err(io::Error::other)?;
            self.metrics.spawner_restarts.inc();
            send(&socket, &request, &theirs)?;
        }
        Ok(ours)
    }
}

fn launch(start: &Start) -> Result<(OwnedFd, Vec<String>), SpawnerError> {
    let socket = start().map_err(SpawnerError::Start)?;
    let mut bytes = vec![0; 64 * 1024];
    let (length, _) =
        recv(&socket, &mut *bytes, RecvFlags::empty()).map_err(|error| SpawnerError::Start(error.into()))?;
    let ready: Ready = serde_json::from_slice(&bytes[..length])
        .map_err(|error| SpawnerError::Start(io::Error::other(error)))?;
    match ready.error {
        Some(error) => Err(SpawnerError::NoSandbox(error)),
        None => Ok((socket, ready.degraded)),
    }
}

fn send(socket: &OwnedFd, request: &[u8], stream: &UnixStream) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let descriptors = [stream.as_fd()];
    ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    sendmsg(socket, &[IoSlice::new(request)], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}
