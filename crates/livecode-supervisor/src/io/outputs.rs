//! The program's ends that are read: standard output, standard error, and the message channel.

use std::{
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    time::Instant,
};

use bytes::Bytes;
use livecode_journal::Kind;
use rustix::{
    buffer::spare_capacity,
    pipe::{fcntl_getpipe_size, fcntl_setpipe_size},
};

use crate::{
    io::{
        messages::{MessageError, MessageLines, rejection_note},
        read_throttle::ReadThrottle,
        splitter::{Piece, Splitter},
    },
    limits::cpu_deprioritizer::own_cpu_time,
};

/// Bytes of one read: as many as one entry holds.
const READ_BYTES: usize = livecode_protocol::stream::MAX_WRITE_BYTES;
/// The most bytes read from one descriptor in one turn, so that none keeps the loop from the others.
const TURN_BYTES: usize = 4 * READ_BYTES;
/// What the pipe of a program that prints much is made to hold (pipe(7): 64 KiB, unless asked for): so that program and
/// supervisor need not take turns for each 64 KiB.
const WIDE_PIPE_BYTES: usize = TURN_BYTES;
/// Buffers kept for the next turn.
const MAX_FREE_BUFFERS: usize = TURN_BYTES / READ_BYTES;

/// An entry to be.
pub(crate) struct PendingEntry {
    pub kind: Kind,
    pub data: Bytes,
}

/// Memory that is read into and passed on without a copy, and read into again when nobody has a part of it any more.
#[derive(Default)]
struct Buffers {
    free: Vec<Vec<u8>>,
    lent: Vec<Bytes>,
}

impl Buffers {
    /// One that is empty, with room for [`READ_BYTES`].
    fn take(&mut self) -> Vec<u8> {
        self.free.pop().unwrap_or_else(|| Vec::with_capacity(READ_BYTES))
    }

    fn give_back(&mut self, mut buffer: Vec<u8>) {
        buffer.clear();
        if self.free.len() < MAX_FREE_BUFFERS && buffer.capacity() >= READ_BYTES {
            self.free.push(buffer);
        }
    }

    /// What is in a buffer, which comes back when it has been dealt with.
    fn lend(&mut self, buffer: Vec<u8>) -> Bytes {
        let bytes = Bytes::from(buffer);
        self.lent.push(bytes.clone());
        bytes
    }

    /// Takes back what has been dealt with.
    fn reclaim(&mut self) {
        for bytes in std::mem::take(&mut self.lent) {
            if let Ok(mut buffer) = bytes.try_into_mut() {
                buffer.clear(); // or what was in it would be copied
                self.give_back(buffer.into());
            }
        }
    }
}

/// One of the two output pipes.
struct Stream {
    kind: Kind,
    pipe: Option<OwnedFd>,
    splitter: Splitter,
    last_read: Instant,
    is_wide: bool,
}

impl Stream {
    fn new(kind: Kind, pipe: OwnedFd) -> Self {
        let splitter = Splitter::new(kind == Kind::Stdout);
        Self { kind, pipe: Some(pipe), splitter, last_read: Instant::now(), is_wide: false }
    }

    /// Bytes that are in the pipe now; a program may have made it larger than pipes are (fcntl(2), `F_SETPIPE_SZ`).
    fn waiting_bytes(&self) -> usize {
        let waiting = self.pipe.as_ref().and_then(|pipe| rustix::io::ioctl_fionread(pipe).ok());
        waiting.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(0)
    }

