//! The answers of a server: successes are parsed, and errors become errors with helpful words.

use anyhow::{Context as _, anyhow};
use livecode_protocol::{ErrorCode, session::Problem};
use serde::de::DeserializeOwned;
use ureq::{
    Body,
    http::{HeaderMap, Response, StatusCode, header},
};

use super::url::ServerUrl;

/// The longest body of an error that is read, in bytes.
const MAX_PROBLEM_BYTES: u64 = 64 * 1024;

/// Parses the JSON body of a successful answer.
pub fn parse_json<T: DeserializeOwned>(url: &ServerUrl, mut response: Response<Body>) -> anyhow::Result<T> {
    let text = response.body_mut().with_config().limit(u64::MAX).read_to_string()?;
    serde_json::from_str(&text).with_context(|| {
        format!("the answer of {url} is not from a LiveCode server, or from one of another version")
    })
}

/// An answer that is not a success.
pub struct Refusal {
    /// The code of the problem document; `None` if the answer has no such document.
    pub code: Option<ErrorCode>,
    /// The error for the user.
    pub error: anyhow::Error,
}

/// Returns a successful answer unchanged, and turns any other into a [`Refusal`].
pub fn into_success(url: &ServerUrl, mut response: Response<Body>) -> Result<Response<Body>, Refusal> {
    if response.status().is_success() {
        return Ok(response);
    }
    let body = response.body_mut().with_config().limit(MAX_PROBLEM_BYTES).read_to_vec().unwrap_or_default();
    Err(refusal(url, response.status(), response.headers(), &body))
}

/// The refusal that an answer means, from its head and from as much of its body as has arrived.
pub fn refusal(url: &ServerUrl, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Refusal {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if let Ok(problem) = serde_json::from_slice::<Problem>(body) {
        let error = match problem.field.filter(|field| !field.is_empty()) {
            Some(field) => anyhow!("{field}: {}", problem.detail),
            None => anyhow!("{}", problem.detail),
        };
        return Refusal { code: Some(problem.code), error };
    }
    let error = match (status.as_u16(), header(header::LOCATION)) {
        (301 | 302 | 303 | 307 | 308, Some(location)) => {
            let target = location.rsplit_once("/runtimes").or_else(|| location.rsplit_once("/sessions"));
            let target = target.map_or(location, |(server, _)| server);
            anyhow!("{url} sends its clients to another address; use --server {target}")
        }
        (401, _) => anyhow!(
            "{url} asks for a user's name and password; give them in the URL, as in \
             --server https://name:password@host"
        ),
        (502..=504, _) => anyhow!("a proxy answers at {url}, but it reaches no LiveCode server ({status})"),
        (404, _) => anyhow!(
            "there is no LiveCode server at {url} (the answer was {status}); is the path of the URL right?"
        ),
        _ => anyhow!("{url} answered {status}, and not as a LiveCode server does"),
    };
    Refusal { code: None, error }
}
