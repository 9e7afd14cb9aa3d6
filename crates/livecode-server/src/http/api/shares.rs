//! `/sessions/{id}/shares` and `/shares/redeem`: links by which the owner of a session lets others
//! watch or join it.

use axum::{
    Extension, Json,
    body::Body,
    extract::{Path, Request, State, rejection::PathRejection},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use livecode_protocol::{
    ErrorCode, SessionId, now_us,
    session::Problem,
    session::SessionDocument,
    share::{CreateShare, RedeemShare, ShareDocument, SharedSession},
};
use livecode_store::{NewShare, Share};

use crate::audit::{Action, Target};
use crate::auth::{Caller, Payer, ShareError, Verb};
use crate::http::{
    api::sessions::{find_session, session_document},
    app::App,
    body::read_json,
    caller::{ClientAddress, PublicAddress, too_many_guesses},
    problem::ApiError,
};
use crate::rfc3339::rfc3339;

/// The longest time until a share expires, in seconds: 30 days. Most sessions are kept for less.
const EXPIRES_MAX_S: u64 = 30 * 24 * 60 * 60;

impl From<ShareError> for ApiError {
    fn from(error: ShareError) -> Self {
        match &error {
            ShareError::TooMany(_) => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, ErrorCode::TooManyShares, error.to_string())
            }
            ShareError::TooManyCreations { retry_after_s } => {
                let (status, code) = (StatusCode::TOO_MANY_REQUESTS, ErrorCode::TooManyShareCreations);
                Self::new(status, code, error.to_string()).with_retry_after(*retry_after_s)
            }
            ShareError::NoSuchShare => {
                Self::new(StatusCode::NOT_FOUND, ErrorCode::NoSuchShare, error.to_string())
            }
            ShareError::NoStore | ShareError::ControlStore(_) => Self::internal(&error),
        }
    }
}

/// The document that describes a share.
fn share_document(share: Share, link: Option<String>) -> ShareDocument {
    ShareDocument {
        id: share.id,
        rights: share.rights,
        created: rfc3339(share.created_us),
        expires: rfc3339(share.expires_us),
        link,
    }
}

/// A share of a session, as the audit has it.
fn of_share(session: SessionId, share: &str) -> Target {
    Target { session: Some(session), subject: Some(share.to_owned()) }
}

