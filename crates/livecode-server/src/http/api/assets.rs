//! `/` and `/static/…`: the front page and the files of the browser's client, as built from `web/` and part of this binary.
//!
//! Pages name them without a version, so a browser asks each time whether its copy is still good; the answer to that is
//! short.

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

static BUILT: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../web/dist");

/// Lets pages that isolate themselves (`Cross-Origin-Embedder-Policy`) load the file too.
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

struct Asset {
    /// All are UTF-8.
    content_type: &'static str,
    bytes: &'static [u8],
    /// Of the content, in quotes.
    etag: HeaderValue,
}

/// The files by their names.
static ASSETS: LazyLock<BTreeMap<&'static str, Asset>> = LazyLock::new(|| {
    let assets = BUILT.files().filter_map(|file| {
        let name = file.path().to_str()?;
        let content_type = match name.rsplit('.').next()? {
            "js" => "text/javascript",
            "css" => "text/css",
            "txt" => "text/plain",
            _ => return None, // the page has an address and a policy of its own
        };
        Some((name, Asset::new(content_type, file.contents())?))
    });
    assets.collect()
});

static PAGE: LazyLock<Option<Asset>> = LazyLock::new(|| {
    Asset::new("text/html", include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../web/dist/page.html")))
});

/// What the page may do: use this server's files and sessions, show pictures that come with messages, and nothing else.
/// No text becomes markup on it, whatever a mistake of ours would do.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";

impl Asset {
    fn new(content_type: &'static str, bytes: &'static [u8]) -> Option<Self> {
        let digest = hex(&Sha256::digest(bytes)[..16]);
        let etag = HeaderValue::try_from(format!("\"{digest}\"")).ok()?;
        Some(Self { content_type, bytes, etag })
    }

    /// The file, unless the browser has it already.
    fn answer(&self, asked: &HeaderMap) -> Response {
        let mut response = if has_copy(asked, &self.etag) {
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

/// A page to write programs on, and to run them.
#[utoipa::path(
    get, path = "/", tag = "server",
    params(("If-None-Match" = Option<String>, Header, description = "The `ETag` of the copy that the browser has")),
    responses(
        (status = 200, description = "A page", body = String, content_type = "text/html", headers(
            ("ETag" = String, description = "Names the content"),
        )),
        (status = 304, description = "The browser's copy is still good"),
        (status = 403, description = "Another host was meant", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn front_page(headers: HeaderMap) -> Response {
    let Some(page) = &*PAGE else { return StatusCode::NOT_FOUND.into_response() };
    let mut response = page.answer(&headers);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// Answers a file of the browser's client.
#[utoipa::path(
    get, path = "/static/{file}", tag = "server",
    params(
        ("file" = String, Path, description = "`livecode.js`, the classic script, `livecode-client.js`, the module, `livecode-editor.js`, the editor, one of its parts, what the front page is made of, or `licences.txt`"),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of the copy that the browser has"),
    ),
    responses(
        (status = 200, description = "The file", content((String = "text/javascript"), (String = "text/css"), (String = "text/plain")), headers(
            ("ETag" = String, description = "Names the content"),
        )),
        (status = 304, description = "The browser's copy is still good"),
        (status = 403, description = "Another host was meant", body = Problem, content_type = "application/problem+json"),
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
    let mut response = asset.answer(&headers);
    response.headers_mut().insert(RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
    Ok(response)
}

/// Whether the browser has this content already. A proxy that packs answers makes a tag weak: the content is the same.
fn has_copy(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let tags = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    tags.flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == etag.as_bytes())
}
