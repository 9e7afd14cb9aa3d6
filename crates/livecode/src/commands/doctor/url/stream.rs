//! Reads a session's stream in one of its kinds, on a thread of its own.

use std::{
    fmt,
    io::{BufRead as _, BufReader},
    ops::ControlFlow,
    sync::mpsc::Sender,
    thread,
    time::{Duration, Instant},
};

use futures_util::StreamExt as _;
use livecode_protocol::SessionId;
use serde_json::Value;
use tokio::time::error::Elapsed;
use tokio_tungstenite::tungstenite::Message;

use super::{
    outcome::words,
    program::{FIRST_LINE, LAST_LINE, SILENCE},
};
use crate::client::{ConnectError, HttpRequest, ServerClient, connect, into_success};

/// How long a stream is read at most.
const STREAM_TIMEOUT: Duration = SILENCE.saturating_add(Duration::from_secs(60));
/// How much is read of a stream, in bytes. The program writes far less.
const MAX_STREAM_BYTES: u64 = 1024 * 1024;

/// A kind of stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamKind {
    /// A websocket.
    Websocket,
    /// JSON lines over plain HTTP.
    JsonLines,
    /// Server-sent events.
    Events,
}

impl StreamKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Websocket, Self::JsonLines, Self::Events];
}

impl fmt::Display for StreamKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Websocket => "a websocket",
            Self::JsonLines => "JSON lines",
            Self::Events => "server-sent events",
        })
    }
}

/// How a stream has ended.
#[derive(Clone, Debug)]
pub enum StreamEnd {
    /// The stream was not opened, for this reason.
    Refused(String),
    /// There was no answer to the request for a websocket.
    NoAnswer,
    /// The server has ended the stream, with the reason if that was not the end of the program.
    Finished(Option<String>),
    /// The connection has ended before the stream, for this reason.
    Cut(String),
}

/// An event of a stream.
#[derive(Clone, Debug)]
pub enum StreamEvent {
    /// The stream is open.
    Opened,
    /// The program's line before the silence has arrived.
    FirstLine,
    /// The program's line after the silence has arrived.
    LastLine,
    /// The stream has ended.
    Ended(StreamEnd),
}

/// An event, with its stream and time.
pub struct StampedEvent {
    /// The kind of the stream.
    pub kind: StreamKind,
    /// When the event happened.
    pub at: Instant,
    /// The event.
    pub event: StreamEvent,
}

/// Starts a thread that reads a session's stream and sends its events.
pub fn follow(server: &ServerClient, id: SessionId, kind: StreamKind, events: Sender<StampedEvent>) {
    let server = server.clone();
    let follow = move || {
        let mut reader = Reader { kind, events, received: String::new() };
        let end = match kind {
            StreamKind::Websocket => reader.follow_websocket(&server, id),
            StreamKind::JsonLines => reader.follow_http(&server, id, "application/x-ndjson"),
            StreamKind::Events => reader.follow_http(&server, id, "text/event-stream"),
        };
        reader.send(StreamEvent::Ended(end));
    };
    // Without a thread nothing arrives, which the finding then says.
    drop(thread::Builder::new().name(kind.to_string()).spawn(follow));
}

struct Reader {
    kind: StreamKind,
    events: Sender<StampedEvent>,
    /// The output of the program so far.
    received: String,
}

impl Reader {
    fn send(&self, event: StreamEvent) {
        // An error means that nobody is interested any more.
        let _ = self.events.send(StampedEvent { kind: self.kind, at: Instant::now(), event });
    }

    fn follow_http(&mut self, server: &ServerClient, id: SessionId, media_type: &str) -> StreamEnd {
        let path = format!("/sessions/{id}/stream?after=0");
        let request = HttpRequest {
            headers: &[("accept", media_type)],
            timeout: STREAM_TIMEOUT,
            ..HttpRequest::new("GET", &path)
        };
        let answer = match server.send(&request) {
            Ok(answer) => into_success(server.url(), answer),
            Err(error) => return StreamEnd::Refused(error.root_cause().to_string()),
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(refusal) => return StreamEnd::Refused(words(&refusal.error)),
        };
        self.send(StreamEvent::Opened);
        let body = answer.into_body().into_with_config().limit(MAX_STREAM_BYTES).reader();
        for line in BufReader::new(body).lines() {
            let line = match line {
                Ok(line) => line,
                Err(error) => return StreamEnd::Cut(error.to_string()),
            };
            if let ControlFlow::Break(end) = self.read_message(line.strip_prefix("data:").unwrap_or(&line)) {
                return end;
            }
        }
        StreamEnd::Cut("the answer ended".to_owned())
    }

    fn follow_websocket(&mut self, server: &ServerClient, id: SessionId) -> StreamEnd {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return StreamEnd::Refused(error.to_string()),
        };
        runtime.block_on(async {
            let mut socket = match connect(server, id, 0).await {
                Ok(socket) => socket,
                Err(ConnectError::Permanent(error) | ConnectError::Transient(error)) => {
                    let cause = error.root_cause();
                    return match cause.is::<Elapsed>() {
                        true => StreamEnd::NoAnswer,
                        false => StreamEnd::Refused(cause.to_string()),
                    };
                }
            };
            self.send(StreamEvent::Opened);
            let read = async {
                loop {
                    let text = match socket.next().await {
                        Some(Ok(Message::Text(text))) => text,
                        Some(Ok(Message::Close(_))) | None => {
                            break StreamEnd::Cut("it was closed".to_owned());
                        }
                        Some(Ok(_)) => continue,
                        Some(Err(error)) => break StreamEnd::Cut(error.to_string()),
                    };
                    if let ControlFlow::Break(end) = self.read_message(&text) {
                        break end;
                    }
                }
            };
            let read = tokio::time::timeout(STREAM_TIMEOUT, read).await;
            read.unwrap_or_else(|elapsed| StreamEnd::Cut(elapsed.to_string()))
        })
    }

    /// Reads one message of the stream, or a line that is none. Breaks with the end of the stream.
    fn read_message(&mut self, text: &str) -> ControlFlow<StreamEnd> {
        let Ok(message) = serde_json::from_str::<Value>(text) else { return ControlFlow::Continue(()) };
        match message["msgtype"].as_str() {
            Some("write") => {
                let had = |line, received: &str| received.contains(line);
                let before = (had(FIRST_LINE, &self.received), had(LAST_LINE, &self.received));
                self.received.push_str(message["data"].as_str().unwrap_or_default());
                if !before.0 && had(FIRST_LINE, &self.received) {
                    self.send(StreamEvent::FirstLine);
                }
                if !before.1 && had(LAST_LINE, &self.received) {
                    self.send(StreamEvent::LastLine);
                }
            }
            Some("exitstatus") => {
                let reason = message["reason"].as_str().map(str::to_owned);
                return ControlFlow::Break(StreamEnd::Finished(reason));
            }
            Some("goodbye") => {
                return ControlFlow::Break(StreamEnd::Finished(Some("the server stops".to_owned())));
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}
