//! Tells the user how a program has ended that did not end by itself.

use std::time::Duration;

use livecode_protocol::{
    SessionId,
    session::{Outcome, describe_end},
};
use serde::Deserialize as _;
use serde_json::Value;

use super::{server::ServerClient, status::print_status};
use crate::failure::EXIT_NOT_COMPILED;

/// How long the server may take to tell how the program ended. Without an answer, the words are
/// this command's own, which do not know the session's limits.
const DETAIL_TIMEOUT: Duration = Duration::from_secs(5);

/// The exit code of the command for an `exitstatus` message.
pub fn exit_code(message: &Value) -> u8 {
    match message["reason"].as_str() {
        Some("compile_failed") => EXIT_NOT_COMPILED,
        _ => (exit_status(message) & 0xff) as u8,
    }
}

/// The exit status in an `exitstatus` message.
fn exit_status(message: &Value) -> i32 {
    message["exitstatus"].as_i64().and_then(|status| i32::try_from(status).ok()).unwrap_or(255)
}

/// Prints why the program has ended, if it did not end by itself and not by a signal of this
/// command. `message` is the `exitstatus` message.
pub fn report_end(server: &ServerClient, id: SessionId, message: &Value, has_signalled: bool) {
    let Some(reason) = message["reason"].as_str() else { return };
    let exitstatus = exit_status(message);
    let stopped = match reason {
        "signalled" if has_signalled => return,
        // The compiler has printed why.
        "compile_failed" => {
            return print_status(format_args!("the program was not compiled: exit status {exitstatus}"));
        }
        "signalled" => format!("stopped: signalled ({})", exitstatus.saturating_sub(128)),
        reason => format!("stopped: {reason}"),
    };
    let detail = server.session(id, DETAIL_TIMEOUT).ok().and_then(|document| document.detail);
    let outcome = Outcome::deserialize(&message["reason"]).ok();
    match detail.or_else(|| Some(describe_end(outcome?, exitstatus, None))) {
        Some(detail) => print_status(format_args!("{stopped}: {detail}")),
        None => print_status(format_args!("{stopped}")),
    }
}
