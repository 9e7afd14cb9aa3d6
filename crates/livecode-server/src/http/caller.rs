//! Who asks, under which address the server was reached, and what they sent.

use std::{net::SocketAddr, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use livecode_protocol::SessionId;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::auth::{Caller, RequestFacts, bearer_token};
use crate::http::{App, problem::ApiError};

/// The address under which a client reached the server, for links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicAddress {
    is_secure: bool,
    host: String,
}

impl PublicAddress {
    /// `http:` or `https:` address of a path.
    pub fn http(&self, path: &str) -> String {
        format!("{}://{}{path}", if self.is_secure { "https" } else { "http" }, self.host)
    }

    /// `ws:` or `wss:` address of a path.
    pub fn websocket(&self, path: &str) -> String {
        format!("{}://{}{path}", if self.is_secure { "wss" } else { "ws" }, self.host)
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).map(|value| value.to_str().unwrap_or_default())
}

/// The first value of a list header, which is that of the first proxy.
fn first<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    text(headers, name)?.split(',').next().map(str::trim).filter(|value| !value.is_empty())
}

/// Finds out who asks, before anything else is done, and refuses what is meant for another host.
pub(crate) async fn identify(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
    match look(&app, peer, &request) {
        Ok((caller, base)) => {
            request.extensions_mut().insert(caller);
            request.extensions_mut().insert(base);
            next.run(request).await
        }
        Err(error) => error.into_response(),
    }
}

fn look(app: &App, peer: Option<SocketAddr>, request: &Request) -> Result<(Caller, PublicAddress), ApiError> {
    let headers = request.headers();
    let is_trusted = peer.is_some_and(|peer| app.config.trusted_proxies.contains(&peer.ip().to_canonical()));
    let forwarded = |name| is_trusted.then(|| first(headers, name)).flatten();
    let own_host =
        text(headers, "host").or_else(|| request.uri().authority().map(|authority| authority.as_str()));
    let host = forwarded("x-forwarded-host").or(own_host);
    let facts = RequestFacts {
        peer,
        host,
        origin: text(headers, "origin"),
        fetch_site: text(headers, "sec-fetch-site"),
        is_forwarded: [
            "forwarded",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-real-ip",
            "via",
        ]
        .iter()
        .any(|name| headers.contains_key(*name)),
        token: bearer_token(headers)
            // What is no token of ours, such as a page's "undefined", must not make strangers one owner.
            .filter(|token| token.parse::<SessionId>().is_ok()),
    };
    let caller = app.policy.caller(&facts)?;
    let is_secure = forwarded("x-forwarded-proto").is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
    Ok((caller, PublicAddress { is_secure, host: host.unwrap_or_default().to_owned() }))
}

/// Gives what reads a body the configured time for it.
pub(crate) async fn in_time<T>(
    app: &App,
    reading: impl Future<Output = Result<T, ApiError>>,
) -> Result<T, ApiError> {
    let timeout = Duration::from_millis(app.config.body_timeout_ms);
    tokio::time::timeout(timeout, reading).await.unwrap_or_else(|_| {
        let detail = format!("the body did not come within {} ms", app.config.body_timeout_ms);
        Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, detail).with_header(header::CONNECTION, "close"))
    })
}

/// Reads a whole body, up to the configured size, in the configured time.
pub(crate) async fn read_body(app: &App, body: Body) -> Result<Bytes, ApiError> {
    let max = app.config.body_max_bytes;
    let bytes = axum::body::to_bytes(body, usize::try_from(max).unwrap_or(usize::MAX));
    let bytes = async {
        bytes.await.map_err(|error| {
            let is_too_large = std::error::Error::source(&error)
                .is_some_and(|cause| cause.is::<http_body_util::LengthLimitError>());
            if is_too_large {
                ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than {max} bytes"))
            } else {
                ApiError::bad_request(format!("the body could not be read: {error}"))
            }
        })
    };
    in_time(app, bytes).await
}

/// The media type that a request says its body has, in lower case and without parameters.
pub(crate) fn media_type(parts: &Parts) -> Option<String> {
    let value = text(&parts.headers, header::CONTENT_TYPE.as_str())?;
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// Reads a JSON document: 400 where it is no JSON, 422 with the field where it is not the right one.
pub(crate) fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let value: Value = serde_json::from_slice(bytes).map_err(|error| {
        ApiError::bad_request(format!("the body is not one well-formed JSON document: {error}"))
    })?;
    require_objects(&value)?;
    serde_path_to_error::deserialize(value).map_err(|error| {
        let field = error.path().to_string();
        ApiError::field(if field == "." { String::new() } else { field }, error.into_inner().to_string())
    })
}

/// serde takes a list for a struct, field by field in their order; nobody is to rely on that.
fn require_objects(value: &Value) -> Result<(), ApiError> {
    let require = |field: String, value: &Value| match value {
        Value::Object(_) | Value::Null => Ok(()),
        _ => Err(ApiError::field(field, "must be a JSON object")),
    };
    if !value.is_object() {
        return Err(ApiError::field("", "the body must be a JSON object"));
    }
    require("limits".into(), &value["limits"])?;
    let files = value["files"].as_array().into_iter().flatten().enumerate();
    files.into_iter().try_for_each(|(index, file)| require(format!("files[{index}]"), file))
}
