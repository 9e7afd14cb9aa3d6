//! The talk on a websocket.
//!
//! ```text
//!   session's journal ──follower──▶ ┌──────────┐
//!   incoming ──notices (bounded)──▶ │ outgoing │ ──▶ client
//!   clock: pings; server stopping ▶ └──────────┘
//!   client ──▶ incoming ──▶ session's deliveries; answers become notices
//! ```
//!
//! Both halves run in one task, side by side: a client that does not read is not read from either, once its notices
//! fill up, and delays nobody else.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    body::Bytes,
    extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code},
};
use futures_util::{
    FutureExt as _, SinkExt as _, StreamExt as _,
    future::BoxFuture,
    stream::{FuturesUnordered, SplitSink, SplitStream},
};
use livecode_protocol::{
    control::Delivery,
    stream::{
        ClientMessage, ClientMessageError, MAX_CLIENT_MESSAGE_BYTES, ProgramInput, ServerMessage, WELCOME,
    },
};
use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use crate::http::{
    App,
    encode::{Dialect, json},
};
use crate::{
    auth::Caller,
    metrics::{MESSAGE_RATE, Metrics},
    sessions::{Follower, Session},
};

/// The largest frame taken in at all. What is longer than a message may be, but shorter than this, is closed with 1009
/// in due form; what is longer still is cut off.
pub(crate) const MAX_FRAME_BYTES: usize = 4 * MAX_CLIENT_MESSAGE_BYTES;
/// Answers that wait to be sent; while there are more, the client is not read from.
const QUEUED_NOTICES: usize = 64;
/// Deliveries of one client that wait for the supervisor; while there are more, the client is not read from.
const MAX_UNANSWERED: usize = 256;
/// How many pings a client may leave unanswered before it is taken for gone.
const PINGS_IN_VAIN: u32 = 3;
/// For how long a client may send at its whole rate what it has not sent before.
const BURST: Duration = Duration::from_secs(2);
/// How long one batch may take to be sent to a client that reads slowly.
const SEND_TIMEOUT: Duration = Duration::from_secs(300);
/// How long the last messages of a client are waited for to be answered when the session has ended.
const ACK_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the other side has to answer the close. It may have megabytes to read before it sees it, and a connection that
/// is dropped before that takes them along.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long our answer to its close may take.
const CLOSE_REPLY_TIMEOUT: Duration = Duration::from_secs(2);

/// What the incoming half has the outgoing half send.
pub(crate) enum OutgoingFrame {
    Text(String),
    /// The last text, if any, and the code of the close.
    Close(Option<String>, u16, &'static str),
}

impl OutgoingFrame {
    pub fn message(message: &ServerMessage<'_>) -> Self {
        Self::Text(json(message))
    }

    fn error(error: impl Into<String>, msg: Value) -> Self {
        Self::message(&ServerMessage::Error { error: error.into(), msg })
    }

    fn goodbye() -> Self {
        Self::Close(Some(json(&ServerMessage::Goodbye)), close_code::NORMAL, "")
    }
}

/// Serves a v0.2 stream.
pub(crate) async fn stream(mut socket: Socket, app: App, session: Arc<Session>, after: Option<u64>) {
    let dialect = Dialect::V02 { with_seq: after.is_some() };
    let follower = app.registry.follow(&session, after.unwrap_or(0));
    if socket.send(json(&ServerMessage::Welcome { message: WELCOME })).await.is_ok() {
        socket.follow(&app, &session, follower, dialect).await;
    }
}

/// A websocket, in its halves.
pub(crate) struct Socket {
    to: SplitSink<WebSocket, Message>,
    from: SplitStream<WebSocket>,
    ping_interval: Duration,
    rate: TokenBucket,
}

/// How many messages a client may send: a bucket that fills at the configured rate.
struct TokenBucket {
    /// `None` for the local user, who has no limit.
    per_s: Option<f64>,
    left: f64,
    filled: Instant,
    metrics: Arc<Metrics>,
}

impl TokenBucket {
    fn new(app: &App, caller: &Caller) -> Self {
        let per_s = (*caller != Caller::Local).then_some(app.config.messages_per_s as f64);
        Self {
            per_s,
            left: per_s.unwrap_or(0.0) * BURST.as_secs_f64(),
            filled: Instant::now(),
            metrics: app.metrics.clone(),
        }
    }

