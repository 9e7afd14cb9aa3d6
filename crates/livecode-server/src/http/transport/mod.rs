//! Connections: accepted, limited, and closed without losing what the client has not read yet.

mod acceptor;
pub(crate) mod connections;
mod emergency;
pub(crate) mod linger;
pub(crate) mod listen;
pub(crate) mod listeners;
mod stream;
pub(crate) mod unix_socket;
