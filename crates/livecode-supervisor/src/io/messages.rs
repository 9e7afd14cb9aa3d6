//! Messages from the program: the lines of its message channel, and which of them are valid.

use std::{
    borrow::Cow,
    time::{Duration, Instant},
};

use livecode_protocol::stream::{MAX_PROGRAM_MESSAGE_BYTES, MAX_PROGRAM_MESSAGE_DEPTH, RESERVED};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// Why a program may not send a line as a message.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MessageError {
    #[error("it is longer than {MAX_PROGRAM_MESSAGE_BYTES} bytes")]
    TooLong,
    #[error("its arrays and objects are nested more than {MAX_PROGRAM_MESSAGE_DEPTH} levels deep")]
    TooDeep,
    #[error("it is not a JSON object with a string \"msgtype\" on one line ({0})")]
    Malformed(String),
    #[error("\"{0}\" is reserved for the server's own messages")]
    Reserved(String),
}

/// The fields of a message that decide whether it is valid.
#[derive(Deserialize)]
struct CheckedFields<'a> {
    #[serde(borrow)]
    msgtype: Cow<'a, str>,
    #[serde(default, rename = "seq", deserialize_with = "is_present")]
    has_seq: bool,
}

/// Returns `true` for a field that is present, even if its value is `null`.
fn is_present<'de, D: Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(value).map(|_| true)
}

/// The fields of an object in their order, with each value as it was written.
struct RawFields<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for RawFields<'de> {
    fn deserialize<D: Deserializer<'de>>(object: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = RawFields<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut fields = vec![];
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(RawFields(fields))
            }
        }
        object.deserialize_map(FieldsVisitor)
    }
}

/// Checks a line that the program sends as a message. Returns the JSON of the message, ready to be
/// sent. A field `seq` of the program is removed, because the server uses that name for the number
/// of the entry.
///
/// # Errors
/// Fails if the program may not send the line as a message.
pub(crate) fn validate(line: &[u8]) -> Result<Cow<'_, [u8]>, MessageError> {
    if line.len() > MAX_PROGRAM_MESSAGE_BYTES {
        return Err(MessageError::TooLong);
    }
    let malformed = |why: &dyn std::fmt::Display| MessageError::Malformed(why.to_string());
    let text = std::str::from_utf8(line).map_err(|e| malformed(&e))?.trim_ascii();
    if !text.starts_with('{') {
        return Err(malformed(&"it does not start with '{'"));
    }
    if is_too_deep(text.as_bytes()) {
        return Err(MessageError::TooDeep);
    }
    let fields: CheckedFields<'_> = serde_json::from_str(text).map_err(|e| malformed(&e))?;
    if RESERVED.contains(&&*fields.msgtype) {
        return Err(MessageError::Reserved(fields.msgtype.into_owned()));
    }
    let mut json = Cow::Borrowed(text.as_bytes());
    if fields.has_seq {
        json = Cow::Owned(without_seq(text).map_err(|e| malformed(&e))?);
    }
    // A carriage return between two tokens is valid JSON, but it would end a line in an event
    // stream. Strings contain no carriage return, because JSON writes it as `\r` there.
    if json.contains(&b'\r') {
        json.to_mut().iter_mut().filter(|byte| **byte == b'\r').for_each(|byte| *byte = b' ');
    }
    Ok(json)
}

/// Whether arrays and objects are nested deeper than [`MAX_PROGRAM_MESSAGE_DEPTH`]. For a text
/// that is not JSON the answer means nothing; the parser refuses such a text.
fn is_too_deep(json: &[u8]) -> bool {
    let mut depth = 0_usize;
    let mut rest = json;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'"' | b'[' | b'{' | b']' | b'}')) {
        let byte = rest[at];
        rest = &rest[at + 1..];
        match byte {
            b'"' => rest = after_string(rest),
            b'[' | b'{' if depth == MAX_PROGRAM_MESSAGE_DEPTH => return true,
            b'[' | b'{' => depth += 1,
            _ => depth = depth.saturating_sub(1),
        }
    }
    false
}

/// The part of a JSON text that follows the string whose first byte is the first of `rest`.
fn after_string(mut rest: &[u8]) -> &[u8] {
    while let Some(at) = memchr::memchr2(b'"', b'\\', rest) {
        if rest[at] == b'"' {
            return &rest[at + 1..];
        }
        rest = rest.get(at + 2..).unwrap_or_default(); // a backslash and the byte that it escapes
    }
    &[]
}

