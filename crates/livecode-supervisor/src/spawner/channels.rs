//! The channels between a pool and its workers, and what is sent on them.
//!
//! | channel | socket | direction | content |
//! | --- | --- | --- | --- |
//! | status channel | stream, one for each worker | worker to pool | [`WorkerStatus`] |
//! | the same, while parked | | pool to worker | [`UnparkMessage`], perhaps the server's socket |
//! | the same, while idle | | pool to worker | a request, if the worker has not the server's socket |
//! | park channel | sequenced packets, shared by all | worker to pool | its new status channel |

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
};

use livecode_protocol::run_spec::SandboxLayout;
use livecode_sandbox::fd_passing;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair};

/// The worker waits for a request. If it prepares a sandbox, the sandbox is ready.
const STATUS_READY: u8 = b'r';
/// The worker has taken a request. The next byte is the CPU that it ran on.
const STATUS_TAKEN: u8 = b't';
/// The zygote hangs.
const STATUS_ZYGOTE_HANGS: u8 = b'h';
/// The most bytes that a worker sends before the pool closes its status channel.
const MAX_STATUS_BYTES: usize = 4;

/// The value of [`UnparkMessage::excluded_cpu`] that stands for no CPU.
const NO_EXCLUDED_CPU: u8 = u8::MAX;

/// Length of an [`UnparkMessage`] without the layout, in bytes: the excluded CPU, whether there is
/// an idle timeout, and the length of the layout, which follows as JSON.
const UNPARK_HEAD_BYTES: usize = 4;

/// The length of the layout that follows a head.
fn layout_bytes([.., low, high]: [u8; UNPARK_HEAD_BYTES]) -> usize {
    usize::from(u16::from_le_bytes([low, high]))
}

/// Makes a pair of connected sockets.
pub(super) fn socket_pair(kind: SocketType) -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?)
}

/// What a worker tells the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WorkerStatus {
    /// It waits for a request.
    Ready,
    /// It has taken a request, while it ran on this CPU.
    Taken { cpu: usize },
    /// The zygote hangs: another is needed.
    ZygoteHangs,
}

impl WorkerStatus {
    /// Sends the status to the pool. If the spawner is gone, nothing happens.
    pub fn send(self, status_channel: &OwnedFd) {
        let _ = send(status_channel, &self.encode(), SendFlags::NOSIGNAL);
    }

    fn encode(self) -> Vec<u8> {
        match self {
            Self::Ready => vec![STATUS_READY],
            // On a machine with more CPUs than a byte can count, it matters little which CPU it
            // is.
            Self::Taken { cpu } => vec![STATUS_TAKEN, u8::try_from(cpu).unwrap_or(u8::MAX)],
            Self::ZygoteHangs => vec![STATUS_ZYGOTE_HANGS],
        }
    }
}

/// What one read of a worker's status channel has brought. A worker may have sent
/// [`WorkerStatus::Ready`] and another status since the last read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StatusUpdate {
    pub is_ready: bool,
    pub state: WorkerState,
}

/// The state of a worker according to its last status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WorkerState {
    /// It has taken no request yet.
    Idle,
    /// It has taken a request, on this CPU.
    Taken { cpu: Option<usize> },
    /// It found that the zygote hangs.
    ZygoteHangs,
    /// It has closed its end of the channel: it has ended.
    Ended,
}

impl StatusUpdate {
    /// Reads what is there; `None` if there is nothing yet.
    pub fn receive(status_channel: &OwnedFd) -> Option<Self> {
        let mut bytes = [0; MAX_STATUS_BYTES];
        match recv(status_channel, &mut bytes[..], RecvFlags::DONTWAIT) {
            Ok((length, _)) => Some(Self::decode(&bytes[..length])),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => None,
            Err(_) => Some(Self::decode(&[])),
        }
    }

    fn decode(bytes: &[u8]) -> Self {
        let (is_ready, rest) = match bytes {
            [STATUS_READY, rest @ ..] => (true, rest),
            _ => (false, bytes),
        };
        let state = match rest {
            [STATUS_TAKEN, cpu @ ..] => WorkerState::Taken { cpu: cpu.first().map(|cpu| usize::from(*cpu)) },
            [STATUS_ZYGOTE_HANGS, ..] => WorkerState::ZygoteHangs,
            _ if bytes.is_empty() => WorkerState::Ended,
            _ => WorkerState::Idle,
        };
        Self { is_ready, state }
    }
}

