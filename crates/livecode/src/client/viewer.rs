//! Follows one session and reconnects when the connection is lost. Messages may be sent again
//! then, but no output is printed twice and no input reaches the program twice.
//!
//! ```text
//!            server
//!             │  ▲
//!    messages │  │ input, signals (sent again until acknowledged)
//!             ▼  │
//!      ┌──────────────┐ ── chunks (bounded) ────▶ output thread ──▶ stdout, stderr
//!      │ StreamViewer │ ◀── messages (bounded) ── input thread ◀── stdin
//!      └──────────────┘ ◀── SIGINT (Ctrl-C), SIGTERM, SIGHUP
//! ```

use std::{
    borrow::Cow,
    io,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures_util::{SinkExt as _, StreamExt as _};
use livecode_protocol::{
    ErrorCode, SessionId,
    stream::{QUEUE_FULL, RESERVED, Signal},
};
use serde::Deserialize;
use serde_json::Value;
use tokio::{
    sync::mpsc,
    time::{sleep, sleep_until, timeout},
};
use tokio_tungstenite::tungstenite;
use tungstenite::Message;

use super::{
    backoff::Backoff,
    case_report,
    connection::{ConnectError, Socket, connect},
    escalation::SignalAction,
    input,
    output::{Output, OutputEvent, OutputStream},
    reconnection::Reconnection,
    resume::ResumePosition,
    server::ServerClient,
    signals::{ReceivedSignal, SignalListener},
    status::{print_note, print_status},
    typed::TypedInput,
    unacknowledged::{UnacknowledgedMessages, is_input, signal_message},
};
use crate::{
    client::end_report::{exit_code, report_end},
    failure::{EXIT_BROKEN_PIPE, EXIT_NOT_RUN},
};

/// An input that was refused because the program's queue was full is sent again on the same
/// connection after this time.
const INPUT_RETRY_DELAY: Duration = Duration::from_millis(100);
/// How long the final kill of the program may take to be acknowledged when the reader of our
/// output has gone.
const KILL_ACK_TIMEOUT: Duration = Duration::from_secs(2);
/// A connection counts as lost after this time without a frame. With the default of the setting
/// `ping_interval_ms`, 30 s, the server pings more often. If the setting is longer than this time,
/// a connection to a silent program is replaced again and again.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(75);
/// A connection that lasted this long counts as stable even without new entries: the backoff
/// starts again with its initial delay.
const STABLE_CONNECTION_TIME: Duration = Duration::from_secs(10);

/// A number that no entry reaches: a stream after it has nothing but the end of the session.
const AFTER_EVERY_ENTRY: u64 = u64::MAX >> 11;

/// How a session is viewed.
pub struct ViewOptions {
    /// Whether standard input is sent to the program.
    pub with_input: bool,
    /// Whether the program's own messages are printed.
    pub with_messages: bool,
    /// Whether the program was started by this command. If so, Ctrl-C is sent to the program, and
    /// the program is killed if the reader of its output has gone. Otherwise Ctrl-C ends the
    /// command.
    pub owns_program: bool,
    /// Number of the entry after which the view starts.
    pub after: u64,
    /// Whether to leave as soon as the server has all of standard input, without any output.
    pub only_input: bool,
    /// How long the server may be out of reach; `None` without a limit.
    pub reconnect_timeout: Option<Duration>,
}

impl ViewOptions {
    /// Options to pass standard input to a program and leave it.
    pub fn for_input(reconnect_timeout: Option<Duration>) -> Self {
        Self {
            with_input: true,
            with_messages: false,
            owns_program: false,
            after: AFTER_EVERY_ENTRY,
            only_input: true,
            reconnect_timeout,
        }
    }
}

/// Views one session.
pub struct StreamViewer {
    server: ServerClient,
    id: SessionId,
    options: ViewOptions,
    position: ResumePosition,
    output: Output,
    signals: SignalListener,
    /// `input` messages from the input thread.
    input: mpsc::Receiver<Value>,
    /// Whether no further input is read.
    has_input_ended: bool,
    /// Messages that the server has not acknowledged.
    unacknowledged: UnacknowledgedMessages,
    /// When to send an input again that the program's queue had no room for.
    retry_input_at: Option<tokio::time::Instant>,
    /// Which kept input is shown.
    typed: TypedInput,
    /// Whether the current connection has brought a new entry or an acknowledgement.
    has_progressed: bool,
    /// Whether this command has sent the program a signal. Then the program's death by a signal is
    /// not reported.
    has_signalled: bool,
}

/// How the viewer continues after an event.
enum Flow {
    /// Wait for the next event on this connection.
    Continue,
    /// The connection is lost: open another one.
    Reconnect,
    /// Stop viewing.
    End(ViewEnd),
}

/// Why viewing ends.
enum ViewEnd {
    /// The program has ended; the value is its `exitstatus` message.
    Exited(Value),
    /// The user has ended the command; the value is its exit code.
    Detached(u8),
    /// Standard output cannot be written to.
    OutputFailed(io::Error),
    /// The server has all of standard input, and nothing else was wanted.
    InputPassed,
    /// The server was out of reach for [`ViewOptions::reconnect_timeout`].
    OutOfReach,
}

/// The fields of a message that are read before its kind is known.
#[derive(Deserialize)]
struct MessageHeader<'t> {
    #[serde(borrow)]
    msgtype: Cow<'t, str>,
    seq: Option<u64>,
}

