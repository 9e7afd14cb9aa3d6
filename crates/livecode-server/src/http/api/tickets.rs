//! `/tickets`: tickets that open `/livecode`, for callers who send a token.

use axum::{
    Extension, Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use livecode_protocol::{ErrorCode, session::Problem, token::TicketDocument};

use crate::auth::Caller;
use crate::http::{api::sessions::ticket_for, app::App, problem::ApiError};
use crate::rfc3339::rfc3339;

/// Makes a ticket that opens `/livecode`. A browser cannot send a token with a websocket, so it
/// puts the ticket into the URL, as in `/livecode?ticket=…`.
#[utoipa::path(
    post, path = "/tickets", tag = "tokens", operation_id = "create_ticket",
    responses(
        (status = 201, description = "The ticket", body = TicketDocument),
        (status = 403, description = "The Host header names a host that this server does not answer for", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "The caller needs no tickets, because it is not known by a token", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, ApiError> {
    let (ticket, expires_us) = ticket_for(&app, &caller, None).ok_or_else(|| {
        let detail = "you need no ticket: this server does not know you by a token, so websockets need none";
        ApiError::new(StatusCode::NOT_FOUND, ErrorCode::NotFound, detail)
    })?;
    let headers = [(header::CACHE_CONTROL, "no-store")];
    Ok((StatusCode::CREATED, headers, Json(TicketDocument { ticket, expires: rfc3339(expires_us) }))
        .into_response())
}
