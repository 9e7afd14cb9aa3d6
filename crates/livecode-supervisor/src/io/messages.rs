//! The messages a program sends: which are passed on, and the lines of its message channel.

use std::borrow::Cow;

use livecode_protocol::stream::{MAX_PROGRAM_MESSAGE_BYTES, RESERVED};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// Why a line is no message that a program may send.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MessageError {
    #[error("it is longer than {MAX_PROGRAM_MESSAGE_BYTES} bytes")]
    TooLong,
    #[error("it is not a JSON object with a string \"msgtype\" on one line ({0})")]
    Malformed(String),
    #[error("\"{0}\" is a message of the server's own")]
    Reserved(String),
}

#[derive(Deserialize)]
struct Probe<'a> {
    #[serde(borrow)]
    msgtype: Cow<'a, str>,
    #[serde(default, rename = "seq", deserialize_with = "is_there")]
    has_seq: bool,
}

/// A field that is there, be it `null`.
fn is_there<'de, D: Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(value).map(|_| true)
}

/// The fields of an object in their order, each value as it was written.
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(object: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut fields = vec![];
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        object.deserialize_map(Visit)
    }
}

/// The JSON of a message, ready to be sent, if `line` is one that a program may send. A `seq` of the program's own is
/// taken out: that name belongs to the server.
pub(crate) fn check(line: &[u8]) -> Result<Cow<'_, [u8]>, MessageError> {
    if line.len() > MAX_PROGRAM_MESSAGE_BYTES {
        return Err(MessageError::TooLong);
    }
    let malformed = |why: &dyn std::fmt::Display| MessageError::Malformed(why.to_string());
    let text = std::str::from_utf8(line).map_err(|e| malformed(&e))?.trim_ascii();
    if !text.starts_with('{') {
        return Err(malformed(&"it does not start with '{'"));
    }
    let probe: Probe<'_> = serde_json::from_str(text).map_err(|e| malformed(&e))?;
    if RESERVED.contains(&&*probe.msgtype) {
        return Err(MessageError::Reserved(probe.msgtype.into_owned()));
    }
    let mut json = Cow::Borrowed(text.as_bytes());
    if probe.has_seq {
        json = Cow::Owned(without_seq(text).map_err(|e| malformed(&e))?);
    }
    // A carriage return between two tokens is JSON, but would end a line of a stream of events. Within a string there is
    // none: there it is written `\r`.
    if json.contains(&b'\r') {
        json.to_mut().iter_mut().filter(|byte| **byte == b'\r').for_each(|byte| *byte = b' ');
    }
    Ok(json)
}

/// The object without its `seq`. Values stay as they were written: written anew, numbers would be rounded, and could take
/// more room than a message may.
fn without_seq(object: &str) -> serde_json::Result<Vec<u8>> {
    let Fields(fields) = serde_json::from_str(object)?;
    let mut json = vec![];
    for (name, value) in fields.iter().filter(|(name, _)| name != "seq") {
        json.push(if json.is_empty() { b'{' } else { b',' });
        serde_json::to_writer(&mut json, name)?;
        json.push(b':');
        json.extend_from_slice(value.get().as_bytes());
    }
    json.push(b'}'); // there is a field at least: `msgtype`
    Ok(json)
}

/// The lines of a message channel, put together from reads.
#[derive(Default)]
pub(crate) struct MessageLines {
    held: Vec<u8>,
    too_long: bool,
}

impl MessageLines {
    /// Takes what was read, and gives each line that is whole by now to `each`: a message, or why it is none together
    /// with the line's beginning.
    pub fn push(&mut self, mut bytes: &[u8], mut each: impl FnMut(Result<&[u8], (MessageError, &[u8])>)) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (line, rest) = bytes.split_at(end);
            bytes = &rest[1..];
            self.keep(line);
            self.finish(&mut each);
        }
        self.keep(bytes);
    }

    /// The line ends here: with its newline, or because nothing follows.
    pub fn finish(&mut self, mut each: impl FnMut(Result<&[u8], (MessageError, &[u8])>)) {
        let line = std::mem::take(&mut self.held);
        match (std::mem::take(&mut self.too_long), line.trim_ascii().is_empty()) {
            (true, _) => each(Err((MessageError::TooLong, &line))),
            (false, true) => {}
            (false, false) => match check(&line) {
                Ok(message) => each(Ok(&message)),
                Err(why) => each(Err((why, &line))),
            },
        }
    }

    fn keep(&mut self, part: &[u8]) {
        let room = (MAX_PROGRAM_MESSAGE_BYTES + 1).saturating_sub(self.held.len());
        self.held.extend_from_slice(&part[..part.len().min(room)]);
        self.too_long |= part.len() > room;
    }
}

