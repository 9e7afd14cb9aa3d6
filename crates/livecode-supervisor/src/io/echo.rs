//! Input that clients send, as entries of the journal, in sessions that keep it.

use bytes::Bytes;
use livecode_protocol::{run_spec::Contents, session::Encoding, stream::ServerMessage};
use serde::Deserialize;

/// The input of one session that is not in the journal yet, and whether it is to be kept.
///
/// The queue of standard input bounds what can be pending: input that it refuses is not added.
pub(crate) struct Echo {
    /// Whether the session keeps input at all.
    is_kept: bool,
    /// Whether the program has asked that the rest of the line be not kept.
    hides_line: bool,
    /// Inputs in the order in which they were taken.
    pending: Vec<Vec<u8>>,
}

impl Echo {
    pub fn new(is_kept: bool) -> Self {
        Self { is_kept, hides_line: false, pending: vec![] }
    }

    /// Adds input that was taken from a client.
    pub fn add(&mut self, input: &[u8]) {
        if self.is_kept && !input.is_empty() {
            self.pending.push(input.to_vec());
        }
    }

    /// Whether input waits to be written to the journal.
    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Follows a request of the program. The line that is hidden ends with the next newline.
    pub fn follow(&mut self, request: EchoRequest) {
        self.hides_line = !request.keep;
    }

    /// The messages for all input that is to be kept, in order. Nothing is pending afterwards.
    pub fn take_messages(&mut self) -> Vec<Bytes> {
        let inputs = std::mem::take(&mut self.pending);
        inputs.into_iter().filter_map(|input| self.message(&input)).collect()
    }

    /// The message for one input; `None` if nothing of it is kept.
    fn message(&mut self, input: &[u8]) -> Option<Bytes> {
        let mut kept = input;
        if self.hides_line {
            match memchr::memchr(b'\n', input) {
                Some(end) => (kept, self.hides_line) = (&input[end + 1..], false),
                None => kept = &[],
            }
        }
        if kept.is_empty() {
            return None;
        }
        let (data, encoding) = match Contents::new(kept.to_vec()) {
            Contents::Text(text) => (text.into(), None),
            Contents::Base64(encoded) => (encoded.into(), Some(Encoding::Base64)),
        };
        serde_json::to_vec(&ServerMessage::Echo { data, encoding }).ok().map(Bytes::from)
    }
}

/// A program's line on its message channel by which it says whether the next line of its input is
/// kept. The line goes to no client. `{"msgtype":"echo","keep":false}` hides the next line, and
/// `true` ends that, in case that the program has found its line in what was typed before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EchoRequest {
    /// Always [`MsgType::Echo`].
    #[serde(rename = "msgtype")]
    _msgtype: MsgType,
    keep: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum MsgType {
    Echo,
}

impl EchoRequest {
    /// Parses a line; `None` if it is anything else.
    pub fn parse(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HIDE: &[u8] = br#"{"msgtype":"echo","keep":false}"#;
    const KEEP: &[u8] = br#" {"keep":true, "msgtype":"echo"} "#;

    fn messages(echo: &mut Echo, inputs: &[&[u8]]) -> Vec<String> {
        inputs.iter().for_each(|input| echo.add(input));
        echo.take_messages().iter().map(|message| String::from_utf8(message.to_vec()).unwrap()).collect()
    }

    fn follow(echo: &mut Echo, line: &[u8]) {
        echo.follow(EchoRequest::parse(line).unwrap());
    }

    #[test]
    fn each_input_is_a_message_in_its_order() {
        let mut echo = Echo::new(true);
        assert_eq!(
            messages(&mut echo, &[b"Ada\n", b"", b"\xff"]),
            [
                r#"{"msgtype":"echo","data":"Ada\n"}"#,
                r#"{"msgtype":"echo","data":"/w==","encoding":"base64"}"#
            ]
        );
        assert!(!echo.has_pending());
        assert!(messages(&mut Echo::new(false), &[b"Ada\n"]).is_empty());
    }

    #[test]
    fn a_hidden_line_ends_with_its_newline() {
        let mut echo = Echo::new(true);
        follow(&mut echo, HIDE);
        let kept = messages(&mut echo, &[b"sec", b"ret\nAda\n", b"B\n"]);
        assert_eq!(kept, [r#"{"msgtype":"echo","data":"Ada\n"}"#, r#"{"msgtype":"echo","data":"B\n"}"#]);
        follow(&mut echo, HIDE);
        follow(&mut echo, KEEP);
        assert_eq!(messages(&mut echo, &[b"C\n"]), [r#"{"msgtype":"echo","data":"C\n"}"#]);
    }

    #[test]
    fn any_other_line_is_no_request() {
        for line in [
            &br#"{"msgtype":"echo"}"#[..],
            br#"{"msgtype":"echo","keep":1}"#,
            br#"{"msgtype":"echo","keep":true,"data":"x"}"#,
            br#"{"msgtype":"write","keep":true}"#,
            b"x",
        ] {
            assert_eq!(EchoRequest::parse(line), None);
        }
    }
}
