//! The messages of a stream: v0.1's, and what v0.2 added.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use crate::{
    run_spec::Contents,
    session::{Encoding, Outcome},
};

/// Names that only the server may put into `msgtype`.
pub const RESERVED: [&str; 13] = [
    "welcome",
    "pong",
    "goodbye",
    "write",
    "exitstatus",
    "error",
    "ack",
    "gap",
    "waiting",
    "queued",
    "case",
    "cases",
    "testresult",
];

/// The text of the `welcome` message.
pub const WELCOME: &str = "welcome to livecode";
/// The largest message a client may send, in bytes. A larger one closes the connection with 1009.
pub const MAX_CLIENT_MESSAGE_BYTES: usize = 64 * 1024;
/// The largest message a program may send, in bytes.
pub const MAX_PROGRAM_MESSAGE_BYTES: usize = 4 * 1024 * 1024;
/// The most bytes of output in one `write`.
pub const MAX_WRITE_BYTES: usize = 64 * 1024;
/// The words by which an `error` says that a queue is full: the same message may be sent again later.
pub const QUEUE_FULL: &str = "send it again later";
/// The longest `id` a client may choose, in bytes of its JSON form.
pub const MAX_ID_BYTES: usize = 256;

/// Which of its two outputs a program wrote to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Output {
    /// Descriptor 1.
    Stdout,
    /// Descriptor 2.
    Stderr,
}

/// A message of the server's own. (A program's own messages pass as the program wrote them.)
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "msgtype", rename_all = "lowercase")]
pub enum ServerMessage<'a> {
    /// The first message of every connection.
    Welcome {
        /// [`WELCOME`].
        message: &'a str,
    },
    /// Answer to `ping`.
    Pong,
    /// Answer to `quit`; the connection closes after it.
    Goodbye,
    /// The program printed something.
    Write {
        /// Where to.
        file: Output,
        /// What: text, or base64 where `encoding` says so.
        data: Cow<'a, str>,
        /// How `data` is written; absent for text.
        #[serde(skip_serializing_if = "Option::is_none")]
        encoding: Option<Encoding>,
        /// Number of the entry, where the client asked for numbers.
        #[serde(skip_serializing_if = "Option::is_none")]
        seq: Option<u64>,
    },
    /// The program ended. Always the last message of a session.
    Exitstatus {
        /// Exit code, or the number of the reason.
        exitstatus: i32,
        /// Why, when the program did not simply exit.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<Outcome>,
        /// Number of the entry, where the client asked for numbers.
        #[serde(skip_serializing_if = "Option::is_none")]
        seq: Option<u64>,
    },
    /// A message of the client's could not be processed.
    Error {
        /// What was wrong with it.
        error: String,
        /// The message itself: the JSON value, or a text where it was no JSON.
        msg: Value,
    },
    /// The supervisor has the message with this id.
    Ack {
        /// The id, as the client wrote it.
        id: Value,
    },
    /// These entries are no longer, or were never, in the journal.
    Gap {
        /// The first missing number.
        from: u64,
        /// The last missing number.
        to: u64,
    },
}

/// A signal that a client may send to a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Signal {
    /// `SIGINT`, as from Ctrl-C.
    Interrupt,
    /// `SIGTERM`.
    Terminate,
    /// `SIGKILL`.
    Kill,
}

/// A message of a client's, understood.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientMessage {
    /// Are you there?
    Ping,
    /// Close this connection.
    Quit,
    /// Run a program (v0.1 only); the whole message.
    Exec(Map<String, Value>),
    /// Something for the program, with the id under which it is to arrive once.
    Deliver {
        /// The client's id of it, a string or an integer.
        id: Option<Value>,
        /// What.
        item: ProgramInput,
    },
}

/// What a client may send in to a program.
#[derive(Clone, Debug, PartialEq)]
pub enum ProgramInput {
    /// For its standard input.
    Input {
        /// The bytes: a text, or base64 where the message's `encoding` says so.
        data: Contents,
        /// Whether standard input ends after it.
        eof: bool,
    },
    /// For its message channel.
    Event {
        /// Its name, e.g. `mousemove`.
        event: Value,
        /// Whatever goes with it.
        data: Value,
    },
    /// A signal.
    Signal(Signal),
}

