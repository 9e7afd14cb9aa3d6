//! What init tells the supervisor, and how it is written on the control socket.
//!
//! One datagram a report: a tag, an argument, an errno or status, and for a failed setup the name of the step.

use std::{
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    io::retry_on_intr,
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg},
};

/// The setup of a sandbox failed: the platform's failure, never the program's.
#[derive(Debug, thiserror::Error)]
#[error("the sandbox could not be set up: {step}")]
pub struct SetupError {
    /// The very step that failed, e.g. `mount /proc`.
    pub step: String,
    /// What the kernel said to it.
    #[source]
    pub source: io::Error,
}

/// Gives a result of the kernel's the name of the step it belongs to.
pub(crate) trait SetupContext<T> {
    /// Names the step that `self` is the result of.
    fn context(self, step: impl Into<String>) -> Result<T, SetupError>;
}

impl<T, E: Into<io::Error>> SetupContext<T> for Result<T, E> {
    fn context(self, step: impl Into<String>) -> Result<T, SetupError> {
        self.map_err(|source| SetupError { step: step.into(), source: source.into() })
    }
}

/// How one step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepStatus {
    /// It exited with this code.
    Exited(i32),
    /// This signal killed it.
    Signalled(i32),
}

/// Something that happened inside.
#[derive(Debug)]
pub enum InitEvent {
    /// The sandbox is made, and waits to be told its order.
    Ready,
    /// The step with this index is about to be executed.
    Started(usize),
    /// The step with this index has ended. After a failed step, and after the last, the whole sandbox ends.
    Ended(usize, StepStatus),
    /// The step with this index could not be executed: most often its command does not exist. `Ended` follows.
    CannotRun(usize, io::Error),
    /// The sandbox could not be set up, and is ending.
    SetupFailed(SetupError),
    /// A file that the compile steps made. All that is said of it comes from inside.
    Artefact {
        /// Where it is, below `/`.
        name: String,
        /// Whether its owner may execute it.
        executable: bool,
        /// The file, open to be read.
        file: Option<OwnedFd>,
    },
    /// What all processes that have ended inside used, where no cgroup counts it: CPU time in milliseconds, and the memory of the
    /// largest in KiB. It is taken in by [`crate::Sandbox`].
    Used {
        /// CPU time, in milliseconds.
        cpu_ms: u64,
        /// Memory of the largest process, in KiB.
        largest_kib: u64,
    },
    /// There are no more of them; whether those were all that was asked for. Nothing else runs inside now.
    Taken(bool),
}

/// The longest datagram, in bytes. Names of steps are cut to it.
pub(crate) const MAX_BYTES: usize = 512;

const STARTED: u8 = 1;
const EXITED: u8 = 2;
const SIGNALLED: u8 = 3;
const CANNOT_RUN: u8 = 4;
const SETUP_FAILED: u8 = 5;
const READY: u8 = 6;
const ARTEFACT: u8 = 7;
const TAKEN: u8 = 8;
const USED: u8 = 9;

