//! `/embed`: a page with one program, which pages of other sites show in a frame.
//!
//! The page is sandboxed by its own policy, so its origin is opaque: it reads nothing that the
//! browser keeps for this server, and all its requests are those of a foreign page. It may use the
//! server as a guest, where guests are taken. By its [`crate::auth::FramePasses`] it may do so also where
//! `cors_origins` is a list: the operator allows the pages around it (`frame_ancestors`), and not
//! all sandboxed frames, whose origin is `null`, too.

use std::fmt::Write as _;

use axum::{
    Extension,
    extract::State,
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use livecode_protocol::{now_us, session::Problem};

use crate::config::CorsOrigins;
use crate::http::{
    app::App,
    caller::{ClientAddress, PublicAddress},
    problem::ApiError,
};

const PAGE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../web/dist/embed.html"));

/// The place in the page where the pass stands.
const PASS_PLACE: &str = "{pass}";

/// With these headers, pages that are isolated from other origins can show the frame, too
/// (`Cross-Origin-Embedder-Policy`).
const ISOLATION: [(HeaderName, HeaderValue); 2] = [
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("cross-origin")),
    (HeaderName::from_static("cross-origin-embedder-policy"), HeaderValue::from_static("require-corp")),
];

/// The Content-Security-Policy of the page. As on the front page, it may use the files and sessions
/// of this server and show images that come with messages, and nothing else.
///
/// Not all browsers understand `'self'` in a page whose origin is opaque, so the server's address
/// stands beside it.
fn content_security_policy(ancestors: &CorsOrigins, address: &PublicAddress) -> String {
    let host = address.host();
    let is_host =
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.:[]".contains(&byte));
    let (files, streams) = if is_host {
        (format!("'self' {host}"), format!(" ws://{host} wss://{host}"))
    } else {
        ("'self'".to_owned(), String::new())
    };
    let mut policy = format!(
        "default-src 'none'; sandbox allow-scripts; script-src {files}; style-src {files}; connect-src {files}{streams}; \
         img-src data:; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    );
    // Without the directive a page of any origin may show the frame, also one that is in a sandbox
    // itself, whose origin no source matches.
    if let CorsOrigins::Listed(origins) = ancestors {
        let list = if origins.is_empty() { "'none'".to_owned() } else { origins.join(" ") };
        // Writing to a string cannot fail.
        let _ = write!(policy, "; frame-ancestors {list}");
    }
    policy
}

/// Answers a page for a frame, in which one program can be run.
#[utoipa::path(
    get, path = "/embed", tag = "server",
    responses(
        (status = 200, description = "The page. Its address has options in the query and the program behind the `#`, which the page itself reads (docs/embedding.md)", body = String, content_type = "text/html", headers(
            ("Content-Security-Policy" = String, description = "Sandboxes the page, and says which pages may show it in a frame (`frame_ancestors`)"),
        )),
        (status = 403, description = "The Host header names a host that this server does not answer for", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn embed(
    State(app): State<App>,
    Extension(ClientAddress(client)): Extension<ClientAddress>,
    Extension(address): Extension<PublicAddress>,
) -> Result<Response, ApiError> {
    // A server that knows its users takes no guests. The page says so.
    let is_for_guests = app.credentials.users().is_none();
    // Without random numbers there is no pass, as if no guests were taken.
    let pass = is_for_guests.then(|| app.credentials.frame_passes().make(client, now_us()).ok()).flatten();
    let text = PAGE.replace(PASS_PLACE, pass.as_deref().unwrap_or_default());
    let ancestors = app.config.frame_ancestors.as_ref().unwrap_or(&app.config.cors_origins);
    let policy = content_security_policy(ancestors, &address);
    let policy = HeaderValue::try_from(policy).map_err(|error| ApiError::internal(&error))?;
    let mut response = ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    // Each frame gets a pass of its own.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.extend(ISOLATION);
    Ok(response)
}
