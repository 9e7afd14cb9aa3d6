//! The half of a connection that receives: it reads the client's messages and handles each.

use std::sync::Arc;

use futures_util::{
    FutureExt as _, StreamExt as _,
    future::BoxFuture,
    stream::{FuturesUnordered, SplitStream},
};
use livecode_protocol::{
    DeliveryRefused, ErrorCode,
    control::Delivery,
    stream::{
        ClientDelivery, ClientMessage, ClientMessageError, MAX_CLIENT_MESSAGE_BYTES, QUEUE_FULL,
        ServerMessage, echo, event_line,
    },
};
use serde_json::{Value, value::RawValue};
use tokio::sync::mpsc;
use tungstenite::{Message, Utf8Bytes};

use super::{
    client_activity::ClientActivity,
    frame::{CloseReason, Disconnected, OutgoingFrame},
    metered::{MessageMeter, MessageRefused},
    rate_limit::TokenBucket,
    upgrade::Websocket,
};
use crate::{
    auth::{Caller, Payer, Verb},
    held_bytes::{ByteBudget, HeldBytes},
    http::encode::Dialect,
    sessions::Session,
};

/// How many deliveries of one client may wait for the supervisor's answer. While there are so
/// many, nothing is read from the client.
const MAX_PENDING_DELIVERIES: usize = 256;

/// Memory that a delivery takes besides two copies of its message: one for the program, and one
/// for an error that repeats it.
const DELIVERY_BYTES: u64 = 512;

/// The half of a connection that receives.
pub(super) struct Receiver<'c> {
    pub session: &'c Session,
    pub caller: &'c Caller,
    pub dialect: Dialect,
    /// Where answers go.
    pub frames: mpsc::Sender<OutgoingFrame>,
    pub activity: &'c ClientActivity,
    pub rate_limit: &'c mut TokenBucket,
    pub meter: &'c MessageMeter,
    pub held_bytes: &'c Arc<ByteBudget>,
    /// The payer that is charged for deliveries that wait.
    pub payer: Payer,
}

