//! `/static/…`: the files of the browser's client, as built from `web/` and part of this binary.
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

use super::problem::{ApiError, not_found};

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
        let content_type = if name.ends_with(".js") { "text/javascript" } else { "text/plain" };
        let bytes = file.contents();
        let digest: String = Sha256::digest(bytes)[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        let etag = HeaderValue::try_from(format!("\"{digest}\"")).ok()?;
        Some((name, Asset { content_type, bytes, etag }))
    });
    assets.collect()
});

/// Answers a file of the browser's client.
#[utoipa::path(
    get, path = "/static/{file}", tag = "server",
    params(
        ("file" = String, Path, description = "`livecode.js`, the classic script, `livecode-client.js`, the module, `livecode-editor.js`, the editor, one of its parts, or `licences.txt`"),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of the copy that the browser has"),
    ),
    responses(
        (status = 200, description = "The file", content((String = "text/javascript"), (String = "text/plain")), headers(
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
    let mut response = if has_copy(&headers, &asset.etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, format!("{}; charset=utf-8", asset.content_type))], asset.bytes)
            .into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::ETAG, asset.etag.clone());
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
    Ok(response)
}

/// Whether the browser has this content already. A proxy that packs answers makes a tag weak: the content is the same.
fn has_copy(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let tags = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    tags.flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == etag.as_bytes())
}
