//! Checks that the largest body that the server takes reaches it.

use std::time::Duration;

use livecode_protocol::ErrorCode;

use super::{
    outcome::Outcome,
    remedies::{self, MIB},
};
use crate::client::{HttpRequest, ServerClient, into_success};

/// The name of the finding.
const BODY_SIZE: &str = "body size";
/// The server's default of `body_max_bytes`, for servers that do not tell it.
const DEFAULT_BYTES: u64 = 16 * MIB;
/// The largest body that is tried, in bytes, whatever the server takes.
const MAX_TRIED_BYTES: u64 = 64 * MIB;
/// How long the body and its answer may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(90);
/// The request: the server refuses it only after it has read all of it.
const REQUEST_HEAD: &str = r#"{"runtime": "no-such-runtime", "code": """#;

/// Sends the largest body that the server takes, which creates no session.
pub fn check(server: &ServerClient, max_bytes: Option<u64>) -> Outcome {
    let max_bytes = max_bytes.unwrap_or(DEFAULT_BYTES);
    let tried_bytes = max_bytes.min(MAX_TRIED_BYTES);
    let size = describe(tried_bytes);
    let body = body(tried_bytes);
    let request =
        HttpRequest { body: Some(&body), timeout: BODY_TIMEOUT, ..HttpRequest::new("POST", "/sessions") };
    let missing = |found: String| Outcome::missing(BODY_SIZE, found, remedies::body_size(max_bytes));
    let answer = match server.send(&request) {
        Ok(answer) => answer,
        Err(error) => {
            return missing(format!("a body of {size} does not reach the server: {}", error.root_cause()));
        }
    };
    let status = answer.status();
    let arrived = match tried_bytes == max_bytes {
        true => format!("a body of {size} reaches the server, which takes no larger one"),
        false => format!("a body of {size} reaches the server, which takes up to {}", describe(max_bytes)),
    };
    match into_success(server.url(), answer) {
        Ok(_) => Outcome::ok(BODY_SIZE, arrived),
        Err(refusal) => match refusal.code {
            Some(
                ErrorCode::BodyTimeout
                | ErrorCode::HeldBytesFull
                | ErrorCode::TooManyConnections
                | ErrorCode::OutOfResources
                | ErrorCode::ServerStopping,
            ) => Outcome::not_tried(BODY_SIZE, format!("a body of {size} was refused: {:#}", refusal.error)),
            Some(_) => Outcome::ok(BODY_SIZE, arrived),
            None => missing(format!(
                "a body of {size}, which the server takes, is refused on the way to it (the answer was {status})"
            )),
        },
    }
}

/// A request of exactly so many bytes, or of the smallest size that a request has.
fn body(bytes: u64) -> Vec<u8> {
    let mut body = REQUEST_HEAD.as_bytes().to_vec();
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    // White space costs the server less than a long text.
    body.resize(bytes.saturating_sub(1).max(body.len()), b' ');
    body.push(b'}');
    body
}

fn describe(bytes: u64) -> String {
    match bytes % MIB {
        0 => format!("{} MiB", bytes / MIB),
        _ => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use livecode_protocol::session::CreateSession;

    use super::*;

    #[test]
    fn a_body_is_a_request_of_its_size() {
        for bytes in [100, DEFAULT_BYTES] {
            let body = body(bytes);
            assert_eq!(body.len() as u64, bytes);
            assert!(serde_json::from_slice::<CreateSession>(&body).is_ok());
        }
        assert!(serde_json::from_slice::<CreateSession>(&body(1)).is_ok());
    }
}
