//! `/sessions` and `/sessions/{id}`.

use std::sync::Arc;

use axum::{
    Extension, Json,
    body::Body,
    extract::{Path, Request, State, rejection::PathRejection},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use livecode_protocol::{
    ErrorCode, SessionId,
    exercise::ExerciseId,
    now_us,
    session::{CreateSession, Links, Problem, SessionDocument, describe_end},
};

use crate::http::{
    api::exercises::resolve_for_exercise,
    app::App,
    body::{parse_json, read_body},
    caller::{ClientAddress, PublicAddress, media_type, too_many_guesses},
    problem::ApiError,
};
use crate::{
    audit::Action,
    auth::{Caller, Guest, Owner, Payer, Verb},
    hex::{hex, sha256_hex},
    lifecycle::{CreateError, SessionSpec},
    rfc3339::rfc3339,
    sessions::{IdempotencyKey, Session},
    spec::{BadField, Endpoint, ResolvedSpec, resolve},
};

/// The longest `Idempotency-Key`, in bytes.
const MAX_IDEMPOTENCY_KEY_BYTES: usize = 255;
const IDEMPOTENCY_KEY_HEADER: &str = "idempotency-key";
/// The response header that marks the answer to a repeated request with the same key.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The document that describes a session, for a caller that may watch it.
pub(super) fn session_document(
    app: &App,
    session: &Session,
    caller: &Caller,
    address: &PublicAddress,
) -> SessionDocument {
    let path = format!("/sessions/{}", session.id);
    // No ticket is needed for a session of every guest who knows its id.
    let is_for_all_guests = matches!(session.owner, Owner::Guest(_)) && !session.is_private;
    let needs_ticket = !matches!(caller, Caller::Guest(_)) || !is_for_all_guests;
    let ticket = needs_ticket.then(|| ticket_for(app, caller, Some(session.id))).flatten();
    let query = ticket.map(|(ticket, _)| format!("?ticket={ticket}")).unwrap_or_default();
    let ended = session.progress().ended;
    SessionDocument {
        id: session.id,
        created: rfc3339(session.created_us),
        elapsed: session.elapsed_s(),
        runtime: session.runtime.to_string(),
        exercise: session.exercise.as_deref().cloned(),
        active: session.progress().active_us.filter(|_| !session.has_hidden_cases).map(rfc3339),
        state: session.state(),
        // Finding the position takes a step for each payer that waits, so lists do without.
        queue_position: None,
        outcome: ended.map(|ended| ended.outcome),
        detail: ended.map(|ended| describe_end(ended.outcome, ended.exitstatus, ended.limit.as_ref())),
        limit: ended.and_then(|ended| ended.limit),
        exitstatus: ended.map(|ended| ended.exitstatus),
        compiled: session.progress().compiled(),
        compile: ended.and_then(|ended| ended.compile),
        echo: session.has_echo,
        usage: ended.filter(|_| !session.has_hidden_cases).and_then(|ended| ended.usage),
        degraded: app.default_spawner.degraded_in_sessions(),
        token: None,
        links: Links {
            self_: address.http(&path),
            stream: address.websocket(&format!("{path}/stream{query}")),
        },
    }
}

/// A ticket that opens the stream of a session, or `/livecode` if that is `None`, where the caller
/// is known by a token. A browser cannot send a token with a websocket.
pub(super) fn ticket_for(app: &App, caller: &Caller, session: Option<SessionId>) -> Option<(String, u64)> {
    let expires_us = now_us().saturating_add(app.config.ticket_lifetime_ms.saturating_mul(1000));
    app.credentials.ticket(caller, session, expires_us)
}

/// Finds the session whose id is in the path, for a caller that asks to do `verb` with it.
///
/// # Errors
/// 404 if there is no such session or the caller may not watch it; 429 if the caller has asked too
/// often for such sessions; 403 if the caller may watch the session and not do this with it.
pub(crate) fn find_session(
    app: &App,
    (caller, payer): (&Caller, Payer),
    verb: Verb,
    id: Result<Path<String>, PathRejection>,
) -> Result<Arc<Session>, ApiError> {
    // A path that is not valid UTF-8 cannot be the id of a session.
    let id = id.ok().and_then(|Path(id)| id.parse().ok());
    let session = id.and_then(|id: SessionId| app.registry.get(id));
    match session.filter(|session| caller.may(Verb::Watch, &session.target())) {
        Some(session) if caller.may(verb, &session.target()) => Ok(session),
        Some(_) => {
            let detail = "you may watch this session; only its owner may do more with it";
            Err(ApiError::new(StatusCode::FORBIDDEN, ErrorCode::Forbidden, detail))
        }
        None if app.guesses.note(payer) => Err(too_many_guesses()),
        None => Err(ApiError::no_such_session()),
    }
}

/// The owner of a new session, and for whom else it is.
pub(crate) struct NewOwner {
    pub owner: Owner,
    /// Whether it is for its owner alone if this is a guest.
    pub is_private: bool,
    /// The token of a guest that nothing has named so far.
    pub token: Option<String>,
}

/// The owner of a new session. A guest that nothing names gets a new token. It may keep nothing but
/// the session's id, so the session is for all guests who know that.
pub(crate) fn owner_of_new_session(caller: &Caller) -> Result<NewOwner, ApiError> {
    if let Some(owner) = caller.owner() {
        let is_private = matches!(owner, Owner::Guest(_));
        return Ok(NewOwner { owner, is_private, token: None });
    }
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(CreateError::Random)?;
    let token = hex(&random);
    Ok(NewOwner { owner: Guest::of_token(&token).owner(), is_private: false, token: Some(token) })
}

/// The `Idempotency-Key` of a request, with a digest of its body.
fn idempotency_key(headers: &HeaderMap, body: &[u8]) -> Result<Option<IdempotencyKey>, ApiError> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY_HEADER) else { return Ok(None) };
    let key = value.to_str().ok().filter(|key| !key.is_empty() && key.len() <= MAX_IDEMPOTENCY_KEY_BYTES);
    let key = key.ok_or_else(|| {
        let max = MAX_IDEMPOTENCY_KEY_BYTES;
        let detail = format!("an Idempotency-Key has 1 to {max} visible ASCII characters");
        ApiError::new(StatusCode::BAD_REQUEST, ErrorCode::InvalidIdempotencyKey, detail)
    })?;
    let body_sha256 = sha256_hex(body);
    Ok(Some(IdempotencyKey { key: key.to_owned(), body_sha256 }))
}

