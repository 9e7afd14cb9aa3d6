//! The program's ends that are read: standard output, standard error, and the message channel.

use std::{
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    time::Instant,
};

use livecode_journal::Kind;

use crate::{
    message::{Lines, complaint},
    splitter::{Hold, Piece, Splitter},
};

/// Bytes of one read.
const READ_BYTES: usize = 64 * 1024;
/// The most bytes read from one descriptor in one turn: twice what a pipe holds (pipe(7): 64 KiB), so that all that was in
/// the pipe when the turn began has been read when it ends.
const TURN_BYTES: usize = 2 * READ_BYTES;

/// An entry to be.
pub(crate) struct Found {
    pub kind: Kind,
    pub data: Vec<u8>,
}

/// One of the two output pipes.
struct Stream {
    kind: Kind,
    pipe: Option<OwnedFd>,
    splitter: Splitter,
    last_read: Instant,
}

impl Stream {
    fn new(kind: Kind, pipe: OwnedFd) -> Self {
        let splitter = Splitter::new(kind == Kind::Stdout);
        Self { kind, pipe: Some(pipe), splitter, last_read: Instant::now() }
    }

    fn drain(&mut self, buffer: &mut [u8], found: &mut Vec<Found>) {
        let mut pieces = vec![];
        let mut total = 0;
        while let Some(pipe) = &self.pipe
            && total < TURN_BYTES
        {
            match rustix::io::read(pipe, &mut *buffer) {
                Ok(0) => self.pipe = None,
                Ok(length) => {
                    total += length;
                    self.last_read = Instant::now();
                    self.splitter.push(&buffer[..length], &mut pieces);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => break,
                Err(_) => self.pipe = None,
            }
        }
        if self.pipe.is_none() {
            self.splitter.release(&mut pieces);
        }
        self.add(pieces, found);
    }

    fn due(&self) -> Option<Instant> {
        self.splitter.hold().map(|hold| self.last_read + hold.duration())
    }

    fn release(&mut self, found: &mut Vec<Found>) {
        let mut pieces = vec![];
        self.splitter.release(&mut pieces);
        self.add(pieces, found);
    }

    fn add(&self, pieces: Vec<Piece>, found: &mut Vec<Found>) {
        found.extend(pieces.into_iter().map(|piece| match piece {
            Piece::Output(data) => Found { kind: self.kind, data },
            Piece::Message(data) => Found { kind: Kind::Message, data },
        }));
    }
}

/// All three.
pub(crate) struct Outputs {
    stdout: Stream,
    stderr: Stream,
    messages: Option<UnixStream>,
    lines: Lines,
    buffer: Vec<u8>,
}

/// Which of them have something to read.
#[derive(Clone, Copy, Default)]
pub(crate) struct Readable {
    pub stdout: bool,
    pub stderr: bool,
    pub messages: bool,
}

impl Outputs {
    pub fn new(stdout: OwnedFd, stderr: OwnedFd, messages: UnixStream) -> Self {
        Self {
            stdout: Stream::new(Kind::Stdout, stdout),
            stderr: Stream::new(Kind::Stderr, stderr),
            messages: Some(messages),
            lines: Lines::default(),
            buffer: vec![0; READ_BYTES],
        }
    }

    pub fn stdout(&self) -> Option<BorrowedFd<'_>> {
        self.stdout.pipe.as_ref().map(AsFd::as_fd)
    }

    pub fn stderr(&self) -> Option<BorrowedFd<'_>> {
        self.stderr.pipe.as_ref().map(AsFd::as_fd)
    }

    pub fn messages(&self) -> Option<BorrowedFd<'_>> {
        self.messages.as_ref().map(AsFd::as_fd)
    }

    /// When something held back is due, if anything is.
    pub fn due(&self) -> Option<Instant> {
        [self.stdout.due(), self.stderr.due()].into_iter().flatten().min()
    }

    /// Reads what is there, and gives out what is due.
    ///
    /// Messages are read first, then both pipes are drained, and then output is given out before messages: so a message
    /// never overtakes output that was flushed before it.
    pub fn take(&mut self, readable: Readable, now: Instant) -> Vec<Found> {
        let mut found = vec![];
        let messages = if readable.messages { self.read_messages() } else { vec![] };
        let all = !messages.is_empty();
        let Self { stdout, stderr, buffer, .. } = self;
        for (stream, readable) in [(stdout, readable.stdout), (stderr, readable.stderr)] {
            if readable || all {
                stream.drain(buffer, &mut found);
            }
            let must_go = all && stream.splitter.hold() == Some(Hold::Briefly);
            if must_go || stream.due().is_some_and(|due| due <= now) {
                stream.release(&mut found);
            }
        }
        found.extend(messages);
        found
    }

    /// Reads all that is left, when every process that could write has ended.
    pub fn take_rest(&mut self) -> Vec<Found> {
        let mut found = vec![];
        let mut messages = vec![];
        while self.messages.is_some() {
            let before = messages.len();
            messages.extend(self.read_messages());
            if messages.len() == before {
                break;
            }
        }
        for stream in [&mut self.stdout, &mut self.stderr] {
            while stream.pipe.is_some() {
                let before = found.len();
                stream.drain(&mut self.buffer, &mut found);
                if found.len() == before && stream.pipe.is_some() {
                    break; // nothing there, and yet somebody holds the pipe: do not wait for them
                }
            }
            stream.release(&mut found);
        }
        found.extend(messages);
        found
    }

    fn read_messages(&mut self) -> Vec<Found> {
        let mut found = vec![];
        let mut total = 0;
        while let Some(messages) = &self.messages
            && total < TURN_BYTES
        {
            match rustix::io::read(messages, &mut *self.buffer) {
                Ok(0) => self.messages = None,
                Ok(length) => {
                    total += length;
                    self.lines.push(&self.buffer[..length], |line| {
                        found.push(match line {
                            Ok(message) => Found { kind: Kind::Message, data: message.to_vec() },
                            Err((why, line)) => Found { kind: Kind::Stderr, data: complaint(&why, line) },
                        });
                    });
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => break,
                Err(_) => self.messages = None,
            }
        }
        found
    }
}
