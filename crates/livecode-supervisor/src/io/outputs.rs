//! Output of the program: standard output, standard error, and the message channel. The child
//! module keeps the order between them.

mod order;

use std::{
    collections::VecDeque,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    time::Instant,
};

use bytes::Bytes;
use livecode_journal::Kind;
use livecode_sandbox::{Notification, SeccompListener};
use rustix::{
    buffer::spare_capacity,
    io::Errno,
    pipe::{fcntl_getpipe_size, fcntl_setpipe_size},
};

use crate::{
    io::{
        echo::EchoRequest,
        input::InputQueue,
        input_wait::{InputRequest, InputWait},
        messages::{MessageError, MessageLines, RejectionNotes},
        read_throttle::ReadThrottle,
        splitter::{Piece, Splitter},
    },
    limits::cpu_time::own_cpu_time,
};

/// Bytes of one read: as many as one entry holds.
const READ_BYTES: usize = livecode_protocol::stream::MAX_WRITE_BYTES;
/// The most bytes read from one descriptor in one turn of the loop, so that no descriptor keeps
/// the loop from the others.
const TURN_BYTES: usize = 4 * READ_BYTES;
/// Size to which the pipe of a program that prints much is enlarged. The default is 64 KiB
/// (pipe(7)), with which program and supervisor would have to alternate for every 64 KiB.
const ENLARGED_PIPE_BYTES: usize = TURN_BYTES;
/// Bytes up to which the content of a buffer is copied, so that the buffer is free at once. A turn
/// may read a few bytes from each channel in turn, many times.
const MAX_COPIED_BYTES: usize = 4096;
/// Free buffers that are kept for the next turn.
const MAX_FREE_BUFFERS: usize = TURN_BYTES / READ_BYTES;

/// An entry that is not in the journal yet.
pub(crate) struct PendingEntry {
    pub kind: Kind,
    pub data: Bytes,
}

/// Buffers that are read into and then shared with the entries instead of copied. A buffer is used
/// again when no entry shares it any more.
#[derive(Default)]
struct BufferPool {
    free: Vec<Vec<u8>>,
    /// The filled buffers.
    shared: Vec<Bytes>,
}

impl BufferPool {
    /// Returns an empty buffer with room for [`READ_BYTES`].
    fn acquire(&mut self) -> Vec<u8> {
        self.free.pop().unwrap_or_else(|| Vec::with_capacity(READ_BYTES))
    }

    /// Keeps a buffer for the next use, unless there are enough free buffers.
    fn recycle(&mut self, mut buffer: Vec<u8>) {
        buffer.clear();
        if self.free.len() < MAX_FREE_BUFFERS && buffer.capacity() >= READ_BYTES {
            self.free.push(buffer);
        }
    }

    /// Returns the content of a buffer as shared bytes.
    fn share(&mut self, buffer: Vec<u8>) -> Bytes {
        let bytes = Bytes::from(buffer);
        self.shared.push(bytes.clone());
        bytes
    }

    /// Recycles the filled buffers that no entry shares any more, and forgets the others.
    fn reclaim(&mut self) {
        for bytes in std::mem::take(&mut self.shared) {
            if let Ok(mut buffer) = bytes.try_into_mut() {
                buffer.clear(); // so that the conversion below copies nothing
                self.recycle(buffer.into());
            }
        }
    }
}

/// The supervisor's end of standard output or standard error.
struct OutputPipe {
    kind: Kind,
    /// `None` once the program has closed its end.
    pipe: Option<OwnedFd>,
    splitter: Splitter,
    last_read: Instant,
    /// Whether [`Self::enlarge_pipe`] was called.
    is_enlarged: bool,
}

impl OutputPipe {
    fn new(kind: Kind, pipe: OwnedFd) -> Self {
        let splitter = Splitter::new(kind == Kind::Stdout);
        Self { kind, pipe: Some(pipe), splitter, last_read: Instant::now(), is_enlarged: false }
    }

    /// Bytes that are in the pipe now. A program may have enlarged the pipe (fcntl(2),
    /// `F_SETPIPE_SZ`).
    fn waiting_bytes(&self) -> usize {
        waiting_bytes(self.pipe.as_ref())
    }

