//! Checks that the URL leads to a LiveCode server that takes sessions, and that TLS is trusted.

use anyhow::Error;
use livecode_protocol::ErrorCode;
use livecode_sandbox::doctor::Remedy;
use serde::Deserialize;
use serde_json::Value;
use ureq::{
    Body,
    http::{Response, StatusCode, header},
};

use super::{
    outcome::{Outcome, words},
    remedies,
};
use crate::client::{HttpRequest, ServerClient, explain_tls, into_success};

/// The name of the finding about certificates.
const TLS: &str = "tls";
/// The name of the finding about the server.
const SERVER: &str = "server";
/// The longest document that is read, in bytes.
const MAX_DOCUMENT_BYTES: u64 = 1024 * 1024;

/// The answer of `/healthz`.
#[derive(Deserialize)]
pub struct Health {
    version: String,
    #[serde(default)]
    reasons: Vec<Reason>,
    /// The largest body that the server takes, in bytes. Older servers do not tell it.
    pub body_max_bytes: Option<u64>,
}

#[derive(Deserialize)]
struct Reason {
    code: String,
    detail: String,
}

/// Checks the connection and the server's health. The health is `None` if no session can be
/// created.
pub fn check(server: &ServerClient) -> (Vec<Outcome>, Option<Health>) {
    let answer = match server.send(&HttpRequest::new("GET", "/livez")) {
        Ok(answer) => answer,
        Err(error) => return (vec![no_connection(server, &error)], None),
    };
    let tls = tls(server);
    let proxy = proxy_name(&answer);
    let (health, usable) = match alive(server, answer) {
        Some(problem) => (problem, None),
        None => healthz(server, proxy.as_deref()),
    };
    (vec![tls, health], usable)
}

fn no_connection(server: &ServerClient, error: &Error) -> Outcome {
    match explain_tls(error.as_ref()) {
        Some(explanation) => Outcome::missing(TLS, explanation, remedies::certificate()),
        None => {
            let found = format!("no server answers at {}: {}", server.url(), error.root_cause());
            Outcome::missing(SERVER, found, remedies::upstream())
        }
    }
}

fn tls(server: &ServerClient) -> Outcome {
    let url = server.url();
    if url.is_tls() {
        Outcome::ok(TLS, "the certificate is trusted")
    } else if url.is_on_this_machine() {
        Outcome::ok(TLS, "not needed, since the connection stays on this machine")
    } else {
        let found = "none: programs, their output and tokens cross the network in the clear";
        Outcome::degraded(TLS, found, remedies::tls())
    }
}

/// The name by which a proxy makes itself known. LiveCode itself sends no such header.
fn proxy_name(answer: &Response<Body>) -> Option<String> {
    let header = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
    header(header::SERVER).or_else(|| header(header::VIA)).map(str::to_owned)
}

/// Checks the answer of `/livez`. Returns what is wrong with it.
fn alive(server: &ServerClient, answer: Response<Body>) -> Option<Outcome> {
    let status = answer.status();
    let mut answer = match into_success(server.url(), answer) {
        Ok(answer) => answer,
        Err(refusal) => return Some(refused(status, refusal.code, &refusal.error)),
    };
    let document: Option<Value> = read_json(&mut answer);
    if document.is_some_and(|document| document["status"] == "alive") {
        return None;
    }
    let found = format!("a server answers at {}, but it is not LiveCode", server.url());
    Some(Outcome::missing(SERVER, found, remedies::upstream()))
}

fn refused(status: StatusCode, code: Option<ErrorCode>, error: &Error) -> Outcome {
    let remedies: Vec<Remedy> = match (code, status) {
        (Some(ErrorCode::WrongHost), _) => remedies::hosts(),
        (Some(_), _) => remedies::server(),
        (None, StatusCode::UNAUTHORIZED) => remedies::credentials(),
        (None, _) => remedies::upstream(),
    };
    Outcome::missing(SERVER, words(error), remedies)
}

fn healthz(server: &ServerClient, proxy: Option<&str>) -> (Outcome, Option<Health>) {
    let mut answer = match server.send(&HttpRequest::new("GET", "/healthz")) {
        Ok(answer) => answer,
        Err(error) => return (no_connection(server, &error), None),
    };
    let status = answer.status();
    let is_health = matches!(status, StatusCode::OK | StatusCode::SERVICE_UNAVAILABLE);
    let health: Option<Health> = if is_health { read_json(&mut answer) } else { None };
    let Some(health) = health else {
        let found = match into_success(server.url(), answer) {
            Err(refusal) => return (refused(status, refusal.code, &refusal.error), None),
            Ok(_) => format!("{}/healthz does not answer as LiveCode does", server.url()),
        };
        return (Outcome::missing(SERVER, found, remedies::upstream()), None);
    };
    let through = proxy.map(|name| format!(" through {name}")).unwrap_or_default();
    let answers = format!("LiveCode {} answers{through}", health.version);
    let reasons: Vec<_> =
        health.reasons.iter().map(|reason| format!("{} ({})", reason.detail, reason.code)).collect();
    let reasons = reasons.join("; ");
    match (status, health.reasons.is_empty()) {
        (StatusCode::OK, true) => (Outcome::ok(SERVER, answers), Some(health)),
        (StatusCode::OK, false) => {
            let found = format!("{answers}, but {reasons}");
            (Outcome::degraded(SERVER, found, remedies::server()), Some(health))
        }
        _ => {
            let found = format!("{answers}, but takes no new sessions: {reasons}");
            (Outcome::missing(SERVER, found, remedies::server()), None)
        }
    }
}

fn read_json<T: for<'de> Deserialize<'de>>(answer: &mut Response<Body>) -> Option<T> {
    let body = answer.body_mut().with_config().limit(MAX_DOCUMENT_BYTES).read_to_vec().ok()?;
    serde_json::from_slice(&body).ok()
}
