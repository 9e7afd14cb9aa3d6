//! Entries as messages.

mod escape;

use std::{borrow::Cow, fmt::Write as _};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use livecode_journal::{Entry, Kind};
use livecode_protocol::{
    control::ClosingEntry,
    session::{Encoding, Outcome},
    stream::{Output, ServerMessage},
};

use crate::sessions::Item;

/// Which messages a reader understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// v0.1's: no numbers, no reasons, gaps as a note, and text only.
    V01,
    /// v0.2's, with each message's number where it is asked for.
    V02 {
        /// Whether it is.
        with_seq: bool,
    },
}

/// What v0.1, which knows no gap, says on standard error in its place.
pub(crate) const GAP_NOTE: &str = "livecode: output is missing here: it could not be kept\n";

/// A message of the server's own, as JSON.
pub(crate) fn json(message: &ServerMessage<'_>) -> String {
    // Plain data: serialising it cannot fail.
    serde_json::to_string(message).unwrap_or_default()
}

impl Dialect {
    /// An item as the message that is sent.
    pub fn message(self, item: &Item) -> String {
        match item {
            Item::Entry(entry) => self.entry(entry),
            Item::Gap { .. } if self == Self::V01 => self.write(Output::Stderr, GAP_NOTE.as_bytes(), None),
            Item::Gap { from, to } => json(&ServerMessage::Gap { from: *from, to: *to }),
        }
    }

    pub fn entry(self, entry: &Entry) -> String {
        let seq = (self == Self::V02 { with_seq: true }).then_some(entry.seq);
        match entry.kind {
            Kind::Stdout => self.write(Output::Stdout, &entry.data, seq),
            Kind::Stderr => self.write(Output::Stderr, &entry.data, seq),
            Kind::Message => numbered(&entry.data, seq),
            Kind::Exit => self.exit(&entry.data, seq),
        }
    }

    fn write(self, file: Output, bytes: &[u8], seq: Option<u64>) -> String {
        let (data, encoding) = match (std::str::from_utf8(bytes), self) {
            (Ok(text), _) => (Cow::Borrowed(text), None),
            (Err(_), Self::V01) => (String::from_utf8_lossy(bytes), None),
            (Err(_), Self::V02 { .. }) => (BASE64_STANDARD.encode(bytes).into(), Some(Encoding::Base64)),
        };
        written(file, &data, encoding, seq)
    }

    fn exit(self, ending: &[u8], seq: Option<u64>) -> String {
        let (exitstatus, outcome) = how_it_ended(ending);
        let reason = Some(outcome).filter(|outcome| *outcome != Outcome::Exited && self != Self::V01);
        json(&ServerMessage::Exitstatus { exitstatus, reason, seq })
    }
}

/// [`ServerMessage::Write`] as JSON. Most of what a server ever sends is this, so it is put together by hand.
fn written(file: Output, data: &str, encoding: Option<Encoding>, seq: Option<u64>) -> String {
    /// What there is besides the data, and a little for what is escaped; where that is more, the text grows.
    const ROOM_BYTES: usize = 96;
    let mut text = String::with_capacity(data.len() + data.len() / 32 + ROOM_BYTES);
    text.push_str(match file {
        Output::Stdout => r#"{"msgtype":"write","file":"stdout","data":""#,
        Output::Stderr => r#"{"msgtype":"write","file":"stderr","data":""#,
    });
    escape::push(&mut text, data);
    text.push('"');
    match encoding {
        Some(Encoding::Base64) => text.push_str(r#","encoding":"base64""#),
        None => {}
    }
    if let Some(seq) = seq {
        let _ = write!(text, ",\"seq\":{seq}"); // writing to a String cannot fail
    }
    text.push('}');
    text
}

/// What a closing entry says: the exit status and the outcome.
pub(crate) fn how_it_ended(ending: &[u8]) -> (i32, Outcome) {
    serde_json::from_slice::<ClosingEntry>(ending)
        .map_or((255, Outcome::Lost), |ending| (ending.exitstatus, ending.outcome))
}

/// A program's own message, with its number. The supervisor has checked that it is one JSON object, and that it has no
/// `seq` of its own.
fn numbered(message: &[u8], seq: Option<u64>) -> String {
    let text = String::from_utf8_lossy(message);
    match (seq, text.strip_suffix('}')) {
        (Some(seq), Some(open)) => format!("{open},\"seq\":{seq}}}"),
        _ => text.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(kind: Kind, data: &[u8]) -> Item {
        Item::Entry(Entry { seq: 7, time_us: 0, kind, data: data.to_vec().into() })
    }

    #[test]
    fn each_dialect_has_its_words() {
        let v02 = Dialect::V02 { with_seq: false };
        let numbered = Dialect::V02 { with_seq: true };
        let lost = br#"{"exitstatus":255,"outcome":"lost","started_us":0,"ended_us":0}"#;
        let draw = br#"{"msgtype":"draw", "args":[]}"#;
        let cases = [
            (Dialect::V01, item(Kind::Stdout, b"a\n"), r#"{"msgtype":"write","file":"stdout","data":"a\n"}"#),
            (
                Dialect::V01,
                item(Kind::Stdout, b"\xff"),
                "{\"msgtype\":\"write\",\"file\":\"stdout\",\"data\":\"\u{fffd}\"}",
            ),
            (
                v02,
                item(Kind::Stderr, b"\xff"),
                r#"{"msgtype":"write","file":"stderr","data":"/w==","encoding":"base64"}"#,
            ),
            (numbered, item(Kind::Stdout, b"a"), r#"{"msgtype":"write","file":"stdout","data":"a","seq":7}"#),
            (v02, item(Kind::Message, draw), r#"{"msgtype":"draw", "args":[]}"#),
            (numbered, item(Kind::Message, draw), r#"{"msgtype":"draw", "args":[],"seq":7}"#),
            (Dialect::V01, item(Kind::Exit, lost), r#"{"msgtype":"exitstatus","exitstatus":255}"#),
            (
                numbered,
                item(Kind::Exit, lost),
                r#"{"msgtype":"exitstatus","exitstatus":255,"reason":"lost","seq":7}"#,
            ),
            (v02, Item::Gap { from: 3, to: 4 }, r#"{"msgtype":"gap","from":3,"to":4}"#),
            (
                Dialect::V01,
                Item::Gap { from: 3, to: 4 },
                r#"{"msgtype":"write","file":"stderr","data":"livecode: output is missing here: it could not be kept\n"}"#,
            ),
        ];
        for (dialect, item, expected) in cases {
            assert_eq!(dialect.message(&item), expected);
        }
    }
}