    /// Reads the bytes that are in the pipe, but not much more than `max_bytes`.
    fn drain(&mut self, max_bytes: usize, buffers: &mut BufferPool, entries: &mut Vec<PendingEntry>) {
        let mut pieces = vec![];
        let mut total = 0;
        // Several reads may fill one buffer, so that a program with small writes does not occupy a
        // buffer for each of them.
        let mut buffer = buffers.acquire();
        while let Some(pipe) = &self.pipe
            && total < max_bytes
        {
            match rustix::io::read(pipe, spare_capacity(&mut buffer)) {
                Ok(length @ 1..) => {
                    total += length;
                    self.last_read = Instant::now();
                    if buffer.len() == buffer.capacity() {
                        let full = std::mem::replace(&mut buffer, buffers.acquire());
                        self.splitter.push(buffers.share(full), &mut pieces);
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Ok(0) | Err(_) => self.pipe = None,
            }
        }
        if buffer.len() > MAX_COPIED_BYTES {
            self.splitter.push(buffers.share(buffer), &mut pieces);
        } else {
            if !buffer.is_empty() {
                self.splitter.push(Bytes::copy_from_slice(&buffer), &mut pieces);
            }
            buffers.recycle(buffer);
        }
        if total > READ_BYTES {
            self.enlarge_pipe();
        }
        if self.pipe.is_none() {
            self.splitter.release(&mut pieces);
        }
        self.add_entries(pieces, entries);
    }

    /// Enlarges the pipe, once. If the user's pipes already hold as much as the kernel allows, the
    /// pipe stays as it is.
    fn enlarge_pipe(&mut self) {
        if let Some(pipe) = self.pipe.as_ref().filter(|_| !std::mem::replace(&mut self.is_enlarged, true))
            && fcntl_getpipe_size(pipe).is_ok_and(|bytes| bytes < ENLARGED_PIPE_BYTES)
        {
            let _ = fcntl_setpipe_size(pipe, ENLARGED_PIPE_BYTES);
        }
    }

    /// The time at which bytes that the splitter holds back must be released, if there are any.
    fn release_due(&self) -> Option<Instant> {
        self.splitter.hold().map(|hold| self.last_read + hold.duration())
    }

    fn release(&mut self, entries: &mut Vec<PendingEntry>) {
        let mut pieces = vec![];
        self.splitter.release(&mut pieces);
        self.add_entries(pieces, entries);
    }

    /// Adds the pieces of an output as entries. A line `--MSG-- {…}` with a valid message is a
    /// piece of its own.
    fn add_entries(&self, pieces: Vec<Piece>, entries: &mut Vec<PendingEntry>) {
        entries.extend(pieces.into_iter().map(|piece| match piece {
            Piece::Output(data) => PendingEntry { kind: self.kind, data },
            Piece::Message(data) => PendingEntry { kind: Kind::Message, data },
        }));
    }
}

/// Bytes that are in a pipe or a socket now.
fn waiting_bytes(channel: Option<&impl AsFd>) -> usize {
    let waiting = channel.and_then(|channel| rustix::io::ioctl_fionread(channel).ok());
    waiting.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(0)
}

/// All channels on which the program sends output.
pub(crate) struct Outputs {
    stdout: OutputPipe,
    stderr: OutputPipe,
    /// The message channel; `None` once the program has closed its end.
    messages: Option<UnixStream>,
    message_lines: MessageLines,
    rejection_notes: RejectionNotes,
    /// The program's requests about its input that were not taken yet.
    requests: InputRequests,
    buffers: BufferPool,
    throttle: ReadThrottle,
    /// The calls that wait, in the order of their notifications. Their number is that of the
    /// sandbox's threads at most.
    waiting_calls: VecDeque<Notification>,
    /// Whether the supervisor was notified of a call that writes to standard error, or after which
    /// a shell may do so. It is not if the program writes to a copy of the descriptor.
    is_notified_of_errors: bool,
    /// Whether the supervisor was notified of a message, in the same way.
    is_notified_of_messages: bool,
    /// Whether the last turn has resumed calls.
    has_resumed_calls: bool,
}

/// The last lines of a message channel that are about the program's input and go to no client.
#[derive(Default)]
pub(crate) struct InputRequests {
    pub echo: Option<EchoRequest>,
    pub wait: Option<InputRequest>,
}

impl InputRequests {
    /// Stores a line, if it is such a request.
    fn store(&mut self, line: &[u8]) -> bool {
        if let Some(request) = EchoRequest::parse(line) {
            self.echo = Some(request);
        } else if let Some(request) = InputRequest::parse(line) {
            self.wait = Some(request);
        } else {
            return false;
        }
        true
    }
}

/// The calls of which the supervisor is notified, and what those that read are about.
pub(crate) struct Callers<'a> {
    pub listener: &'a SeccompListener,
    pub stdin: &'a InputQueue<OwnedFd>,
    pub input_wait: &'a mut InputWait,
}

/// The channels that have bytes to read.
#[derive(Clone, Copy, Default)]
pub(crate) struct Readable {
    pub stdout: bool,
    pub stderr: bool,
    pub messages: bool,
    /// A notification of a call can be received.
    pub notifications: bool,
}

impl Readable {
    /// All channels, whether they have bytes or not: reading does not block.
    pub const ALL: Self = Self { stdout: true, stderr: true, messages: true, notifications: false };

