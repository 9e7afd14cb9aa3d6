//! The messages between init and its supervisor, and their encoding on the control socket.
//!
//! Each message is one datagram. An [`InitEvent`] is a tag, the index of a step, a number (errno,
//! exit code or signal), and a text (the name of a setup step or of a file). An [`InitRequest`]
//! is a tag and one argument.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use livecode_protocol::{FileName, results::RefusalReason};
use rustix::net::SendFlags;

use crate::{kernel::fd_passing, setup_error::SetupError};

/// How one step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepStatus {
    /// The step exited with this code.
    Exited(i32),
    /// This signal killed the step.
    Signalled(i32),
}

impl StepStatus {
    /// The exit status as shells have it: the code, or 128 plus the number of the signal.
    pub fn exitstatus(self) -> i32 {
        match self {
            Self::Exited(code) => code,
            Self::Signalled(signal) => 128 + signal,
        }
    }
}

/// An event inside a sandbox that init reports to the supervisor.
#[derive(Debug)]
pub enum InitEvent {
    /// The sandbox is set up and waits for its run spec.
    Ready,
    /// The step with this index is about to be executed.
    StepStarted(usize),
    /// The step with this index has ended. The sandbox ends after a failed step and after the
    /// last.
    Ended(usize, StepStatus),
    /// The step with this index could not be executed, most often because its command does not
    /// exist. `Ended` follows.
    ExecFailed(usize, io::Error),
    /// The sandbox could not be set up, and is ending.
    SetupFailed(SetupError),
    /// A file that the compile steps made. Every field comes from inside the sandbox and must be
    /// checked by the receiver.
    Artefact {
        /// The path of the file, relative to `/`.
        name: String,
        /// Whether its owner may execute it.
        executable: bool,
        /// The file, open for reading.
        file: Option<OwnedFd>,
    },
    /// The resources that all ended processes of the sandbox have used, sent if no cgroup
    /// counts them. [`crate::Sandbox`] consumes this event and does not return it.
    Usage {
        /// CPU time, in milliseconds.
        cpu_ms: u64,
        /// Peak memory of the largest single process, in KiB.
        largest_kib: u64,
    },
    /// The descriptors by which the supervisor measures kernel memory are attached, sent if no
    /// cgroup charges it. [`crate::Sandbox`] consumes this event and does not return it.
    KernelMemoryProbe,
    /// A descriptor is attached by which the supervisor can change the size of the sandbox's tmpfs.
    /// [`crate::Sandbox`] consumes this event and does not return it.
    DiskSize,
    /// A result file of the session. Every field comes from inside the sandbox and must be checked
    /// by the receiver.
    ResultFile {
        /// The path of the file, relative to the working directory.
        name: String,
        /// The file, open for reading.
        file: Option<OwnedFd>,
    },
    /// A file that is not taken although its name matches.
    ResultRefused {
        /// The path of the file, relative to the working directory; replaced where it is not UTF-8.
        name: String,
        /// Why it is not taken.
        reason: RefusalReason,
    },
    /// The last result file was sent. The flag tells whether all files with names that match were
    /// sent or refused. No process but init runs inside now, and init ends.
    ResultsSent(bool),
    /// The listener of the sandbox's seccomp filter is attached. [`crate::Sandbox`] consumes this
    /// event and does not return it.
    SeccompListener,
    /// The last artefact was sent. The flag tells whether all requested artefacts could be taken.
    /// No process but init runs inside now.
    ArtefactsSent(bool),
}

/// The longest datagram of an event, in bytes: longer than any [`FileName`] needs. Longer texts are
/// truncated.
pub(crate) const MAX_EVENT_BYTES: usize = FileName::MAX_BYTES + 64;
/// The room for a request when it is received, in bytes.
pub(crate) const MAX_REQUEST_BYTES: usize = 16;

