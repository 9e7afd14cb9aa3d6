//! Reads standard input and turns it into `input` messages, each within the size limit, as text if
//! the bytes are UTF-8 and as base64 otherwise.

use std::io;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::status::print_status;

/// Bytes of input in one message. A byte can take six bytes in JSON, and a message has at most 64
/// KiB.
const CHUNK_BYTES: usize = 8 * 1024;
/// Messages that are read ahead of the connection.
const MAX_QUEUED_MESSAGES: usize = 4;
/// How long an incomplete UTF-8 character waits for its remaining bytes before it is sent as
/// base64: 20 ms.
const PARTIAL_CHARACTER_TIMEOUT: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

/// Starts a thread that reads standard input; a thread, since a read of a terminal cannot be
/// cancelled. The last message has `eof` set.
pub fn start_reading() -> mpsc::Receiver<Value> {
    let (sender, receiver) = mpsc::channel(MAX_QUEUED_MESSAGES);
    std::thread::spawn(move || {
        let mut chunker = Utf8Chunker::default();
        let mut buffer = [0; CHUNK_BYTES];
        loop {
            let message = match read_available(&mut buffer, chunker.has_partial_character()) {
                Some(0) => break,
                Some(length) => chunker.push(&buffer[..length]),
                None => chunker.flush(),
            };
            if let Some(message) = message
                && sender.blocking_send(message).is_err()
            {
                return;
            }
        }
        let _ = sender.blocking_send(chunker.finish()); // fails only if the viewer has ended
    });
    receiver
}

/// Reads into `buffer` and returns the number of bytes, 0 at the end of the input. If a partial
/// character is held back and no bytes arrive within [`PARTIAL_CHARACTER_TIMEOUT`], returns
/// `None`.
fn read_available(buffer: &mut [u8], has_partial_character: bool) -> Option<usize> {
    let stdin = io::stdin();
    let mut must_poll = has_partial_character;
    loop {
        if must_poll {
            let timeout = has_partial_character.then_some(&PARTIAL_CHARACTER_TIMEOUT);
            match poll(&mut [PollFd::new(&stdin, PollFlags::IN)], timeout) {
                Ok(0) => return None,
                Err(Errno::INTR) => continue,
                // If polling failed, the read below reports the error.
                Ok(_) | Err(_) => {}
            }
        }
        match rustix::io::read(&stdin, &mut *buffer) {
            Ok(length) => return Some(length),
            Err(Errno::INTR) => {}
            // The descriptor is non-blocking, as a shared terminal can be.
            Err(Errno::AGAIN) => must_poll = true,
            Err(error) => {
                print_status(format_args!("cannot read standard input: {error}"));
                return Some(0);
            }
        }
    }
}

/// Splits input into chunks that do not end within a UTF-8 character.
#[derive(Default)]
pub struct Utf8Chunker {
    /// Bytes that are held back: the beginning of a character.
    partial: Vec<u8>,
}

impl Utf8Chunker {
    /// The `input` message for bytes that were read, or `None` if they are only a part of a
    /// character.
    pub fn push(&mut self, read: &[u8]) -> Option<Value> {
        self.partial.extend_from_slice(read);
        let complete_bytes = match std::str::from_utf8(&self.partial) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            _ => self.partial.len(),
        };
        let partial = self.partial.split_off(complete_bytes);
        let chunk = std::mem::replace(&mut self.partial, partial);
        (!chunk.is_empty()).then(|| input_message(chunk))
    }

    /// Whether a part of a character is held back.
    pub fn has_partial_character(&self) -> bool {
        !self.partial.is_empty()
    }

    /// The message for the bytes that are held back; called when the rest of the character has not
    /// arrived in time.
    pub fn flush(&mut self) -> Option<Value> {
        self.has_partial_character().then(|| input_message(std::mem::take(&mut self.partial)))
    }

    /// The message for the end of the input, with the bytes that are held back.
    pub fn finish(&mut self) -> Value {
        let mut message = input_message(std::mem::take(&mut self.partial));
        message["eof"] = true.into();
        message
    }
}

/// An `input` message with these bytes.
fn input_message(bytes: Vec<u8>) -> Value {
    match String::from_utf8(bytes) {
        Ok(text) => json!({"msgtype": "input", "data": text}),
        Err(error) => {
            json!({"msgtype": "input", "data": BASE64_STANDARD.encode(error.as_bytes()), "encoding": "base64"})
        }
    }
}

#[cfg(test)]
mod tests {
    use livecode_protocol::stream::MAX_CLIENT_MESSAGE_BYTES;

    use super::*;

    #[test]
    fn characters_are_not_split() {
        let mut chunker = Utf8Chunker::default();
        let euro = "€".as_bytes();
        assert_eq!(chunker.push(&euro[..1]), None);
        assert_eq!(
            chunker.push(&[&euro[1..], b"a"].concat()),
            Some(json!({"msgtype": "input", "data": "€a"}))
        );
        assert!(!chunker.has_partial_character());
        assert_eq!(chunker.finish(), json!({"msgtype": "input", "data": "", "eof": true}));
    }

    #[test]
    fn bytes_that_are_not_utf8_are_sent_as_base64() {
        let mut chunker = Utf8Chunker::default();
        assert_eq!(
            chunker.push(b"\xff\x00"),
            Some(json!({"msgtype": "input", "data": "/wA=", "encoding": "base64"}))
        );
        assert_eq!(chunker.push(b"\xe2"), None);
        let end = json!({"msgtype": "input", "data": "4g==", "encoding": "base64", "eof": true});
        assert_eq!(chunker.finish(), end);
    }

    #[test]
    fn a_partial_character_can_be_flushed() {
        let mut chunker = Utf8Chunker::default();
        assert_eq!(chunker.flush(), None);
        assert_eq!(chunker.push(b"a\xc3"), Some(json!({"msgtype": "input", "data": "a"})));
        assert!(chunker.has_partial_character());
        let part = json!({"msgtype": "input", "data": "ww==", "encoding": "base64"});
        assert_eq!(chunker.flush(), Some(part));
        assert!(!chunker.has_partial_character());
    }

    #[test]
    fn the_largest_message_is_within_the_limit() {
        let mut chunker = Utf8Chunker { partial: vec![] };
        // JSON writes a zero byte with six bytes; the id and the other fields need some room
        // besides.
        let message =
            chunker.push(&[0; CHUNK_BYTES]).map(|message| message.to_string().len()).unwrap_or_default();
        assert!(message > 6 * CHUNK_BYTES && message + 1024 < MAX_CLIENT_MESSAGE_BYTES, "{message}");
    }
}