/// Why a client's message was not understood: the words of its `error`, and the message as far as it could be read.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientMessageError {
    /// What was wrong and what would be right.
    pub error: String,
    /// The offending message.
    pub msg: Value,
}

impl ClientMessage {
    /// Reads one message of a client.
    ///
    /// # Errors
    /// Where it is no JSON object, has no known `msgtype`, or a field of the wrong type.
    pub fn parse(text: &str) -> Result<Self, ClientMessageError> {
        let value: Value = serde_json::from_str(text).map_err(|e| ClientMessageError {
            error: format!("A message must be a JSON object with a \"msgtype\": {e}"),
            msg: Value::String(text.to_owned()),
        })?;
        Self::from_value(&value).map_err(|error| ClientMessageError { error, msg: value })
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        let fields = value.as_object().ok_or("A message must be a JSON object with a \"msgtype\"")?;
        let msgtype = fields.get("msgtype").ok_or("The message has no \"msgtype\"")?;
        let msgtype = msgtype.as_str().ok_or("\"msgtype\" must be a string")?;
        let item = match msgtype {
            "ping" => return Ok(Self::Ping),
            "quit" => return Ok(Self::Quit),
            "exec" => return Ok(Self::Exec(fields.clone())),
            "input" => input(fields)?,
            "event" => event(fields)?,
            "signal" => signal(fields)?,
            other => return Err(format!("Unknown message type: {other}")),
        };
        Ok(Self::Deliver { id: client_id(fields)?, item })
    }
}

fn present<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    fields.get(name).filter(|value| !value.is_null())
}

fn client_id(fields: &Map<String, Value>) -> Result<Option<Value>, String> {
    match present(fields, "id") {
        None => Ok(None),
        Some(Value::Number(number)) if !is_exact(number) => {
            Err("\"id\" is a number that 64 bits do not hold exactly; give it as a string".into())
        }
        Some(id @ (Value::String(_) | Value::Number(_))) if id.to_string().len() <= MAX_ID_BYTES => {
            Ok(Some(id.clone()))
        }
        Some(_) => Err(format!("\"id\" must be a string or a number of at most {MAX_ID_BYTES} bytes")),
    }
}

/// Whether a number is still itself: integers beyond 64 bits are read as the nearest number that can be had, and one id
/// would stand for many.
fn is_exact(number: &Number) -> bool {
    const LARGEST: f64 = (1_u64 << f64::MANTISSA_DIGITS) as f64;
    !number.is_f64() || number.as_f64().is_some_and(|number| number.abs() <= LARGEST)
}

fn input(fields: &Map<String, Value>) -> Result<ProgramInput, String> {
    let eof = match present(fields, "eof") {
        None => false,
        Some(eof) => eof.as_bool().ok_or("\"eof\" must be true or false")?,
    };
    let data = match present(fields, "data") {
        None if eof => String::new(),
        None => return Err("An input needs \"data\", a string, or \"eof\": true".into()),
        Some(data) => data.as_str().ok_or("\"data\" of an input must be a string")?.to_owned(),
    };
    let data = match present(fields, "encoding") {
        None => Contents::Text(data),
        Some(encoding) if encoding == "base64" => {
            let bytes = Contents::Base64(data).into_bytes();
            Contents::new(bytes.map_err(|error| format!("\"data\" is not base64: {error}"))?)
        }
        Some(_) => return Err("\"encoding\" must be \"base64\", or be left out for text".into()),
    };
    Ok(ProgramInput::Input { data, eof })
}

fn event(fields: &Map<String, Value>) -> Result<ProgramInput, String> {
    let event = present(fields, "event").ok_or("An event needs \"event\", its name")?;
    if !event.is_string() {
        return Err("\"event\" must be a string, the event's name".into());
    }
    Ok(ProgramInput::Event { event: event.clone(), data: fields.get("data").cloned().unwrap_or(Value::Null) })
}

