//! `/metrics`, for Prometheus.

use axum::{
    Extension,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use livecode_protocol::session::Problem;
use sha2::{Digest as _, Sha256};

use crate::auth::{Caller, bearer_token};
use crate::http::{App, problem::ApiError};

/// The server's figures, in Prometheus' text format. For the local user, and for who knows the configured token.
#[utoipa::path(
    get, path = "/metrics", tag = "server",
    params(("Authorization" = Option<String>, Header, description = "`Bearer` and the server's `metrics_token`")),
    responses(
        (status = 200, description = "The figures", body = String, content_type = "text/plain"),
        (status = 403, description = "Not for this caller, or another host was meant", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn metrics(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    if caller != Caller::Local && !knows_token(&app, &headers) {
        let detail = "the figures are for the local user of a server on loopback, and for who sends its metrics_token: \
                      Authorization: Bearer …";
        return Err(ApiError::new(StatusCode::FORBIDDEN, detail));
    }
    app.metrics.kept.set(i64::try_from(app.registry.count()).unwrap_or(i64::MAX));
    let (media_type, text) = app.metrics.render();
    Ok(([(header::CONTENT_TYPE, media_type)], text).into_response())
}

fn knows_token(app: &App, headers: &HeaderMap) -> bool {
    let Some(token) = &app.config.metrics_token else { return false };
    // Digests, so that how long the comparison takes says nothing of the token.
    bearer_token(headers).is_some_and(|sent| Sha256::digest(sent) == Sha256::digest(token))
}