    /// Whether any channel has bytes to read, or there is a notification.
    pub fn any(self) -> bool {
        self.has_bytes() || self.notifications
    }

    /// Whether any channel has bytes to read.
    fn has_bytes(self) -> bool {
        self.stdout || self.stderr || self.messages
    }
}

impl Outputs {
    /// Takes the supervisor's ends of the channels. `cpu_millicores` is the program's CPU share,
    /// in thousandths of a processor.
    pub fn new(stdout: OwnedFd, stderr: OwnedFd, messages: UnixStream, cpu_millicores: u32) -> Self {
        Self {
            stdout: OutputPipe::new(Kind::Stdout, stdout),
            stderr: OutputPipe::new(Kind::Stderr, stderr),
            messages: Some(messages),
            message_lines: MessageLines::default(),
            rejection_notes: RejectionNotes::new(Instant::now()),
            requests: InputRequests::default(),
            buffers: BufferPool::default(),
            throttle: ReadThrottle::new(cpu_millicores, own_cpu_time()),
            waiting_calls: VecDeque::new(),
            is_notified_of_errors: false,
            is_notified_of_messages: false,
            has_resumed_calls: false,
        }
    }

    /// Receives a notification, of which poll(2) has told. To be called as soon as possible: a
    /// signal may interrupt the call until then, and only a fatal one afterwards.
    pub fn receive_notification(&mut self, listener: &SeccompListener) {
        self.waiting_calls.extend(listener.receive());
    }

    /// Whether the last call of [`Self::read_ready`] has resumed calls of the program.
    pub fn has_resumed_calls(&self) -> bool {
        self.has_resumed_calls
    }

    /// The descriptors to poll for reading: standard output, standard error, the message channel.
    pub fn poll_fds(&self) -> [Option<BorrowedFd<'_>>; 3] {
        if self.throttle.paused_until().is_some() {
            return [None; 3];
        }
        let [stdout, stderr] =
            [&self.stdout, &self.stderr].map(|output| output.pipe.as_ref().map(AsFd::as_fd));
        [stdout, stderr, self.messages.as_ref().map(AsFd::as_fd)]
    }

    /// Refills the read throttle, so that the next read happens at once. This is called when a
    /// client is waiting for the program's reply.
    pub fn refill_throttle(&mut self) {
        self.throttle.refill();
    }

    /// Takes the program's last requests about its input among the lines that were read.
    pub fn take_requests(&mut self) -> InputRequests {
        std::mem::take(&mut self.requests)
    }

    /// Whether every channel is closed, so that no more output can come.
    pub fn are_closed(&self) -> bool {
        self.stdout.pipe.is_none() && self.stderr.pipe.is_none() && self.messages.is_none()
    }

    /// The time at which [`Self::read_ready`] must be called even if no channel is readable: held
    /// bytes must be released, or the throttle's pause ends.
    pub fn due(&self) -> Option<Instant> {
        let pauses = [self.throttle.paused_until(), self.throttle.debt_until()];
        [self.stdout.release_due(), self.stderr.release_due()].into_iter().chain(pauses).flatten().min()
    }