impl StreamViewer {
    /// Views a session until its program ends, and returns the program's exit code.
    ///
    /// # Errors
    /// If the session does not exist, the server cannot be reached at all, or standard output
    /// cannot be written to.
    pub fn run(server: ServerClient, id: SessionId, options: ViewOptions) -> anyhow::Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let code = runtime.block_on(async { Self::new(server, id, options)?.view().await })?;
        Ok(ExitCode::from(code))
    }

    fn new(server: ServerClient, id: SessionId, options: ViewOptions) -> anyhow::Result<Self> {
        let unacknowledged = UnacknowledgedMessages::new()?;
        let signals = SignalListener::new()?;
        let input = if options.with_input { input::start_reading() } else { mpsc::channel(1).1 };
        Ok(Self {
            server,
            id,
            position: ResumePosition::new(options.after),
            output: Output::start()?,
            signals,
            input,
            has_input_ended: !options.with_input,
            unacknowledged,
            typed: TypedInput::new(),
            retry_input_at: None,
            has_progressed: false,
            has_signalled: false,
            options,
        })
    }

    /// Opens one connection after another until viewing ends; the result is the exit code.
    async fn view(mut self) -> anyhow::Result<u8> {
        let mut backoff = Backoff::default();
        // A session that this command has just created is known to exist, so a failed first
        // connection is retried.
        let mut is_known_to_exist = self.options.owns_program;
        let mut reconnection = Reconnection::new(self.options.reconnect_timeout);
        let server = self.server.clone();
        let end = loop {
            let result = tokio::select! {
                result = connect(&server, self.id, self.position.after()) => result,
                end = self.handle_events_while_disconnected(reconnection.is_ongoing()) => break end,
            };
            match result {
                Ok(mut socket) => {
                    is_known_to_exist = true;
                    reconnection.succeeded();
                    self.has_progressed = false;
                    let connected_at = Instant::now();
                    if let Flow::End(end) = self.use_connection(&mut socket).await? {
                        if matches!(&end, ViewEnd::OutputFailed(_)) && self.options.owns_program {
                            self.kill_program(&mut socket).await;
                        }
                        let _ = socket.close(None).await;
                        break end;
                    }
                    if self.has_progressed || connected_at.elapsed() > STABLE_CONNECTION_TIME {
                        backoff.reset();
                    }
                }
                Err(ConnectError::Permanent(error)) => return Err(error),
                Err(ConnectError::Transient(error)) if !is_known_to_exist => return Err(error),
                Err(ConnectError::Transient(error)) => {
                    reconnection.report_failure(&error);
                    if reconnection.is_over() {
                        break ViewEnd::OutOfReach;
                    }
                }
            }
            tokio::select! {
                () = sleep(reconnection.shorten(backoff.next_delay())) => {}
                end = self.handle_events_while_disconnected(true) => break end,
            }
        };
        self.finish(end).await
    }

    /// Waits until all output is written, reports why viewing has ended, and returns the exit
    /// code.
    async fn finish(mut self, end: ViewEnd) -> anyhow::Result<u8> {
        let failed = match end {
            ViewEnd::Detached(code) => {
                if self.options.owns_program {
                    print_note(format_args!("detached; {}", self.how_to_attach()));
                }
                return Ok(code);
            }
            ViewEnd::InputPassed => return Ok(0),
            ViewEnd::OutOfReach => {
                print_status(format_args!("the server is out of reach; {}", self.how_to_attach()));
                return Ok(EXIT_NOT_RUN);
            }
            ViewEnd::OutputFailed(error) => Err(error),
            ViewEnd::Exited(message) => {
                let written = tokio::select! {
                    written = self.output.finish() => written,
                    received = self.signals.next() => return Ok(received.exit_code),
                };
                if self.options.only_input {
                    return Ok(0);
                }
                if written.is_ok() {
                    report_end(&self.server, self.id, &message, self.has_signalled);
                    return Ok(exit_code(&message));
                }
                written
            }
        };
        match failed {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(error).context("cannot write to standard output")
            }
            _ => Ok(EXIT_BROKEN_PIPE),
        }
    }

    /// The words that tell how to come back to a program that may still run.
    fn how_to_attach(&self) -> String {
        if self.server.is_of_share() {
            return "the program may still run: attach to the link again".to_owned();
        }
        format!("the program may still run: livecode attach --server {} {}", self.server.url(), self.id)
    }

    /// Handles signals and output failures while there is no connection. If the server is away,
    /// every signal ends the command: the program cannot be reached, and goes on. Otherwise a
    /// connection is about to be made, and takes the first signal to the program. Returns when
    /// viewing ends.
    async fn handle_events_while_disconnected(&mut self, is_server_away: bool) -> ViewEnd {
        loop {
            tokio::select! {
                event = self.output.next_event(false) => if let OutputEvent::Failed(error) = event {
                    return ViewEnd::OutputFailed(error);
                },
                received = self.signals.next() => match self.signal_for_program(received) {
                    Some(signal) if !is_server_away => drop(self.unacknowledged.add(signal_message(signal))),
                    Some(_) | None => return ViewEnd::Detached(received.exit_code),
                },
            }
        }
    }

    /// The signal to send to the program after this process has received one; `None` if the
    /// command ends instead.
    fn signal_for_program(&mut self, received: ReceivedSignal) -> Option<Signal> {
        if !self.options.owns_program {
            return None;
        }
        match self.signals.escalate(received) {
            SignalAction::Send(signal) => {
                self.has_signalled = true;
                Some(signal)
            }
            SignalAction::Detach => None,
        }
    }

    /// Handles all events of one connection until it is lost or viewing ends.
    async fn use_connection(&mut self, socket: &mut Socket) -> anyhow::Result<Flow> {
        self.retry_input_at = None;
        for message in self.unacknowledged.iter() {
            if socket.send(text_frame(message)).await.is_err() {
                return Ok(Flow::Reconnect);
            }
        }
        loop {
            if self.options.only_input && self.has_input_ended && self.unacknowledged.is_empty() {
                return Ok(Flow::End(ViewEnd::InputPassed));
            }
            // Only one input is in flight at a time, so that none overtakes an input that must be
            // sent again.
            let may_send_input = !self.has_input_ended && self.unacknowledged.first_input().is_none();
            let has_room = self.output.has_room();
            let retry_at = self.retry_input_at;
            let flow = tokio::select! {
                event = self.output.next_event(!has_room) => match event {
                    OutputEvent::HasRoom => Flow::Continue,
                    OutputEvent::Failed(error) => Flow::End(ViewEnd::OutputFailed(error)),
                },
                received = timeout(SILENCE_TIMEOUT, socket.next()), if has_room => match received {
                    Ok(Some(Ok(Message::Text(text)))) => self.handle_message(&text)?,
                    Ok(Some(Ok(Message::Close(_)) | Err(_)) | None) | Err(_) => Flow::Reconnect,
                    Ok(Some(Ok(_))) => Flow::Continue,
                },
                message = self.input.recv(), if may_send_input => match message {
                    // Empty input is not passed: the program may get its input later.
                    Some(message) if self.options.only_input
                        && !self.unacknowledged.has_sent_any()
                        && is_empty_input(&message) => {
                        self.has_input_ended = true;
                        Flow::Continue
                    }
                    Some(message) => {
                        self.has_input_ended = message["eof"] == true;
                        self.typed.remember(&message);
                        self.send(socket, message).await
                    }
                    None => {
                        self.has_input_ended = true;
                        Flow::Continue
                    }
                },
                () = sleep_until(retry_at.unwrap_or_else(tokio::time::Instant::now)), if retry_at.is_some() => {
                    self.retry_input_at = None;
                    self.retry_input(socket).await
                }
                received = self.signals.next() => match self.signal_for_program(received) {
                    Some(signal) => self.send(socket, signal_message(signal)).await,
                    None => Flow::End(ViewEnd::Detached(received.exit_code)),
                },
            };
            if !matches!(flow, Flow::Continue) {
                return Ok(flow);
            }
        }
    }

    /// Sends a message, and keeps it until the server acknowledges it.
    async fn send(&mut self, socket: &mut Socket, message: Value) -> Flow {
        flow_after_send(socket.send(text_frame(self.unacknowledged.add(message))).await)
    }

    /// Sends the input again that was refused because the program's queue was full.
    async fn retry_input(&self, socket: &mut Socket) -> Flow {
        match self.unacknowledged.first_input() {
            Some(message) => flow_after_send(socket.send(text_frame(message)).await),
            None => Flow::Continue,
        }
    }

    /// Handles one message of the server.
    fn handle_message(&mut self, text: &str) -> anyhow::Result<Flow> {
        let malformed = "the server sent a malformed message";
        let MessageHeader { msgtype, seq } = serde_json::from_str(text).context(malformed)?;
        let is_new = seq.is_none_or(|seq| self.position.advance(seq));
        self.has_progressed |= is_new && (seq.is_some() || msgtype == "ack");
        // Only the server's own messages are parsed as a whole. A program's message may hold JSON
        // that a browser accepts and `serde_json` does not: very deep lists, or half of a
        // surrogate pair.
        let message: Value = match RESERVED.contains(&&*msgtype) {
            true => serde_json::from_str(text).context(malformed)?,
            false => Value::Null,
        };
        match &*msgtype {
            // This is handled even if it is not new: a view that starts after the last entry
            // receives the exit status again, under its own number.
            "exitstatus" => return Ok(Flow::End(ViewEnd::Exited(message))),
            _ if !is_new => {}
            "write" if !self.options.only_input => self.handle_write(&message)?,
            "echo" if !self.options.only_input && self.typed.is_to_be_shown(&message) => {
                self.handle_write(&message)?;
            }
            "ack" => self.unacknowledged.remove(&message["id"]),
            "error" => self.handle_refusal(&message),
            "gap" => self.handle_gap(&message),
            "welcome" | "pong" => {}
            "case" | "cases" if !self.options.with_messages && !self.options.only_input => {
                self.output.write(OutputStream::Stdout, case_report::lines(text).into_bytes());
            }
            _ if self.options.with_messages => {
                self.output.write(OutputStream::Stdout, format!("{text}\n").into_bytes());
            }
            _ => {}
        }
        Ok(Flow::Continue)
    }

    /// Queues the program's output to be written.
    fn handle_write(&self, message: &Value) -> anyhow::Result<()> {
        let data = message["data"].as_str().context("the server sent a write without data")?;
        let bytes = match message["encoding"] == "base64" {
            true => BASE64_STANDARD.decode(data).context("the server sent malformed base64")?,
            false => data.as_bytes().to_vec(),
        };
        let stream = if message["file"] == "stderr" { OutputStream::Stderr } else { OutputStream::Stdout };
        self.output.write(stream, bytes);
        Ok(())
    }

    /// Reports entries that are missing in the journal.
    fn handle_gap(&mut self, message: &Value) {
        // After a reconnection the same gap may be sent again; it is reported once.
        if message["to"].as_u64().is_some_and(|to| self.position.advance(to)) {
            print_status(format_args!(
                "entries {} to {} are missing in the journal",
                message["from"], message["to"]
            ));
        }
    }

    /// Handles the refusal of a message that this command has sent.
    fn handle_refusal(&mut self, error: &Value) {
        let id = &error["msg"]["id"];
        let Some(message) = self.unacknowledged.find(id) else { return };
        let reason = error["error"].as_str().unwrap_or_default();
        let code = error_code(error);
        if !is_input(message) {
            self.unacknowledged.remove(id);
        } else if code == ErrorCode::QueueFull {
            self.retry_input_at = Some(tokio::time::Instant::now() + INPUT_RETRY_DELAY);
        } else {
            self.unacknowledged.remove(id);
            self.has_input_ended = true;
            // As with a pipe, a program that has closed its standard input or has ended is not
            // reported.
            if !matches!(code, ErrorCode::InputClosed | ErrorCode::ProgramEnded) {
                print_status(format_args!("standard input is not sent to the program any more: {reason}"));
            }
        }
    }

    /// Kills the program because the reader of its output has gone, as in `livecode run … | head`.
    async fn kill_program(&mut self, socket: &mut Socket) {
        let message = self.unacknowledged.add(signal_message(Signal::Kill));
        let id = &message["id"];
        let killed = async {
            socket.send(text_frame(message)).await?;
            while let Some(Ok(frame)) = socket.next().await {
                let answer: Value =
                    frame.to_text().ok().and_then(|t| serde_json::from_str(t).ok()).unwrap_or_default();
                if answer["msgtype"] == "exitstatus" || answer["id"] == *id || answer["msg"]["id"] == *id {
                    break;
                }
            }
            Ok::<_, tungstenite::Error>(())
        };
        // If the signal does not arrive, the program's own limits end it.
        let _ = timeout(KILL_ACK_TIMEOUT, killed).await;
    }
}

/// Whether a message is the end of the input, and carries no bytes.
fn is_empty_input(message: &Value) -> bool {
    message["eof"] == true && message["data"] == ""
}

/// The websocket message for a JSON document.
fn text_frame(message: &Value) -> Message {
    Message::text(message.to_string())
}

/// A failed send means that the connection is lost.
fn flow_after_send(result: Result<(), tungstenite::Error>) -> Flow {
    match result {
        Ok(()) => Flow::Continue,
        Err(_) => Flow::Reconnect,
    }
}

/// The code of an `error` message. Only messages of servers and supervisors from before codes are
/// judged by their text: such a server sends no code, and a newer server sends `refused` on behalf
/// of such a supervisor. A code that this command does not know is read as `refused`, too.
fn error_code(error: &Value) -> ErrorCode {
    let reason = error["error"].as_str().unwrap_or_default();
    match ErrorCode::deserialize(&error["code"]).unwrap_or_default() {
        ErrorCode::Refused if reason.contains(QUEUE_FULL) => ErrorCode::QueueFull,
        ErrorCode::Refused if reason.contains("closed") => ErrorCode::InputClosed,
        ErrorCode::Refused if reason.contains("ended") => ErrorCode::ProgramEnded,
        code => code,
    }
}
