//! `/` and `/static/…`: the front page and the files of the browser client, which are built from
//! `web/` and are part of this binary.
//!
//! Pages refer to these files by names without a version, so a browser asks each time whether its
//! copy is still current. The answer to that is short: 304.

use std::{collections::BTreeMap, sync::LazyLock};

use axum::{
    extract::{Path, Request, rejection::PathRejection},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use include_dir::{Dir, include_dir};
use livecode_protocol::session::Problem;
use sha2::{Digest as _, Sha256};

use crate::hex::hex;
use crate::http::problem::{ApiError, not_found};

static WEB_FILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../web/dist");

/// With this header, pages that set `Cross-Origin-Embedder-Policy` can load the file too.
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// A file that is served as it is.
struct Asset {
    /// The media type. All files are UTF-8.
    content_type: &'static str,
    bytes: &'static [u8],
    /// A digest of the content, in quotes (RFC 9110, section 8.8.3).
    etag: HeaderValue,
}

/// The files under `/static/`, by name.
static ASSETS: LazyLock<BTreeMap<&'static str, Asset>> = LazyLock::new(|| {
    let assets = WEB_FILES.files().filter_map(|file| {
        let name = file.path().to_str()?;
        let content_type = match name.rsplit('.').next()? {
            "js" => "text/javascript",
            "css" => "text/css",
            "txt" => "text/plain",
            _ => return None, // `page.html` is served at `/`, with a policy of its own
        };
        Some((name, Asset::new(content_type, file.contents())?))
    });
    assets.collect()
});

/// The front page.
static FRONT_PAGE: LazyLock<Option<Asset>> = LazyLock::new(|| {
    Asset::new("text/html", include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../web/dist/page.html")))
});

/// The Content-Security-Policy of the front page. The page may use the files and sessions of this
/// server and show images that come with messages, and nothing else. Trusted Types keep text from
/// becoming markup, even if our scripts have a mistake.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";

impl Asset {
    fn new(content_type: &'static str, bytes: &'static [u8]) -> Option<Self> {
        let digest = hex(&Sha256::digest(bytes)[..16]);
        let etag = HeaderValue::try_from(format!("\"{digest}\"")).ok()?;
        Some(Self { content_type, bytes, etag })
    }

    /// Answers with the file, or with 304 if the browser's copy is current.
    fn response(&self, request_headers: &HeaderMap) -> Response {
        let mut response = if is_current(request_headers, &self.etag) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            ([(header::CONTENT_TYPE, format!("{}; charset=utf-8", self.content_type))], self.bytes)
                .into_response()
        };
        let headers = response.headers_mut();
        headers.insert(header::ETAG, self.etag.clone());
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        response
    }
}

/// Answers the front page, on which programs can be written and run.
#[utoipa::path(
    get, path = "/", tag = "server",
    params(("If-None-Match" = Option<String>, Header, description = "The `ETag` of the browser's copy")),
    responses(
        (status = 200, description = "The page", body = String, content_type = "text/html", headers(
            ("ETag" = String, description = "Identifies the content"),
            ("Set-Cookie" = String, description = "The cookie by which the page's browser is known, for a guest"),
        )),
        (status = 304, description = "The browser's copy is current"),
        (status = 403, description = "The Host header names a host that this server does not answer for", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn front_page(headers: HeaderMap) -> Response {
    let Some(page) = &*FRONT_PAGE else { return StatusCode::NOT_FOUND.into_response() };
    let mut response = page.response(&headers);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// Answers a file of the browser client.
#[utoipa::path(
    get, path = "/static/{file}", tag = "server",
    params(
        ("file" = String, Path, description = "`livecode.js` (the classic script), `livecode-client.js` (the module), `livecode-editor.js` (the editor), a part of the editor, a file of the front page, or `licences.txt`"),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of the browser's copy"),
    ),
    responses(
        (status = 200, description = "The file", content((String = "text/javascript"), (String = "text/css"), (String = "text/plain")), headers(
            ("ETag" = String, description = "Identifies the content"),
        )),
        (status = 304, description = "The browser's copy is current"),
        (status = 403, description = "The Host header names a host that this server does not answer for", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such file", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn asset(
    file: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, ApiError> {
    let name = file.as_ref().map_or("", |Path(name)| name.as_str());
    let Some(asset) = ASSETS.get(name) else {
        return Err(not_found(request).await);
    };
    let mut response = asset.response(&headers);
    response.headers_mut().insert(CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
    Ok(response)
}

/// Whether the browser's copy, by the request's `If-None-Match`, has this content. A proxy that
/// compresses responses makes a tag weak (`W/"…"`), although the content is the same.
fn is_current(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let tags = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    tags.flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == etag.as_bytes())
}
