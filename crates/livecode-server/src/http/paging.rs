//! The pages of long lists: what a query says of them, and the link to the next one.

use axum::{
    http::{HeaderValue, header},
    response::Response,
};

use crate::http::{caller::PublicAddress, problem::ApiError};

/// Parses the parameter `limit`.
///
/// # Errors
/// 422 if it is not a positive whole number.
pub(crate) fn parse_limit(text: &str) -> Result<u64, ApiError> {
    // The OpenAPI document's integers are of 64 bits with a sign.
    let limit = text.parse::<i64>().ok().and_then(|limit| u64::try_from(limit).ok());
    limit
        .filter(|limit| *limit > 0)
        .ok_or_else(|| ApiError::field("limit", format!("{text:?} is not a positive whole number")))
}

/// The error of a parameter `cursor` that leads nowhere.
pub(crate) fn wrong_cursor(text: &str) -> ApiError {
    ApiError::field("cursor", format!("{text:?} is not the cursor of a link to a next page"))
}

/// Adds the link to the next page, whose path and query are `path` (RFC 8288).
///
/// # Errors
/// 400 if the host that the client has named cannot stand in a URL.
pub(crate) fn link_to_next(
    mut response: Response,
    address: &PublicAddress,
    path: &str,
) -> Result<Response, ApiError> {
    let link = HeaderValue::try_from(format!("<{}>; rel=\"next\"", address.http(path)))
        .map_err(|_| ApiError::malformed_request("the Host header is not valid in a URL"))?;
    response.headers_mut().insert(header::LINK, link);
    Ok(response)
}
