//! HTTP requests to a server.

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use livecode_protocol::{
    SessionId,
    session::{CreateSession, Problem, SessionDocument},
};
use livecode_server::catalogue::RuntimeInfo;
use serde::de::DeserializeOwned;
use ureq::{Agent, Body, http};

use super::backoff::Backoff;

/// How long a request may take. A deletion waits until the session's processes are dead.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How many times the creation of a session is attempted if the connection fails or an earlier
/// attempt is still being processed. The idempotency key ensures that only one session is created.
const MAX_CREATE_ATTEMPTS: u32 = 5;

/// The server that a command sends its requests to.
#[derive(Args, Clone)]
pub struct ServerClient {
    /// URL of the server.
    #[arg(
        id = "server_url",
        long = "server",
        env = "LIVECODE_SERVER",
        default_value = "http://127.0.0.1:8000",
        value_name = "URL"
    )]
    url: String,
}

impl ServerClient {
    /// The documents of all sessions.
    pub fn sessions(&self) -> anyhow::Result<Vec<SessionDocument>> {
        self.request_json("GET", "/sessions", None, None)
    }

    /// The documents of all runtimes.
    pub fn runtimes(&self) -> anyhow::Result<Vec<RuntimeInfo>> {
        self.request_json("GET", "/runtimes", None, None)
    }

    /// Ends a session if it still runs, and deletes it.
    pub fn delete(&self, id: SessionId) -> anyhow::Result<()> {
        let response = self.send("DELETE", &format!("/sessions/{id}"), None, None)?;
        into_success(response).map(drop)
    }

    /// Creates a session. Retries after failed connections create no second session.
    pub fn create(&self, request: &CreateSession) -> anyhow::Result<SessionId> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| anyhow!("cannot generate a random key: {error}"))?;
        let key = SessionId::from_random(random).to_string();
        let body = serde_json::to_vec(request)?;
        let mut backoff = Backoff::default();
        let mut attempts = 1;
        loop {
            match self.send("POST", "/sessions", Some(&key), Some(&body)) {
                Ok(response) if attempts == MAX_CREATE_ATTEMPTS || !is_transient(response.status()) => {
                    let session: SessionDocument = parse_json(into_success(response)?)?;
                    return Ok(session.id);
                }
                Err(error) if attempts == MAX_CREATE_ATTEMPTS => return Err(error),
                Ok(_) | Err(_) => std::thread::sleep(backoff.next_delay()),
            }
            attempts += 1;
        }
    }

    /// The websocket URL of a session's stream, which starts after the entry with number `after`.
    pub fn stream_url(&self, id: SessionId, after: u64) -> anyhow::Result<String> {
        let base = self.url.trim_end_matches('/');
        let (scheme, rest) = base.split_once("://").with_context(|| self.bad_url())?;
        let scheme = match scheme {
            "http" => "ws",
            "https" => "wss",
            _ => bail!("{}", self.bad_url()),
        };
        Ok(format!("{scheme}://{rest}/sessions/{id}/stream?after={after}"))
    }

    /// The error text for a URL that cannot be that of a server.
    fn bad_url(&self) -> String {
        format!("{:?} is not the URL of a server, such as http://127.0.0.1:8000", self.url)
    }

    /// Sends a request and parses the answer.
    fn request_json<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        key: Option<&str>,
        body: Option<&[u8]>,
    ) -> anyhow::Result<T> {
        parse_json(into_success(self.send(method, path, key, body)?)?)
    }

    /// Sends one request. `key` is the idempotency key.
    fn send(
        &self,
        method: &str,
        path: &str,
        key: Option<&str>,
        body: Option<&[u8]>,
    ) -> anyhow::Result<http::Response<Body>> {
        let config =
            Agent::config_builder().http_status_as_error(false).timeout_global(Some(REQUEST_TIMEOUT));
        let agent: Agent = config.build().into();
        let url = format!("{}{path}", self.url.trim_end_matches('/'));
        let mut request = http::Request::builder().method(method).uri(&url);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let result = match body {
            Some(body) => agent.run(request.header("content-type", "application/json").body(body)?),
            None => agent.run(request.body(())?),
        };
        result.with_context(|| {
            format!(
                "no server answers at {}; start one with `livecode serve` or choose another with --server",
                self.url
            )
        })
    }
}

/// Whether a repeated request may be answered differently: the server still processes an earlier
/// request with the same key (409), is stopping or lacks resources (503), or a proxy reaches no
/// server (502 to 504).
fn is_transient(status: http::StatusCode) -> bool {
    matches!(status.as_u16(), 409 | 502..=504)
}

/// Parses the JSON body of an answer.
fn parse_json<T: DeserializeOwned>(mut response: http::Response<Body>) -> anyhow::Result<T> {
    let text = response.body_mut().with_config().limit(u64::MAX).read_to_string()?;
    serde_json::from_str(&text)
        .context("the answer is not from a LiveCode server, or from one of another version")
}

/// Returns a successful answer unchanged, and turns an error answer into an error with its text.
fn into_success(response: http::Response<Body>) -> anyhow::Result<http::Response<Body>> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    match parse_json::<Problem>(response) {
        Ok(Problem { field: Some(field), detail, .. }) if !field.is_empty() => bail!("{field}: {detail}"),
        Ok(problem) => bail!("{}", problem.detail),
        Err(_) => bail!("the server answered {status}"),
    }
}
