//! The way in: bounded queues to the program, and the memory of what was delivered.

use std::{
    collections::{HashMap, VecDeque},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    os::fd::{AsFd, BorrowedFd},
};

use livecode_protocol::{DeliveryRefused, ErrorCode, control::Delivery, stream::QUEUE_FULL};
use serde_json::Value;

/// Bytes that wait for a program to read its standard input, beyond those in the pipe; then input is refused.
pub(crate) const INPUT_QUEUE_BYTES: usize = 1024 * 1024;
/// Bytes of events that wait for a program to read its message channel; then events are refused.
pub(crate) const EVENT_QUEUE_BYTES: usize = 1024 * 1024;
/// How many ids of clients are remembered; older ones are forgotten, oldest first.
pub(crate) const REMEMBERED_IDS: usize = 4096;

/// Bytes on their way into a program.
pub(crate) struct InputQueue<W> {
    name: &'static str,
    /// `None` once the way is closed.
    to: Option<W>,
    waiting: VecDeque<u8>,
    capacity: usize,
    ends: bool,
}

impl<W: AsFd> InputQueue<W> {
    pub fn new(name: &'static str, to: W, capacity: usize) -> Self {
        Self { name, to: Some(to), waiting: VecDeque::new(), capacity, ends: false }
    }

    /// Puts in what was there before the program, however long, and closes the way after it.
    pub fn fill_and_end(&mut self, bytes: Vec<u8>) {
        self.waiting = bytes.into();
        self.ends = true;
    }

    /// Appends `bytes`, and closes the way after them where `ends`.
    ///
    /// # Errors
    /// A sentence for the client, where nothing was taken.
    pub fn push(&mut self, bytes: &[u8], ends: bool) -> Result<(), DeliveryRefused> {
        if self.to.is_none() || self.ends {
            let error = format!("the program's {} is closed", self.name);
            return Err(DeliveryRefused::new(ErrorCode::InputClosed, error));
        }
        if self.waiting.len() + bytes.len() > self.capacity {
            let error = format!(
                "the queue is full: {} bytes wait for the program to read them; {QUEUE_FULL}",
                self.waiting.len()
            );
            return Err(DeliveryRefused::new(ErrorCode::QueueFull, error));
        }
        self.waiting.extend(bytes);
        self.ends = ends;
        Ok(())
    }

    /// Passes on as much as the program takes at the moment.
    pub fn pump(&mut self) {
        while let Some(to) = &self.to {
            let (front, _) = self.waiting.as_slices();
            if front.is_empty() {
                if self.ends {
                    self.to = None;
                }
                return;
            }
            match rustix::io::write(to, front) {
                Ok(length) => drop(self.waiting.drain(..length)),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return,
                // The program closed its end, or is gone.
                Err(_) => {
                    self.to = None;
                    self.waiting.clear();
                }
            }
        }
    }

    /// The descriptor to watch until it takes more, while something waits.
    pub fn waits_for(&self) -> Option<BorrowedFd<'_>> {
        self.to.as_ref().filter(|_| !self.waiting.is_empty()).map(AsFd::as_fd)
    }
}

/// What became of a delivery with an id.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum DeliveryCheck {
    /// It is new.
    New,
    /// The same was delivered before.
    Before,
    /// Another was delivered under this id.
    Another,
}

/// The last ids that clients chose, with a digest of what came under each.
#[derive(Default)]
pub(crate) struct DeliveryIds {
    digests: HashMap<String, u64>,
    order: VecDeque<String>,
}

impl DeliveryIds {
    /// Whether this was delivered before.
    pub fn look(&self, id: &Value, item: &Delivery) -> DeliveryCheck {
        match self.digests.get(&id.to_string()) {
            None => DeliveryCheck::New,
            Some(digest) if *digest == digest_of(item) => DeliveryCheck::Before,
            Some(_) => DeliveryCheck::Another,
        }
    }

    /// Remembers a delivery.
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
    fn what_is_pushed_arrives_and_the_end_after_it() {
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
        assert!(queue.waits_for().is_none());
    }

    #[test]
    fn ids_are_remembered_up_to_a_bound() {
        let input = |text: &str| Delivery::Input { data: Contents::Text(text.into()), eof: false };
        let mut ids = DeliveryIds::default();
        ids.remember(&1.into(), &input("a"));
        assert_eq!(ids.look(&1.into(), &input("a")), DeliveryCheck::Before);
        assert_eq!(ids.look(&1.into(), &input("b")), DeliveryCheck::Another);
        assert_eq!(ids.look(&"1".into(), &input("a")), DeliveryCheck::New);
        for id in 0..REMEMBERED_IDS as u64 {
            ids.remember(&(id + 10).into(), &Delivery::Signal { signal: Signal::Kill });
        }
        assert_eq!(ids.look(&1.into(), &input("a")), DeliveryCheck::New);
        assert_eq!(ids.digests.len(), REMEMBERED_IDS);
    }
}