// Tags of events.
const STARTED: u8 = 1;
const EXITED: u8 = 2;
const SIGNALLED: u8 = 3;
const EXEC_FAILED: u8 = 4;
const SETUP_FAILED: u8 = 5;
const READY: u8 = 6;
const ARTEFACT: u8 = 7;
const ARTEFACTS_SENT: u8 = 8;
const USAGE: u8 = 9;
const KERNEL_MEMORY_PROBE: u8 = 10;
const DISK_SIZE: u8 = 11;
const RESULT_FILE: u8 = 12;
const RESULT_REFUSED: u8 = 13;
const RESULTS_SENT: u8 = 14;
const SECCOMP_LISTENER: u8 = 15;

// Tags of requests.
const START: u8 = 1;
const SIGNAL: u8 = 2;
const BEGIN: u8 = 3;
const TAKE_ARTEFACTS: u8 = 4;
const COLLECT_RESULTS: u8 = 5;

impl InitEvent {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let errno = |error: &io::Error| error.raw_os_error().unwrap_or(0);
        let (tag, index, number, text) = match self {
            Self::Ready => (READY, 0, 0, ""),
            Self::StepStarted(index) => (STARTED, *index, 0, ""),
            Self::Ended(index, StepStatus::Exited(code)) => (EXITED, *index, *code, ""),
            Self::Ended(index, StepStatus::Signalled(signal)) => (SIGNALLED, *index, *signal, ""),
            Self::ExecFailed(index, error) => (EXEC_FAILED, *index, errno(error), ""),
            Self::SetupFailed(error) => (SETUP_FAILED, 0, errno(&error.source), error.step.as_str()),
            Self::Artefact { name, executable, .. } => (ARTEFACT, 0, i32::from(*executable), name.as_str()),
            Self::ResultFile { name, .. } => (RESULT_FILE, 0, 0, name.as_str()),
            Self::ResultRefused { name, reason } => (RESULT_REFUSED, 0, reason.number(), name.as_str()),
            Self::ResultsSent(is_complete) => (RESULTS_SENT, 0, i32::from(*is_complete), ""),
            Self::ArtefactsSent(is_complete) => (ARTEFACTS_SENT, 0, i32::from(*is_complete), ""),
            Self::Usage { .. } => (USAGE, 0, 0, ""),
            Self::KernelMemoryProbe => (KERNEL_MEMORY_PROBE, 0, 0, ""),
            Self::DiskSize => (DISK_SIZE, 0, 0, ""),
            Self::SeccompListener => (SECCOMP_LISTENER, 0, 0, ""),
        };
        let mut bytes = vec![tag, index as u8];
        bytes.extend(number.to_le_bytes());
        if let Self::Usage { cpu_ms, largest_kib } = self {
            bytes.extend([cpu_ms, largest_kib].map(|number| number.to_le_bytes()).as_flattened());
        }
        bytes.extend(text.bytes().take(MAX_EVENT_BYTES - bytes.len()));
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (head, text) = bytes.split_first_chunk::<6>()?;
        let index = usize::from(head[1]);
        let number = i32::from_le_bytes([head[2], head[3], head[4], head[5]]);
        Some(match head[0] {
            READY => Self::Ready,
            STARTED => Self::StepStarted(index),
            EXITED => Self::Ended(index, StepStatus::Exited(number)),
            SIGNALLED => Self::Ended(index, StepStatus::Signalled(number)),
            EXEC_FAILED => Self::ExecFailed(index, io::Error::from_raw_os_error(number)),
            SETUP_FAILED => Self::SetupFailed(SetupError {
                step: String::from_utf8_lossy(text).into_owned(),
                source: io::Error::from_raw_os_error(number),
            }),
            ARTEFACT => Self::Artefact {
                name: String::from_utf8_lossy(text).into_owned(),
                executable: number != 0,
                file: None,
            },
            KERNEL_MEMORY_PROBE => Self::KernelMemoryProbe,
            DISK_SIZE => Self::DiskSize,
            RESULT_FILE => Self::ResultFile { name: String::from_utf8_lossy(text).into_owned(), file: None },
            RESULT_REFUSED => Self::ResultRefused {
                name: String::from_utf8_lossy(text).into_owned(),
                reason: RefusalReason::from_number(number)?,
            },
            RESULTS_SENT => Self::ResultsSent(number != 0),
            SECCOMP_LISTENER => Self::SeccompListener,
            ARTEFACTS_SENT => Self::ArtefactsSent(number != 0),
            USAGE => {
                let ([cpu_ms, largest_kib], []) = text.as_chunks::<8>() else { return None };
                let [cpu_ms, largest_kib] = [cpu_ms, largest_kib].map(|bytes| u64::from_le_bytes(*bytes));
                Self::Usage { cpu_ms, largest_kib }
            }
            _ => return None,
        })
    }
}

