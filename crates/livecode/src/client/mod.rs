//! A client of the server: requests, and a viewer that follows a session whatever happens to the connection.

mod backoff;
mod escalation;
mod input;
mod output;
mod resume;
mod server;
mod viewer;

use std::{
    fmt,
    io::{self, Write as _},
};

pub use server::Server;
pub use viewer::{Viewer, Watching};

/// Tells the user something on standard error, which may be closed.
pub fn say(words: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "livecode: {words}");
}