/// Makes a link by which others watch the session, or join it. The answer is the only one that has
/// the link itself.
#[utoipa::path(
    post, path = "/sessions/{id}/shares", tag = "sessions", operation_id = "create_share",
    params(("id" = String, Path, description = "The session's id")),
    request_body = CreateShare,
    responses(
        (status = 201, description = "The share", body = ShareDocument),
        (status = 400, description = "The body is not well-formed JSON", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The Host header names a host that this server does not answer for, or the caller may watch the session and not share it", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such session", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "The body did not arrive in time", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field is wrong", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "The session has as many shares as it may have, or this caller has changed too many or named too many wrong ids", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Extension(payer): Extension<Payer>,
    Extension(ClientAddress(client)): Extension<ClientAddress>,
    Extension(address): Extension<PublicAddress>,
    id: Result<Path<String>, PathRejection>,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    let session = find_session(&app, (&caller, payer), Verb::Share, id)?.id;
    let request: CreateShare = read_json(&app, &caller, payer, request.into_body()).await?;
    let lifetime_us = match request.expires_in_s {
        None => app.config.share_lifetime_ms.saturating_mul(1000),
        Some(seconds) if (1..=EXPIRES_MAX_S).contains(&seconds) => seconds * 1_000_000,
        Some(seconds) => {
            let detail = format!("{seconds} is not from 1 to {EXPIRES_MAX_S}, which is 30 days");
            return Err(ApiError::field("expires_in_s", detail));
        }
    };
    let maker = caller.owner().map(|owner| owner.to_string()).unwrap_or_default();
    let expires_us = now_us().saturating_add(lifetime_us);
    let new = NewShare { session, rights: request.rights, maker, expires_us };
    let (share, secret) = app.credentials.shares().create(payer, &new).await?;
    // One that was made after the end of the session would be forgotten minutes later.
    if app.registry.get(session).is_none() {
        app.credentials.shares().forget_of(session).await?;
        return Err(ApiError::no_such_session());
    }
    app.audit.note(Action::ShareCreated, &caller, client, of_share(session, &share.id));
    let link = address.http(&format!("/#share={}", secret.as_str()));
    let headers = [(header::CACHE_CONTROL, "no-store")];
    Ok((StatusCode::CREATED, headers, Json(share_document(share, Some(link)))).into_response())
}

/// Lists the shares of a session that are valid, the newest first, without their links.
#[utoipa::path(
    get, path = "/sessions/{id}/shares", tag = "sessions", operation_id = "list_shares",
    params(("id" = String, Path, description = "The session's id")),
    responses(
        (status = 200, description = "The shares", body = [ShareDocument]),
        (status = 403, description = "The Host header names a host that this server does not answer for, or the caller may watch the session and not share it", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such session", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many wrong ids came from this caller", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Extension(payer): Extension<Payer>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Vec<ShareDocument>>, ApiError> {
    let session = find_session(&app, (&caller, payer), Verb::Share, id)?;
    let shares = app.credentials.shares().of_session(session.id).await?;
    Ok(Json(shares.into_iter().map(|share| share_document(share, None)).collect()))
}

/// Revokes a share. Its link and its tickets are not valid any more when the answer comes, and what
/// they have opened is closed.
#[utoipa::path(
    delete, path = "/sessions/{id}/shares/{share}", tag = "sessions", operation_id = "revoke_share",
    params(
        ("id" = String, Path, description = "The session's id"),
        ("share" = String, Path, description = "The share's id"),
    ),
    responses(
        (status = 204, description = "The share is revoked"),
        (status = 403, description = "The Host header names a host that this server does not answer for, or the caller may watch the session and not share it", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such session, or it has no such share", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "This caller has changed too many shares or named too many wrong ids", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn revoke(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Extension(payer): Extension<Payer>,
    Extension(ClientAddress(client)): Extension<ClientAddress>,
    ids: Result<Path<(String, String)>, PathRejection>,
) -> Result<StatusCode, ApiError> {
    let (id, share) = match ids {
        Ok(Path((id, share))) => (Ok(Path(id)), share),
        Err(error) => (Err(error), String::new()),
    };
    let session = find_session(&app, (&caller, payer), Verb::Share, id)?;
    let target = of_share(session.id, &share);
    app.credentials.shares().revoke(session.id, share).await?;
    app.audit.note(Action::ShareRevoked, &caller, client, target);
    Ok(StatusCode::NO_CONTENT)
}

/// Answers the session that a link opens, for whoever has the link's secret. The session's link to
/// its stream has a ticket; redeem the secret again for a new one.
#[utoipa::path(
    post, path = "/shares/redeem", tag = "sessions", operation_id = "redeem_share",
    request_body = RedeemShare,
    responses(
        (status = 200, description = "The session, with the rights that the share gives", body = SharedSession),
        (status = 400, description = "The body is not well-formed JSON", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The Host header names a host that this server does not answer for", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "The secret is wrong, the share has expired or was revoked, or its session is gone", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "The body did not arrive in time", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field is wrong", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many wrong secrets, tokens or ids came from this caller", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn redeem(
    State(app): State<App>,
    Extension(payer): Extension<Payer>,
    Extension(ClientAddress(client)): Extension<ClientAddress>,
    Extension(address): Extension<PublicAddress>,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    // The secret is the credential here, whatever else the caller is known by.
    let request: RedeemShare = read_json(&app, &Caller::Nobody, payer, request.into_body()).await?;
    if app.guesses.are_used_up(payer) {
        return Err(too_many_guesses());
    }
    let redeemed = app.credentials.shares().redeem(&request.secret).await?;
    let holder = redeemed.inspect_err(|refusal| app.credentials.log(refusal, client)).ok();
    let found = holder.and_then(|holder| Some((app.registry.get(holder.session)?, holder)));
    let Some((session, holder)) = found else {
        // The answer does not tell what is wrong, nor whether there was such a share.
        return Err(match app.guesses.note(payer) {
            true => too_many_guesses(),
            false => {
                let detail = "this link opens nothing: it is wrong, has expired or was revoked, or its session is gone";
                ApiError::new(StatusCode::NOT_FOUND, ErrorCode::NoSuchShare, detail)
            }
        });
    };
    let (rights, expires) = (holder.rights, rfc3339(holder.expires_us));
    let queue_position = app.registry.queue_position(&session);
    let target = of_share(session.id, &holder.share);
    let caller = Caller::Share(holder);
    app.audit.note(Action::ShareRedeemed, &caller, client, target);
    let document = session_document(&app, &session, &caller, &address);
    let session = SessionDocument { queue_position, ..document };
    let headers = [(header::CACHE_CONTROL, "no-store")];
    Ok((headers, Json(SharedSession { session, rights, expires })).into_response())
}