fn signal(fields: &Map<String, Value>) -> Result<ProgramInput, String> {
    let names = "\"signal\" must be \"interrupt\", \"terminate\" or \"kill\"";
    let name = present(fields, "signal").ok_or(names)?;
    Signal::deserialize(name).map(ProgramInput::Signal).map_err(|_| names.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(message: &ServerMessage<'_>) -> String {
        serde_json::to_string(message).unwrap()
    }

    #[test]
    fn messages_are_v0_1s_to_the_letter() {
        assert_eq!(
            json(&ServerMessage::Welcome { message: WELCOME }),
            r#"{"msgtype":"welcome","message":"welcome to livecode"}"#
        );
        assert_eq!(json(&ServerMessage::Pong), r#"{"msgtype":"pong"}"#);
        let write = ServerMessage::Write {
            file: Output::Stdout,
            data: "hello, world!\n".into(),
            encoding: None,
            seq: None,
        };
        assert_eq!(json(&write), r#"{"msgtype":"write","file":"stdout","data":"hello, world!\n"}"#);
        let exit = ServerMessage::Exitstatus { exitstatus: 0, reason: None, seq: None };
        assert_eq!(json(&exit), r#"{"msgtype":"exitstatus","exitstatus":0}"#);
    }

    #[test]
    fn the_documented_error() {
        let wrong = ClientMessage::parse(r#"{"msgtype":"qiut"}"#).unwrap_err();
        let message = ServerMessage::Error { error: wrong.error, msg: wrong.msg };
        assert_eq!(
            json(&message),
            r#"{"msgtype":"error","error":"Unknown message type: qiut","msg":{"msgtype":"qiut"}}"#
        );
    }

    #[test]
    fn client_messages() {
        let parse = |text| ClientMessage::parse(text).unwrap();
        assert_eq!(parse(r#"{"msgtype":"ping"}"#), ClientMessage::Ping);
        assert_eq!(
            parse(r#"{"msgtype":"input","data":"a","eof":true,"id":7}"#),
            ClientMessage::Deliver {
                id: Some(7.into()),
                item: ProgramInput::Input { data: Contents::Text("a".into()), eof: true }
            }
        );
        assert_eq!(
            parse(r#"{"msgtype":"signal","signal":"interrupt","id":null}"#),
            ClientMessage::Deliver { id: None, item: ProgramInput::Signal(Signal::Interrupt) }
        );
    }

    #[test]
    fn wrong_fields_are_named() {
        for (text, word) in [
            ("nonsense", "JSON"),
            ("[]", "object"),
            ("{}", "msgtype"),
            (r#"{"msgtype":"input"}"#, "data"),
            (r#"{"msgtype":"input","data":1}"#, "data"),
            (r#"{"msgtype":"signal","signal":"hup"}"#, "interrupt"),
            (r#"{"msgtype":"event","event":1}"#, "event"),
            (r#"{"msgtype":"input","data":"x","id":[1]}"#, "id"),
            (r#"{"msgtype":"input","data":"%","encoding":"base64"}"#, "base64"),
            (r#"{"msgtype":"input","data":"x","encoding":"hex"}"#, "encoding"),
        ] {
            let wrong = ClientMessage::parse(text).unwrap_err();
            assert!(wrong.error.contains(word), "{text}: {}", wrong.error);
        }
    }

    /// A client knows its answer by the id, so it comes back as the same number: pages take `Math.random()` for one.
    #[test]
    fn an_id_is_kept_exactly_or_refused() {
        let parse =
            |id: &str| ClientMessage::parse(&format!(r#"{{"msgtype":"input","data":"a","id":{id}}}"#));
        let mut bits = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..10_000 {
            bits = bits.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            let id = (bits >> 11) as f64 / (1_u64 << 53) as f64;
            let Ok(ClientMessage::Deliver { id: Some(read), .. }) = parse(&id.to_string()) else {
                panic!("{id}")
            };
            assert_eq!(read.to_string().parse(), Ok(id));
        }
        for id in ["0", "-9223372036854775808", "18446744073709551615", "9007199254740992.0"] {
            assert!(parse(id).is_ok(), "{id}");
        }
        // These and their neighbours would be one.
        for id in ["18446744073709551616", "-9223372036854775809", "1e300", "9007199254740993.0e1"] {
            assert!(parse(id).unwrap_err().error.contains("id"), "{id}");
        }
    }
}