    /// Reads the readable channels, serves the notified calls of `callers`, and releases held
    /// bytes whose time has expired. The result is in the order in which the program wrote, as far
    /// as the supervisor can know it ([`order`]).
    pub fn read_ready(
        &mut self,
        mut readable: Readable,
        mut callers: Option<Callers<'_>>,
        now: Instant,
    ) -> Vec<PendingEntry> {
        let mut entries = vec![];
        self.buffers.reclaim();
        self.throttle.clear_expired_pause(now);
        self.rejection_notes.refill(now);
        if callers.is_none() {
            self.waiting_calls.clear(); // their processes are dead
        }
        let is_batching = self.throttle.is_batching();
        let has_calls = !self.waiting_calls.is_empty() && self.throttle.debt_until().is_none();
        self.has_resumed_calls = has_calls;
        if let Some(callers) = callers.as_mut().filter(|_| has_calls) {
            self.resume_calls(callers, now, &mut entries);
            // The bytes that the resumed calls have written meanwhile are read at once.
            readable.stderr |= is_batching && self.is_notified_of_errors;
            readable.messages |= is_batching && self.is_notified_of_messages;
        }
        self.read_channels(readable, now, &mut entries);
        if readable.has_bytes() || has_calls {
            let read_bytes = entries.iter().map(|entry| entry.data.len()).sum::<usize>();
            // A batch of notified calls was a pause already.
            let is_full_read = read_bytes >= READ_BYTES || is_batching && has_calls;
            self.throttle.record_read(is_full_read, now, own_cpu_time());
        }
        entries
    }

    /// Reads the output of the compile steps that is in the pipe of standard error, when none of the
    /// steps runs any more. Processes that they left behind may still write.
    pub fn drain_compiler_output(&mut self) -> Vec<PendingEntry> {
        let mut entries = vec![];
        self.stderr.drain(self.stderr.waiting_bytes(), &mut self.buffers, &mut entries);
        self.stderr.release(&mut entries);
        entries
    }

    /// Reads all remaining output, when every process that could write has ended.
    pub fn drain_all(&mut self) -> Vec<PendingEntry> {
        let mut entries = vec![];
        // A process outside the sandbox may still hold the program's ends, if the program has
        // passed them on. So this reads the bytes that are there, and does not wait for an end of
        // file.
        let mut messages = self.read_messages(usize::MAX);
        messages.extend(self.finish_message_lines());
        if self.is_notified_of_messages {
            entries.append(&mut messages);
        }
        let Self { stdout, stderr, buffers, .. } = self;
        let ordered = if self.is_notified_of_errors { [stderr, stdout] } else { [stdout, stderr] };
        for output in ordered {
            output.drain(usize::MAX, buffers, &mut entries);
            output.release(&mut entries);
        }
        entries.extend(messages);
        entries
    }

    /// Returns the entry for a last line without a newline, if there is one, and the note about
    /// refused lines of which the program has not been told.
    fn finish_message_lines(&mut self) -> Vec<PendingEntry> {
        let mut entries = vec![];
        let (notes, requested) = (&mut self.rejection_notes, &mut self.requests);
        self.message_lines.finish(|line| entries.extend(entry_of_line(line, notes, requested)));
        entries.extend(notes.take_count().map(note_entry));
        entries
    }