/// The line on standard error that says a message was not sent.
pub(crate) fn rejection_note(why: &MessageError, line: &[u8]) -> Vec<u8> {
    const SHOWN_BYTES: usize = 200;
    let shown = String::from_utf8_lossy(&line[..line.len().min(SHOWN_BYTES)]);
    let more = if line.len() > SHOWN_BYTES { "…" } else { "" };
    format!("livecode: a message was not sent: {why}: {}{more}\n", shown.trim_end()).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_passes_unchanged() {
        let line = br#" {"msgtype": "draw", "shape": "circle", "args": [100, 100, 50]} "#;
        assert_eq!(&*check(line).unwrap(), line.trim_ascii());
    }

    #[test]
    fn a_program_does_not_number_messages() {
        assert_eq!(
            &*check(br#"{"msgtype":"a","seq":7,"z":1,"b":{"seq":2}}"#).unwrap(),
            br#"{"msgtype":"a","z":1,"b":{"seq":2}}"#
        );
    }

    #[test]
    fn a_number_of_null_is_taken_out_too() {
        assert_eq!(&*check(br#"{"msgtype":"a","seq":null}"#).unwrap(), br#"{"msgtype":"a"}"#);
        assert_eq!(&*check(br#"{"s\u0065q":1,"msgtype":"a"}"#).unwrap(), br#"{"msgtype":"a"}"#);
    }

    /// To write a message anew would round its numbers, and could make it longer than any reader of a journal takes.
    #[test]
    fn all_but_the_number_stays_to_the_letter() {
        let fields = r#""n":12345678901234567890.5,"list":[1e15,1E+2, -0],"b\u00e9":"\u0041","b\u00e9":{}"#;
        let line = format!(r#"{{"msgtype":"a",{fields},"seq":1}}"#);
        let expected = format!(r#"{{"msgtype":"a",{}}}"#, fields.replace("\\u00e9", "é"));
        assert_eq!(std::str::from_utf8(&check(line.as_bytes()).unwrap()), Ok(&*expected));

        let mut line = br#"{"msgtype":"a","seq":1,"list":[1e15"#.to_vec();
        while line.len() < MAX_PROGRAM_MESSAGE_BYTES - 10 {
            line.extend(b",1e15");
        }
        line.extend(b"]}");
        assert!(check(&line).unwrap().len() <= line.len());
        line.splice(1..1, *b"\r");
        assert!(check(&line).unwrap().len() <= line.len());
    }

    #[test]
    fn a_message_is_one_line_to_everybody() {
        assert_eq!(&*check(b"{\"msgtype\":\"a\",\r\"b\":1}").unwrap(), br#"{"msgtype":"a", "b":1}"#);
    }

    #[test]
    fn what_does_not_pass_says_why() {
        for line in [
            &b"x"[..],
            b"[\"draw\"]",
            b"{}",
            b"{\"msgtype\":1}",
            b"{\"msgtype\":\"a\"",
            b"{\"msgtype\":\"\xff\"}",
            br#"{"msgtype":"a","msgtype":"exitstatus"}"#,
        ] {
            assert!(matches!(check(line), Err(MessageError::Malformed(_))), "{line:?}");
        }
        for name in RESERVED {
            let line = format!(r#"{{"msgtype":"{name}"}}"#);
            assert!(matches!(check(line.as_bytes()), Err(MessageError::Reserved(_))));
        }
        // The same name in other letters of JSON.
        assert!(matches!(check(br#"{"msgtype":"\u0065xitstatus"}"#), Err(MessageError::Reserved(_))));
    }

    #[test]
    fn lines_are_put_together_and_bounded() {
        let mut lines = MessageLines::default();
        let mut seen = vec![];
        let mut push = |bytes: &[u8]| {
            lines.push(bytes, |line| seen.push(line.map(<[u8]>::to_vec).map_err(|(why, _)| why.to_string())));
        };
        push(b"{\"msgtype\":");
        push(b"\"a\"}\n\n{\"msgtype\":\"b\"}\n{\"msgtype\":\"");
        for _ in 0..5 {
            push(&vec![b'x'; 1024 * 1024]);
        }
        push(b"\"}\n{\"msgtype\":\"c\"}\n");
        lines.finish(|_| panic!("there is no last line"));
        let ok = |text: &str| Ok(text.as_bytes().to_vec());
        assert_eq!(seen[0], ok(r#"{"msgtype":"a"}"#));
        assert_eq!(seen[1], ok(r#"{"msgtype":"b"}"#));
        assert_eq!(seen[2], Err(MessageError::TooLong.to_string()));
        assert_eq!(seen[3], ok(r#"{"msgtype":"c"}"#));
    }

    #[test]
    fn the_last_line_needs_no_newline() {
        for (end, passes) in [("{\"msgtype\":\"a\"}", true), ("{\"msgtype\":\"a\"", false), (" ", false)] {
            let mut lines = MessageLines::default();
            let mut seen = vec![];
            lines.push(end.as_bytes(), |_| panic!("it has not ended"));
            lines.finish(|line| seen.push(line.map(<[u8]>::to_vec).map_err(|(_, line)| line.to_vec())));
            lines.finish(|_| panic!("it has ended before"));
            let expected = match (passes, end.trim()) {
                (true, text) => vec![Ok(text.into())],
                (false, "") => vec![],
                (false, text) => vec![Err(text.into())],
            };
            assert_eq!(seen, expected);
        }
    }
}
