//! A websocket connection of one client.

use std::{sync::Arc, time::Duration};

use axum::body::Bytes;
use futures_util::{
    SinkExt as _, StreamExt as _,
    stream::{SplitSink, SplitStream},
};
use livecode_protocol::stream::{MAX_CLIENT_MESSAGE_BYTES, ServerMessage, WELCOME};
use tokio::sync::mpsc;
use tungstenite::{Message, Utf8Bytes, protocol::CloseFrame};

use super::{
    client_activity::ClientActivity,
    frame::{CloseReason, Disconnected, OutgoingFrame},
    incoming::{ReceivedFrame, Receiver, classify},
    metered::MessageMeter,
    outgoing::{MAX_UNANSWERED_PINGS, SEND_TIMEOUT, send_loop},
    rate_limit::TokenBucket,
    upgrade::Websocket,
};
use crate::http::{
    app::App,
    encode::{Dialect, message_json},
    notices::Notices,
};
use crate::{
    auth::{Caller, Payer},
    held_bytes::HeldBytes,
    sessions::{Follower, Session},
};

/// The largest frame of a stream that is read, in bytes; on `/livecode` it is `body_max_bytes` if
/// that is larger. A message that is larger than [`MAX_CLIENT_MESSAGE_BYTES`] is read to its end,
/// then answered with a close frame (1009). A frame that is larger than this is not read: the
/// close frame is sent as soon as the frame's header has announced its length.
pub(crate) const MAX_FRAME_BYTES: usize = 4 * MAX_CLIENT_MESSAGE_BYTES;
/// How many answers may wait to be sent. While there are so many, nothing is read from the client.
const OUTGOING_QUEUE_FRAMES: usize = 64;
/// How long the client has to read our close frame and close its side. It may have to read
/// megabytes before it gets to the frame, and dropping the connection earlier would discard them.
/// Nothing that the client sends in this time is parsed. A client that has misbehaved does not get
/// this time.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long it may take to send our answer to the client's close frame.
const CLOSE_REPLY_TIMEOUT: Duration = Duration::from_secs(2);

/// A websocket connection, split into its two directions.
pub(crate) struct WebsocketConnection {
    sink: SplitSink<Websocket, Message>,
    stream: SplitStream<Websocket>,
    ping_interval: Duration,
    rate_limit: TokenBucket,
    meter: MessageMeter,
    caller: Caller,
    payer: Payer,
}

/// Serves a stream of v0.2: `welcome`, then the entries after number `after`, each with its number
/// if `after` is given, and notices if they are wanted.
pub(crate) async fn serve_stream(
    mut socket: WebsocketConnection,
    app: App,
    session: Arc<Session>,
    after: Option<u64>,
    are_notices_wanted: bool,
) {
    let dialect = Dialect::V02 { with_seq: after.is_some() };
    let follower = app.registry.follow(&session, after.unwrap_or(0));
    if socket.send(message_json(&ServerMessage::Welcome { message: WELCOME })).await.is_ok() {
        let notices = Notices::new(&app, &session, are_notices_wanted);
        socket.follow(&app, &session, follower, notices, dialect).await;
    }
}

impl WebsocketConnection {
    pub fn new(websocket: Websocket, meter: MessageMeter, app: &App, caller: Caller, payer: Payer) -> Self {
        let (sink, stream) = websocket.split();
        let ping_interval = Duration::from_millis(app.config.ping_interval_ms);
        let rate_limit = TokenBucket::new(&app.config, app.metrics.clone(), &caller);
        Self { sink, stream, ping_interval, rate_limit, meter, caller, payer }
    }

    /// Sends one message.
    pub async fn send(&mut self, text: String) -> Result<(), Disconnected> {
        self.sink.send(Message::text(text)).await.map_err(|_| Disconnected)
    }

    /// Receives the next text of the client, with its charge. Only the connection itself limits
    /// its length. Frames of other kinds are answered here, in `dialect`.
    pub async fn receive_any_size(
        &mut self,
        dialect: Dialect,
    ) -> Result<(Utf8Bytes, HeldBytes), Disconnected> {
        let mut unanswered_pings = 0;
        loop {
            let Ok(received) = tokio::time::timeout(self.ping_interval, self.stream.next()).await else {
                unanswered_pings += 1;
                if unanswered_pings > MAX_UNANSWERED_PINGS {
                    return Err(Disconnected);
                }
                self.sink.send(Message::Ping(Bytes::new())).await.map_err(|_| Disconnected)?;
                continue;
            };
            unanswered_pings = 0;
            let held = self.meter.take_complete();
            let received = classify(received, usize::MAX, dialect);
            if !matches!(received, ReceivedFrame::Disconnected) && !self.rate_limit.try_take() {
                self.close(CloseReason::message_rate()).await;
                return Err(Disconnected);
            }
            match received {
                ReceivedFrame::Text(text) => return Ok((text, held)),
                ReceivedFrame::Invalid(OutgoingFrame::Text(text) | OutgoingFrame::Error { text, .. }) => {
                    self.send(text).await?;
                }
                ReceivedFrame::Invalid(OutgoingFrame::Close(reason)) => {
                    self.close(reason).await;
                    return Err(Disconnected);
                }
                ReceivedFrame::Ignored => {}
                ReceivedFrame::Disconnected => return Err(Disconnected),
            }
        }
    }

    /// Sends a session's messages and delivers what the client sends, until the session ends, the
    /// client disconnects, or the server stops. Then closes the connection.
    pub async fn follow(
        mut self,
        app: &App,
        session: &Session,
        follower: Follower,
        notices: Notices,
        dialect: Dialect,
    ) {
        let activity = ClientActivity::new();
        let (sender, frames) = mpsc::channel(OUTGOING_QUEUE_FRAMES);
        let receiver = Receiver {
            session,
            caller: &self.caller,
            dialect,
            frames: sender,
            activity: &activity,
            rate_limit: &mut self.rate_limit,
            meter: &self.meter,
            held_bytes: &app.held_bytes,
            payer: self.payer,
        };
        let reason = tokio::select! {
            reason = send_loop(&mut self.sink, app, follower, notices, dialect, frames, &activity) => reason,
            Disconnected = receiver.run(&mut self.stream) => None,
            () = app.credentials.ended(&self.caller) => Some(CloseReason::unauthorized()),
        };
        match reason {
            Some(reason) => self.close(reason).await,
            // If the client sent a close frame, this sends the answer to it. If the client has
            // vanished, the timeout ends the attempt.
            None => drop(tokio::time::timeout(CLOSE_REPLY_TIMEOUT, self.sink.close()).await),
        }
    }

    /// Closes the connection properly: sends a last message and the close frame, then gives a
    /// client that has behaved up to [`CLOSE_TIMEOUT`] to read them, so that a reset discards
    /// nothing that it has not read yet. Nothing that the client sends is parsed any more. A
    /// client that has misbehaved gets the few seconds in which a dropped connection lingers.
    pub async fn close(&mut self, reason: CloseReason) {
        let CloseReason { last_text, code, reason, is_patient } = reason;
        let frame = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
        let send = async {
            if let Some(text) = last_text {
                self.sink.feed(Message::text(text)).await?;
            }
            self.sink.send(Message::Close(Some(frame))).await
        };
        let time = if is_patient { SEND_TIMEOUT } else { CLOSE_REPLY_TIMEOUT };
        if matches!(tokio::time::timeout(time, send).await, Ok(Ok(()))) && is_patient {
            self.meter.discard_for(CLOSE_TIMEOUT);
            while let Some(Ok(_)) = self.stream.next().await {}
        }
    }
}
