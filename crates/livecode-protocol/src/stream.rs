//! The messages of a stream, in protocol v0.1 and v0.2.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::{
    Number, Value,
    value::{RawValue, to_raw_value},
};

use crate::{
    ErrorCode,
    cases::CaseOutcome,
    json,
    run_spec::Contents,
    session::{Encoding, Outcome},
};

/// Values of `msgtype` that are reserved for the server. A program's own message must not use
/// them.
pub const RESERVED: [&str; 16] = [
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
    "echo",
    "diagnostic",
    "resize",
];

/// The text of the `welcome` message.
pub const WELCOME: &str = "welcome to livecode";
/// The largest message that a client may send, in bytes. A larger one closes the connection with
/// the close code 1009.
pub const MAX_CLIENT_MESSAGE_BYTES: usize = 64 * 1024;
/// The largest message that a program may send, in bytes.
pub const MAX_PROGRAM_MESSAGE_BYTES: usize = 4 * 1024 * 1024;
/// The most arrays and objects in each other that a program's message may have, the message
/// itself included. Many parsers of JSON call themselves for each level and stop at about 128
/// levels or 1,000, and some exhaust their stack.
pub const MAX_PROGRAM_MESSAGE_DEPTH: usize = 100;
/// The largest output in one `write`, in bytes.
pub const MAX_WRITE_BYTES: usize = 64 * 1024;
/// The end of an `error` text for a full queue: the client may send the same message again later.
/// Clients decide by [`ErrorCode::QueueFull`]. This text decides only between builds of which one
/// is older than the codes.
pub const QUEUE_FULL: &str = "send it again later";
/// The longest `id` that a client may choose, in bytes of its JSON form.
pub const MAX_ID_BYTES: usize = 256;

/// One of a program's two output streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Output {
    /// Standard output, file descriptor 1.
    Stdout,
    /// Standard error, file descriptor 2.
    Stderr,
}

/// A file that a program reads and a client can write to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InputFile {
    /// Standard input, file descriptor 0.
    Stdin,
}

/// A part of a session that its output is told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The compile steps.
    Compile,
}

/// How severe a diagnostic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The program could not be compiled, or has crashed.
    Error,
    /// The program can be run.
    Warning,
}

