//! Input of the program: bounded queues to its standard input and message channel, and the ids of
//! past deliveries.

use std::{
    collections::{HashMap, VecDeque},
    fs::File,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::FileExt as _,
    },
};

use livecode_protocol::{
    DeliveryRefused, ErrorCode, control::Delivery, run_spec::RunSpec, stream::QUEUE_FULL,
};
use serde_json::Value;

/// Bytes that may wait for the program to read its standard input, in addition to those in the
/// pipe. If more would wait, input is refused.
const INPUT_QUEUE_BYTES: usize = 1024 * 1024;
/// Bytes of events that may wait for the program to read its message channel. If more would wait,
/// events are refused.
pub(crate) const EVENT_QUEUE_BYTES: usize = 1024 * 1024;
/// Bytes of stored input that are held at once: as many as a pipe takes (pipe(7)).
const STORED_PIECE_BYTES: u64 = 64 * 1024;
/// Ids of deliveries that are remembered. The oldest ids are forgotten first.
pub(crate) const REMEMBERED_IDS: usize = 4096;

/// Bytes that wait to be written to the program: to its standard input (a pipe), or to the message
/// channel (a socket).
pub(crate) struct InputQueue<W> {
    /// `standard input` or `message channel`, for errors.
    target: &'static str,
    /// The supervisor's end; `None` once it is closed.
    writer: Option<W>,
    waiting: VecDeque<u8>,
    /// Input that comes after the bytes that wait, if it is stored in a file.
    stored: Option<StoredInput>,
    /// The most bytes that [`Self::push`] lets wait.
    max_bytes: usize,
    /// Whether the channel is to be closed after the bytes that wait.
    closes_after: bool,
}

impl InputQueue<OwnedFd> {
    /// The queue to standard input, with the input that the run spec gives, if any. That is taken
    /// from the run spec, or read from the contents file.
    ///
    /// # Errors
    /// If the input is malformed, which it never is in a run spec that a server has written.
    pub fn standard_input(
        pipe: OwnedFd,
        run_spec: &mut RunSpec,
        contents_file: Option<File>,
    ) -> io::Result<Self> {
        let mut queue = Self::new("standard input", pipe, INPUT_QUEUE_BYTES);
        if let Some(contents) = run_spec.stdin.take() {
            queue.fill_and_close(contents.into_bytes().map_err(io::Error::other)?);
        }
        if let Some((contents_file, stored)) = contents_file.zip(run_spec.stored.as_ref())
            && let Some(bytes) = stored.stdin_bytes
        {
            queue.stream_and_close(StoredInput::new(contents_file, stored.stdin_offset(), bytes));
        }
        Ok(queue)
    }
}

impl<W: AsFd> InputQueue<W> {
    pub fn new(target: &'static str, writer: W, max_bytes: usize) -> Self {
        Self {
            target,
            writer: Some(writer),
            waiting: VecDeque::new(),
            stored: None,
            max_bytes,
            closes_after: false,
        }
    }

    /// Queues all input that the program will get, and closes the channel after it. The limit of
    /// the queue does not apply.
    fn fill_and_close(&mut self, bytes: Vec<u8>) {
        self.waiting = bytes.into();
        self.closes_after = true;
    }

    /// Writes all input that the program will get, as the program reads it, and closes the channel
    /// after it.
    fn stream_and_close(&mut self, stored: StoredInput) {
        self.stored = Some(stored);
        self.closes_after = true;
    }

    /// Queues `bytes`, and closes the channel after them if `closes_after` is set.
    ///
    /// # Errors
    /// Fails if the channel is closed or the queue is full. Nothing was queued then.
    pub fn push(&mut self, bytes: &[u8], closes_after: bool) -> Result<(), DeliveryRefused> {
        if self.writer.is_none() || self.closes_after {
            let error = format!("the program's {} is closed", self.target);
            return Err(DeliveryRefused::new(ErrorCode::InputClosed, error));
        }
        if self.waiting.len() + bytes.len() > self.max_bytes {
            let error = format!(
                "the queue is full: {} bytes wait for the program to read them; {QUEUE_FULL}",
                self.waiting.len()
            );
            return Err(DeliveryRefused::new(ErrorCode::QueueFull, error));
        }
        self.waiting.extend(bytes);
        self.closes_after = closes_after;
        Ok(())
    }

