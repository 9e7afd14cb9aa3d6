//! A client of the server: requests, and a viewer that follows a session whatever happens to the connection.

mod backoff;
mod input;
mod server;
mod viewer;

pub use server::Server;
pub use viewer::{Viewer, Watching};
