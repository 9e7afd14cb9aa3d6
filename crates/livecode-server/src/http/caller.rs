//! The caller of a request, the address of the server that it used, and the reading of its body.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use livecode_protocol::{ErrorCode, SessionId};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::auth::{Caller, Payer, RequestFacts, bearer_token};
use crate::http::{app::App, problem::ApiError, transport::connections::ConnectionPermit};

/// The headers that proxies add. A request with any of them does not come from the local user.
const FORWARDING_HEADERS: [&str; 6] =
    ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via"];

/// The scheme and host by which a client reached the server; links in answers use them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicAddress {
    is_secure: bool,
    host: String,
}

impl PublicAddress {
    /// The `http:` or `https:` URL of a path.
    pub fn http(&self, path: &str) -> String {
        format!("{}://{}{path}", if self.is_secure { "https" } else { "http" }, self.host)
    }

    /// The `ws:` or `wss:` URL of a path.
    pub fn websocket(&self, path: &str) -> String {
        format!("{}://{}{path}", if self.is_secure { "wss" } else { "ws" }, self.host)
    }
}

/// The value of a header; an empty text if the value is not visible ASCII.
fn header_text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).map(|value| value.to_str().unwrap_or_default())
}

/// The first value of a header with a list, which is the one that the first proxy added.
fn first_in_list<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    header_text(headers, name)?.split(',').next().map(str::trim).filter(|value| !value.is_empty())
}

/// The address of the client: the other end of the connection, or, behind a trusted proxy, the last
/// address of `X-Forwarded-For` that is not a trusted proxy itself. A client can send such a header
/// too, but each proxy adds the address that it sees behind what the client sent.
fn client_address(app: &App, peer: Option<SocketAddr>, headers: &HeaderMap) -> Option<IpAddr> {
    let is_trusted = |address: &IpAddr| app.config.trusted_proxies.contains(address);
    let peer = peer?.ip().to_canonical();
    if !is_trusted(&peer) {
        return Some(peer);
    }
    let values = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
    let listed: Vec<_> = values.flat_map(|value| value.split(',')).map(str::trim).collect();
    let mut addresses = listed.iter().rev().map_while(|text| text.parse::<IpAddr>().ok());
    Some(addresses.find(|address| !is_trusted(&address.to_canonical())).unwrap_or(peer))
}

/// Middleware that runs before every handler: it identifies the caller, and adds [`Caller`],
/// [`Payer`] and [`PublicAddress`] to the request's extensions. A request for another host is
/// refused here.
pub(crate) async fn identify_caller(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
    match examine_request(&app, peer, &request) {
        Ok((caller, address)) => {
            let payer = Payer::of(&caller, client_address(&app, peer, request.headers()));
            let permit = request.extensions().get::<ConnectionPermit>();
            if permit.is_some_and(|permit| !permit.charge(payer)) {
                return too_many_connections().into_response();
            }
            request.extensions_mut().insert(payer);
            request.extensions_mut().insert(caller);
            request.extensions_mut().insert(address);
            next.run(request).await
        }
        Err(error) => error.into_response(),
    }
}

fn too_many_connections() -> ApiError {
    let detail = "your address has as many connections as one may have; close some first";
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::TooManyConnections, detail)
        .with_header(header::RETRY_AFTER, "5")
        .with_header(header::CONNECTION, "close")
}