impl InitEvent {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let errno = |error: &io::Error| error.raw_os_error().unwrap_or(0);
        let (tag, index, number, text) = match self {
            Self::Ready => (READY, 0, 0, ""),
            Self::Started(index) => (STARTED, *index, 0, ""),
            Self::Ended(index, StepStatus::Exited(code)) => (EXITED, *index, *code, ""),
            Self::Ended(index, StepStatus::Signalled(signal)) => (SIGNALLED, *index, *signal, ""),
            Self::CannotRun(index, error) => (CANNOT_RUN, *index, errno(error), ""),
            Self::SetupFailed(error) => (SETUP_FAILED, 0, errno(&error.source), error.step.as_str()),
            Self::Artefact { name, executable, .. } => (ARTEFACT, 0, i32::from(*executable), name.as_str()),
            Self::Taken(whole) => (TAKEN, 0, i32::from(*whole), ""),
            Self::Used { .. } => (USED, 0, 0, ""),
        };
        let mut bytes = vec![tag, index as u8];
        bytes.extend(number.to_le_bytes());
        if let Self::Used { cpu_ms, largest_kib } = self {
            bytes.extend([cpu_ms, largest_kib].map(|number| number.to_le_bytes()).as_flattened());
        }
        bytes.extend(text.bytes().take(MAX_BYTES - bytes.len()));
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (head, text) = bytes.split_first_chunk::<6>()?;
        let index = usize::from(head[1]);
        let number = i32::from_le_bytes([head[2], head[3], head[4], head[5]]);
        Some(match head[0] {
            READY => Self::Ready,
            STARTED => Self::Started(index),
            EXITED => Self::Ended(index, StepStatus::Exited(number)),
            SIGNALLED => Self::Ended(index, StepStatus::Signalled(number)),
            CANNOT_RUN => Self::CannotRun(index, io::Error::from_raw_os_error(number)),
            SETUP_FAILED => Self::SetupFailed(SetupError {
                step: String::from_utf8_lossy(text).into_owned(),
                source: io::Error::from_raw_os_error(number),
            }),
            ARTEFACT => Self::Artefact {
                name: String::from_utf8_lossy(text).into_owned(),
                executable: number != 0,
                file: None,
            },
            TAKEN => Self::Taken(number != 0),
            USED => {
                let ([cpu_ms, largest_kib], []) = text.as_chunks::<8>() else { return None };
                let [cpu_ms, largest_kib] = [cpu_ms, largest_kib].map(|bytes| u64::from_le_bytes(*bytes));
                Self::Used { cpu_ms, largest_kib }
            }
            _ => return None,
        })
    }
}

/// What the supervisor asks of init: a datagram of two bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InitRequest {
    /// Take the order that is attached, and what was compiled before if that is, too; and fork the first step.
    Begin,
    /// Fork the step with this index.
    Start(usize),
    /// Send this signal to the running step's process group.
    Signal(i32),
    /// End everything, and send what the compile steps made.
    Take,
}

impl InitRequest {
    pub(crate) fn encode(self) -> [u8; 2] {
        match self {
            Self::Begin => [3, 0],
            Self::Start(index) => [1, index as u8],
            Self::Signal(signal) => [2, signal as u8],
            Self::Take => [4, 0],
        }
    }

    /// Sends it with at most two files.
    pub(crate) fn send_with(self, socket: impl AsFd, files: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut attached = SendAncillaryBuffer::new(&mut space);
        attached.push(SendAncillaryMessage::ScmRights(files));
        let bytes = self.encode();
        let send = || sendmsg(&socket, &[IoSlice::new(&bytes)], &mut attached, SendFlags::NOSIGNAL);
        Ok(retry_on_intr(send).map(drop)?)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        match *bytes {
            [1, index] => Some(Self::Start(usize::from(index))),
            [3, _] => Some(Self::Begin),
            [2, signal] => Some(Self::Signal(i32::from(signal))),
            [4, _] => Some(Self::Take),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_arrive_as_they_were_sent() {
        let failed = InitEvent::SetupFailed(SetupError {
            step: "mount /proc".into(),
            source: io::Error::from_raw_os_error(1),
        });
        for report in [
            InitEvent::Ready,
            InitEvent::Started(0),
            InitEvent::Ended(1, StepStatus::Exited(3)),
            InitEvent::Ended(0, StepStatus::Signalled(9)),
            InitEvent::CannotRun(0, io::Error::from_raw_os_error(2)),
            InitEvent::Artefact { name: "tmp/program".into(), executable: true, file: None },
            InitEvent::Taken(true),
            InitEvent::Used { cpu_ms: 7, largest_kib: 1 << 40 },
            failed,
        ] {
            let back = InitEvent::decode(&report.encode()).unwrap();
            assert_eq!(format!("{report:?}"), format!("{back:?}"));
        }
        assert!(InitEvent::decode(b"").is_none() && InitEvent::decode(b"\x0a\0\0\0\0\0").is_none());
    }

    #[test]
    fn requests_arrive_as_they_were_sent() {
        for request in [InitRequest::Begin, InitRequest::Start(2), InitRequest::Signal(15), InitRequest::Take]
        {
            assert_eq!(InitRequest::decode(&request.encode()), Some(request));
        }
    }
}