/// What a parked worker is told when it is to make a sandbox and to wait for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UnparkMessage {
    /// The CPU that init must not use while it sets up a sandbox: a session was just started on
    /// it.
    pub excluded_cpu: Option<usize>,
    /// Whether the worker ends when no request has come for a while.
    pub has_idle_timeout: bool,
    /// The layout of the sandbox.
    pub layout: SandboxLayout,
}

impl UnparkMessage {
    /// Sends the message to a parked worker. `server` is the server's socket, which is attached if
    /// the worker is to receive a request itself.
    ///
    /// # Errors
    /// If the worker has ended.
    pub fn send(&self, status_channel: &OwnedFd, server: Option<&OwnedFd>) -> io::Result<()> {
        let server: Vec<_> = server.iter().map(|server| server.as_fd()).collect();
        fd_passing::send(status_channel, &self.encode()?, &server, SendFlags::empty())
    }

    /// Receives a message that is there already, with the server's socket if that is attached.
    pub fn receive(status_channel: &OwnedFd) -> Option<(Self, Option<OwnedFd>)> {
        // The buffer is no larger than the message: its pages would stay with the worker.
        let mut head = [0; UNPARK_HEAD_BYTES];
        let received = fd_passing::receive(status_channel, &mut head, RecvFlags::DONTWAIT);
        let (length, mut descriptors) = received.ok()?;
        let mut layout = vec![0; layout_bytes(head)];
        let is_whole = length == head.len()
            && recv(status_channel, &mut *layout, RecvFlags::DONTWAIT) == Ok((layout.len(), layout.len()));
        let message = if is_whole { Self::decode(head, &layout) } else { None };
        Some((message?, descriptors.pop()))
    }

    fn encode(&self) -> io::Result<Vec<u8>> {
        let cpu = self.excluded_cpu.and_then(|cpu| u8::try_from(cpu).ok()).unwrap_or(NO_EXCLUDED_CPU);
        let layout = serde_json::to_vec(&self.layout)?;
        let length = u16::try_from(layout.len()).map_err(io::Error::other)?;
        let [low, high] = length.to_le_bytes();
        Ok([&[cpu, u8::from(self.has_idle_timeout), low, high], &*layout].concat())
    }

    fn decode([cpu, has_idle_timeout, ..]: [u8; UNPARK_HEAD_BYTES], layout: &[u8]) -> Option<Self> {
        Some(Self {
            excluded_cpu: (cpu != NO_EXCLUDED_CPU).then_some(usize::from(cpu)),
            has_idle_timeout: has_idle_timeout != 0,
            layout: serde_json::from_slice(layout).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_decoded_as_it_was_encoded() {
        let update = |statuses: &[WorkerStatus]| {
            StatusUpdate::decode(&statuses.iter().flat_map(|status| status.encode()).collect::<Vec<_>>())
        };
        let expected = |is_ready, state| StatusUpdate { is_ready, state };
        let taken = WorkerStatus::Taken { cpu: 3 };
        assert_eq!(update(&[]), expected(false, WorkerState::Ended));
        assert_eq!(update(&[WorkerStatus::Ready]), expected(true, WorkerState::Idle));
        assert_eq!(update(&[taken]), expected(false, WorkerState::Taken { cpu: Some(3) }));
        assert_eq!(
            update(&[WorkerStatus::Ready, taken]),
            expected(true, WorkerState::Taken { cpu: Some(3) })
        );
        assert_eq!(update(&[WorkerStatus::ZygoteHangs]), expected(false, WorkerState::ZygoteHangs));
    }

    #[test]
    fn an_unpark_message_arrives_as_it_was_sent() {
        let (pool, worker) = socket_pair(SocketType::STREAM).unwrap();
        for excluded_cpu in [None, Some(0), Some(254)] {
            for has_idle_timeout in [false, true] {
                let layout = SandboxLayout { mounts: vec![], root: None, disk_bytes: 1, disk_files: 2 };
                let message = UnparkMessage { excluded_cpu, has_idle_timeout, layout };
                for server in [None, Some(&pool)] {
                    message.send(&pool, server).unwrap();
                    let (received, attached) = UnparkMessage::receive(&worker).unwrap();
                    assert_eq!((received, attached.is_some()), (message.clone(), server.is_some()));
                }
            }
        }
    }
}