impl Receiver<'_> {
    /// Receives and handles messages until the client disconnects.
    pub async fn run(self, stream: &mut SplitStream<Websocket>) -> Disconnected {
        let mut pending: FuturesUnordered<BoxFuture<'static, Option<OutgoingFrame>>> =
            FuturesUnordered::new();
        loop {
            let mut answers_delivery = false;
            let frame = tokio::select! {
                Some(answer) = pending.next(), if !pending.is_empty() => {
                    answers_delivery = true;
                    answer
                }
                received = stream.next(), if pending.len() < MAX_PENDING_DELIVERIES => {
                    self.activity.record();
                    // The message is charged until it is handled, at the end of this block.
                    let _held = self.meter.take_complete();
                    match classify(received, MAX_CLIENT_MESSAGE_BYTES, self.dialect) {
                        ReceivedFrame::Disconnected => return Disconnected,
                        _ if !self.rate_limit.try_take() => {
                            Some(OutgoingFrame::Close(CloseReason::message_rate()))
                        }
                        ReceivedFrame::Text(text) => match self.handle_message(&text) {
                            Reply::Immediate(frame) => Some(frame),
                            Reply::Pending(answer) => {
                                pending.push(answer);
                                self.activity.unanswered.send_modify(|count| *count += 1);
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
                && self.frames.send(frame).await.is_err()
            {
                return Disconnected;
            }
            if answers_delivery {
                // The count decreases only now, since `send_final_answers` closes the connection
                // at zero: then every answer must be in the queue of frames.
                self.activity.unanswered.send_modify(|count| *count -= 1);
            }
            if is_close {
                // The outgoing half closes the connection. Until then nothing more is read, not
                // even the client's own close.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Handles one message of the client.
    fn handle_message(&self, text: &str) -> Reply {
        let dialect = self.dialect;
        let refuse = |code, error: &str| {
            let held = self.held_bytes.hold(self.payer);
            Reply::Immediate(error_frame(dialect.error(code, error, echo(text)), held))
        };
        match ClientMessage::parse(text) {
            Err(ClientMessageError { error, code }) => refuse(code, &error),
            Ok(ClientMessage::Ping) => Reply::Immediate(OutgoingFrame::message(&ServerMessage::Pong)),
            Ok(ClientMessage::Quit) => Reply::Immediate(OutgoingFrame::Close(CloseReason::goodbye())),
            Ok(ClientMessage::Exec) if dialect == Dialect::V01 => {
                refuse(ErrorCode::NotSupportedHere, "A program runs already on this connection")
            }
            Ok(ClientMessage::Exec) => {
                let error = "A stream does not run programs: create a session with POST /sessions";
                refuse(ErrorCode::NotSupportedHere, error)
            }
            Ok(ClientMessage::Deliver { item: ClientDelivery::Input { .. }, .. })
                if dialect == Dialect::V01 =>
            {
                refuse(ErrorCode::UnknownMessageType, "Unknown message type: input")
            }
            Ok(ClientMessage::Deliver { item: ClientDelivery::Signal(_), .. }) if dialect == Dialect::V01 => {
                refuse(ErrorCode::UnknownMessageType, "Unknown message type: signal")
            }
            Ok(ClientMessage::Deliver { item, .. }) if !self.may(verb(&item)) => {
                let error = match self.may(Verb::Input) {
                    true => "You may send input and events to this session, and nothing else",
                    false => "You may only watch this session",
                };
                refuse(ErrorCode::Forbidden, error)
            }
            Ok(ClientMessage::Deliver { id, item }) => match self.deliver(id, item, text) {
                Ok(answer) => Reply::Pending(answer),
                Err(DeliveryRefused { code, error }) => refuse(code, &error),
            },
        }
    }

    fn may(&self, verb: Verb) -> bool {
        self.caller.may(verb, &self.session.target())
    }

    /// Queues a delivery; returns the future frame that answers it.
    fn deliver(
        &self,
        id: Option<Value>,
        item: ClientDelivery<'_>,
        text: &str,
    ) -> Result<BoxFuture<'static, Option<OutgoingFrame>>, DeliveryRefused> {
        let dialect = self.dialect;
        let id = id.filter(|_| dialect != Dialect::V01);
        let bytes = DELIVERY_BYTES + 2 * text.len() as u64;
        let held = self.held_bytes.hold_for_long(self.payer, bytes).map_err(|over_budget| {
            let error = format!("{over_budget}: {QUEUE_FULL}");
            DeliveryRefused::new(ErrorCode::QueueFull, error)
        })?;
        let answer = self.session.deliver(id.clone(), delivery(item), held)?;
        // An error repeats the message. This copy is charged with the delivery, and dropped at its
        // answer.
        let text: Box<str> = text.into();
        let held_for_error = self.held_bytes.hold(self.payer);
        let refused = move |code, error: &str| {
            Some(error_frame(dialect.error(code, error, echo(&text)), held_for_error))
        };
        let answer_frame = async move {
            match answer.await {
                Ok(Ok(())) => id.map(|id| OutgoingFrame::message(&ServerMessage::Ack { id })),
                Ok(Err(DeliveryRefused { code, error })) => refused(code, &error),
                // The session has ended: its driver has returned, and has dropped its
                // `DeliveryQueue` with all unanswered deliveries.
                Err(_) => refused(ErrorCode::ProgramEnded, "the program has ended"),
            }
        };
        Ok(answer_frame.boxed())
    }
}

/// The action that a client asks for by a message to the program.
fn verb(item: &ClientDelivery<'_>) -> Verb {
    match item {
        ClientDelivery::Input { .. } => Verb::Input,
        ClientDelivery::Event { .. } => Verb::Event,
        ClientDelivery::Signal(_) => Verb::Signal,
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
    received: Option<tungstenite::Result<Message>>,
    max_bytes: usize,
    dialect: Dialect,
) -> ReceivedFrame {
    let too_large = || ReceivedFrame::Invalid(OutgoingFrame::Close(CloseReason::message_too_large()));
    match received {
        Some(Ok(Message::Text(text))) if text.len() > max_bytes => too_large(),
        Some(Ok(Message::Text(text))) => ReceivedFrame::Text(text),
        Some(Ok(Message::Binary(_))) => {
            let error = "Messages are JSON in text frames, not binary frames";
            let message = dialect.error(ErrorCode::MalformedMessage, error, RawValue::NULL.to_owned());
            ReceivedFrame::Invalid(OutgoingFrame::Text(message))
        }
        // The connection joins the frames of a message, so a `Frame` is never received.
        Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => ReceivedFrame::Ignored,
        Some(Ok(Message::Close(_))) | None => ReceivedFrame::Disconnected,
        Some(Err(tungstenite::Error::Capacity(_))) => too_large(),
        Some(Err(tungstenite::Error::Io(error))) => {
            match error.get_ref().and_then(|error| error.downcast_ref::<MessageRefused>()) {
                Some(refused) => {
                    ReceivedFrame::Invalid(OutgoingFrame::Close(CloseReason::message_refused(*refused)))
                }
                None => ReceivedFrame::Disconnected,
            }
        }
        Some(Err(_)) => ReceivedFrame::Disconnected,
    }
}

/// How a client's message is answered.
enum Reply {
    /// By a frame that is known at once.
    Immediate(OutgoingFrame),
    /// By the supervisor's answer. An accepted delivery without an id gets no answer (`None`).
    Pending(BoxFuture<'static, Option<OutgoingFrame>>),
}

/// The frame with an error that repeats the client's message. Such frames wait for a client that
/// does not read, so they are charged; if there is no room for this one, the connection is closed.
fn error_frame(error: String, mut held: HeldBytes) -> OutgoingFrame {
    match held.grow(error.len() as u64) {
        Ok(()) => OutgoingFrame::Error { text: error, _held: held },
        Err(_) => OutgoingFrame::Close(CloseReason::over_budget()),
    }
}

/// A client's delivery in the form that the supervisor gets.
fn delivery(item: ClientDelivery<'_>) -> Delivery {
    match item {
        ClientDelivery::Input { data, eof } => Delivery::Input { data, eof },
        ClientDelivery::Signal(signal) => Delivery::Signal { signal },
        ClientDelivery::Event { event, data } => Delivery::Event { line: event_line(event, data) },
    }
}