    /// Takes one message out of the bucket; `false` where there is none left.
    fn take(&mut self) -> bool {
        let Some(per_s) = self.per_s else { return true };
        let now = Instant::now();
        let filled = self.left + (now - self.filled).as_secs_f64() * per_s;
        self.filled = now;
        self.left = filled.min(per_s * BURST.as_secs_f64()) - 1.0;
        if self.left < 0.0 {
            self.metrics.refused(MESSAGE_RATE);
        }
        self.left >= 0.0
    }
}

/// The client has gone.
pub(crate) struct Gone;

/// What the half that sends is to know of the half that listens.
struct Heard {
    began: Instant,
    /// When the client was last heard of, in milliseconds since the connection began.
    at_ms: AtomicU64,
    /// How many of its messages wait for an answer.
    unanswered: watch::Sender<usize>,
}

impl Heard {
    fn note(&self) {
        self.at_ms.store(self.began.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    fn silence(&self) -> Duration {
        self.began.elapsed().saturating_sub(Duration::from_millis(self.at_ms.load(Ordering::Relaxed)))
    }
}

impl Socket {
    pub fn new(websocket: WebSocket, app: &App, caller: &Caller) -> Self {
        let (to, from) = websocket.split();
        let ping_interval = Duration::from_millis(app.config.ping_interval_ms);
        Self { to, from, ping_interval, rate: TokenBucket::new(app, caller) }
    }

    /// Sends one text.
    pub async fn send(&mut self, text: String) -> Result<(), Gone> {
        self.to.send(Message::text(text)).await.map_err(|_| Gone)
    }

    /// The next text that the client sends, however long the connection allows. What is no text is answered here.
    pub async fn next_of_any_size(&mut self) -> Result<Utf8Bytes, Gone> {
        let mut pings = 0;
        loop {
            let Ok(received) = tokio::time::timeout(self.ping_interval, self.from.next()).await else {
                pings += 1;
                if pings > PINGS_IN_VAIN {
                    return Err(Gone);
                }
                self.to.send(Message::Ping(Bytes::new())).await.map_err(|_| Gone)?;
                continue;
            };
            pings = 0;
            let received = classify(received, usize::MAX);
            if !matches!(received, Received::Gone) && !self.rate.take() {
                self.close(None, close_code::POLICY, TOO_MANY).await;
                return Err(Gone);
            }
            match received {
                Received::Text(text) => return Ok(text),
                Received::Reply(OutgoingFrame::Text(text)) => self.send(text).await?,
                Received::Reply(OutgoingFrame::Close(text, code, reason)) => {
                    self.close(text, code, reason).await;
                    return Err(Gone);
                }
                Received::Nothing => {}
                Received::Gone => return Err(Gone),
            }
        }
    }

    /// Sends a session's messages, and passes on what the client sends, until one of them ends.
    pub async fn follow(mut self, app: &App, session: &Session, follower: Follower, dialect: Dialect) {
        let heard =
            Heard { began: Instant::now(), at_ms: AtomicU64::new(0), unanswered: watch::Sender::default() };
        let (notices, noticed) = mpsc::channel(QUEUED_NOTICES);
        let ended = tokio::select! {
            ended = outgoing(&mut self.to, app, follower, dialect, noticed, &heard) => ended,
            Gone = incoming(&mut self.from, session, dialect, notices, &heard, &mut self.rate) => None,
        };
        match ended {
            Some((text, code, reason)) => self.close(text, code, reason).await,
            // A client that closed in due form has its close answered; one that vanished takes nothing any more.
            None => drop(tokio::time::timeout(CLOSE_REPLY_TIMEOUT, self.to.close()).await),
        }
    }

    /// Closes in due form: sends a last text and the close frame, and waits a little for the client's own, so that nothing
    /// that is on its way to it is lost in a reset.
    pub async fn close(&mut self, text: Option<String>, code: u16, reason: &'static str) {
        let frame = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
        let close = async {
            if let Some(text) = text {
                self.to.feed(Message::text(text)).await?;
            }
            self.to.send(Message::Close(Some(frame))).await
        };
        if close.await.is_ok() {
            let answered = async { while let Some(Ok(_)) = self.from.next().await {} };
            let _ = tokio::time::timeout(CLOSE_TIMEOUT, answered).await;
        }
    }
}

type Ending = (Option<String>, u16, &'static str);

/// Sends until the session ends or something says to close; `None` where the client has gone.
async fn outgoing(
    to: &mut SplitSink<WebSocket, Message>,
    app: &App,
    mut follower: Follower,
    dialect: Dialect,
    mut notices: mpsc::Receiver<OutgoingFrame>,
    heard: &Heard,
) -> Option<Ending> {
    let ping_interval = Duration::from_millis(app.config.ping_interval_ms);
    let mut pings = tokio::time::interval_at(Instant::now() + ping_interval, ping_interval);
    loop {
        let progress = follower.watch();
        let messages: Vec<Message> = tokio::select! {
            items = follower.next() => match items {
                Ok(Some(items)) => {
                    let texts: Vec<String> = items.iter().map(|item| dialect.message(item)).collect();
                    app.metrics.sent(texts.len(), texts.iter().map(String::len).sum());
                    texts.into_iter().map(Message::text).collect()
                }
                Ok(None) => {
                    let last = last_answers(to, &mut notices, heard);
                    tokio::time::timeout(ACK_TIMEOUT, last).await.unwrap_or(Some(()))?;
                    return Some((None, close_code::NORMAL, ""));
                }
                Err(error) => {
                    tracing::error!(%error, "a journal cannot be read");
                    return Some((None, close_code::ERROR, "the journal cannot be read"));
                }
            },
            Some(notice) = notices.recv() => match notice {
                OutgoingFrame::Text(text) => vec![Message::text(text)],
                OutgoingFrame::Close(text, code, reason) => return Some((text, code, reason)),
            },
            _ = pings.tick() => {
                // Half an interval more: the tick and the last ping are not quite apart.
                if heard.silence() > ping_interval * PINGS_IN_VAIN + ping_interval / 2 {
                    return None;
                }
                vec![Message::Ping(Default::default())]
            }
            () = app.interrupted(progress) => {
                return Some((None, close_code::RESTART, "the server restarts; come back"));
            }
        };
        let is_ping = matches!(&*messages, [Message::Ping(_)]);
        let send = async {
            for message in messages {
                to.feed(message).await?;
            }
            to.flush().await
        };
        tokio::time::timeout(SEND_TIMEOUT, send).await.ok()?.ok()?;
        if !is_ping {
            // Its pong stands in line behind megabytes that it still has to read: while it takes output, it is there.
            heard.note();
        }
    }
}

/// Says what the client's last messages are answered: they may have been taken in just before the end. `None` where the
/// client has gone.
async fn last_answers(
    to: &mut SplitSink<WebSocket, Message>,
    notices: &mut mpsc::Receiver<OutgoingFrame>,
    heard: &Heard,
) -> Option<()> {
    let mut unanswered = heard.unanswered.subscribe();
    loop {
        let none_left = async { drop(unanswered.wait_for(|count| *count == 0).await) };
        tokio::select! {
            biased;
            Some(notice) = notices.recv() => match notice {
                OutgoingFrame::Text(text) => to.feed(Message::text(text)).await.ok()?,
                OutgoingFrame::Close(..) => return Some(()),
            },
            () = none_left => return Some(()),
        }
    }
}

/// Takes in what the client sends until it is gone.
async fn incoming(
    from: &mut SplitStream<WebSocket>,
    session: &Session,
    dialect: Dialect,
    notices: mpsc::Sender<OutgoingFrame>,
    heard: &Heard,
    rate: &mut TokenBucket,
) -> Gone {
    let mut answers: FuturesUnordered<BoxFuture<'static, Option<OutgoingFrame>>> = FuturesUnordered::new();
    loop {
        let mut is_answer = false;
        let notice = tokio::select! {
            Some(answer) = answers.next(), if !answers.is_empty() => {
                is_answer = true;
                answer
            }
            received = from.next(), if answers.len() < MAX_UNANSWERED => {
                heard.note();
                match classify(received, MAX_CLIENT_MESSAGE_BYTES) {
                    Received::Gone => return Gone,
                    _ if !rate.take() => Some(too_many()),
                    Received::Text(text) => match take(&text, session, dialect) {
                        Taken::Answer(notice) => Some(notice),
                        Taken::Later(answer) => {
                            answers.push(answer);
                            heard.unanswered.send_modify(|count| *count += 1);
                            None
                        }
                    },
                    Received::Reply(notice) => Some(notice),
                    Received::Nothing => None,
                }
            }
        };
        let closes = matches!(notice, Some(OutgoingFrame::Close(..)));
        if let Some(notice) = notice
            && notices.send(notice).await.is_err()
        {
            return Gone;
        }
        if is_answer {
            heard.unanswered.send_modify(|count| *count -= 1); // not before it is on its way
        }
        if closes {
            // The other half closes; what else the client sends is not looked at, nor is its end.
            std::future::pending::<()>().await;
        }
    }
}

enum Received {
    Text(Utf8Bytes),
    Reply(OutgoingFrame),
    Nothing,
    Gone,
}

fn classify(received: Option<Result<Message, axum::Error>>, max_bytes: usize) -> Received {
    match received {
        Some(Ok(Message::Text(text))) if text.len() > max_bytes => Received::Reply(too_big()),
        Some(Ok(Message::Text(text))) => Received::Text(text),
        Some(Ok(Message::Binary(_))) => Received::Reply(OutgoingFrame::error(
            "Messages are JSON in text frames, not binary frames",
            Value::Null,
        )),
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => Received::Nothing,
        Some(Ok(Message::Close(_))) | None => Received::Gone,
        Some(Err(error)) => {
            let cause = error.into_inner();
            match cause.downcast_ref() {
                Some(tungstenite::Error::Capacity(_)) => Received::Reply(too_big()),
                _ => Received::Gone,
            }
        }
    }
}

const TOO_MANY: &str = "too many messages a second";

fn too_many() -> OutgoingFrame {
    OutgoingFrame::Close(None, close_code::POLICY, TOO_MANY)
}

fn too_big() -> OutgoingFrame {
    OutgoingFrame::Close(None, close_code::SIZE, "a message has at most 65536 bytes")
}

enum Taken {
    Answer(OutgoingFrame),
    Later(BoxFuture<'static, Option<OutgoingFrame>>),
}

/// What is done about one message of the client's.
fn take(text: &str, session: &Session, dialect: Dialect) -> Taken {
    let msg = || serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
    let refused = |error: &str| Taken::Answer(OutgoingFrame::error(error, msg()));
    match ClientMessage::parse(text) {
        Err(ClientMessageError { error, msg }) => Taken::Answer(OutgoingFrame::error(error, msg)),
        Ok(ClientMessage::Ping) => Taken::Answer(OutgoingFrame::message(&ServerMessage::Pong)),
        Ok(ClientMessage::Quit) => Taken::Answer(OutgoingFrame::goodbye()),
        Ok(ClientMessage::Exec(_)) if dialect == Dialect::V01 => {
            refused("A program runs already on this connection")
        }
        Ok(ClientMessage::Exec(_)) => refused("A stream runs nothing: create a session with POST /sessions"),
        Ok(ClientMessage::Deliver { item: ProgramInput::Input { .. }, .. }) if dialect == Dialect::V01 => {
            refused("Unknown message type: input")
        }
        Ok(ClientMessage::Deliver { item: ProgramInput::Signal(_), .. }) if dialect == Dialect::V01 => {
            refused("Unknown message type: signal")
        }
        Ok(ClientMessage::Deliver { id, item }) => {
            let id = id.filter(|_| dialect != Dialect::V01);
            match session.deliver(id.clone(), delivery(item)) {
                Err(error) => refused(&error.to_string()),
                Ok(answer) => {
                    let msg = msg();
                    let answered = async move {
                        match answer.await {
                            Ok(Ok(())) => id.map(|id| OutgoingFrame::message(&ServerMessage::Ack { id })),
                            Ok(Err(error)) => Some(OutgoingFrame::error(error, msg)),
                            Err(_) => Some(OutgoingFrame::error("the program has ended", msg)),
                        }
                    };
                    Taken::Later(answered.boxed())
                }
            }
        }
    }
}

fn delivery(item: ProgramInput) -> Delivery {
    match item {
        ProgramInput::Input { data, eof } => Delivery::Input { data, eof },
        ProgramInput::Signal(signal) => Delivery::Signal { signal },
        ProgramInput::Event { event, data } => {
            Delivery::Event { line: json!({"msgtype": "event", "event": event, "data": data}).to_string() }
        }
    }
}