/// A message of the server. A program's own messages are passed on as the program wrote them, and
/// are not among these.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "msgtype", rename_all = "lowercase")]
pub enum ServerMessage<'a> {
    /// The first message of every websocket connection.
    Welcome {
        /// The text [`WELCOME`].
        message: &'a str,
    },
    /// The answer to `ping`.
    Pong,
    /// The answer to `quit`, after which the connection is closed. Over plain HTTP, the last
    /// message of a stream that ends because the server stops.
    Goodbye,
    /// The program wrote output.
    Write {
        /// The stream that the program wrote to.
        file: Output,
        /// The output: text, or base64 if `encoding` is present.
        data: Cow<'a, str>,
        /// The encoding of `data`; absent for text.
        #[serde(skip_serializing_if = "Option::is_none")]
        encoding: Option<Encoding>,
        /// The stage that the output is of, in sessions that tell compilation apart; absent for
        /// output of the program.
        #[serde(skip_serializing_if = "Option::is_none")]
        stage: Option<Stage>,
        /// Number of the entry, if the client asked for numbers.
        #[serde(skip_serializing_if = "Option::is_none")]
        seq: Option<u64>,
    },
    /// The session has ended. No entry of the session follows; answers to the client's
    /// messages may.
    Exitstatus {
        /// The exit code of the program, or the exit status of the outcome.
        exitstatus: i32,
        /// The outcome, unless it is [`Outcome::Exited`].
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<Outcome>,
        /// Number of the entry, if the client asked for numbers.
        #[serde(skip_serializing_if = "Option::is_none")]
        seq: Option<u64>,
    },
    /// A message of the client could not be processed.
    Error {
        /// A sentence that says what was wrong with the message.
        error: String,
        /// The message itself: the JSON text, or a string if it is not JSON.
        msg: Box<RawValue>,
        /// The code of the error. Absent in v0.1, whose clients know no codes.
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<ErrorCode>,
    },
    /// Input that a client has sent, in a session that keeps it. It is an entry, which the
    /// supervisor writes as it writes a program's messages; the server adds its number.
    Echo {
        /// The input: text, or base64 if `encoding` is present.
        data: Cow<'a, str>,
        /// The encoding of `data`; absent for text.
        #[serde(skip_serializing_if = "Option::is_none")]
        encoding: Option<Encoding>,
    },
    /// An error of a compiler or a crash at a place of the program, in a session that asks for them.
    /// It is an entry, which the supervisor writes; the server adds its number.
    Diagnostic {
        /// Whether it is an error or a warning.
        severity: Severity,
        /// The name of the file, as in the request.
        file: &'a str,
        /// The line, from 1.
        line: u32,
        /// The column, from 1, as the tool counts it; absent if the tool names none.
        #[serde(skip_serializing_if = "Option::is_none")]
        column: Option<u32>,
        /// The text of the error.
        message: &'a str,
    },
    /// The end of a case, in a session with cases. It is an entry, which the supervisor writes;
    /// the server adds its number.
    Case {
        /// The name of the case.
        name: &'a str,
        /// Whether the program has exited with 0 and has printed what is expected.
        passed: bool,
        /// How the program ended, or its checker if that has decided nothing.
        outcome: CaseOutcome,
        /// The exit code of the program, or the exit status of the outcome.
        exitstatus: i32,
        /// The beginning of its standard output; bytes that are no UTF-8 are replaced.
        stdout: Cow<'a, str>,
        /// The beginning of its standard error; absent if there was none.
        #[serde(skip_serializing_if = "str::is_empty")]
        stderr: Cow<'a, str>,
        /// Whether there was more of either; absent if not.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        truncated: bool,
        /// Wall-clock time of the program, in seconds.
        time_taken: f64,
        /// Peak memory use, in bytes; absent if the machine cannot count it.
        #[serde(skip_serializing_if = "Option::is_none")]
        memory_peak_bytes: Option<u64>,
        /// The first line that the checker has printed; absent without one.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<Cow<'a, str>>,
    },
    /// The end of a case of which nothing else is told. It is an entry, as
    /// [`ServerMessage::Case`].
    #[serde(rename = "case")]
    HiddenCase {
        /// The name of the case.
        name: &'a str,
        /// Always true.
        hidden: bool,
        /// Whether the program has exited with 0 and has printed what is expected.
        passed: bool,
        /// How the program ended, or its checker if that has decided nothing.
        outcome: CaseOutcome,
    },
    /// The end of all cases, an entry as [`ServerMessage::Case`].
    Cases {
        /// The number of cases that have passed.
        passed: usize,
        /// The number of cases that have failed.
        failed: usize,
        /// The number of cases that were not run; absent if all were.
        #[serde(skip_serializing_if = "is_zero")]
        skipped: usize,
    },
    /// The supervisor has taken the message with this id. What the program does not read before it
    /// ends is lost.
    Ack {
        /// The id, as the client wrote it.
        id: Value,
    },
    /// A notice: the session waits until it may run.
    Queued {
        /// Its place in the queue, from 1.
        position: u64,
    },
    /// A notice: the program waits for input, or does not wait any more.
    Waiting {
        /// The file that it reads; `None` if it does not wait any more.
        file: Option<InputFile>,
    },
    /// These entries are not in the journal: they were never written, or were removed.
    Gap {
        /// The number of the first missing entry.
        from: u64,
        /// The number of the last missing entry.
        to: u64,
    },
}

fn is_zero(number: &usize) -> bool {
    *number == 0
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

impl Signal {
    /// The signal's number in Linux (signal(7)).
    pub fn number(self) -> i32 {
        match self {
            Self::Interrupt => 2,
            Self::Terminate => 15,
            Self::Kill => 9,
        }
    }
}

/// A message of a client, parsed. Parts that can be large are borrowed from the text.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientMessage<'m> {
    /// A request for a `pong`.
    Ping,
    /// A request to close this connection.
    Quit,
    /// A request to run a program (v0.1 only). The other fields of the message describe it.
    Exec,
    /// Input, an event or a signal for the program.
    Deliver {
        /// The id that the client chose, a string or a number. Only the first of several messages
        /// with one id is passed on to the program.
        id: Option<Value>,
        /// The item to deliver.
        item: ClientDelivery<'m>,
    },
}

