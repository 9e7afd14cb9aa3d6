//! Follows one session, whatever happens to the connection: output comes out once, input goes in once.
//!
//! ```text
//!   server ──messages──▶ ┌────────┐ ──pieces (bounded)──▶ output thread ──▶ stdout, stderr
//!   server ◀──once, ──── │ viewer │ ◀──messages (bounded)── input thread ◀── stdin
//!          until acked   └────────┘ ◀── Ctrl-C, SIGTERM
//! ```

use std::{
    borrow::Cow,
    collections::VecDeque,
    io,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures_util::{SinkExt as _, StreamExt as _};
use livecode_protocol::{
    ErrorCode, SessionId,
    stream::{QUEUE_FULL, RESERVED, Signal},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    signal::unix::{self, SignalKind, signal},
    sync::mpsc,
    time::{sleep, sleep_until, timeout},
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite};
use tungstenite::Message;

use super::{
    Server,
    backoff::Backoff,
    escalation::{SignalEscalation, Step},
    input,
    output::{Event, Output, To},
    resume::Resume,
    say,
};
use crate::NOBODY_READS;

/// How long to wait before input is sent again that the program had no room for.
const FULL_PAUSE: Duration = Duration::from_millis(100);
/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the program's last signal may take to arrive when nobody reads its output any more.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// The connection is taken for lost after so long a silence; the server pings more often.
const SILENCE: Duration = Duration::from_secs(75);
/// A connection that held so long was a good one, even if it brought nothing: the pauses begin small again.
const GOOD: Duration = Duration::from_secs(10);

/// How a session is watched.
pub struct Watching {
    /// Whether standard input goes to the program.
    pub with_input: bool,
    /// Whether the program's own messages are printed.
    pub with_messages: bool,
    /// Whether the program was started for this viewer: then Ctrl-C is for the program, and it ends when nobody reads
    /// its output. Else Ctrl-C ends the watching.
    pub owns_program: bool,
    /// Number of the entry after which to begin.
    pub after: u64,
}

/// Watches one session.
pub struct Viewer {
    server: Server,
    id: SessionId,
    watching: Watching,
    resume: Resume,
    output: Output,
    presses: Presses,
    /// What is typed.
    input: mpsc::Receiver<Value>,
    input_ended: bool,
    /// Sent, or to be sent, and not acknowledged yet; in order.
    unacknowledged: VecDeque<Value>,
    /// When to send again what the program had no room for.
    again_at: Option<tokio::time::Instant>,
    /// Tells this viewer's message ids from those of others on the same session.
    name: String,
    next_id: u64,
    /// Whether this connection brought something.
    has_progressed: bool,
    /// Whether the program was sent a signal from here, so that its end by one is no news.
    has_signalled: bool,
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// What to do next.
enum Next {
    Go,
    Again,
    End(End),
}

/// Why watching ends.
enum End {
    /// The program has ended: its `exitstatus`.
    Exited(Value),
    /// The user leaves it; the exit status.
    Left(u8),
    /// Standard output cannot be written to.
    Output(io::Error),
}

/// The signals that we get.
struct Presses {
    interrupt: unix::Signal,
    terminate: unix::Signal,
    escalation: SignalEscalation,
}

impl Presses {
    /// The next one: what it is for the program, and our exit status if we end by it.
    async fn next(&mut self) -> (Signal, u8) {
        tokio::select! {
            _ = self.interrupt.recv() => (Signal::Interrupt, 130),
            _ = self.terminate.recv() => (Signal::Terminate, 143),
        }
    }
}

/// What every message says.
#[derive(Deserialize)]
struct Head<'t> {
    #[serde(borrow)]
    msgtype: Cow<'t, str>,
    seq: Option<u64>,
}

impl Viewer {
    /// Watches until the program ends; the result is its exit status.
    ///
    /// # Errors
    /// Where the session is gone, the server cannot be reached at all, or standard output cannot be written to.
    pub fn run(server: Server, id: SessionId, watching: Watching) -> anyhow::Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let code = runtime.block_on(async { Self::new(server, id, watching)?.watch().await })?;
        Ok(ExitCode::from(code))
    }

    fn new(server: Server, id: SessionId, watching: Watching) -> anyhow::Result<Self> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| anyhow!("no random name can be drawn: {error}"))?;
        let presses = Presses {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            escalation: SignalEscalation::default(),
        };
        let input = if watching.with_input { input::read() } else { mpsc::channel(1).1 };
        Ok(Self {
            server,
            id,
            resume: Resume::new(watching.after),
            output: Output::start()?,
            presses,
            input,
            input_ended: !watching.with_input,
            unacknowledged: VecDeque::new(),
            again_at: None,
            name: SessionId::from_random(random).to_string(),
            next_id: 0,
            has_progressed: false,
            has_signalled: false,
            watching,
        })
    }

    async fn watch(mut self) -> anyhow::Result<u8> {
        let mut backoff = Backoff::default();
        // What was just started here is known to be there.
        let mut was_connected = self.watching.owns_program;
        let mut is_told = false;
        let server = self.server.clone();
        let end = loop {
            let connected = tokio::select! {
                connected = connect(&server, self.id, self.resume.after()) => connected,
                end = self.leave_or_wait() => break end,
            };
            match connected {
                Ok(mut socket) => {
                    was_connected = true;
                    is_told = false;
                    self.has_progressed = false;
                    let began = Instant::now();
                    if let Next::End(end) = self.talk(&mut socket).await? {
                        if matches!(&end, End::Output(_)) && self.watching.owns_program {
                            self.kill(&mut socket).await;
                        }
                        let _ = socket.close(None).await;
                        break end;
                    }
                    if self.has_progressed || began.elapsed() > GOOD {
                        backoff.reset();
                    }
                }
                Err(Refusal::Final(error)) => return Err(error),
                Err(Refusal::Passing(error)) if !was_connected => return Err(error),
                Err(Refusal::Passing(error)) => {
                    if !is_told {
                        say(format_args!("the connection is lost, and tried again: {error:#}"));
                        is_told = true;
                    }
                }
            }
            tokio::select! {
                () = sleep(backoff.next()) => {}
                end = self.leave_or_wait() => break end,
            }
        };
        self.finish(end).await
    }

    /// Has everything written, and says how it ended.
    async fn finish(mut self, end: End) -> anyhow::Result<u8> {
        let failed = match end {
            End::Left(code) => {
                if self.watching.owns_program {
                    say(format_args!("left; the program may still run: livecode attach {}", self.id));
                }
                return Ok(code);
            }
            End::Output(error) => Err(error),
            End::Exited(message) => {
                let written = tokio::select! {
                    written = self.output.finish() => written,
                    (_, code) = self.presses.next() => return Ok(code),
                };
                if written.is_ok() {
                    return Ok(exit_code(&message, self.has_signalled));
                }
                written
            }
        };
        match failed {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(error).context("cannot write to standard output")
            }
            _ => Ok(NOBODY_READS),
        }
    }

    /// Without a connection: keeps signals for the program until there is one, and ends where the user leaves.
    async fn leave_or_wait(&mut self) -> End {
        loop {
            tokio::select! {
                event = self.output.changed() => if let Event::Failed(error) = event {
                    return End::Output(error);
                },
                (gentle, code) = self.presses.next() => match self.press(gentle) {
                    Some(signal) => {
                        self.keep(signal_message(signal));
                        say(format_args!("not connected: the program gets the signal once this is"));
                    }
                    None => return End::Left(code),
                },
            }
        }
    }

    /// What a signal that we got is for the program; `None` where we leave.
    fn press(&mut self, gentle: Signal) -> Option<Signal> {
        if !self.watching.owns_program {
            return None;
        }
        match self.presses.escalation.press(gentle, Instant::now()) {
            Step::Send(signal) => {
                self.has_signalled = true;
                Some(signal)
            }
            Step::Leave => None,
        }
    }

    /// Uses one connection as long as it lasts.
    async fn talk(&mut self, socket: &mut Socket) -> anyhow::Result<Next> {
        self.again_at = None;
        for message in &self.unacknowledged {
            if socket.send(text(message)).await.is_err() {
                return Ok(Next::Again);
            }
        }
        loop {
            // One input at a time, so that none can overtake one that must be sent again.
            let may_read = !self.input_ended && !self.unacknowledged.iter().any(is_input);
            let has_room = self.output.has_room();
            let again_at = self.again_at;
            let next = tokio::select! {
                event = self.output.changed() => match event {
                    Event::Room => Next::Go,
                    Event::Failed(error) => Next::End(End::Output(error)),
                },
                received = timeout(SILENCE, socket.next()), if has_room => match received {
                    Ok(Some(Ok(Message::Text(text)))) => self.receive(&text)?,
                    Ok(Some(Ok(Message::Close(_)) | Err(_)) | None) | Err(_) => Next::Again,
                    Ok(Some(Ok(_))) => Next::Go,
                },
                typed = self.input.recv(), if may_read => match typed {
                    Some(message) => {
                        self.input_ended = message["eof"] == true;
                        self.send(socket, message).await
                    }
                    None => {
                        self.input_ended = true;
                        Next::Go
                    }
                },
                () = sleep_until(again_at.unwrap_or_else(tokio::time::Instant::now)), if again_at.is_some() => {
                    self.again_at = None;
                    self.send_input_again(socket).await
                }
                (gentle, code) = self.presses.next() => match self.press(gentle) {
                    Some(signal) => self.send(socket, signal_message(signal)).await,
                    None => Next::End(End::Left(code)),
                },
            };
            if !matches!(next, Next::Go) {
                return Ok(next);
            }
        }
    }

    /// Sends a message that must arrive once.
    async fn send(&mut self, socket: &mut Socket, message: Value) -> Next {
        sent(socket.send(text(self.keep(message))).await)
    }

    /// Gives a message its id, and keeps it until it is acknowledged.
    fn keep(&mut self, mut message: Value) -> &Value {
        self.next_id += 1;
        message["id"] = format!("{}-{}", self.name, self.next_id).into();
        self.unacknowledged.push_back(message);
        &self.unacknowledged[self.unacknowledged.len() - 1]
    }

    async fn send_input_again(&self, socket: &mut Socket) -> Next {
        match self.unacknowledged.iter().find(|message| is_input(message)) {
            Some(message) => sent(socket.send(text(message)).await),
            None => Next::Go,
        }
    }

    fn receive(&mut self, text: &str) -> anyhow::Result<Next> {
        let no_message = "the server sent what is no message";
        let Head { msgtype, seq } = serde_json::from_str(text).context(no_message)?;
        let is_new = seq.is_none_or(|seq| self.resume.is_new(seq));
        self.has_progressed |= is_new && (seq.is_some() || msgtype == "ack");
        // A program's own message may hold what is JSON to its page, but not to us: very deep lists, half of a surrogate pair.
        let message: Value = match RESERVED.contains(&&*msgtype) {
            true => serde_json::from_str(text).context(no_message)?,
            false => Value::Null,
        };
        match &*msgtype {
            // Asked for from beyond the end, the exit status is told again, under its own number.
            "exitstatus" => return Ok(Next::End(End::Exited(message))),
            _ if !is_new => {}
            "write" => self.write(&message)?,
            "ack" => self.unacknowledged.retain(|sent| sent["id"] != message["id"]),
            "error" => self.refused(&message),
            "gap" => self.gap(&message),
            "welcome" | "pong" => {}
            _ if self.watching.with_messages => self.output.put(To::Stdout, format!("{text}\n").into_bytes()),
            _ => {}
        }
        Ok(Next::Go)
    }

    fn write(&self, message: &Value) -> anyhow::Result<()> {
        let data = message["data"].as_str().context("the server sent a write without data")?;
        let bytes = match message["encoding"] == "base64" {
            true => BASE64_STANDARD.decode(data).context("the server sent what is no base64")?,
            false => data.as_bytes().to_vec(),
        };
        let to = if message["file"] == "stderr" { To::Stderr } else { To::Stdout };
        self.output.put(to, bytes);
        Ok(())
    }

    fn gap(&mut self, message: &Value) {
        // Told again after a lost connection, it is no news.
        if message["to"].as_u64().is_some_and(|to| self.resume.is_new(to)) {
            say(format_args!("entries {} to {} are not in the journal", message["from"], message["to"]));
        }
    }

    fn refused(&mut self, error: &Value) {
        let id = &error["msg"]["id"];
        let Some(index) = self.unacknowledged.iter().position(|sent| sent["id"] == *id) else { return };
        let words = error["error"].as_str().unwrap_or_default();
        let code = error_code(error);
        if !is_input(&self.unacknowledged[index]) {
            self.unacknowledged.remove(index);
        } else if code == ErrorCode::QueueFull {
            self.again_at = Some(tokio::time::Instant::now() + FULL_PAUSE);
        } else {
            // A program that reads no further is nothing to report, as with a pipe.
            self.unacknowledged.remove(index);
            self.input_ended = true;
            if !matches!(code, ErrorCode::InputClosed | ErrorCode::ProgramEnded) {
                say(format_args!("standard input is not passed on any more: {words}"));
            }
        }
    }

    /// Whoever read our output has gone (`livecode run … | head`): then so does the program that was run for them.
    async fn kill(&mut self, socket: &mut Socket) {
        let id = self.keep(signal_message(Signal::Kill))["id"].clone();
        let killed = async {
            socket.send(text(&self.unacknowledged[self.unacknowledged.len() - 1])).await?;
            while let Some(Ok(message)) = socket.next().await {
                let answer: Value =
                    message.to_text().ok().and_then(|t| serde_json::from_str(t).ok()).unwrap_or_default();
                if answer["msgtype"] == "exitstatus" || answer["id"] == id || answer["msg"]["id"] == id {
                    break;
                }
            }
            Ok::<_, tungstenite::Error>(())
        };
        let _ = timeout(CLOSE_TIMEOUT, killed).await; // what does not arrive ends by its own limits
    }
}