/// Returns the object without its `seq`. The other values are copied as they were written:
/// encoding them again would round numbers and could make the message longer than allowed.
fn without_seq(object: &str) -> serde_json::Result<Vec<u8>> {
    let RawFields(fields) = serde_json::from_str(object)?;
    let mut json = vec![];
    for (name, value) in fields.iter().filter(|(name, _)| name != "seq") {
        json.push(if json.is_empty() { b'{' } else { b',' });
        serde_json::to_writer(&mut json, name)?;
        json.push(b':');
        json.extend_from_slice(value.get().as_bytes());
    }
    json.push(b'}'); // the opening brace is there, because there is at least the field `msgtype`
    Ok(json)
}

/// Joins the reads of a message channel into lines.
#[derive(Default)]
pub(crate) struct MessageLines {
    /// The beginning of the line that has not ended yet.
    partial_line: Vec<u8>,
    /// Whether more bytes of that line came than `partial_line` keeps.
    is_too_long: bool,
}

impl MessageLines {
    /// Adds bytes that were read, and calls `each` for every line that ends in them: with the
    /// message, or with the error and the beginning of the line.
    pub fn push(&mut self, mut bytes: &[u8], mut each: impl FnMut(Result<&[u8], (MessageError, &[u8])>)) {
        loop {
            if self.partial_line.is_empty() {
                // This skips any number of blank lines at once.
                bytes = bytes.trim_ascii_start();
            }
            let Some(end) = memchr::memchr(b'\n', bytes) else { break };
            let (line, rest) = bytes.split_at(end);
            bytes = &rest[1..];
            if self.partial_line.is_empty() {
                check_line(line, &mut each);
            } else {
                self.extend_line(line);
                self.finish(&mut each);
            }
        }
        self.extend_line(bytes);
    }

    /// Ends the current line, because its newline was read or because no more bytes follow. Calls
    /// `each` for it as [`Self::push`] does, unless the line is blank.
    pub fn finish(&mut self, mut each: impl FnMut(Result<&[u8], (MessageError, &[u8])>)) {
        let line = std::mem::take(&mut self.partial_line);
        match std::mem::take(&mut self.is_too_long) {
            true => each(Err((MessageError::TooLong, &line))),
            false => check_line(&line, &mut each),
        }
    }

    fn extend_line(&mut self, part: &[u8]) {
        let room = (MAX_PROGRAM_MESSAGE_BYTES + 1).saturating_sub(self.partial_line.len());
        self.partial_line.extend_from_slice(&part[..part.len().min(room)]);
        self.is_too_long |= part.len() > room;
    }
}

/// Calls `each` for a whole line, unless the line is blank.
fn check_line(line: &[u8], each: &mut impl FnMut(Result<&[u8], (MessageError, &[u8])>)) {
    if line.trim_ascii().is_empty() {
        return;
    }
    match validate(line) {
        Ok(message) => each(Ok(&message)),
        Err(why) => each(Err((why, line))),
    }
}

/// Returns the line that tells the program on its standard error why a message was not sent.
pub(crate) fn rejection_note(why: &MessageError, line: &[u8]) -> Vec<u8> {
    const SHOWN_BYTES: usize = 200;
    let shown = String::from_utf8_lossy(&line[..line.len().min(SHOWN_BYTES)]);
    let more = if line.len() > SHOWN_BYTES { "…" } else { "" };
    format!("livecode: a message was not sent: {why}: {}{more}\n", shown.trim_end()).into_bytes()
}

/// Bucket size: refused lines that a program is told of one after the other.
const NOTE_BURST: u32 = 100;
/// Time in which the bucket gets one note back.
const NOTE_REFILL: Duration = Duration::from_millis(10);

/// The notes on a program's standard error about lines that it may not send as messages. Beyond a
/// rate they are only counted, since a note is much longer than the shortest refused line.
pub(crate) struct RejectionNotes {
    tokens: u32,
    refilled_at: Instant,
    /// Refused lines since the last note, of which the program has not been told.
    untold_count: u64,
}

impl RejectionNotes {
    pub fn new(now: Instant) -> Self {
        Self { tokens: NOTE_BURST, refilled_at: now, untold_count: 0 }
    }