/// A request for a session whose body is read.
enum ParsedRequest {
    /// The request is complete.
    Resolved(Box<ResolvedSpec>),
    /// The versions of this runtime must be asked for first.
    OfUnknownVersion(String, Box<CreateSession>),
    /// The exercise with this id has the rest.
    ForExercise(ExerciseId, Box<CreateSession>),
}

/// Creates a session and starts its program, which runs whether or not a client is connected.
#[utoipa::path(
    post, path = "/sessions", tag = "sessions", operation_id = "create_session",
    params(
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255,
         description = "A repeated request with the same key is answered with the same session instead of creating another one"),
    ),
    request_body = CreateSession,
    responses(
        (status = 201, description = "The session", body = SessionDocument, headers(
            ("Location" = String, description = "URL of the session"),
            ("Idempotency-Replayed" = String, description = "`true` if an earlier request created the session"),
        )),
        (status = 400, description = "The body is not well-formed JSON, the Idempotency-Key is not valid, or a guest sent one without a token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The Host header names a host that this server does not answer for", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such exercise", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "The body did not arrive in time", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "An earlier request with this key is still being processed", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The Content-Type is not `application/json`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field is wrong, or the key was used for a different request", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "The owner or the server has too many sessions", body = Problem, content_type = "application/problem+json"),
        (status = 500, description = "The server failed, and has logged the cause", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The server is stopping, the queue of sessions that wait to run is full, the server has no file descriptors or memory left, or it holds as many bytes as it may", body = Problem, content_type = "application/problem+json"),
        (status = 507, description = "There is no space left on the disk", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Extension(payer): Extension<Payer>,
    Extension(ClientAddress(client)): Extension<ClientAddress>,
    Extension(address): Extension<PublicAddress>,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    if media_type(&parts).as_deref() != Some("application/json") {
        let detail = "the body must be JSON, declared by Content-Type: application/json";
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Err(ApiError::new(status, ErrorCode::UnsupportedMediaType, detail)
            .with_header(header::ACCEPT, "application/json"));
    }
    let body = read_body(&app, &caller, payer, body).await?;
    let (catalogue, config) = (app.catalogue.now(), app.config.clone());
    let resolve_body = move |bytes: &[u8]| {
        let request: CreateSession = parse_json(bytes)?;
        let parsed = match &request.exercise {
            Some(id) => ParsedRequest::ForExercise(id.clone(), Box::new(request)),
            None => match resolve(&request, &catalogue, &config.limits, Endpoint::Sessions) {
                Err(BadField { unknown_version_of: Some(runtime), .. }) => {
                    ParsedRequest::OfUnknownVersion(runtime, Box::new(request))
                }
                resolved => ParsedRequest::Resolved(Box::new(resolved?)),
            },
        };
        Ok((parsed, idempotency_key(&parts.headers, bytes)?))
    };
    // The bytes are charged until the session is on disk.
    let ((parsed, idempotency), _held) = body.process(&app, resolve_body).await?;
    if idempotency.is_some() && caller.owner().is_none() {
        let detail = "an Idempotency-Key needs an owner: send a bearer token too, 32 random hexadecimal digits of your own, or the server's cookie";
        return Err(ApiError::new(StatusCode::BAD_REQUEST, ErrorCode::TokenRequired, detail));
    }
    // The exercise of a repeated request may have changed, or be gone.
    if let (ParsedRequest::ForExercise(..), Some(key), Some(owner)) = (&parsed, &idempotency, caller.owner())
        && let Some(session) = app.registry.created_before(&owner, key)?
    {
        return creation_answer(&app, &caller, &address, &session, Creation::Earlier);
    }
    let (resolved, _held_exercise) = match parsed {
        ParsedRequest::Resolved(resolved) => (*resolved, None),
        ParsedRequest::OfUnknownVersion(runtime, request) => {
            let account = app.registry.roles().account(&caller, payer);
            app.checks.ensure(&runtime, &account).await?;
            (resolve(&request, &app.catalogue.now(), &app.config.limits, Endpoint::Sessions)?, None)
        }
        ParsedRequest::ForExercise(id, request) => {
            let (resolved, held) = resolve_for_exercise(&app, (&caller, payer), &id, request).await?;
            (resolved, Some(held))
        }
    };
    let NewOwner { owner, is_private, token } = owner_of_new_session(&caller)?;
    let is_private =
        is_private && !matches!(&caller, Caller::Guest(Some(guest)) if !guest.has_lasting_name());
    let account = app.registry.roles().account(&caller, payer);
    let spec = SessionSpec { owner, is_private, account, client, resolved, is_ephemeral: false, idempotency };
    let (session, is_new) = app.registry.create(spec).await?;
    if is_new {
        app.audit.note(Action::SessionCreated, &caller, client, session.id);
    }
    let creation = if is_new { Creation::New(token) } else { Creation::Earlier };
    creation_answer(&app, &caller, &address, &session, creation)
}

/// How a session has come about that a request is answered with.
enum Creation {
    /// The request has created it, and its owner may have got this token.
    New(Option<String>),
    /// An earlier request with the same idempotency key has.
    Earlier,
}

/// The answer to a request for a session.
fn creation_answer(
    app: &App,
    caller: &Caller,
    address: &PublicAddress,
    session: &Session,
    creation: Creation,
) -> Result<Response, ApiError> {
    let (token, is_new) = match creation {
        Creation::New(token) => (token, true),
        Creation::Earlier => (None, false),
    };
    let queue_position = app.registry.queue_position(session);
    let document =
        SessionDocument { token, queue_position, ..session_document(app, session, caller, address) };
    let location = HeaderValue::try_from(&document.links.self_)
        .map_err(|_| ApiError::malformed_request("the Host header is not valid in a URL"))?;
    let mut response = (StatusCode::CREATED, Json(document)).into_response();
    response.headers_mut().insert(header::LOCATION, location);
    if !is_new {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// Describes a session.
#[utoipa::path(
    get, path = "/sessions/{id}", tag = "sessions", operation_id = "show_session",
    params(("id" = String, Path, description = "The session's id")),
    responses(
        (status = 200, description = "The session", body = SessionDocument),
        (status = 403, description = "The Host header names a host that this server does not answer for", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such session", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn show(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Extension(payer): Extension<Payer>,
    Extension(address): Extension<PublicAddress>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<SessionDocument>, ApiError> {
    let session = find_session(&app, (&caller, payer), Verb::Watch, id)?;
    let queue_position = app.registry.queue_position(&session);
    Ok(Json(SessionDocument { queue_position, ..session_document(&app, &session, &caller, &address) }))
}

/// Ends a session if it still runs, and deletes it. The answer comes when every process of the
/// session is dead.
#[utoipa::path(
    delete, path = "/sessions/{id}", tag = "sessions", operation_id = "delete_session",
    params(("id" = String, Path, description = "The session's id")),
    responses(
        (status = 204, description = "The session is deleted"),
        (status = 403, description = "The Host header names a host that this server does not answer for", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such session", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The processes of the session did not end in time", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn delete(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Extension(payer): Extension<Payer>,
    Extension(ClientAddress(client)): Extension<ClientAddress>,
    id: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, ApiError> {
    let session = find_session(&app, (&caller, payer), Verb::End, id)?;
    app.registry.delete(&session).await?;
    app.audit.note(Action::SessionEnded, &caller, client, session.id);
    Ok(StatusCode::NO_CONTENT)
}
