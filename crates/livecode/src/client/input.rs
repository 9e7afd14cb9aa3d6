//! Standard input, cut into messages: each small enough, and text wherever it is text.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

/// Bytes of one message. In JSON a byte can take six, and a message has at most 64 KiB.
pub const CHUNK_BYTES: usize = 8 * 1024;

/// Puts characters together that were read in parts.
#[derive(Default)]
pub struct Cutter {
    held: Vec<u8>,
}

impl Cutter {
    /// The `input` message for what was read, `None` where only a part of a character came. An empty read is the end.
    pub fn cut(&mut self, read: &[u8]) -> Option<Value> {
        let mut bytes = std::mem::take(&mut self.held);
        bytes.extend_from_slice(read);
        let is_end = read.is_empty();
        if !is_end
            && let Err(error) = std::str::from_utf8(&bytes)
            && error.error_len().is_none()
        {
            self.held = bytes.split_off(error.valid_up_to());
            if bytes.is_empty() {
                return None;
            }
        }
        let mut message = match String::from_utf8(bytes) {
            Ok(text) => json!({"msgtype": "input", "data": text}),
            Err(error) => {
                json!({"msgtype": "input", "data": BASE64_STANDARD.encode(error.as_bytes()), "encoding": "base64"})
            }
        };
        if is_end {
            message["eof"] = true.into();
        }
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_stay_whole() {
        let mut cutter = Cutter::default();
        let euro = "€".as_bytes();
        assert_eq!(cutter.cut(&euro[..1]), None);
        assert_eq!(cutter.cut(&[&euro[1..], b"a"].concat()), Some(json!({"msgtype": "input", "data": "€a"})));
        assert_eq!(cutter.cut(b""), Some(json!({"msgtype": "input", "data": "", "eof": true})));
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
        assert_eq!(cutter.cut(b""), Some(end));
    }
}
