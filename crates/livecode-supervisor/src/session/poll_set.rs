//! The descriptors that a supervisor waits for, each with what it belongs to.

use std::{os::fd::BorrowedFd, time::Duration};

use rustix::event::{PollFd, PollFlags, poll};

use livecode_sandbox::timespec;

use crate::io::outputs::Readable;

/// What a watched descriptor belongs to.
#[derive(Clone, Copy)]
pub(crate) enum Source {
    /// The control socket of the sandbox's init.
    Init,
    OomNotifier,
    /// The listener of the sandbox's seccomp filter.
    Notifications,
    Stdout,
    Stderr,
    Messages,
    /// Standard input or the message channel, while bytes wait for the program to read them.
    ProgramInputWritable,
    Listener,
    /// The connection with this index.
    Connection(usize),
}

/// The sources that are ready, each for what it was watched for.
#[derive(Default)]
pub(crate) struct ReadySources {
    pub outputs: Readable,
    pub init: bool,
    pub oom_notifier: bool,
    /// No process is left of which the seccomp listener could be notified.
    pub has_no_callers: bool,
    pub listener: bool,
    /// Indices of connections, in ascending order.
    pub connections: Vec<usize>,
}

/// A list of descriptors to wait for.
pub(crate) struct PollSet<'fd> {
    sources: Vec<Source>,
    fds: Vec<PollFd<'fd>>,
}

impl<'fd> PollSet<'fd> {
    /// An empty set, with room for as many descriptors as a supervisor usually watches.
    pub fn new() -> Self {
        Self { sources: Vec::with_capacity(12), fds: Vec::with_capacity(12) }
    }

    /// Adds the descriptor of a source, if there is one.
    pub fn add(&mut self, source: Source, fd: Option<BorrowedFd<'fd>>, flags: PollFlags) {
        if let Some(fd) = fd {
            self.sources.push(source);
            self.fds.push(PollFd::from_borrowed_fd(fd, flags));
        }
    }

    /// Waits until a source is ready, the timeout has passed, or a signal interrupts the wait.
    pub fn wait(mut self, timeout: Option<Duration>) -> ReadySources {
        let mut ready = ReadySources::default();
        let timeout = timeout.map(timespec);
        if poll(&mut self.fds, timeout.as_ref()).is_err() {
            return ready;
        }
        for (source, fd) in self.sources.iter().zip(&self.fds) {
            if fd.revents().is_empty() {
                continue;
            }
            match *source {
                Source::Init => ready.init = true,
                Source::OomNotifier => ready.oom_notifier = true,
                Source::Notifications => {
                    ready.outputs.notifications = fd.revents().contains(PollFlags::IN);
                    ready.has_no_callers = fd.revents().contains(PollFlags::HUP);
                }
                Source::Stdout => ready.outputs.stdout = true,
                Source::Stderr => ready.outputs.stderr = true,
                Source::Messages => ready.outputs.messages = true,
                // The supervisor tries to write to the program in each turn of its loop.
                Source::ProgramInputWritable => {}
                Source::Listener => ready.listener = true,
                Source::Connection(index) => ready.connections.push(index),
            }
        }
        ready
    }
}
