//! Follows one session, whatever happens to the connection: output comes out once, input goes in once.

use std::{
    collections::VecDeque,
    io::{self, Read as _, Write as _},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures_util::{SinkExt as _, StreamExt as _};
use livecode_protocol::{SessionId, stream::QUEUE_FULL};
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite};
use tungstenite::Message;

use super::{
    Server,
    backoff::Backoff,
    input::{CHUNK_BYTES, Cutter},
};

/// A second Ctrl-C within this time kills.
const KILL_WITHIN: Duration = Duration::from_secs(2);
/// How long to wait before input is sent again that the program had no room for.
const FULL_PAUSE: Duration = Duration::from_millis(100);
/// The connection is taken for lost after so long a silence; the server pings more often.
const SILENCE: Duration = Duration::from_secs(75);

/// How a session is watched.
pub struct Watching {
    /// Whether standard input goes to the program.
    pub with_input: bool,
    /// Whether the program's own messages are printed.
    pub with_messages: bool,
    /// Whether Ctrl-C is for the program; else it ends the watching.
    pub owns_program: bool,
    /// Number of the entry after which to begin.
    pub after: u64,
}

/// Watches one session.
pub struct Viewer {
    server: Server,
    id: SessionId,
    watching: Watching,
    /// Sent, or to be sent, and not acknowledged yet; in order.
    unacknowledged: VecDeque<Value>,
    /// Tells this viewer's message ids from those of others on the same session.
    name: String,
    next_id: u64,
    interrupted: Vec<Instant>,
    input_ended: bool,
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// What to do next.
enum Next {
    Go,
    Again,
    End(u8),
}

/// What is typed, as messages; `None` at the end.
type Input = mpsc::Receiver<Value>;

impl Viewer {
    pub fn new(server: Server, id: SessionId, watching: Watching) -> Self {
        let mut random = [0; 16];
        // Without randomness the name is only less surely unique.
        let _ = getrandom::fill(&mut random);
        let name = SessionId::from_random(random).to_string();
        let input_ended = !watching.with_input;
        Self {
            server,
            id,
            watching,
            unacknowledged: VecDeque::new(),
            name,
            next_id: 0,
            interrupted: vec![],
            input_ended,
        }
    }

    /// Watches until the program ends; the result is its exit status.
    pub fn run(mut self) -> anyhow::Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let code = runtime.block_on(self.watch())?;
        // The thread that reads standard input may be waiting for ever.
        runtime.shutdown_background();
        Ok(ExitCode::from(code))
    }

