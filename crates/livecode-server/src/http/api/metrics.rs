//! `/metrics`, which Prometheus scrapes.

use axum::{
    Extension,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use livecode_protocol::{ErrorCode, session::Problem};
use sha2::{Digest as _, Sha256};

use crate::auth::{Caller, bearer_token};
use crate::http::{app::App, problem::ApiError};

/// Answers the server's metrics in the text format of Prometheus. Only the local user and callers
/// that send the configured token get them.
#[utoipa::path(
    get, path = "/metrics", tag = "server",
    params(("Authorization" = Option<String>, Header, description = "`Bearer`, a space, and the server's `metrics_token`")),
    responses(
        (status = 200, description = "The metrics", body = String, content_type = "text/plain"),
        (status = 403, description = "This caller may not read the metrics, or the Host header names a host that this server does not answer for", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn metrics(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    if caller != Caller::Local && !has_metrics_token(&app, &headers) {
        let detail = "only the server's local user, and callers that send its metrics_token, may read \
                      the metrics: Authorization: Bearer …";
        return Err(ApiError::new(StatusCode::FORBIDDEN, ErrorCode::Forbidden, detail));
    }
    app.metrics.kept.set(i64::try_from(app.registry.count()).unwrap_or(i64::MAX));
    if let Some(bytes) = app.registry.free_disk_bytes() {
        app.metrics.disk_free_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
    let (media_type, text) = app.metrics.render();
    Ok(([(header::CONTENT_TYPE, media_type)], text).into_response())
}

/// Whether the request carries the configured `metrics_token`.
fn has_metrics_token(app: &App, headers: &HeaderMap) -> bool {
    let Some(token) = &app.config.metrics_token else { return false };
    // Digests are compared, so that the duration of the comparison reveals nothing about the
    // token.
    bearer_token(headers).is_some_and(|sent| Sha256::digest(sent) == Sha256::digest(token))
}