/// Input, an event or a signal that a client sends to a program.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientDelivery<'m> {
    /// Bytes for the program's standard input.
    Input {
        /// The bytes: text, or base64 if the message has an `encoding`.
        data: Contents,
        /// Whether standard input ends after these bytes.
        eof: bool,
    },
    /// An event for the program's message channel.
    Event {
        /// The name of the event, e.g. `"mousemove"`, as JSON.
        event: &'m str,
        /// The data of the event, any JSON value.
        data: &'m str,
    },
    /// A signal for the program.
    Signal(Signal),
}

/// The line that a program gets for an event. Both arguments are JSON, and their tokens are passed
/// on as they are.
pub fn event_line(event: &str, data: &str) -> String {
    let data = json::compact(data);
    format!(r#"{{"msgtype":"event","event":{event},"data":{data}}}"#)
}

/// The reason why a client's message cannot be parsed, as the parts of the `error` that answers
/// it. [`echo`] gives the message itself.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientMessageError {
    /// A sentence that says what is wrong with the message and what would be right.
    pub error: String,
    /// The code of the error.
    pub code: ErrorCode,
}

/// A client's message as an `error` repeats it: as it is, if it is JSON, otherwise as a string.
pub fn echo(text: &str) -> Box<RawValue> {
    let as_string = || to_raw_value(text).unwrap_or_else(|_| RawValue::NULL.to_owned());
    match json::check(text.as_bytes()) {
        Ok(()) => RawValue::from_string(json::compact(text)).unwrap_or_else(|_| as_string()),
        Err(_) => as_string(),
    }
}

impl<'m> ClientMessage<'m> {
    /// Parses one message of a client.
    ///
    /// # Errors
    /// If the text is not a JSON object, has no known `msgtype`, or has a field of the wrong type.
    pub fn parse(text: &'m str) -> Result<Self, ClientMessageError> {
        Self::parse_fields(text).map_err(|(code, error)| ClientMessageError { error, code })
    }

    fn parse_fields(text: &'m str) -> Result<Self, (ErrorCode, String)> {
        const NO_OBJECT: &str = "A message must be a JSON object with a \"msgtype\"";
        let malformed = |error: &str| (ErrorCode::MalformedMessage, error.to_owned());
        let invalid = |error| (ErrorCode::InvalidMessage, error);
        let not_json = |error| malformed(&format!("{NO_OBJECT}: {error}"));
        // Fields that are not known are skipped below without a check.
        json::check(text.as_bytes()).map_err(not_json)?;
        if !text.trim_ascii_start().starts_with('{') {
            return Err(malformed(NO_OBJECT));
        }
        let fields: Fields<'_> = serde_json::from_str(text).map_err(not_json)?;
        let msgtype = fields.msgtype.ok_or_else(|| malformed("The message has no \"msgtype\""))?;
        let msgtype = string(msgtype).ok_or_else(|| malformed("\"msgtype\" must be a string"))?;
        let item = match msgtype.as_str() {
            "ping" => return Ok(Self::Ping),
            "quit" => return Ok(Self::Quit),
            "exec" => return Ok(Self::Exec),
            "input" => input(&fields),
            "event" => event(&fields),
            "signal" => signal(&fields),
            other => {
                return Err((ErrorCode::UnknownMessageType, format!("Unknown message type: {other}")));
            }
        };
        let item = item.map_err(invalid)?;
        Ok(Self::Deliver { id: client_id(&fields).map_err(invalid)?, item })
    }
}

/// The fields that any message may have, as their JSON. Of several fields with one name the last
/// counts.
#[derive(Default)]
struct Fields<'m> {
    msgtype: Option<&'m str>,
    id: Option<&'m str>,
    data: Option<&'m str>,
    eof: Option<&'m str>,
    encoding: Option<&'m str>,
    event: Option<&'m str>,
    signal: Option<&'m str>,
}

