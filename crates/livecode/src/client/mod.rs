//! A client of the server: HTTP requests, and a viewer that follows a session and reconnects when
//! the connection is lost.

mod backoff;
mod connection;
mod escalation;
mod input;
mod output;
mod resume;
mod server_client;
mod signals;
mod status;
mod unacknowledged;
mod viewer;

pub use server_client::ServerClient;
pub use status::print_status;
pub use viewer::{StreamViewer, ViewOptions};
