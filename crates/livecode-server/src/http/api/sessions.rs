//! `/sessions`.

use std::sync::Arc;

use axum::{
    Extension, Json,
    body::Body,
    extract::{Path, Request, State, rejection::PathRejection},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use livecode_protocol::{
    SessionId,
    session::{CreateSession, Links, Problem, SessionDocument as Document},
};

use crate::http::{
    App,
    caller::{PublicAddress, media_type, parse_json, read_body},
    problem::ApiError,
};
use crate::{
    auth::{Caller, Owner},
    hex::{hex, sha256_hex},
    lifecycle::{CreateError, SessionSpec},
    sessions::{IdempotencyKey, Session},
    spec::{Endpoint, resolve},
};

/// The longest `Idempotency-Key`, in bytes.
const MAX_KEY_BYTES: usize = 255;
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Says that an answer is that of an earlier request under the same key.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// A time, in milliseconds, UTC.
fn rfc3339(us: u64) -> String {
    let time = i64::try_from(us).ok().and_then(|us| jiff::Timestamp::from_microsecond(us).ok());
    time.map(|time| format!("{time:.3}")).unwrap_or_default()
}

/// A session's document.
pub(crate) fn document(app: &App, session: &Session, base: &PublicAddress) -> Document {
    let path = format!("/sessions/{}", session.id);
    let ended = session.progress().ended;
    Document {
        id: session.id,
        created: rfc3339(session.created_us),
        elapsed: session.elapsed_s(),
        runtime: session.runtime.to_string(),
        active: session.progress().active_us.map(rfc3339),
        state: session.state(),
        outcome: ended.map(|ended| ended.outcome),
        exitstatus: ended.map(|ended| ended.exitstatus),
        compiled: session.progress().compiled(),
        usage: ended.and_then(|ended| ended.usage),
        degraded: app.spawner.degraded().to_vec(),
        token: None,
        links: Links { self_: base.http(&path), stream: base.websocket(&format!("{path}/stream")) },
    }
}

/// The session that a path names, if the caller may use it.
pub(crate) fn find(
    app: &App,
    caller: &Caller,
    id: Result<Path<String>, PathRejection>,
) -> Result<Arc<Session>, ApiError> {
    // A path that is no text names no session either.
    let Path(id) = id.map_err(|_| ApiError::no_session())?;
    let id: SessionId = id.parse().map_err(|_| ApiError::no_session())?;
    let session = app.registry.get(id).filter(|session| caller.may_use(&session.owner));
    session.ok_or_else(ApiError::no_session)
}

/// Whose a new session is, and the token to tell them where they have none yet.
pub(crate) fn new_owner(caller: &Caller) -> Result<(Owner, Option<String>), ApiError> {
    if let Some(owner) = caller.owner() {
        return Ok((owner, None));
    }
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(CreateError::Random)?;
    let token = hex(&random);
    Ok((Owner::of_token(&token), Some(token)))
}

fn idempotency(headers: &HeaderMap, body: &[u8]) -> Result<Option<IdempotencyKey>, ApiError> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let key = value.to_str().ok().filter(|key| !key.is_empty() && key.len() <= MAX_KEY_BYTES);
    let key = key.ok_or_else(|| {
        ApiError::bad_request(format!("an Idempotency-Key has 1 to {MAX_KEY_BYTES} visible ASCII characters"))
    })?;
    let body_sha256 = sha256_hex(body);
    Ok(Some(IdempotencyKey { key: key.to_owned(), body_sha256 }))
}

/// Creates a session: the program is started, and runs whether or not anybody watches.
#[utoipa::path(
    post, path = "/sessions", tag = "sessions",
    params(
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255,
         description = "The same request again under the same key answers the same session instead of making another"),
    ),
    request_body = CreateSession,
    responses(
        (status = 201, description = "The session", body = Document, headers(
            ("Location" = String, description = "Address of the session"),
            ("Idempotency-Replayed" = String, description = "`true` where the session was made by an earlier request"),
        )),
        (status = 400, description = "Not well-formed JSON, or a key that is none", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Another host was meant", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "The body did not come in time", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "A request under this key is being worked on", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is not said to be JSON", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field is wrong, or the key was used for another request", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many sessions", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The server stops, or has no descriptors left", body = Problem, content_type = "application/problem+json"),
        (status = 507, description = "No room on the disk", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Extension(base): Extension<PublicAddress>,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    if media_type(&parts).as_deref() != Some("application/json") {
        let detail = "the body must be JSON, and say so: Content-Type: application/json";
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
            .with_header(header::ACCEPT, "application/json"));
    }
    let body = read_body(&app, body).await?;
    let request: CreateSession = parse_json(&body)?;
    let prepared = resolve(&request, &app.catalogue, &app.config.limits, Endpoint::Sessions)?;
    let idempotency = idempotency(&parts.headers, &body)?;
    if idempotency.is_some() && caller.owner().is_none() {
        let detail = "an Idempotency-Key belongs to somebody: send a bearer token too, 32 random hexadecimal digits of your own";
        return Err(ApiError::bad_request(detail));
    }
    let (owner, token) = new_owner(&caller)?;
    let draft = SessionSpec { owner, resolved: prepared, is_ephemeral: false, idempotency };
    let (session, is_new) = app.registry.create(draft).await?;

    let document = Document { token, ..document(&app, &session, &base) };
    let location = HeaderValue::try_from(&document.links.self_)
        .map_err(|_| ApiError::bad_request("a Host that is no text"))?;
    let mut response = (StatusCode::CREATED, Json(document)).into_response();
    response.headers_mut().insert(header::LOCATION, location);
    if !is_new {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// Lists the caller's own sessions, the newest first.
#[utoipa::path(
    get, path = "/sessions", tag = "sessions",
    responses(
        (status = 200, description = "The sessions", body = [Document]),
        (status = 403, description = "Another host was meant", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Extension(base): Extension<PublicAddress>,
) -> Json<Vec<Document>> {
    let sessions = app.registry.list(|owner| caller.lists(owner));
    Json(sessions.iter().map(|session| document(&app, session, &base)).collect())
}

/// Describes a session.
#[utoipa::path(
    get, path = "/sessions/{id}", tag = "sessions",
    params(("id" = String, Path, description = "The session's id")),
    responses(
        (status = 200, description = "The session", body = Document),
        (status = 403, description = "Another host was meant", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such session", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn show(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Extension(base): Extension<PublicAddress>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Document>, ApiError> {
    let session = find(&app, &caller, id)?;
    Ok(Json(document(&app, &session, &base)))
}

/// Ends a session if it runs, and forgets it. Answers when every process of it is gone.
#[utoipa::path(
    delete, path = "/sessions/{id}", tag = "sessions",
    params(("id" = String, Path, description = "The session's id")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 403, description = "Another host was meant", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such session", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Its processes did not end in time", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn delete(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, ApiError> {
    let session = find(&app, &caller, id)?;
    app.registry.delete(&session).await?;
    Ok(StatusCode::NO_CONTENT)
}