    async fn watch(&mut self) -> anyhow::Result<u8> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut input = read_input(self.watching.with_input);
        let mut backoff = Backoff::default();
        let mut was_connected = false;
        loop {
            let connected = tokio::select! {
                connected = self.connect() => connected,
                _ = interrupt.recv() => return Ok(130),
                _ = terminate.recv() => return Ok(143),
            };
            match connected {
                Ok(mut socket) => {
                    was_connected = true;
                    backoff.reset();
                    if let Next::End(code) =
                        self.talk(&mut socket, &mut input, &mut interrupt, &mut terminate).await?
                    {
                        let _ = socket.close(None).await;
                        return Ok(code);
                    }
                }
                Err(Refusal::Final(error)) => return Err(error),
                Err(Refusal::Passing(error)) if !was_connected => return Err(error),
                Err(Refusal::Passing(_)) => {}
            }
            tokio::select! {
                () = tokio::time::sleep(backoff.next()) => {}
                _ = interrupt.recv() => return Ok(130),
                _ = terminate.recv() => return Ok(143),
            }
        }
    }

    async fn connect(&self) -> Result<Socket, Refusal> {
        let url = self.server.stream_url(self.id, self.watching.after).map_err(Refusal::Final)?;
        match connect_async(&url).await {
            Ok((socket, _)) => Ok(socket),
            Err(tungstenite::Error::Http(response)) if response.status().is_client_error() => {
                Err(Refusal::Final(match response.status().as_u16() {
                    404 => anyhow::anyhow!(
                        "there is no session {}; it may have been deleted, or be too old",
                        self.id
                    ),
                    status => anyhow::anyhow!("the server answers {status} at {url}"),
                }))
            }
            Err(error) => Err(Refusal::Passing(
                anyhow::Error::new(error)
                    .context(format!("no server answers at {url}; `livecode serve` starts one")),
            )),
        }
    }

    /// Uses one connection as long as it lasts.
    async fn talk(
        &mut self,
        socket: &mut Socket,
        input: &mut Input,
        interrupt: &mut tokio::signal::unix::Signal,
        terminate: &mut tokio::signal::unix::Signal,
    ) -> anyhow::Result<Next> {
        for message in &self.unacknowledged {
            if socket.send(text(message)).await.is_err() {
                return Ok(Next::Again);
            }
        }
        loop {
            // One input at a time, so that none can overtake one that must be sent again.
            let may_read = !self.input_ended && self.unacknowledged.is_empty();
            let next = tokio::select! {
                received = tokio::time::timeout(SILENCE, socket.next()) => match received {
                    Ok(Some(Ok(Message::Text(text)))) => self.receive(&text, socket).await?,
                    Ok(Some(Ok(Message::Close(_)) | Err(_)) | None) | Err(_) => Next::Again,
                    Ok(Some(Ok(_))) => Next::Go,
                },
                typed = input.recv(), if may_read => match typed {
                    Some(message) => {
                        self.input_ended = message["eof"] == true;
                        self.send(socket, message).await
                    }
                    None => {
                        self.input_ended = true;
                        Next::Go
                    }
                },
                _ = interrupt.recv() => self.interrupt(socket).await,
                _ = terminate.recv() => match self.watching.owns_program {
                    true => self.send(socket, json!({"msgtype": "signal", "signal": "terminate"})).await,
                    false => Next::End(143),
                },
            };
            if !matches!(next, Next::Go) {
                return Ok(next);
            }
        }
    }

    /// Sends a message that must arrive once.
    async fn send(&mut self, socket: &mut Socket, mut message: Value) -> Next {
        self.next_id += 1;
        message["id"] = format!("{}-{}", self.name, self.next_id).into();
        self.unacknowledged.push_back(message.clone());
        match socket.send(text(&message)).await {
            Ok(()) => Next::Go,
            Err(_) => Next::Again,
        }
    }

    async fn interrupt(&mut self, socket: &mut Socket) -> Next {
        if !self.watching.owns_program {
            return Next::End(130);
        }
        self.interrupted.retain(|when| when.elapsed() < KILL_WITHIN);
        self.interrupted.push(Instant::now());
        match self.interrupted.len() {
            1 => self.send(socket, json!({"msgtype": "signal", "signal": "interrupt"})).await,
            2 => self.send(socket, json!({"msgtype": "signal", "signal": "kill"})).await,
            _ => {
                eprintln!("livecode: left; the session is {}", self.id);
                Next::End(130)
            }
        }
    }

    async fn receive(&mut self, text: &str, socket: &mut Socket) -> anyhow::Result<Next> {
        let message: Value = serde_json::from_str(text).context("the server sent what is no message")?;
        if let Some(seq) = message["seq"].as_u64() {
            if seq <= self.watching.after {
                // Asked for from beyond the end: only the exit status is told again.
                if message["msgtype"] != "exitstatus" {
                    return Ok(Next::Go);
                }
            }
            self.watching.after = seq;
        }
        match message["msgtype"].as_str().unwrap_or_default() {
            "write" => {
                let data = message["data"].as_str().unwrap_or_default();
                let decoded;
                let bytes = if message["encoding"] == "base64" {
                    decoded = BASE64_STANDARD.decode(data).context("the server sent what is no base64")?;
                    &decoded
                } else {
                    data.as_bytes()
                };
                let printed = match message["file"] == "stderr" {
                    true => io::stderr().write_all(bytes),
                    false => print(bytes),
                };
                if printed.is_err() {
                    return Ok(self.nobody_reads(socket).await);
                }
            }
            "exitstatus" => return Ok(Next::End(end(&message))),
            "ack" => self.unacknowledged.retain(|sent| sent["id"] != message["id"]),
            "error" => self.refused(&message, socket).await,
            "gap" => {
                eprintln!("livecode: entries {} to {} are not kept any more", message["from"], message["to"])
            }
            "welcome" | "pong" => {}
            _ if self.watching.with_messages => {
                if print(format!("{text}\n").as_bytes()).is_err() {
                    return Ok(self.nobody_reads(socket).await);
                }
            }
            _ => {}
        }
        Ok(Next::Go)
    }

    async fn refused(&mut self, error: &Value, socket: &mut Socket) {
        let msg = &error["msg"];
        let words = error["error"].as_str().unwrap_or_default();
        if words.contains(QUEUE_FULL) {
            tokio::time::sleep(FULL_PAUSE).await;
            let _ = socket.send(text(msg)).await; // a lost connection shows at the next read
            return;
        }
        self.unacknowledged.retain(|sent| sent["id"] != msg["id"]);
        match msg["msgtype"].as_str() {
            // A program that reads no further is nothing to report.
            Some("input") => self.input_ended = true,
            Some("signal") => {}
            _ => eprintln!("livecode: {words}"),
        }
    }

    /// Whoever read our output has gone (`livecode run … | head`): then so does the program that was run for them.
    async fn nobody_reads(&mut self, socket: &mut Socket) -> Next {
        if self.watching.owns_program {
            let _ = self.send(socket, json!({"msgtype": "signal", "signal": "kill"})).await;
            let _ = socket.flush().await;
        }
        Next::End(141)
    }
}

/// Why a connection was not made.
enum Refusal {
    /// Trying again would not help.
    Final(anyhow::Error),
    /// It may.
    Passing(anyhow::Error),
}

fn text(message: &Value) -> Message {
    Message::text(message.to_string())
}

fn print(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

/// The exit status that a session ends this command with; says why where the program did not end by itself.
fn end(message: &Value) -> u8 {
    match message["reason"].as_str() {
        None | Some("exited" | "signalled") => {}
        Some(reason) => eprintln!("livecode: the program was stopped: {reason}"),
    }
    message["exitstatus"].as_i64().map_or(255, |status| (status & 0xff) as u8)
}

/// Reads standard input in a thread of its own, since a read cannot be taken back.
fn read_input(is_wanted: bool) -> Input {
    let (sender, receiver) = mpsc::channel(4);
    if is_wanted {
        std::thread::spawn(move || {
            let mut cutter = Cutter::default();
            let mut buffer = [0; CHUNK_BYTES];
            loop {
                let length = match io::stdin().read(&mut buffer) {
                    Ok(length) => length,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(_) => 0,
                };
                if let Some(message) = cutter.cut(&buffer[..length])
                    && sender.blocking_send(message).is_err()
                {
                    return;
                }
                if length == 0 {
                    return;
                }
            }
        });
    }
    receiver
}
