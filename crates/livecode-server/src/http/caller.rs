//! The caller of a request, and the address of the server that it used.

use std::net::IpAddr;

use axum::{
    Extension,
    extract::{Request, State},
    http::{Extensions, HeaderMap, StatusCode, Uri, Version, header, request::Parts},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use livecode_protocol::{ErrorCode, SessionId, now_us};

use crate::auth::{Caller, Payer, Peer, RequestFacts, RequestingPage, bearer_token, guest_token};
use crate::http::{
    app::App, guest_cookie, origins, problem::ApiError, transport::connections::ConnectionPermit,
};

/// The headers that proxies add, besides those that begin with [`FORWARDING_PREFIX`].
const FORWARDING_HEADERS: [&str; 3] = ["forwarded", "x-real-ip", "via"];
const FORWARDING_PREFIX: &str = "x-forwarded-";

/// Whether a request bears a sign of a proxy, by which it does not come from the local user.
/// HTTP/1.0 is such a sign: nginx speaks it to a server unless it is told otherwise, and no
/// current client does.
fn is_forwarded(request: &Request) -> bool {
    let is_forwarding =
        |name: &str| FORWARDING_HEADERS.contains(&name) || name.starts_with(FORWARDING_PREFIX);
    request.version() == Version::HTTP_10 || request.headers().keys().any(|name| is_forwarding(name.as_str()))
}

/// The path that answers under any `Host`, since it says nothing that a page of another origin
/// may not know. Health checks often send no host, or the address of a machine.
pub(crate) const LIVENESS_PATH: &str = "/livez";

/// The path of the metrics.
pub(crate) const METRICS_PATH: &str = "/metrics";

/// The scheme and host by which a client reached the server; links in answers use them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PublicAddress {
    is_secure: bool,
    host: String,
}

impl PublicAddress {
    /// The host, with the port if the client named one.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The `http:` or `https:` URL of a path.
    pub fn http(&self, path: &str) -> String {
        format!("{}://{}{path}", if self.is_secure { "https" } else { "http" }, self.host)
    }

    /// The `ws:` or `wss:` URL of a path.
    pub fn websocket(&self, path: &str) -> String {
        format!("{}://{}{path}", if self.is_secure { "wss" } else { "ws" }, self.host)
    }
}

/// The address of the client that a request comes from, if it is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientAddress(pub Option<IpAddr>);

/// The value of a header; an empty text if the value is not visible ASCII.
fn header_text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).map(|value| value.to_str().unwrap_or_default())
}

/// The first value of a header with a list, which is the one that the first proxy added.
fn first_in_list<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    header_text(headers, name)?.split(',').next().map(str::trim).filter(|value| !value.is_empty())
}

/// The address of the client, `None` if it is unknown: the other end of the connection, or, behind a
/// trusted proxy, the last address of `X-Forwarded-For` that is not a trusted proxy itself. A client
/// can send such a header too, but each proxy adds the address that it sees behind what the client
/// sent.
fn client_address(app: &App, peer: Option<Peer>, headers: &HeaderMap) -> Option<IpAddr> {
    let is_trusted = |address| app.config.trusted_proxies.iter().any(|proxy| proxy.is_at(address));
    let peer = peer?.address.ip().map(|address| address.to_canonical());
    if !is_trusted(peer) {
        return peer;
    }
    let values = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
    let listed: Vec<_> = values.flat_map(|value| value.split(',')).map(str::trim).collect();
    let mut addresses = listed.iter().rev().map_while(|text| text.parse::<IpAddr>().ok());
    addresses.find(|address| !is_trusted(Some(*address))).or(peer)
}

