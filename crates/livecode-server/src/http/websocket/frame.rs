//! Frames that are sent besides a session's messages, and the reasons to close a connection.

use livecode_protocol::stream::ServerMessage;
use tungstenite::protocol::frame::coding::CloseCode;

use super::metered::MessageRefused;
use crate::{
    held_bytes::{HeldBytes, OverBudget},
    http::encode::message_json,
};

/// The other side has disconnected, or the connection is broken.
pub(crate) struct Disconnected;

/// A frame that the outgoing half is asked to send.
pub(crate) enum OutgoingFrame {
    /// A message.
    Text(String),
    /// An error that repeats the client's message, with its charge.
    Error { text: String, _held: HeldBytes },
    /// The end of the connection.
    Close(CloseReason),
}

/// How a connection is closed: a last message, then the close frame (RFC 6455, section 7.4).
pub(crate) struct CloseReason {
    /// A message that is sent before the close frame.
    pub last_text: Option<String>,
    /// The status code of the close frame.
    pub code: CloseCode,
    /// The reason in the close frame; empty if the code needs no explanation.
    pub reason: &'static str,
    /// Whether the client has behaved, so that it gets the time to read all that was sent before
    /// the close frame.
    pub is_patient: bool,
}

impl OutgoingFrame {
    /// A message of the server.
    pub fn message(message: &ServerMessage<'_>) -> Self {
        Self::Text(message_json(message))
    }
}

impl CloseReason {
    fn new(code: CloseCode, reason: &'static str) -> Self {
        Self { last_text: None, code, reason, is_patient: true }
    }

    /// A reason that the client is to blame for.
    fn misbehaviour(code: CloseCode, reason: &'static str) -> Self {
        Self { is_patient: false, ..Self::new(code, reason) }
    }

    /// The session has ended and everything was sent.
    pub fn session_ended() -> Self {
        Self::new(CloseCode::Normal, "")
    }

    /// The client sent `quit`; it gets a `goodbye`.
    pub fn goodbye() -> Self {
        let last_text = Some(message_json(&ServerMessage::Goodbye));
        Self { last_text, ..Self::new(CloseCode::Normal, "") }
    }

    /// The server stops. The client may reconnect to the next one.
    pub fn server_restart() -> Self {
        Self::new(CloseCode::Restart, "the server restarts; come back")
    }

    /// The session's journal cannot be read.
    pub fn unreadable_journal() -> Self {
        Self::new(CloseCode::Error, "the journal cannot be read")
    }

    /// The client of `/livecode` has sent no program within the time that it has for that.
    pub fn no_program() -> Self {
        Self::new(CloseCode::Policy, "no program was sent in time; connect again to run one")
    }

    /// The token or share by which the client is known was revoked, or has expired.
    pub fn unauthorized() -> Self {
        Self::new(CloseCode::Policy, "the token or share is not valid any more")
    }

    /// The client sends more messages than it may.
    pub fn message_rate() -> Self {
        Self::misbehaviour(CloseCode::Policy, "too many messages a second")
    }

    /// The client sent a message that is larger than
    /// [`MAX_CLIENT_MESSAGE_BYTES`](livecode_protocol::stream::MAX_CLIENT_MESSAGE_BYTES), or as
    /// the first message of v0.1 one that is larger than the setting `body_max_bytes`.
    pub fn message_too_large() -> Self {
        Self::misbehaviour(CloseCode::Size, "the message is too large")
    }

    /// The byte budget has no room for the answer to a message.
    pub fn over_budget() -> Self {
        Self::misbehaviour(CloseCode::Policy, "too many bytes are held; try again in a moment")
    }

    /// A message of the client is not read to its end.
    pub(super) fn message_refused(refused: MessageRefused) -> Self {
        let reason = match refused {
            MessageRefused::OverBudget(OverBudget::Address) => {
                "too many bytes are held for you; try again in a moment"
            }
            MessageRefused::OverBudget(OverBudget::Server) => {
                "too many bytes are held for all clients; try again in a moment"
            }
            MessageRefused::TooSlow => "the message did not arrive in time",
            MessageRefused::TooManyFrames => "the message has too many frames",
        };
        Self::misbehaviour(CloseCode::Policy, reason)
    }
}
