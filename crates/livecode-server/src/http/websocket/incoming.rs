//! The half of a connection that receives: it reads the client's messages and handles each.

use futures_util::{
    FutureExt as _, StreamExt as _,
    future::BoxFuture,
    stream::{FuturesUnordered, SplitStream},
};
use livecode_protocol::{
    DeliveryRefused, ErrorCode,
    control::Delivery,
    stream::{ClientDelivery, ClientMessage, ClientMessageError, MAX_CLIENT_MESSAGE_BYTES, ServerMessage},
};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tungstenite::{Message, Utf8Bytes};

use super::{
    client_activity::ClientActivity,
    frame::{CloseReason, Disconnected, OutgoingFrame},
    rate_limit::TokenBucket,
    upgrade::Websocket,
};
use crate::{http::encode::Dialect, sessions::Session};

/// How many deliveries of one client may wait for the supervisor's answer. While there are so
/// many, nothing is read from the client.
const MAX_PENDING_DELIVERIES: usize = 256;

/// Receives and handles messages until the client disconnects. Answers go into `frames`.
pub(super) async fn receive_loop(
    stream: &mut SplitStream<Websocket>,
    session: &Session,
    dialect: Dialect,
    frames: mpsc::Sender<OutgoingFrame>,
    activity: &ClientActivity,
    rate_limit: &mut TokenBucket,
) -> Disconnected {
    let mut pending: FuturesUnordered<BoxFuture<'static, Option<OutgoingFrame>>> = FuturesUnordered::new();
    loop {
        let mut answers_delivery = false;
        let frame = tokio::select! {
            Some(answer) = pending.next(), if !pending.is_empty() => {
                answers_delivery = true;
                answer
            }
            received = stream.next(), if pending.len() < MAX_PENDING_DELIVERIES => {
                activity.record();
                match classify(received, MAX_CLIENT_MESSAGE_BYTES, dialect) {
                    ReceivedFrame::Disconnected => return Disconnected,
                    _ if !rate_limit.try_take() => Some(OutgoingFrame::Close(CloseReason::message_rate())),
                    ReceivedFrame::Text(text) => match handle_message(&text, session, dialect) {
                        Reply::Immediate(frame) => Some(frame),
                        Reply::Pending(answer) => {
                            pending.push(answer);
                            activity.unanswered.send_modify(|count| *count += 1);
                            None
                        }
                    },
                    ReceivedFrame::Invalid(frame) => Some(frame),
                    ReceivedFrame::Ignored => None,
                }
            }
        };
        let is_close = matches!(frame, Some(OutgoingFrame::Close(..)));
        if let Some(frame) = frame
            && frames.send(frame).await.is_err()
        {
            return Disconnected;
        }
        if answers_delivery {
            // The count decreases only now, since `send_final_answers` closes the connection at zero:
            // then every answer must be in the queue of frames.
            activity.unanswered.send_modify(|count| *count -= 1);
        }
        if is_close {
            // The outgoing half closes the connection. Until then nothing more is read, not even
            // the client's own close.
            std::future::pending::<()>().await;
        }
    }
}

/// One item that was received from the client.
pub(super) enum ReceivedFrame {
    /// A message of an acceptable size.
    Text(Utf8Bytes),
    /// A frame that is not a message; it is answered with this frame.
    Invalid(OutgoingFrame),
    /// A ping or a pong.
    Ignored,
    /// The client closed the connection, or the connection broke.
    Disconnected,
}

