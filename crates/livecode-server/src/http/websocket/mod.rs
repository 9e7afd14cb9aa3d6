//! A websocket connection, for protocol v0.1 and v0.2.
//!
//! ```text
//!   session's journal ──follower──────────▶ ┌──────────┐
//!   incoming ──outgoing frames (bounded)──▶ │ outgoing │ ──▶ client
//!   ping timer; server stops ─────────────▶ └──────────┘
//!   client ──▶ incoming ──▶ session's delivery queue; its answers become outgoing frames
//! ```
//!
//! The two halves are concurrent futures of one task. A client that does not read its messages
//! fills its queue of outgoing frames; then the server stops reading from that client too, and no
//! other client is delayed.
//!
//! | module | content |
//! | --- | --- |
//! | `upgrade` | the opening handshake |
//! | `metered` | the client's bytes: charged, given up in time, discarded after the close |
//! | `frame_scanner` | which message the client's bytes belong to |
//! | `socket` | the connection: send, receive, follow a session, close |
//! | `incoming` | the half that receives the client's messages |
//! | `outgoing` | the half that sends the session's messages, answers and pings |
//! | `frame` | frames besides the session's messages, and the reasons to close a connection |
//! | `client_activity` | the time of the last activity, the count of unanswered messages |
//! | `rate_limit` | the token bucket for a client's messages |

mod client_activity;
pub(crate) mod frame;
mod frame_scanner;
mod incoming;
mod metered;
mod outgoing;
mod rate_limit;
pub(crate) mod socket;
pub(crate) mod upgrade;