    /// Reads what is there, but no more than about `max_bytes`.
    fn drain(&mut self, max_bytes: usize, buffers: &mut Buffers, found: &mut Vec<PendingEntry>) {
        let mut pieces = vec![];
        let mut total = 0;
        // Filled by as many reads as it takes: a program that writes little at a time is not to hold a buffer for each.
        let mut buffer = buffers.take();
        while let Some(pipe) = &self.pipe
            && total < max_bytes
        {
            match rustix::io::read(pipe, spare_capacity(&mut buffer)) {
                Ok(length @ 1..) => {
                    total += length;
                    self.last_read = Instant::now();
                    if buffer.len() == buffer.capacity() {
                        let full = std::mem::replace(&mut buffer, buffers.take());
                        self.splitter.push(buffers.lend(full), &mut pieces);
                    }
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => break,
                Ok(0) | Err(_) => self.pipe = None,
            }
        }
        if buffer.is_empty() {
            buffers.give_back(buffer);
        } else {
            self.splitter.push(buffers.lend(buffer), &mut pieces);
        }
        if total > READ_BYTES {
            self.widen();
        }
        if self.pipe.is_none() {
            self.splitter.release(&mut pieces);
        }
        self.add(pieces, found);
    }

    /// Has the pipe hold more. Where the user has as much in pipes as one may have, it stays as it is.
    fn widen(&mut self) {
        if let Some(pipe) = self.pipe.as_ref().filter(|_| !std::mem::replace(&mut self.is_wide, true))
            && fcntl_getpipe_size(pipe).is_ok_and(|bytes| bytes < WIDE_PIPE_BYTES)
        {
            let _ = fcntl_setpipe_size(pipe, WIDE_PIPE_BYTES);
        }
    }

    fn due(&self) -> Option<Instant> {
        self.splitter.hold().map(|hold| self.last_read + hold.duration())
    }

    fn release(&mut self, found: &mut Vec<PendingEntry>) {
        let mut pieces = vec![];
        self.splitter.release(&mut pieces);
        self.add(pieces, found);
    }

    fn add(&self, pieces: Vec<Piece>, found: &mut Vec<PendingEntry>) {
        found.extend(pieces.into_iter().map(|piece| match piece {
            Piece::Output(data) => PendingEntry { kind: self.kind, data },
            Piece::Message(data) => PendingEntry { kind: Kind::Message, data },
        }));
    }
}

/// All three.
pub(crate) struct Outputs {
    stdout: Stream,
    stderr: Stream,
    messages: Option<UnixStream>,
    lines: MessageLines,
    buffers: Buffers,
    patience: ReadThrottle,
}

/// Which of them have something to read.
#[derive(Clone, Copy, Default)]
pub(crate) struct Readable {
    pub stdout: bool,
    pub stderr: bool,
    pub messages: bool,
}

impl Outputs {
    /// Of a program with this share of the processors, in thousandths of one.
    pub fn new(stdout: OwnedFd, stderr: OwnedFd, messages: UnixStream, cpu_millicores: u32) -> Self {
        Self {
            stdout: Stream::new(Kind::Stdout, stdout),
            stderr: Stream::new(Kind::Stderr, stderr),
            messages: Some(messages),
            lines: MessageLines::default(),
            buffers: Buffers::default(),
            patience: ReadThrottle::new(cpu_millicores, own_cpu_time()),
        }
    }

    /// What is to be looked at: standard output, standard error, the message channel.
    pub fn watched(&self) -> [Option<BorrowedFd<'_>>; 3] {
        if self.patience.until().is_some() {
            return [None; 3];
        }
        let [stdout, stderr] =
            [&self.stdout, &self.stderr].map(|stream| stream.pipe.as_ref().map(AsFd::as_fd));
        [stdout, stderr, self.messages.as_ref().map(AsFd::as_fd)]
    }

    /// Somebody waits for an answer.
    pub fn hurry(&mut self) {
        self.patience.hurry();
    }

    /// Whether nobody is left who could say anything.
    pub fn are_closed(&self) -> bool {
        self.stdout.pipe.is_none() && self.stderr.pipe.is_none() && self.messages.is_none()
    }

    /// When something held back is due, or all is to be looked at again, if anything is.
    pub fn due(&self) -> Option<Instant> {
        [self.stdout.due(), self.stderr.due(), self.patience.until()].into_iter().flatten().min()
    }