    /// Writes as many bytes as the channel accepts without blocking.
    pub fn pump(&mut self) {
        while let Some(writer) = &self.writer {
            if self.waiting.is_empty()
                && let Some(stored) = &mut self.stored
            {
                let mut buffer: Vec<u8> = std::mem::take(&mut self.waiting).into();
                stored.read_into(&mut buffer);
                if buffer.is_empty() {
                    self.stored = None;
                }
                self.waiting = buffer.into();
            }
            let (front, _) = self.waiting.as_slices();
            if front.is_empty() {
                if self.closes_after {
                    self.writer = None;
                    self.waiting = VecDeque::new();
                }
                return;
            }
            match rustix::io::write(writer, front) {
                Ok(length) => drop(self.waiting.drain(..length)),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return,
                // The program has closed its end or has ended.
                Err(_) => {
                    self.writer = None;
                    self.waiting = VecDeque::new();
                    self.stored = None;
                }
            }
        }
    }

    /// Whether the program has read all input that there is, and more may come.
    pub fn is_starved(&self) -> bool {
        let has_input = self.closes_after || self.stored.is_some() || !self.waiting.is_empty();
        let writer = self.writer.as_ref().filter(|_| !has_input);
        writer.is_some_and(|writer| rustix::io::ioctl_fionread(writer) == Ok(0))
    }

    /// The descriptor to poll for writing, if bytes wait.
    pub fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        let has_bytes = !self.waiting.is_empty() || self.stored.is_some();
        self.writer.as_ref().filter(|_| has_bytes).map(AsFd::as_fd)
    }
}

/// Standard input that stands in a file and is read piece by piece.
struct StoredInput {
    file: File,
    /// Where the next piece begins in the file.
    offset: u64,
    /// Bytes that were not read yet.
    left_bytes: u64,
}

impl StoredInput {
    /// The part of `file` with this offset and length. The file's own offset is not used, since
    /// init shares it.
    fn new(file: File, offset: u64, bytes: u64) -> Self {
        Self { file, offset, left_bytes: bytes }
    }

    /// Replaces the content of `buffer` by the next piece, which is empty at the end.
    fn read_into(&mut self, buffer: &mut Vec<u8>) {
        buffer.resize(self.left_bytes.min(STORED_PIECE_BYTES) as usize, 0);
        let length = self.file.read_at(buffer, self.offset).unwrap_or_else(|error| {
            eprintln!("livecode supervisor: cannot read the program's standard input: {error}");
            0
        });
        buffer.truncate(length);
        self.offset += length as u64;
        self.left_bytes -= length as u64;
    }
}

/// How a delivery with an id compares with past deliveries.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum DeliveryCheck {
    /// No remembered delivery has this id.
    New,
    /// The same item was delivered under this id before.
    Duplicate,
    /// Another item was delivered under this id before.
    Conflict,
}

/// The last ids that clients chose, each with a digest of the item that was delivered under it.
#[derive(Default)]
pub(crate) struct DeliveryIds {
    digests: HashMap<String, u64>,
    /// The ids, oldest first.
    order: VecDeque<String>,
}

impl DeliveryIds {
    /// Compares a delivery with the remembered ones.
    pub fn check(&self, id: &Value, item: &Delivery) -> DeliveryCheck {
        match self.digests.get(&id.to_string()) {
            None => DeliveryCheck::New,
            Some(digest) if *digest == digest_of(item) => DeliveryCheck::Duplicate,
            Some(_) => DeliveryCheck::Conflict,
        }
    }

