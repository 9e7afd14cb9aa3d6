//! Which pages of other origins may use the server.

use axum::{
    extract::Request,
    http::{HeaderValue, Method, Response, StatusCode, header, request::Parts},
};
use livecode_protocol::ErrorCode;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use crate::auth::{RequestFacts, RequestingPage};
use crate::config::CorsOrigins;
use crate::http::problem::ApiError;

/// The origin that a browser sends for a page in a sandbox, such as `/embed`, and for a file.
const OPAQUE_ORIGIN: &str = "null";
/// The scripts that pages load as modules, for which browsers ask as for other requests.
const SCRIPTS_PREFIX: &str = "/static/";

/// Refuses what a page of an origin that is not allowed could change, and its websockets. It may
/// send a GET, but its browser does not let it read the answer.
///
/// The origin decides, and not the media type: browsers tell the origin of every request that is not
/// a GET or HEAD, also where a page may send it without asking first (such as a body of text/plain,
/// which version 0.1 takes).
///
/// `is_of_frame` tells whether a page of `/embed` has sent the request.
///
/// # Errors
/// 403.
pub(crate) fn check(
    allowed: &CorsOrigins,
    facts: &RequestFacts<'_>,
    is_of_frame: bool,
    request: &Request,
) -> Result<(), ApiError> {
    if *allowed == CorsOrigins::Any || facts.page() != RequestingPage::Foreign {
        return Ok(());
    }
    let is_read = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
    let is_frame = facts.origin == Some(OPAQUE_ORIGIN) && is_of_frame;
    let is_allowed = is_frame || facts.origin.is_some_and(|origin| allowed.has(origin));
    if is_allowed || (is_read && !request.headers().contains_key(header::UPGRADE)) {
        return Ok(());
    }
    let from = facts.origin.filter(|origin| !origin.is_empty()).unwrap_or("another origin");
    let detail = format!(
        "this server does not let pages of {from} use it; if they should, list their origin in its \
         setting cors_origins"
    );
    Err(ApiError::new(StatusCode::FORBIDDEN, ErrorCode::OriginNotAllowed, detail))
}

/// The layer that tells browsers which pages may read answers. No answer allows a page to send the
/// visitor's cookies (`Access-Control-Allow-Credentials`). `is_of_frame` tells whether a page of
/// `/embed` has sent a request.
pub(crate) fn layer(
    allowed: &CorsOrigins,
    is_of_frame: impl Fn(&Parts) -> bool + Send + Sync + 'static,
) -> CorsLayer {
    let origins = match allowed {
        CorsOrigins::Any => AllowOrigin::any(),
        CorsOrigins::Listed(origins) => {
            let listed: Vec<_> =
                origins.iter().filter_map(|origin| HeaderValue::try_from(origin).ok()).collect();
            // A browser that asks whether a page may send a request does not show the pass of a frame.
            // The request itself is checked, and so is whether its answer may be read.
            let may_be_of_frame = move |request: &Parts| {
                request.method == Method::OPTIONS
                    || request.uri.path().starts_with(SCRIPTS_PREFIX)
                    || is_of_frame(request)
            };
            AllowOrigin::predicate(move |origin, request| {
                listed.contains(origin) || (origin == OPAQUE_ORIGIN && may_be_of_frame(request))
            })
        }
    };
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(EXPOSED_HEADERS.map(header::HeaderName::from_static))
}

/// Response headers that pages of other origins may read (CORS).
const EXPOSED_HEADERS: [&str; 6] = [
    "link",
    "location",
    "retry-after",
    "idempotency-replayed",
    "x-falcon-exit-status",
    "x-falcon-time-taken",
];

/// Removes what is said about reading an answer that the page must not read.
pub(crate) fn withhold<B>(response: &mut Response<B>) {
    let headers = response.headers_mut();
    if !headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
        for name in [
            header::ACCESS_CONTROL_ALLOW_METHODS,
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
        ] {
            headers.remove(name);
        }
    }
}
