//! Encodes journal entries as the messages of a stream.

mod escape;
pub(crate) mod pieces;

use std::{borrow::Cow, fmt::Write as _};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use livecode_journal::{Entry, Kind};
use livecode_protocol::{
    ErrorCode,
    control::ClosingEntry,
    session::{Encoding, Outcome},
    stream::{Output, ServerMessage, Stage},
};
use serde_json::value::RawValue;

use crate::sessions::Item;

/// The version of the protocol in which a client gets its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Version 0.1: no entry numbers, no `reason`, all output as text, and a gap as a line of
    /// standard error.
    V01,
    /// Version 0.2.
    V02 {
        /// Whether each message carries the number of its entry, as `seq`.
        with_seq: bool,
    },
}

/// The line on standard error that stands for a gap in v0.1, which has no `gap` message.
pub(crate) const GAP_NOTE: &str = "livecode: output is missing here: it could not be kept\n";

/// A message of the server as JSON.
pub(crate) fn message_json(message: &ServerMessage<'_>) -> String {
    // Serialising plain data cannot fail.
    serde_json::to_string(message).unwrap_or_default()
}

/// An entry as a websocket of v0.2 gets it, with its number. The benchmarks measure this function.
pub(crate) fn entry_message(entry: &Entry) -> String {
    Dialect::V02 { with_seq: true }.entry_message(entry)
}

impl Dialect {
    /// The message for an entry or a gap.
    pub fn message(self, item: &Item) -> String {
        match item {
            Item::Entry(entry) => self.entry_message(entry),
            Item::Gap { .. } if self == Self::V01 => {
                self.write(Output::Stderr, GAP_NOTE.as_bytes(), None, None)
            }
            Item::Gap { from, to } => message_json(&ServerMessage::Gap { from: *from, to: *to }),
        }
    }

    /// An `error` message. `msg` is the client's message that could not be processed.
    pub fn error(self, code: ErrorCode, error: impl Into<String>, msg: Box<RawValue>) -> String {
        let code = (self != Self::V01).then_some(code); // clients of v0.1 know no codes
        message_json(&ServerMessage::Error { error: error.into(), msg, code })
    }

    fn entry_message(self, entry: &Entry) -> String {
        let seq = (self == Self::V02 { with_seq: true }).then_some(entry.seq);
        match entry.kind {
            Kind::Stdout => self.write(Output::Stdout, &entry.data, None, seq),
            Kind::Stderr => self.write(Output::Stderr, &entry.data, None, seq),
            Kind::CompilerOutput => self.write(Output::Stderr, &entry.data, Some(Stage::Compile), seq),
            Kind::Message => program_message(&entry.data, seq),
            Kind::Exit => self.exit(&entry.data, seq),
        }
    }

    fn write(self, file: Output, bytes: &[u8], stage: Option<Stage>, seq: Option<u64>) -> String {
        let (data, encoding) = match (std::str::from_utf8(bytes), self) {
            (Ok(text), _) => (Cow::Borrowed(text), None),
            (Err(_), Self::V01) => (String::from_utf8_lossy(bytes), None),
            (Err(_), Self::V02 { .. }) => (BASE64_STANDARD.encode(bytes).into(), Some(Encoding::Base64)),
        };
        // Clients of v0.1 know no stages.
        write_message(file, &data, encoding, stage.filter(|_| self != Self::V01), seq)
    }

    fn exit(self, closing_entry: &[u8], seq: Option<u64>) -> String {
        let (exitstatus, outcome) = exit_status_and_outcome(closing_entry);
        let reason = Some(outcome).filter(|outcome| *outcome != Outcome::Exited && self != Self::V01);
        message_json(&ServerMessage::Exitstatus { exitstatus, reason, seq })
    }
}

/// [`ServerMessage::Write`] as JSON. Nearly all bytes that a server sends are in such messages, so
/// this function builds the text itself, which is faster than serde.
fn write_message(
    file: Output,
    data: &str,
    encoding: Option<Encoding>,
    stage: Option<Stage>,
    seq: Option<u64>,
) -> String {
    /// Space for everything besides the data. Together with a 32nd of the data's length, which is
    /// for escapes, it makes growing the text rare.
    const EXTRA_BYTES: usize = 96;
    let mut text = String::with_capacity(data.len() + data.len() / 32 + EXTRA_BYTES);
    text.push_str(match file {
        Output::Stdout => r#"{"msgtype":"write","file":"stdout","data":""#,
        Output::Stderr => r#"{"msgtype":"write","file":"stderr","data":""#,
    });
    escape::push_escaped(&mut text, data);
    text.push('"');
    match encoding {
        Some(Encoding::Base64) => text.push_str(r#","encoding":"base64""#),
        None => {}
    }
    match stage {
        Some(Stage::Compile) => text.push_str(r#","stage":"compile""#),
        None => {}
    }
    if let Some(seq) = seq {
        let _ = write!(text, ",\"seq\":{seq}"); // writing to a String cannot fail
    }
    text.push('}');
    text
}

/// The exit status and the outcome in a closing entry; those of `lost` if the entry is damaged.
pub(crate) fn exit_status_and_outcome(closing_entry: &[u8]) -> (i32, Outcome) {
    serde_json::from_slice::<ClosingEntry>(closing_entry)
        .map_or((255, Outcome::Lost), |closing| (closing.exitstatus, closing.outcome))
}

/// A program's own message, with `seq` added if there is one. The supervisor has checked that the
/// message is one JSON object without a `seq` of its own.
fn program_message(message: &[u8], seq: Option<u64>) -> String {
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
    fn each_dialect_has_its_own_messages() {
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
            (
                Dialect::V01,
                item(Kind::CompilerOutput, b"e"),
                r#"{"msgtype":"write","file":"stderr","data":"e"}"#,
            ),
            (
                numbered,
                item(Kind::CompilerOutput, b"e"),
                r#"{"msgtype":"write","file":"stderr","data":"e","stage":"compile","seq":7}"#,
            ),
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

    #[test]
    fn an_error_has_a_code_in_v0_2_only() {
        let error = |dialect: Dialect| dialect.error(ErrorCode::QueueFull, "full", RawValue::NULL.to_owned());
        assert_eq!(error(Dialect::V01), r#"{"msgtype":"error","error":"full","msg":null}"#);
        for with_seq in [false, true] {
            assert_eq!(
                error(Dialect::V02 { with_seq }),
                r#"{"msgtype":"error","error":"full","msg":null,"code":"queue_full"}"#
            );
        }
    }
}
