//! Requests to a server.

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

/// How long a request may take. Deleting waits for processes to die.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How often creating a session is tried where the connection fails, or an earlier try is still being worked on. The key
/// makes sure that there is one session.
const CREATE_TRIES: u32 = 5;

/// The server that a command talks to.
#[derive(Args, Clone)]
pub struct Server {
    /// Address of the server.
    #[arg(
        id = "server_url",
        long = "server",
        env = "LIVECODE_SERVER",
        default_value = "http://127.0.0.1:8000",
        value_name = "URL"
    )]
    url: String,
}

impl Server {
    /// Lists sessions.
    pub fn sessions(&self) -> anyhow::Result<Vec<SessionDocument>> {
        self.ask("GET", "/sessions", None, None)
    }

    /// Lists runtimes.
    pub fn runtimes(&self) -> anyhow::Result<Vec<RuntimeInfo>> {
        self.ask("GET", "/runtimes", None, None)
    }

    /// Ends and forgets a session.
    pub fn delete(&self, id: SessionId) -> anyhow::Result<()> {
        let response = self.send("DELETE", &format!("/sessions/{id}"), None, None)?;
        check(response).map(drop)
    }

    /// Creates a session, once, however often the connection fails meanwhile.
    pub fn create(&self, request: &CreateSession) -> anyhow::Result<SessionId> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| anyhow!("no random key can be drawn: {error}"))?;
        let key = SessionId::from_random(random).to_string();
        let body = serde_json::to_vec(request)?;
        let mut backoff = Backoff::default();
        let mut tries = 1;
        loop {
            match self.send("POST", "/sessions", Some(&key), Some(&body)) {
                Ok(response) if tries == CREATE_TRIES || !is_passing(response.status()) => {
                    let session: SessionDocument = read(check(response)?)?;
                    return Ok(session.id);
                }
                Err(error) if tries == CREATE_TRIES => return Err(error),
                Ok(_) | Err(_) => std::thread::sleep(backoff.next()),
            }
            tries += 1;
        }
    }

    /// Address of a session's stream.
    pub fn stream_url(&self, id: SessionId, after: u64) -> anyhow::Result<String> {
        let base = self.url.trim_end_matches('/');
        let (scheme, rest) = base.split_once("://").with_context(|| self.malformed())?;
        let scheme = match scheme {
            "http" => "ws",
            "https" => "wss",
            _ => bail!("{}", self.malformed()),
        };
        Ok(format!("{scheme}://{rest}/sessions/{id}/stream?after={after}"))
    }

    fn malformed(&self) -> String {
        format!("{:?} is not the address of a server, such as http://127.0.0.1:8000", self.url)
    }

    fn ask<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        key: Option<&str>,
        body: Option<&[u8]>,
    ) -> anyhow::Result<T> {
        read(check(self.send(method, path, key, body)?)?)
    }

    fn send(
        &self,
        method: &str,
        path: &str,
        key: Option<&str>,
        body: Option<&[u8]>,
    ) -> anyhow::Result<http::Response<Body>> {
        let config = Agent::config_builder().http_status_as_error(false).timeout_global(Some(TIMEOUT));
        let agent: Agent = config.build().into();
        let url = format!("{}{path}", self.url.trim_end_matches('/'));
        let mut request = http::Request::builder().method(method).uri(&url);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let sent = match body {
            Some(body) => agent.run(request.header("content-type", "application/json").body(body)?),
            None => agent.run(request.body(())?),
        };
        sent.with_context(|| {
            format!("no server answers at {}; `livecode serve` starts one, --server names another", self.url)
        })
    }
}

/// Whether the same request may be answered otherwise soon: the first of its key is being worked on, or a proxy finds no
/// server.
fn is_passing(status: http::StatusCode) -> bool {
    matches!(status.as_u16(), 409 | 502..=504)
}

fn read<T: DeserializeOwned>(mut response: http::Response<Body>) -> anyhow::Result<T> {
    let text = response.body_mut().with_config().limit(u64::MAX).read_to_string()?;
    serde_json::from_str(&text).context("what answered is not a LiveCode server, or one of another version")
}

/// Turns an error's answer into its words.
fn check(response: http::Response<Body>) -> anyhow::Result<http::Response<Body>> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    match read::<Problem>(response) {
        Ok(Problem { field: Some(field), detail, .. }) if !field.is_empty() => bail!("{field}: {detail}"),
        Ok(problem) => bail!("{}", problem.detail),
        Err(_) => bail!("the server answers {status}"),
    }
}