/// Middleware that runs before every handler: it identifies the caller, and adds [`Caller`],
/// [`Payer`], [`ClientAddress`] and [`PublicAddress`] to the request's extensions. A request for
/// another host is refused here, unless it asks whether the server lives, and so is what a page of
/// an origin that is not allowed asks for.
pub(crate) async fn identify_caller(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().copied();
    let examined = match examine_request(&app, peer, &request) {
        Err(_) if request.uri().path() == LIVENESS_PATH => {
            Ok((Caller::Guest(None), PublicAddress::default(), None))
        }
        examined => examined,
    };
    match examined {
        Ok((caller, address, cookie)) => {
            let client = client_address(&app, peer, request.headers());
            let caller = match identify_user(&app, caller, client, &mut request).await {
                Ok(caller) => caller,
                Err(error) => return error.into_response(),
            };
            let payer = Payer::of(&caller, client);
            let permit = request.extensions().get::<ConnectionPermit>();
            if permit.is_some_and(|permit| !permit.charge(payer)) {
                return too_many_connections().into_response();
            }
            request.extensions_mut().insert(payer);
            request.extensions_mut().insert(ClientAddress(client));
            request.extensions_mut().insert(caller);
            request.extensions_mut().insert(address);
            if let Some(cookie) = cookie {
                request.extensions_mut().insert(cookie);
            }
            next.run(request).await
        }
        Err(error) => error.into_response(),
    }
}

/// A request had a credential that names no user.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WrongCredential {
    /// Whether so many came from this payer that it has to wait.
    is_one_too_many: bool,
}

/// The caller whose ticket or token the request has; otherwise `caller`. A wrong one is counted and
/// logged, whatever the request asks for, and noted in the request's extensions; the caller is then
/// nobody, unless it has a token of a guest, too.
async fn identify_user(
    app: &App,
    caller: Caller,
    client: Option<IpAddr>,
    request: &mut Request,
) -> Result<Caller, ApiError> {
    // The token of `/metrics` is no user's.
    if request.uri().path() == METRICS_PATH {
        return Ok(caller);
    }
    let payer = Payer::of(&caller, client);
    let (uri, headers) = (request.uri(), request.headers());
    let credentials = &app.credentials;
    let failed = |error| ApiError::internal(&error);
    // A ticket names the stream that is asked for, so it comes first.
    let by_ticket = match (ticket(uri), stream_of(uri)) {
        (Some(ticket), Some(stream)) => {
            Some(credentials.find_by_ticket(ticket, stream).await.map_err(failed)?)
        }
        _ => None,
    };
    let by_ticket = match by_ticket {
        Some(Ok(caller)) => return Ok(caller),
        Some(Err(refusal)) => Some(refusal),
        None => None,
    };
    let by_token = match (&caller, credentials.users(), bearer_token(headers)) {
        (Caller::Nobody, Some(users), Some(token)) => match users.find(token).await.map_err(failed)? {
            Ok(user) => return Ok(Caller::User(user)),
            Err(refusal) => Some(refusal),
        },
        _ => None,
    };
    let has_useless_ticket = caller == Caller::Nobody && ticket(uri).is_some();
    match by_token.or(by_ticket) {
        Some(refusal) => credentials.log(&refusal, client),
        None if has_useless_ticket => {}
        // A proxy in front may have passed the name and password on that it has asked for.
        None => return Ok(caller),
    }
    let is_one_too_many = app.guesses.note(payer);
    request.extensions_mut().insert(WrongCredential { is_one_too_many });
    Ok(if matches!(caller, Caller::Guest(Some(_))) { caller } else { Caller::Nobody })
}

/// The ticket in a URL. Its alphabet needs no percent-encoding.
fn ticket(uri: &Uri) -> Option<&str> {
    uri.query()?.split('&').find_map(|parameter| parameter.strip_prefix("ticket="))
}

/// The stream for which a ticket may be used at this URL: that of a session, or `Some(None)` for
/// `/livecode`; `None` if tickets have no use here.
fn stream_of(uri: &Uri) -> Option<Option<SessionId>> {
    match uri.path() {
        "/livecode" => Some(None),
        path => path.strip_prefix("/sessions/")?.strip_suffix("/stream")?.parse().ok().map(Some),
    }
}

/// Whether a request comes from a page of `/embed`: it has the pass with which the page was served
/// to the client, or opens a stream by a ticket, which only pages that may use the server have read.
pub(crate) fn is_of_frame(app: &App, extensions: &Extensions, uri: &Uri, headers: &HeaderMap) -> bool {
    let client = client_address(app, extensions.get::<Peer>().copied(), headers);
    let passes = app.credentials.frame_passes();
    if bearer_token(headers).is_some_and(|token| passes.has_made(token, client, now_us())) {
        return true;
    }
    match (ticket(uri), stream_of(uri)) {
        (Some(ticket), Some(Some(session))) => app.credentials.has_guest_ticket(ticket, session),
        _ => false,
    }
}