    /// Adds to the bucket what it has got back until `now`.
    pub fn refill(&mut self, now: Instant) {
        let elapsed = now.duration_since(self.refilled_at);
        let refilled = u32::try_from(elapsed.as_millis() / NOTE_REFILL.as_millis()).unwrap_or(NOTE_BURST);
        if refilled > 0 {
            self.tokens = self.tokens.saturating_add(refilled).min(NOTE_BURST);
            self.refilled_at = now;
        }
    }

    /// Records a refused line. Returns what the program is to be told, if the bucket allows a
    /// note: first how many lines were refused untold, and then why this one was refused.
    pub fn record(&mut self, why: &MessageError, line: &[u8]) -> Option<Vec<u8>> {
        let Some(tokens) = self.tokens.checked_sub(1) else {
            self.untold_count += 1;
            return None;
        };
        self.tokens = tokens;
        let mut text = self.take_count().unwrap_or_default();
        text.extend(rejection_note(why, line));
        Some(text)
    }

    /// The note about the refused lines of which the program has not been told, if there are any.
    pub fn take_count(&mut self) -> Option<Vec<u8>> {
        let count = std::mem::take(&mut self.untold_count);
        (count > 0).then(|| format!("livecode: {count} more messages were not sent\n").into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_valid_message_is_not_changed() {
        let line = br#" {"msgtype": "draw", "shape": "circle", "args": [100, 100, 50]} "#;
        assert_eq!(&*validate(line).unwrap(), line.trim_ascii());
    }

    #[test]
    fn a_seq_from_the_program_is_removed() {
        assert_eq!(
            &*validate(br#"{"msgtype":"a","seq":7,"z":1,"b":{"seq":2}}"#).unwrap(),
            br#"{"msgtype":"a","z":1,"b":{"seq":2}}"#
        );
    }

    #[test]
    fn a_seq_of_null_is_removed_too() {
        assert_eq!(&*validate(br#"{"msgtype":"a","seq":null}"#).unwrap(), br#"{"msgtype":"a"}"#);
        assert_eq!(&*validate(br#"{"s\u0065q":1,"msgtype":"a"}"#).unwrap(), br#"{"msgtype":"a"}"#);
    }

    /// Encoding a message again would round its numbers and could make the message longer than a
    /// reader of the journal accepts.
    #[test]
    fn all_other_values_stay_as_they_were_written() {
        let fields = r#""n":12345678901234567890.5,"list":[1e15,1E+2, -0],"b\u00e9":"\u0041","b\u00e9":{}"#;
        let line = format!(r#"{{"msgtype":"a",{fields},"seq":1}}"#);
        let expected = format!(r#"{{"msgtype":"a",{}}}"#, fields.replace("\\u00e9", "é"));
        assert_eq!(std::str::from_utf8(&validate(line.as_bytes()).unwrap()), Ok(&*expected));

        let mut line = br#"{"msgtype":"a","seq":1,"list":[1e15"#.to_vec();
        while line.len() < MAX_PROGRAM_MESSAGE_BYTES - 10 {
            line.extend(b",1e15");
        }
        line.extend(b"]}");
        assert!(validate(&line).unwrap().len() <= line.len());
        line.splice(1..1, *b"\r");
        assert!(validate(&line).unwrap().len() <= line.len());
    }

    #[test]
    fn a_message_contains_no_carriage_return() {
        assert_eq!(&*validate(b"{\"msgtype\":\"a\",\r\"b\":1}").unwrap(), br#"{"msgtype":"a", "b":1}"#);
    }

    #[test]
    fn an_invalid_message_gives_an_error() {
        for line in [
            &b"x"[..],
            b"[\"draw\"]",
            b"{}",
            b"{\"msgtype\":1}",
            b"{\"msgtype\":\"a\"",
            b"{\"msgtype\":\"\xff\"}",
            br#"{"msgtype":"a","msgtype":"exitstatus"}"#,
        ] {
            assert!(matches!(validate(line), Err(MessageError::Malformed(_))), "{line:?}");
        }
        for name in RESERVED {
            let line = format!(r#"{{"msgtype":"{name}"}}"#);
            assert!(matches!(validate(line.as_bytes()), Err(MessageError::Reserved(_))));
        }
        // An escape in the JSON does not hide a reserved name.
        assert!(matches!(validate(br#"{"msgtype":"\u0065xitstatus"}"#), Err(MessageError::Reserved(_))));
    }

    #[test]
    fn lines_are_joined_from_reads_and_bounded() {
        let mut lines = MessageLines::default();
        let mut results = vec![];
        let mut push = |bytes: &[u8]| {
            lines.push(bytes, |line| {
                results.push(line.map(<[u8]>::to_vec).map_err(|(why, _)| why.to_string()));
            });
        };
        push(b"{\"msgtype\":");
        push(b"\"a\"}\n\n{\"msgtype\":\"b\"}\n{\"msgtype\":\"");
        for _ in 0..5 {
            push(&vec![b'x'; 1024 * 1024]);
        }
        push(b"\"}\n{\"msgtype\":\"c\"}\n");
        lines.finish(|_| panic!("there is no last line"));
        let ok = |text: &str| Ok(text.as_bytes().to_vec());
        assert_eq!(results[0], ok(r#"{"msgtype":"a"}"#));
        assert_eq!(results[1], ok(r#"{"msgtype":"b"}"#));
        assert_eq!(results[2], Err(MessageError::TooLong.to_string()));
        assert_eq!(results[3], ok(r#"{"msgtype":"c"}"#));
    }

    #[test]
    fn the_last_line_needs_no_newline() {
        for (end, is_valid) in [("{\"msgtype\":\"a\"}", true), ("{\"msgtype\":\"a\"", false), (" ", false)] {
            let mut lines = MessageLines::default();
            let mut results = vec![];
            lines.push(end.as_bytes(), |_| panic!("the line has not ended yet"));
            lines.finish(|line| results.push(line.map(<[u8]>::to_vec).map_err(|(_, line)| line.to_vec())));
            lines.finish(|_| panic!("the line has ended before"));
            let expected = match (is_valid, end.trim()) {
                (true, text) => vec![Ok(text.into())],
                (false, "") => vec![],
                (false, text) => vec![Err(text.into())],
            };
            assert_eq!(results, expected);
        }
    }

    #[test]
    fn the_depth_of_a_message_is_bounded() {
        let nested = |levels: usize| {
            let (open, close) = ("[".repeat(levels - 1), "]".repeat(levels - 1));
            format!(r#"{{"msgtype":"a","text":"[{{\"[[","x":{open}{close},"y":[{{}},[]]}}"#)
        };
        assert!(validate(nested(MAX_PROGRAM_MESSAGE_DEPTH).as_bytes()).is_ok());
        for levels in [MAX_PROGRAM_MESSAGE_DEPTH + 1, 100_000] {
            let line = nested(levels);
            assert!(matches!(validate(line.as_bytes()), Err(MessageError::TooDeep)), "{levels}");
        }
        // Many arrays beside each other are not deep.
        let wide = format!(r#"{{"msgtype":"a","rows":[{}[]]}}"#, "[],".repeat(10_000));
        assert!(validate(wide.as_bytes()).is_ok());
    }

    #[test]
    fn blank_lines_are_skipped_and_lines_are_joined() {
        let mut lines = MessageLines::default();
        let mut messages = vec![];
        for read in ["\n\n \r\n{\"msgtype\"", ":\"a\"}", "\n\n", "\t", "{\"msgtype\":\"b\"}\n  \n{"] {
            lines.push(read.as_bytes(), |line| messages.push(line.unwrap().to_vec()));
        }
        assert_eq!(messages, [br#"{"msgtype":"a"}"#, br#"{"msgtype":"b"}"#]);
        let mut refused = 0;
        lines.finish(|line| refused += usize::from(line.is_err()));
        lines.finish(|_| unreachable!("nothing is left"));
        assert_eq!(refused, 1);
    }

    #[test]
    fn notes_beyond_a_rate_are_counted() {
        let now = Instant::now();
        let mut notes = RejectionNotes::new(now);
        let record = |notes: &mut RejectionNotes| notes.record(&MessageError::TooLong, b"x");
        assert!((0..NOTE_BURST).all(|_| record(&mut notes).is_some()));
        assert!((0..7).all(|_| record(&mut notes).is_none()));
        notes.refill(now + NOTE_REFILL);
        let note = String::from_utf8(record(&mut notes).unwrap()).unwrap();
        assert!(note.starts_with("livecode: 7 more messages were not sent\nlivecode: a message"), "{note}");
        assert!(record(&mut notes).is_none());
        assert_eq!(notes.take_count().unwrap(), b"livecode: 1 more messages were not sent\n");
        assert_eq!(notes.take_count(), None);
    }
}
