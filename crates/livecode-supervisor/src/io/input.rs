//! Input of the program: bounded queues to its standard input and message channel, and the ids of
//! past deliveries.

use std::{
    collections::{HashMap, VecDeque},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    os::fd::{AsFd, BorrowedFd},
};

use livecode_protocol::{DeliveryRefused, ErrorCode, control::Delivery, stream::QUEUE_FULL};
use serde_json::Value;

/// Bytes that may wait for the program to read its standard input, in addition to those in the
/// pipe. If more would wait, input is refused.
pub(crate) const INPUT_QUEUE_BYTES: usize = 1024 * 1024;
/// Bytes of events that may wait for the program to read its message channel. If more would wait,
/// events are refused.
pub(crate) const EVENT_QUEUE_BYTES: usize = 1024 * 1024;
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
    /// The most bytes that [`Self::push`] lets wait.
    max_bytes: usize,
    /// Whether the channel is to be closed after the bytes that wait.
    closes_after: bool,
}

impl<W: AsFd> InputQueue<W> {
    pub fn new(target: &'static str, writer: W, max_bytes: usize) -> Self {
        Self { target, writer: Some(writer), waiting: VecDeque::new(), max_bytes, closes_after: false }
    }

    /// Queues all input that the program will get, and closes the channel after it. The limit of
    /// the queue does not apply.
    pub fn fill_and_close(&mut self, bytes: Vec<u8>) {
        self.waiting = bytes.into();
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
            let (front, _) = self.waiting.as_slices();
            if front.is_empty() {
                if self.closes_after {
                    self.writer = None;
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
                    self.waiting.clear();
                }
            }
        }
    }

    /// The descriptor to poll for writing, if bytes wait.
    pub fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        self.writer.as_ref().filter(|_| !self.waiting.is_empty()).map(AsFd::as_fd)
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
        queue.push(b"hello", false).unwrap();
        assert_eq!(queue.push(b"world!", false).unwrap_err().code, ErrorCode::QueueFull);
        queue.push(b"world", true).unwrap();
        assert_eq!(queue.push(b"x", false).unwrap_err().code, ErrorCode::InputClosed);
        queue.pump();
        let mut bytes = [0; 64];
        assert_eq!(rustix::io::read(&read, &mut bytes[..]).unwrap(), 10);
        assert_eq!(&bytes[..10], b"helloworld");
        assert_eq!(rustix::io::read(&read, &mut bytes[..]).unwrap(), 0);
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