/// Middleware of the routes that only known callers may use: refuses a caller without a valid
/// token where the server asks for one.
pub(crate) async fn require_caller(
    Extension(caller): Extension<Caller>,
    wrong: Option<Extension<WrongCredential>>,
    request: Request,
    next: Next,
) -> Response {
    if caller != Caller::Nobody {
        return next.run(request).await;
    }
    if wrong.as_ref().is_some_and(|Extension(wrong)| wrong.is_one_too_many) {
        return too_many_guesses().into_response();
    }
    let has_other_scheme = request.headers().contains_key(header::AUTHORIZATION);
    if wrong.is_some() || has_other_scheme {
        return ApiError::wrong_credential().into_response();
    }
    let detail = "this server asks for a token: send Authorization: Bearer and your token";
    ApiError::new(StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized, detail)
        .with_header(header::WWW_AUTHENTICATE, "Bearer")
        .into_response()
}

/// 429: the caller guesses.
pub(crate) fn too_many_guesses() -> ApiError {
    let detail =
        "too many wrong tokens or ids came from you or your address; wait a moment, and send right ones";
    ApiError::new(StatusCode::TOO_MANY_REQUESTS, ErrorCode::TooManyGuesses, detail)
        .with_header(header::RETRY_AFTER, "10")
}

fn too_many_connections() -> ApiError {
    let detail = "you have as many connections as you may have; close some first";
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::TooManyConnections, detail)
        .with_header(header::RETRY_AFTER, "5")
        .with_header(header::CONNECTION, "close")
}

fn examine_request(
    app: &App,
    peer: Option<Peer>,
    request: &Request,
) -> Result<(Caller, PublicAddress, Option<guest_cookie::Offer>), ApiError> {
    let headers = request.headers();
    if headers.get_all(header::HOST).iter().nth(1).is_some() {
        // A proxy and the server could each go by another one (RFC 9112, section 3.2).
        return Err(ApiError::malformed_request("a request must have one Host header, not several"));
    }
    let is_trusted = peer.is_some_and(|peer| {
        let address = peer.address.ip();
        app.config.trusted_proxies.iter().any(|proxy| proxy.is_at(address))
    });
    let forwarded = |name| is_trusted.then(|| first_in_list(headers, name)).flatten();
    let own_host = header_text(headers, "host")
        .or_else(|| request.uri().authority().map(|authority| authority.as_str()));
    let host = forwarded("x-forwarded-host").or(own_host);
    let is_secure = forwarded("x-forwarded-proto").is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
    let facts = RequestFacts {
        peer,
        host,
        is_of_script: headers.contains_key("x-requested-with"),
        is_secure,
        origin: header_text(headers, "origin"),
        fetch_site: header_text(headers, "sec-fetch-site"),
        is_forwarded: is_forwarded(request),
        token: bearer_token(headers).and_then(guest_token),
    };
    let caller = app.policy.caller(&facts)?;
    let is_of_frame = is_of_frame(app, request.extensions(), request.uri(), headers);
    origins::check(&app.config.cors_origins, &facts, is_of_frame, request)?;
    let address = PublicAddress { is_secure, host: host.unwrap_or_default().to_owned() };
    // A token that the client has chosen says who the guest is, whatever its browser sends besides.
    if caller != Caller::Guest(None) || app.policy.is_at_local_user(&facts) {
        return Ok((caller, address, None));
    }
    let Some(cookies) = app.credentials.guest_cookies() else {
        return Ok((caller, address, None));
    };
    let cookie = guest_cookie::find(cookies, headers, is_secure);
    let offer = guest_cookie::offer(&facts, request, cookie.as_ref());
    let guest = cookie.filter(|_| facts.page() == RequestingPage::Own).map(|cookie| cookie.guest);
    // A page sends the same headers of its own with all requests, and `Origin` not with all.
    let is_known_without_origin = RequestFacts { origin: None, ..facts }.page() == RequestingPage::Own;
    let guest = guest.map(|guest| guest.with_lasting_name(is_known_without_origin));
    Ok((Caller::Guest(guest), address, offer))
}

/// The media type in a request's `Content-Type`, in lower case and without parameters.
pub(crate) fn media_type(parts: &Parts) -> Option<String> {
    let value = header_text(&parts.headers, header::CONTENT_TYPE.as_str())?;
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}
