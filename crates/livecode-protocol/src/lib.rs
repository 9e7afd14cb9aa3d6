//! The messages and documents that cross LiveCode's process and network boundaries. Each type is
//! defined once, here.
//!
//! | module | between | content |
//! | --- | --- | --- |
//! | [`session`] | HTTP clients and the server | the documents of `/sessions` |
//! | [`stream`] | websocket clients and the server | the messages of a stream, v0.1 and v0.2 |
//! | [`share`] | HTTP clients and the server | the documents of shares |
//! | [`token`] | HTTP clients and the server | the documents of `/tokens` |
//! | [`warm`] | the server and its spawners | what is prepared before a session exists |
//! | [`run_spec`] | the server and a supervisor, in a file | what to run, and its limits |
//! | [`results`] | the same, and clients | the files that a session leaves |
//! | [`cases`] | the same, and clients | the cases that a program is run with |
//! | [`exercise`] | HTTP clients and the server | the documents of `/exercises` |
//! | [`control`] | the server and a supervisor, on a socket | input, and the session's progress |
//! | [`json`] | all of these | parsing JSON without a tree of values |
//! | [`session_folder`] | server and supervisor, on disk | the files in a session's folder |
//! | [`printable`] | all processes and their logs | text without control characters |
//!
//! This crate does no I/O, and it does not depend on how programs are run.

pub mod cases;
pub mod control;
pub mod error_code;
pub mod exercise;
pub mod file_name;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod id;
pub mod json;
pub mod printable;
pub mod results;
pub mod run_spec;
pub mod session;
pub mod session_folder;
pub mod stream;
mod time;
mod users;
pub mod warm;

pub use error_code::{DeliveryRefused, ErrorCode};
pub use file_name::{BadFileName, FileName};
pub use id::SessionId;
pub use printable::{Printable, PrintableJson};
pub use time::now_us;
pub use users::{quota, share, token, user};