/// A request of the supervisor to init.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InitRequest {
    /// Read the attached run spec, write the session's files, unpack the attached cache entry if
    /// there is one, and start the first step. Attached are the run spec, then the contents file
    /// if `has_contents`, then the cache entry.
    Begin { has_contents: bool },
    /// Start the step with this index.
    StartStep(usize),
    /// Send this signal to the process group of the running step.
    Signal(i32),
    /// Kill all other processes and send the files that the compile steps made.
    TakeArtefacts,
    /// Kill all other processes, send the result files, and end.
    CollectResults,
}

impl InitRequest {
    pub(crate) fn encode(self) -> [u8; 2] {
        match self {
            Self::Begin { has_contents } => [BEGIN, u8::from(has_contents)],
            Self::StartStep(index) => [START, index as u8],
            Self::Signal(signal) => [SIGNAL, signal as u8],
            Self::TakeArtefacts => [TAKE_ARTEFACTS, 0],
            Self::CollectResults => [COLLECT_RESULTS, 0],
        }
    }

    /// Sends the request with these files attached.
    pub(crate) fn send_with(self, socket: impl AsFd, files: &[BorrowedFd<'_>]) -> io::Result<()> {
        fd_passing::send(socket, &self.encode(), files, SendFlags::empty())
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        match *bytes {
            [START, index] => Some(Self::StartStep(usize::from(index))),
            [BEGIN, has_contents] => Some(Self::Begin { has_contents: has_contents != 0 }),
            [SIGNAL, signal] => Some(Self::Signal(i32::from(signal))),
            [TAKE_ARTEFACTS, _] => Some(Self::TakeArtefacts),
            [COLLECT_RESULTS, _] => Some(Self::CollectResults),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoding_an_encoded_event_returns_the_event() {
        let failed = InitEvent::SetupFailed(SetupError {
            step: "mount /proc".into(),
            source: io::Error::from_raw_os_error(1),
        });
        for event in [
            InitEvent::Ready,
            InitEvent::StepStarted(0),
            InitEvent::Ended(1, StepStatus::Exited(3)),
            InitEvent::Ended(0, StepStatus::Signalled(9)),
            InitEvent::ExecFailed(0, io::Error::from_raw_os_error(2)),
            InitEvent::Artefact { name: "tmp/program".into(), executable: true, file: None },
            InitEvent::ArtefactsSent(true),
            InitEvent::ResultFile { name: "plots/é.png".into(), file: None },
            InitEvent::ResultRefused { name: "x".into(), reason: RefusalReason::TooMany },
            InitEvent::ResultsSent(false),
            InitEvent::KernelMemoryProbe,
            InitEvent::DiskSize,
            InitEvent::SeccompListener,
            InitEvent::Usage { cpu_ms: 7, largest_kib: 1 << 40 },
            failed,
        ] {
            let decoded = InitEvent::decode(&event.encode()).unwrap();
            assert_eq!(format!("{event:?}"), format!("{decoded:?}"));
        }
        assert!(InitEvent::decode(b"").is_none() && InitEvent::decode(b"\x10\0\0\0\0\0").is_none());
    }

    #[test]
    fn decoding_an_encoded_request_returns_the_request() {
        for request in [
            InitRequest::Begin { has_contents: false },
            InitRequest::Begin { has_contents: true },
            InitRequest::StartStep(2),
            InitRequest::Signal(15),
            InitRequest::TakeArtefacts,
            InitRequest::CollectResults,
        ] {
            assert_eq!(InitRequest::decode(&request.encode()), Some(request));
        }
    }
}