    /// Reads what is there, and gives out what is due.
    ///
    /// Messages are read first, then both pipes are drained, and then output is given out before messages: so a message
    /// never overtakes output that was flushed before it.
    pub fn take(&mut self, readable: Readable, now: Instant) -> Vec<PendingEntry> {
        let mut found = vec![];
        self.buffers.reclaim();
        self.patience.pass(now);
        let messages = if readable.messages { self.read_messages(TURN_BYTES) } else { vec![] };
        let all = !messages.is_empty();
        let Self { stdout, stderr, buffers, .. } = self;
        for (stream, readable) in [(stdout, readable.stdout), (stderr, readable.stderr)] {
            if readable || all {
                // All that is in the pipe now has been read when a message is passed on.
                let waiting_bytes = if all { stream.waiting_bytes() } else { 0 };
                stream.drain(waiting_bytes.max(TURN_BYTES), buffers, &mut found);
            }
            let must_go = all && stream.splitter.holds_mark();
            if must_go || stream.due().is_some_and(|due| due <= now) {
                stream.release(&mut found);
            }
        }
        found.extend(messages);
        if readable.stdout || readable.stderr || readable.messages {
            let read_bytes = found.iter().map(|found| found.data.len()).sum::<usize>();
            self.patience.note(read_bytes >= READ_BYTES, now, own_cpu_time());
        }
        found
    }

    /// Reads all that compile steps have said, when none of them runs any more.
    pub fn take_said(&mut self) -> Vec<PendingEntry> {
        let mut found = vec![];
        self.stderr.drain(usize::MAX, &mut self.buffers, &mut found);
        self.stderr.release(&mut found);
        found
    }

    /// Reads all that is left, when every process that could write has ended.
    pub fn take_rest(&mut self) -> Vec<PendingEntry> {
        let mut found = vec![];
        // Somebody may yet hold the other ends (they passed them out of the sandbox): what is there is read, nothing awaited.
        let mut messages = self.read_messages(usize::MAX);
        messages.extend(self.last_line());
        for stream in [&mut self.stdout, &mut self.stderr] {
            stream.drain(usize::MAX, &mut self.buffers, &mut found);
            stream.release(&mut found);
        }
        found.extend(messages);
        found
    }

    /// A last line that no newline ends.
    fn last_line(&mut self) -> Vec<PendingEntry> {
        let mut found = vec![];
        self.lines.finish(|line| found.push(said(line)));
        found
    }