/// Classifies a received item. A text of more than `max_bytes` is invalid. The answer to an
/// invalid frame is in `dialect`.
pub(super) fn classify(
    received: Option<Result<Message, tungstenite::Error>>,
    max_bytes: usize,
    dialect: Dialect,
) -> ReceivedFrame {
    let too_large = || ReceivedFrame::Invalid(OutgoingFrame::Close(CloseReason::message_too_large()));
    match received {
        Some(Ok(Message::Text(text))) if text.len() > max_bytes => too_large(),
        Some(Ok(Message::Text(text))) => ReceivedFrame::Text(text),
        Some(Ok(Message::Binary(_))) => {
            let error = "Messages are JSON in text frames, not binary frames";
            let message = dialect.error(ErrorCode::MalformedMessage, error, Value::Null);
            ReceivedFrame::Invalid(OutgoingFrame::Text(message))
        }
        // The connection joins the frames of a message, so a `Frame` is never received.
        Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => ReceivedFrame::Ignored,
        Some(Err(tungstenite::Error::Capacity(_))) => too_large(),
        Some(Ok(Message::Close(_)) | Err(_)) | None => ReceivedFrame::Disconnected,
    }
}

/// How a client's message is answered.
enum Reply {
    /// By a frame that is known at once.
    Immediate(OutgoingFrame),
    /// By the supervisor's answer. An accepted delivery without an id gets no answer (`None`).
    Pending(BoxFuture<'static, Option<OutgoingFrame>>),
}

/// Handles one message of the client.
fn handle_message(text: &str, session: &Session, dialect: Dialect) -> Reply {
    let msg = || serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
    let error_frame = move |code, error: &str, msg| OutgoingFrame::Text(dialect.error(code, error, msg));
    let refuse = |code, error: &str| Reply::Immediate(error_frame(code, error, msg()));
    match ClientMessage::parse(text) {
        Err(ClientMessageError { error, msg, code }) => Reply::Immediate(error_frame(code, &error, msg)),
        Ok(ClientMessage::Ping) => Reply::Immediate(OutgoingFrame::message(&ServerMessage::Pong)),
        Ok(ClientMessage::Quit) => Reply::Immediate(OutgoingFrame::Close(CloseReason::goodbye())),
        Ok(ClientMessage::Exec(_)) if dialect == Dialect::V01 => {
            refuse(ErrorCode::NotSupportedHere, "A program runs already on this connection")
        }
        Ok(ClientMessage::Exec(_)) => {
            let error = "A stream does not run programs: create a session with POST /sessions";
            refuse(ErrorCode::NotSupportedHere, error)
        }
        Ok(ClientMessage::Deliver { item: ClientDelivery::Input { .. }, .. }) if dialect == Dialect::V01 => {
            refuse(ErrorCode::UnknownMessageType, "Unknown message type: input")
        }
        Ok(ClientMessage::Deliver { item: ClientDelivery::Signal(_), .. }) if dialect == Dialect::V01 => {
            refuse(ErrorCode::UnknownMessageType, "Unknown message type: signal")
        }
        Ok(ClientMessage::Deliver { id, item }) => {
            let id = id.filter(|_| dialect != Dialect::V01);
            match session.deliver(id.clone(), delivery(item)) {
                Err(DeliveryRefused { code, error }) => refuse(code, &error),
                Ok(answer) => {
                    let msg = msg();
                    let answer_frame = async move {
                        match answer.await {
                            Ok(Ok(())) => id.map(|id| OutgoingFrame::message(&ServerMessage::Ack { id })),
                            Ok(Err(DeliveryRefused { code, error })) => Some(error_frame(code, &error, msg)),
                            // The session has ended: its driver has returned, and has dropped its
                            // `DeliveryQueue` with all unanswered deliveries.
                            Err(_) => {
                                Some(error_frame(ErrorCode::ProgramEnded, "the program has ended", msg))
                            }
                        }
                    };
                    Reply::Pending(answer_frame.boxed())
                }
            }
        }
    }
}

/// A client's delivery in the form that the supervisor gets.
fn delivery(item: ClientDelivery) -> Delivery {
    match item {
        ClientDelivery::Input { data, eof } => Delivery::Input { data, eof },
        ClientDelivery::Signal(signal) => Delivery::Signal { signal },
        ClientDelivery::Event { event, data } => {
            Delivery::Event { line: json!({"msgtype": "event", "event": event, "data": data}).to_string() }
        }
    }
}
