//! Every word that crosses a boundary of LiveCode, written down once.
//!
//! | module | who speaks | to whom |
//! | --- | --- | --- |
//! | [`session`] | HTTP clients | the server: the documents of `/sessions` |
//! | [`stream`] | websocket clients | the server: the messages of a stream, v0.1 and v0.2 |
//! | [`warm`] | the server | a spawner: what to make ready before there is a session |
//! | [`run_spec`] | the server | a supervisor, through a file: what to run, and within which limits |
//! | [`control`] | the server | a supervisor, through its socket: input in, progress out |
//!
//! Nothing here does I/O, and nothing here knows how a program is run.

pub mod control;
pub mod error_code;
pub mod file_name;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod id;
pub mod run_spec;
pub mod session;
pub mod stream;
pub mod warm;

pub use error_code::{DeliveryRefused, ErrorCode};
pub use file_name::FileName;
pub use id::SessionId;