    fn read_messages(&mut self, max_bytes: usize) -> Vec<PendingEntry> {
        let mut found = vec![];
        let mut total = 0;
        let mut buffer = self.buffers.take();
        while let Some(messages) = &self.messages
            && total < max_bytes
        {
            buffer.clear();
            match rustix::io::read(messages, spare_capacity(&mut buffer)) {
                Ok(0) => self.messages = None,
                Ok(length) => {
                    total += length;
                    self.lines.push(&buffer, |line| found.push(said(line)));
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => break,
                Err(_) => self.messages = None,
            }
        }
        self.buffers.give_back(buffer);
        if self.messages.is_none() {
            found.extend(self.last_line());
        }
        found
    }
}

/// What becomes of a line of the message channel.
fn said(line: Result<&[u8], (MessageError, &[u8])>) -> PendingEntry {
    match line {
        Ok(message) => PendingEntry { kind: Kind::Message, data: Bytes::copy_from_slice(message) },
        Err((why, line)) => PendingEntry { kind: Kind::Stderr, data: rejection_note(&why, line).into() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::{
        io::{fcntl_dupfd_cloexec, write},
        pipe::{PipeFlags, fcntl_setpipe_size, pipe_with},
    };

    struct Program {
        stdout: OwnedFd,
        messages: UnixStream,
    }

    fn connected() -> (Outputs, Program) {
        let (stdout, stdout_end) = pipe_with(PipeFlags::NONBLOCK).unwrap();
        let (stderr, _) = pipe_with(PipeFlags::NONBLOCK).unwrap();
        let (messages, messages_end) = UnixStream::pair().unwrap();
        messages.set_nonblocking(true).unwrap();
        messages_end.set_nonblocking(true).unwrap();
        (Outputs::new(stdout, stderr, messages, 1000), Program { stdout: stdout_end, messages: messages_end })
    }

    /// Writes the beginning of `bytes` that there is room for, and says how much that was.
    fn fill(to: impl AsFd, bytes: &[u8]) -> usize {
        let mut written = 0;
        while written < bytes.len()
            && let Ok(length) = write(&to, &bytes[written..])
        {
            written += length;
        }
        written
    }

    const EVERYTHING: Readable = Readable { stdout: true, stderr: true, messages: true };

    #[test]
    fn the_last_message_is_whole_however_long() {
        for size in [10_000, 150_000, 1_000_000] {
            let (mut outputs, program) = connected();
            let line = format!("{{\"msgtype\":\"a\",\"data\":\"{}\"}}\n", "x".repeat(size));
            let mut left = line.as_bytes();
            let mut found = vec![];
            loop {
                left = &left[fill(&program.messages, left)..];
                if left.is_empty() {
                    break;
                }
                found.extend(outputs.take(EVERYTHING, Instant::now()));
            }
            // As much of it as a socket holds is still there when the program ends.
            drop(program);
            found.extend(outputs.take_rest());
            assert_eq!(found.len(), 1, "a message of {size} bytes");
            assert!(found[0].data == line.trim_end().as_bytes());
        }
    }

    #[test]
    fn a_last_message_without_a_newline_is_not_lost() {
        for is_closed in [true, false] {
            let (mut outputs, program) = connected();
            fill(&program.messages, b"{\"msgtype\":\"a\"}");
            let somebody_holds_it = (!is_closed).then(|| fcntl_dupfd_cloexec(&program.messages, 0).unwrap());
            drop(program);
            let found = outputs.take_rest();
            assert_eq!(found.len(), 1);
            assert_eq!((found[0].kind, &*found[0].data), (Kind::Message, &br#"{"msgtype":"a"}"#[..]));
            drop(somebody_holds_it);
        }
        let (mut outputs, program) = connected();
        fill(&program.messages, b"{\"msgtype\":");
        drop(program);
        let found = outputs.take(EVERYTHING, Instant::now());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].kind, Kind::Stderr);
        assert!(String::from_utf8_lossy(&found[0].data).contains("not sent"));
    }

    /// What is read just when a message comes may end in the middle of a character, for the program writes on.
    #[test]
    fn a_message_does_not_break_a_character() {
        let (mut outputs, program) = connected();
        fill(&program.stdout, b"a\xe2\x82");
        fill(&program.messages, b"{\"msgtype\":\"a\"}\n");
        let mut found = outputs.take(EVERYTHING, Instant::now());
        fill(&program.stdout, b"\xac\n-");
        fill(&program.messages, b"{\"msgtype\":\"b\"}\n");
        found.extend(outputs.take(EVERYTHING, Instant::now()));
        let found: Vec<_> = found.iter().map(|found| std::str::from_utf8(&found.data).unwrap()).collect();
        assert_eq!(found, ["a", r#"{"msgtype":"a"}"#, "€\n", "-", r#"{"msgtype":"b"}"#]);
    }

    /// A program may make its pipe larger (fcntl(2), F_SETPIPE_SZ).
    #[test]
    fn a_message_never_overtakes_what_a_large_pipe_held() {
        let (mut outputs, program) = connected();
        fcntl_setpipe_size(&program.stdout, 1024 * 1024).unwrap();
        let printed = fill(&program.stdout, &vec![b'x'; 600_000]);
        assert_eq!(printed, 600_000);
        fill(&program.messages, b"{\"msgtype\":\"a\"}\n");
        let found = outputs.take(EVERYTHING, Instant::now());
        assert_eq!(found.last().unwrap().kind, Kind::Message);
        let before: usize =
            found.iter().filter(|found| found.kind == Kind::Stdout).map(|found| found.data.len()).sum();
        assert_eq!(before, printed);
    }

    #[test]
    fn what_a_large_pipe_held_at_the_end_is_all_read() {
        let (mut outputs, program) = connected();
        fcntl_setpipe_size(&program.stdout, 1024 * 1024).unwrap();
        let line = [b"--MSG-- {\"msgtype\":\"a\",\"data\":\"", &*vec![b'x'; 600_000]].concat();
        assert_eq!(fill(&program.stdout, &line), line.len());
        let somebody_holds_it = fcntl_dupfd_cloexec(&program.stdout, 0).unwrap();
        drop(program);
        let found = outputs.take_rest();
        assert_eq!(found.iter().map(|found| found.data.len()).sum::<usize>(), line.len());
        drop(somebody_holds_it);
    }
}