impl<'m> Deserialize<'m> for Fields<'m> {
    fn deserialize<D: Deserializer<'m>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'m> Visitor<'m> for FieldsVisitor {
    type Value = Fields<'m>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'m>>(self, mut map: A) -> Result<Fields<'m>, A::Error> {
        #[derive(Deserialize)]
        #[serde(field_identifier, rename_all = "lowercase")]
        enum Name {
            Msgtype,
            Id,
            Data,
            Eof,
            Encoding,
            Event,
            Signal,
            #[serde(other)]
            Other,
        }
        let mut fields = Fields::default();
        while let Some(name) = map.next_key()? {
            let field = match name {
                Name::Msgtype => &mut fields.msgtype,
                Name::Id => &mut fields.id,
                Name::Data => &mut fields.data,
                Name::Eof => &mut fields.eof,
                Name::Encoding => &mut fields.encoding,
                Name::Event => &mut fields.event,
                Name::Signal => &mut fields.signal,
                Name::Other => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            *field = Some(map.next_value::<&RawValue>()?.get());
        }
        Ok(fields)
    }
}

/// The text of a JSON string; `None` for any other value.
fn string(json: &str) -> Option<String> {
    json.starts_with('"').then(|| serde_json::from_str(json).ok())?
}

/// The value of a field. A field that is `null` counts as absent.
fn present(field: Option<&str>) -> Option<&str> {
    field.filter(|json| *json != "null")
}

/// The `id` of a message.
fn client_id(fields: &Fields<'_>) -> Result<Option<Value>, String> {
    let Some(json) = present(fields.id) else { return Ok(None) };
    let is_scalar = json.starts_with(|first: char| first == '"' || first == '-' || first.is_ascii_digit());
    match serde_json::from_str(json) {
        Ok(Value::Number(number)) if is_scalar && !is_exact(&number) => {
            Err("\"id\" is a number that 64 bits do not hold exactly; give it as a string".into())
        }
        Ok(id @ (Value::String(_) | Value::Number(_))) if id.to_string().len() <= MAX_ID_BYTES => {
            Ok(Some(id))
        }
        _ => Err(format!("\"id\" must be a string or a number of at most {MAX_ID_BYTES} bytes")),
    }
}

/// Whether a number has the same value as its text. serde_json reads an integer beyond 64 bits as
/// the nearest floating-point number, so several ids would become the same number.
fn is_exact(number: &Number) -> bool {
    const LARGEST: f64 = (1_u64 << f64::MANTISSA_DIGITS) as f64;
    !number.is_f64() || number.as_f64().is_some_and(|number| number.abs() <= LARGEST)
}

fn input(fields: &Fields<'_>) -> Result<ClientDelivery<'static>, String> {
    let eof = match present(fields.eof) {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err("\"eof\" must be true or false".into()),
    };
    let data = match present(fields.data) {
        None if eof => String::new(),
        None => return Err("An input needs \"data\", a string, or \"eof\": true".into()),
        Some(data) => string(data).ok_or("\"data\" of an input must be a string")?,
    };
    let data = match present(fields.encoding).map(string) {
        None => Contents::Text(data),
        Some(Some(encoding)) if encoding == "base64" => {
            let bytes = Contents::Base64(data).into_bytes();
            Contents::new(bytes.map_err(|error| format!("\"data\" is not base64: {error}"))?)
        }
        Some(_) => return Err("\"encoding\" must be \"base64\", or be left out for text".into()),
    };
    Ok(ClientDelivery::Input { data, eof })
}

fn event<'m>(fields: &Fields<'m>) -> Result<ClientDelivery<'m>, String> {
    let event = fields.event.filter(|event| event.starts_with('"'));
    let event = event.ok_or("An event needs an \"event\", the name of the event as a string")?;
    Ok(ClientDelivery::Event { event, data: fields.data.unwrap_or("null") })
}

fn signal(fields: &Fields<'_>) -> Result<ClientDelivery<'static>, String> {
    let names = "\"signal\" must be \"interrupt\", \"terminate\" or \"kill\"";
    let name = present(fields.signal).ok_or(names)?;
    serde_json::from_str(name).map(ClientDelivery::Signal).map_err(|_| names.into())
}

#[cfg(test)]
mod tests;
