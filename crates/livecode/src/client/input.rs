//! Standard input, cut into messages: each small enough, and text wherever it is text.

use std::io;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// Bytes of one message. In JSON a byte can take six, and a message has at most 64 KiB.
const CHUNK_BYTES: usize = 8 * 1024;
/// Messages that are read ahead.
const QUEUED_MESSAGES: usize = 4;
/// How long the first bytes of a character wait for the rest before they pass as bytes.
const HOLD: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

/// Reads standard input in a thread of its own, since a read cannot be taken back. The last message is the end.
pub fn read() -> mpsc::Receiver<Value> {
    let (sender, receiver) = mpsc::channel(QUEUED_MESSAGES);
    std::thread::spawn(move || {
        let mut cutter = Cutter::default();
        let mut buffer = [0; CHUNK_BYTES];
        loop {
            let message = match read_some(&mut buffer, cutter.holds()) {
                Some(0) => break,
                Some(length) => cutter.cut(&buffer[..length]),
                None => cutter.release(),
            };
            if let Some(message) = message
                && sender.blocking_send(message).is_err()
            {
                return;
            }
        }
        let _ = sender.blocking_send(cutter.end()); // nobody reads on
    });
    receiver
}

/// Reads what there is, at the end nothing; `None` where nothing comes while something is held back.
fn read_some(buffer: &mut [u8], holds: bool) -> Option<usize> {
    let stdin = io::stdin();
    let mut must_wait = holds;
    loop {
        if must_wait {
            let hold = holds.then_some(&HOLD);
            match poll(&mut [PollFd::new(&stdin, PollFlags::IN)], hold) {
                Ok(0) => return None,
                Err(Errno::INTR) => continue,
                // What is wrong shows at the read.
                Ok(_) | Err(_) => {}
            }
        }
        match rustix::io::read(&stdin, &mut *buffer) {
            Ok(length) => return Some(length),
            Err(Errno::INTR) => {}
            // A descriptor that does not wait, such as a terminal that is shared.
            Err(Errno::AGAIN) => must_wait = true,
            Err(error) => {
                super::say(format_args!("standard input cannot be read: {error}"));
                return Some(0);
            }
        }
    }
}

/// Puts characters together that were read in parts.
#[derive(Default)]
pub struct Cutter {
    held: Vec<u8>,
}

impl Cutter {
    /// The `input` message for what was read, `None` where only a part of a character came.
    pub fn cut(&mut self, read: &[u8]) -> Option<Value> {
        self.held.extend_from_slice(read);
        let whole = match std::str::from_utf8(&self.held) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            _ => self.held.len(),
        };
        let part = self.held.split_off(whole);
        let bytes = std::mem::replace(&mut self.held, part);
        (!bytes.is_empty()).then(|| message(bytes))
    }

    /// Whether a part of a character is held back.
    pub fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// The message for what is held back: the rest of the character does not come, so it is none.
    pub fn release(&mut self) -> Option<Value> {
        self.holds().then(|| message(std::mem::take(&mut self.held)))
    }

    /// The message for the end, with what is held back.
    pub fn end(&mut self) -> Value {
        let mut message = message(std::mem::take(&mut self.held));
        message["eof"] = true.into();
        message
    }
}

fn message(bytes: Vec<u8>) -> Value {
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
    fn characters_stay_whole() {
        let mut cutter = Cutter::default();
        let euro = "€".as_bytes();
        assert_eq!(cutter.cut(&euro[..1]), None);
        assert_eq!(cutter.cut(&[&euro[1..], b"a"].concat()), Some(json!({"msgtype": "input", "data": "€a"})));
        assert!(!cutter.holds());
        assert_eq!(cutter.end(), json!({"msgtype": "input", "data": "", "eof": true}));
    }

    #[test]
    fn bytes_that_are_no_text_are_kept() {
        let mut cutter = Cutter::default();
        assert_eq!(
            cutter.cut(b"\xff\x00"),
            Some(json!({"msgtype": "input", "data": "/wA=", "encoding": "base64"}))
        );
        assert_eq!(cutter.cut(b"\xe2"), None);
        let end = json!({"msgtype": "input", "data": "4g==", "encoding": "base64", "eof": true});
        assert_eq!(cutter.end(), end);
    }

    #[test]
    fn a_part_of_a_character_does_not_wait_for_ever() {
        let mut cutter = Cutter::default();
        assert_eq!(cutter.release(), None);
        assert_eq!(cutter.cut(b"a\xc3"), Some(json!({"msgtype": "input", "data": "a"})));
        assert!(cutter.holds());
        let part = json!({"msgtype": "input", "data": "ww==", "encoding": "base64"});
        assert_eq!(cutter.release(), Some(part));
        assert!(!cutter.holds());
    }

    #[test]
    fn the_largest_message_is_taken() {
        let mut cutter = Cutter { held: vec![] };
        // A byte that JSON writes with six, besides an id and the rest of the message.
        let message =
            cutter.cut(&[0; CHUNK_BYTES]).map(|message| message.to_string().len()).unwrap_or_default();
        assert!(message > 6 * CHUNK_BYTES && message + 1024 < MAX_CLIENT_MESSAGE_BYTES, "{message}");
    }
}