    fn read_messages(&mut self, max_bytes: usize) -> Vec<PendingEntry> {
        let mut entries = vec![];
        let mut total = 0;
        let mut buffer = self.buffers.acquire();
        while let Some(messages) = &self.messages
            && total < max_bytes
        {
            buffer.clear();
            match rustix::io::read(messages, spare_capacity(&mut buffer)) {
                Ok(0) => self.messages = None,
                Ok(length) => {
                    total += length;
                    let (notes, requested) = (&mut self.rejection_notes, &mut self.requests);
                    self.message_lines.push(&buffer, |line| {
                        entries.extend(entry_of_line(line, notes, requested));
                    });
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => self.messages = None,
            }
        }
        self.buffers.recycle(buffer);
        if self.messages.is_none() {
            entries.extend(self.finish_message_lines());
        }
        entries
    }
}

/// Makes the entry for a line of the message channel: the message, or a note on standard error
/// that the message was not sent, unless `notes` only counts it. A line that is a request about the
/// program's input is stored in `requested`, and makes no entry.
fn entry_of_line(
    line: Result<&[u8], (MessageError, &[u8])>,
    notes: &mut RejectionNotes,
    requested: &mut InputRequests,
) -> Option<PendingEntry> {
    match line {
        Ok(message) => Some(PendingEntry { kind: Kind::Message, data: Bytes::copy_from_slice(message) }),
        Err((MessageError::Reserved(_), line)) if requested.store(line) => None,
        Err((why, line)) => notes.record(&why, line).map(note_entry),
    }
}

fn note_entry(text: Vec<u8>) -> PendingEntry {
    PendingEntry { kind: Kind::Stderr, data: text.into() }
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

    /// Writes as much of `bytes` as there is room for. Returns the number of bytes written.
    fn fill(to: impl AsFd, bytes: &[u8]) -> usize {
        let mut written = 0;
        while written < bytes.len()
            && let Ok(length) = write(&to, &bytes[written..])
        {
            written += length;
        }
        written
    }

    #[test]
    fn a_last_message_of_any_length_is_read_whole() {
        for size in [10_000, 150_000, 1_000_000] {
            let (mut outputs, program) = connected();
            let line = format!("{{\"msgtype\":\"a\",\"data\":\"{}\"}}\n", "x".repeat(size));
            let mut left = line.as_bytes();
            let mut entries = vec![];
            loop {
                left = &left[fill(&program.messages, left)..];
                if left.is_empty() {
                    break;
                }
                entries.extend(outputs.read_ready(Readable::ALL, None, Instant::now()));
            }
            // The socket still holds a part of the message when the program ends.
            drop(program);
            entries.extend(outputs.drain_all());
            assert_eq!(entries.len(), 1, "a message of {size} bytes");
            assert!(entries[0].data == line.trim_end().as_bytes());
        }
    }

    #[test]
    fn a_last_message_without_a_newline_is_not_lost() {
        for is_closed in [true, false] {
            let (mut outputs, program) = connected();
            fill(&program.messages, b"{\"msgtype\":\"a\"}");
            let duplicate_end = (!is_closed).then(|| fcntl_dupfd_cloexec(&program.messages, 0).unwrap());
            drop(program);
            let entries = outputs.drain_all();
            assert_eq!(entries.len(), 1);
            assert_eq!((entries[0].kind, &*entries[0].data), (Kind::Message, &br#"{"msgtype":"a"}"#[..]));
            drop(duplicate_end);
        }
        let (mut outputs, program) = connected();
        fill(&program.messages, b"{\"msgtype\":");
        drop(program);
        let entries = outputs.read_ready(Readable::ALL, None, Instant::now());
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].kind, Kind::Stderr);
        assert!(String::from_utf8_lossy(&entries[0].data).contains("not sent"));
    }

    /// The read before a message may end in the middle of a character, because the program goes on
    /// writing.
    #[test]
    fn a_message_does_not_break_a_character() {
        let (mut outputs, program) = connected();
        fill(&program.stdout, b"a\xe2\x82");
        fill(&program.messages, b"{\"msgtype\":\"a\"}\n");
        let mut entries = outputs.read_ready(Readable::ALL, None, Instant::now());
        fill(&program.stdout, b"\xac\n-");
        fill(&program.messages, b"{\"msgtype\":\"b\"}\n");
        entries.extend(outputs.read_ready(Readable::ALL, None, Instant::now()));
        let entries: Vec<_> = entries.iter().map(|entry| std::str::from_utf8(&entry.data).unwrap()).collect();
        assert_eq!(entries, ["a", r#"{"msgtype":"a"}"#, "€\n", "-", r#"{"msgtype":"b"}"#]);
    }

    /// A program may enlarge its pipe (fcntl(2), `F_SETPIPE_SZ`).
    #[test]
    fn a_message_never_overtakes_the_output_in_an_enlarged_pipe() {
        let (mut outputs, program) = connected();
        fcntl_setpipe_size(&program.stdout, 1024 * 1024).unwrap();
        let printed = fill(&program.stdout, &vec![b'x'; 600_000]);
        assert_eq!(printed, 600_000);
        fill(&program.messages, b"{\"msgtype\":\"a\"}\n");
        let entries = outputs.read_ready(Readable::ALL, None, Instant::now());
        assert_eq!(entries.last().unwrap().kind, Kind::Message);
        let before: usize =
            entries.iter().filter(|entry| entry.kind == Kind::Stdout).map(|entry| entry.data.len()).sum();
        assert_eq!(before, printed);
    }

    #[test]
    fn all_output_in_an_enlarged_pipe_is_read_at_the_end() {
        let (mut outputs, program) = connected();
        fcntl_setpipe_size(&program.stdout, 1024 * 1024).unwrap();
        let line = [b"--MSG-- {\"msgtype\":\"a\",\"data\":\"", &*vec![b'x'; 600_000]].concat();
        assert_eq!(fill(&program.stdout, &line), line.len());
        let duplicate_end = fcntl_dupfd_cloexec(&program.stdout, 0).unwrap();
        drop(program);
        let entries = outputs.drain_all();
        assert_eq!(entries.iter().map(|entry| entry.data.len()).sum::<usize>(), line.len());
        drop(duplicate_end);
    }
}
