//! A client of the server: HTTP requests, and a viewer that follows a session and reconnects when
//! the connection is lost.

mod backoff;
mod case_report;
mod connection;
mod end_report;
mod escalation;
mod input;
mod output;
mod reconnection;
mod resume;
mod server;
mod signals;
mod status;
mod typed;
mod unacknowledged;
mod viewer;

pub use connection::{ConnectError, connect};
pub use server::{
    DEFAULT_URL, HttpRequest, ServerClient, ServerUrl, SessionRef, ShareLink, explain_tls, into_success,
};
pub use signals::SignalListener;
pub use status::{print_note, print_status, silence_notes};
pub use viewer::{StreamViewer, ViewOptions};
