//! Bearer tokens in request headers (RFC 6750, section 2.1).

use axum::http::{HeaderMap, header};

/// The bearer token of a request; `None` if there is no `Authorization` header, or one of another
/// scheme.
pub(crate) fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