/// Why a connection was not made.
enum Refusal {
    /// Trying again would not help.
    Final(anyhow::Error),
    /// It may.
    Passing(anyhow::Error),
}

async fn connect(server: &Server, id: SessionId, after: u64) -> Result<Socket, Refusal> {
    let url = server.stream_url(id, after).map_err(Refusal::Final)?;
    let passing = |error: anyhow::Error| {
        Refusal::Passing(error.context(format!("no server answers at {url}; `livecode serve` starts one")))
    };
    match timeout(CONNECT_TIMEOUT, connect_async(&url)).await {
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(tungstenite::Error::Http(response))) if response.status().is_client_error() => {
            Err(Refusal::Final(match response.status().as_u16() {
                404 => anyhow!("there is no session {id}; it may have been deleted, or be too old"),
                status => anyhow!("the server answers {status} at {url}"),
            }))
        }
        Ok(Err(error)) => Err(passing(error.into())),
        Err(elapsed) => Err(passing(elapsed.into())),
    }
}

fn text(message: &Value) -> Message {
    Message::text(message.to_string())
}

fn sent(result: Result<(), tungstenite::Error>) -> Next {
    match result {
        Ok(()) => Next::Go,
        Err(_) => Next::Again,
    }
}

/// The code of an `error` message. Older servers and supervisors send no code, or only `refused`;
/// then the code follows from the text.
fn error_code(error: &Value) -> ErrorCode {
    let words = error["error"].as_str().unwrap_or_default();
    match ErrorCode::deserialize(&error["code"]).unwrap_or_default() {
        ErrorCode::Refused if words.contains(QUEUE_FULL) => ErrorCode::QueueFull,
        ErrorCode::Refused if words.contains("closed") => ErrorCode::InputClosed,
        ErrorCode::Refused if words.contains("ended") => ErrorCode::ProgramEnded,
        code => code,
    }
}

fn is_input(message: &Value) -> bool {
    message["msgtype"] == "input"
}

fn signal_message(signal: Signal) -> Value {
    json!({"msgtype": "signal", "signal": signal})
}

/// The exit status that a session ends this command with; says why where the program did not end by itself.
fn exit_code(message: &Value, has_signalled: bool) -> u8 {
    let status = message["exitstatus"].as_i64().unwrap_or(255);
    match message["reason"].as_str() {
        None => {}
        Some("signalled") if has_signalled => {}
        Some("signalled") => say(format_args!("stopped: signalled ({})", status - 128)),
        Some(reason) => say(format_args!("stopped: {reason}")),
    }
    (status & 0xff) as u8
}