    /// Remembers a new delivery, and forgets the oldest one if there are too many.
    pub fn remember(&mut self, id: &Value, item: &Delivery) {
        if self.order.len() == REMEMBERED_IDS
            && let Some(oldest) = self.order.pop_front()
        {
            self.digests.remove(&oldest);
        }
        let id = id.to_string();
        self.order.push_back(id.clone());
        self.digests.insert(id, digest_of(item));
    }
}

fn digest_of(item: &Delivery) -> u64 {
    let mut hasher = DefaultHasher::new();
    serde_json::to_string(item).unwrap_or_default().hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use livecode_protocol::{run_spec::Contents, stream::Signal};
    use rustix::pipe::{PipeFlags, pipe_with};

    #[test]
    fn pushed_bytes_arrive_and_then_the_end_of_file() {
        let (read, write) = pipe_with(PipeFlags::NONBLOCK).unwrap();
        let mut queue = InputQueue::new("standard input", write, 10);
        assert!(queue.is_starved());
        queue.push(b"hello", false).unwrap();
        assert!(!queue.is_starved());
        queue.pump();
        assert!(!queue.is_starved());
        let mut bytes = [0; 64];
        assert_eq!(rustix::io::read(&read, &mut bytes[..]).unwrap(), 5);
        assert!(queue.is_starved());
        queue.push(b"hello", false).unwrap();
        assert_eq!(queue.push(b"world!", false).unwrap_err().code, ErrorCode::QueueFull);
        queue.push(b"world", true).unwrap();
        assert_eq!(queue.push(b"x", false).unwrap_err().code, ErrorCode::InputClosed);
        queue.pump();
        assert_eq!(rustix::io::read(&read, &mut bytes[..]).unwrap(), 10);
        assert_eq!(&bytes[..10], b"helloworld");
        assert_eq!(rustix::io::read(&read, &mut bytes[..]).unwrap(), 0);
        assert!(queue.poll_fd().is_none() && !queue.is_starved());
    }

    #[test]
    fn stored_input_is_written_as_the_program_reads_it() {
        const PIECES: usize = 5;
        let stored: Vec<u8> = (0..PIECES * STORED_PIECE_BYTES as usize).map(|n| (n / 1000) as u8).collect();
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&stored, 7).unwrap();
        let (read, write) = pipe_with(PipeFlags::NONBLOCK).unwrap();
        let mut queue = InputQueue::new("standard input", write, 10);
        queue.stream_and_close(StoredInput::new(file, 7, stored.len() as u64));
        assert_eq!(queue.push(b"x", false).unwrap_err().code, ErrorCode::InputClosed);
        let mut received: Vec<u8> = vec![];
        let mut buffer = vec![0; 10_000];
        loop {
            queue.pump();
            assert!(queue.waiting.len() <= STORED_PIECE_BYTES as usize);
            match rustix::io::read(&read, &mut *buffer).unwrap() {
                0 => break,
                length => received.extend(&buffer[..length]),
            }
        }
        assert!(received == stored);
        assert!(queue.poll_fd().is_none());
    }

    #[test]
    fn a_bounded_number_of_ids_is_remembered() {
        let input = |text: &str| Delivery::Input { data: Contents::Text(text.into()), eof: false };
        let mut ids = DeliveryIds::default();
        ids.remember(&1.into(), &input("a"));
        assert_eq!(ids.check(&1.into(), &input("a")), DeliveryCheck::Duplicate);
        assert_eq!(ids.check(&1.into(), &input("b")), DeliveryCheck::Conflict);
        assert_eq!(ids.check(&"1".into(), &input("a")), DeliveryCheck::New);
        for id in 0..REMEMBERED_IDS as u64 {
            ids.remember(&(id + 10).into(), &Delivery::Signal { signal: Signal::Kill });
        }
        assert_eq!(ids.check(&1.into(), &input("a")), DeliveryCheck::New);
        assert_eq!(ids.digests.len(), REMEMBERED_IDS);
    }
}