fn examine_request(
    app: &App,
    peer: Option<SocketAddr>,
    request: &Request,
) -> Result<(Caller, PublicAddress), ApiError> {
    let headers = request.headers();
    let is_trusted = peer.is_some_and(|peer| app.config.trusted_proxies.contains(&peer.ip().to_canonical()));
    let forwarded = |name| is_trusted.then(|| first_in_list(headers, name)).flatten();
    let own_host = header_text(headers, "host")
        .or_else(|| request.uri().authority().map(|authority| authority.as_str()));
    let host = forwarded("x-forwarded-host").or(own_host);
    let facts = RequestFacts {
        peer,
        host,
        origin: header_text(headers, "origin"),
        fetch_site: header_text(headers, "sec-fetch-site"),
        is_forwarded: FORWARDING_HEADERS.iter().any(|name| headers.contains_key(*name)),
        token: bearer_token(headers)
            // Only tokens of our form count. A faulty page may send a constant such as
            // "undefined"; its users must not all become one owner.
            .filter(|token| token.parse::<SessionId>().is_ok()),
    };
    let caller = app.policy.caller(&facts)?;
    let is_secure = forwarded("x-forwarded-proto").is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
    Ok((caller, PublicAddress { is_secure, host: host.unwrap_or_default().to_owned() }))
}

/// Runs a future that reads a body, with the configured `body_timeout_ms`.
///
/// # Errors
/// The error of the future, or 408 if the body is not complete in time.
pub(crate) async fn with_body_timeout<T>(
    app: &App,
    reading: impl Future<Output = Result<T, ApiError>>,
) -> Result<T, ApiError> {
    let timeout = Duration::from_millis(app.config.body_timeout_ms);
    tokio::time::timeout(timeout, reading).await.unwrap_or_else(|_| {
        let detail = format!("the body did not arrive within {} ms", app.config.body_timeout_ms);
        let error = ApiError::new(StatusCode::REQUEST_TIMEOUT, ErrorCode::BodyTimeout, detail);
        Err(error.with_header(header::CONNECTION, "close"))
    })
}

/// Reads a whole body.
///
/// # Errors
/// 413 if the body is larger than configured, 408 if it takes longer than configured, and 400 if
/// the connection breaks or the body's framing is wrong.
pub(crate) async fn read_body(app: &App, body: Body) -> Result<Bytes, ApiError> {
    let max_bytes = app.config.body_max_bytes;
    let bytes = axum::body::to_bytes(body, usize::try_from(max_bytes).unwrap_or(usize::MAX));
    let reading = async {
        bytes.await.map_err(|error| {
            let is_too_large = std::error::Error::source(&error)
                .is_some_and(|cause| cause.is::<http_body_util::LengthLimitError>());
            if is_too_large {
                ApiError::body_too_large(format!("the body is larger than {max_bytes} bytes"))
            } else {
                ApiError::malformed_request(format!("the body could not be read: {error}"))
            }
        })
    };
    with_body_timeout(app, reading).await
}

/// The media type in a request's `Content-Type`, in lower case and without parameters.
pub(crate) fn media_type(parts: &Parts) -> Option<String> {
    let value = header_text(&parts.headers, header::CONTENT_TYPE.as_str())?;
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// Parses a JSON document.
///
/// # Errors
/// 400 if the bytes are not JSON, and 422 with the name of the field if a field is wrong.
pub(crate) fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let value: Value = serde_json::from_slice(bytes).map_err(|error| {
        ApiError::malformed_request(format!("the body is not one well-formed JSON document: {error}"))
    })?;
    require_objects(&value)?;
    serde_path_to_error::deserialize(value).map_err(|error| {
        let field = error.path().to_string();
        ApiError::field(if field == "." { String::new() } else { field }, error.into_inner().to_string())
    })
}

/// Refuses arrays in place of objects. serde accepts an array for a struct and takes its items as
/// the fields in their order; no client may come to rely on that order.
fn require_objects(value: &Value) -> Result<(), ApiError> {
    let require = |field: String, value: &Value| match value {
        Value::Object(_) | Value::Null => Ok(()),
        _ => Err(ApiError::field(field, "must be a JSON object")),
    };
    if !value.is_object() {
        return Err(ApiError::field("", "the body must be a JSON object"));
    }
    require("limits".into(), &value["limits"])?;
    let mut files = value["files"].as_array().into_iter().flatten().enumerate();
    files.try_for_each(|(index, file)| require(format!("files[{index}]"), file))
}
