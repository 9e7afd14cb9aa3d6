//! `/tokens`: the tokens of the users. Admins use these routes, and `livecode token` by the admin
//! socket.

use axum::{
    Extension, Json,
    body::Body,
    extract::{
        Path, Query, Request, State,
        rejection::{PathRejection, QueryRejection},
    },
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use livecode_protocol::{
    ErrorCode, now_us,
    session::Problem,
    token::{CreateToken, RotateToken, TokenDocument},
};
use livecode_store::{ControlStoreError, NewToken, Token, TokenListKey, TokenSecret};
use serde::Deserialize;

use crate::audit::{Action, Target};
use crate::auth::{Caller, Payer, TokenUsers};
use crate::http::{
    app::App,
    body::read_json,
    caller::{ClientAddress, PublicAddress},
    paging::{link_to_next, parse_limit, wrong_cursor},
    problem::ApiError,
};
use crate::rfc3339::rfc3339;

/// How many tokens a page of the list has at most, whatever `limit` asks for.
const MAX_PAGE_TOKENS: u64 = 1_000;
/// The longest time until a token expires, in seconds: a hundred years.
const EXPIRES_MAX_S: u64 = 100 * 365 * 24 * 60 * 60;

/// The users, for a caller that may administer them. For other callers there is nothing here.
fn users_for<'a>(app: &'a App, caller: &Caller) -> Result<&'a TokenUsers, ApiError> {
    let users = app.credentials.users().and_then(|users| users.by_token());
    users.filter(|_| caller.may_administer()).ok_or_else(|| {
        let detail = "there is nothing here for you: tokens exist where the server's auth is \"tokens\", and for its admins";
        ApiError::new(StatusCode::NOT_FOUND, ErrorCode::NotFound, detail)
    })
}

impl From<ControlStoreError> for ApiError {
    fn from(error: ControlStoreError) -> Self {
        match &error {
            ControlStoreError::NoSuchToken(_) => {
                Self::new(StatusCode::NOT_FOUND, ErrorCode::NoSuchToken, error.to_string())
            }
            _ => Self::internal(&error),
        }
    }
}

/// The document that describes a token; `secret` is the token itself, if it was made a moment ago.
pub fn token_document(token: Token, secret: Option<&TokenSecret>) -> TokenDocument {
    TokenDocument {
        id: token.id,
        user: token.user.into(),
        role: token.role,
        limits: token.limits,
        expired: token.expires_us.is_some_and(|expires_us| expires_us <= now_us()),
        created: rfc3339(token.created_us),
        expires: token.expires_us.map(rfc3339),
        token: secret.map(|secret| secret.as_str().to_owned()),
    }
}

/// The answer with a new token, which no cache may keep.
fn created(token: Token, secret: &TokenSecret) -> Response {
    let headers = [(header::CACHE_CONTROL, "no-store")];
    (StatusCode::CREATED, headers, Json(token_document(token, Some(secret)))).into_response()
}

/// When a token expires that is made now.
fn expiry(expires_in_s: Option<u64>) -> Result<Option<u64>, ApiError> {
    match expires_in_s {
        None => Ok(None),
        Some(seconds) if (1..=EXPIRES_MAX_S).contains(&seconds) => Ok(Some(now_us() + seconds * 1_000_000)),
        Some(seconds) => {
            let detail = format!("{seconds} is not from 1 to {EXPIRES_MAX_S}, which is a hundred years");
            Err(ApiError::field("expires_in_s", detail))
        }
    }
}

fn token_id(id: Result<Path<String>, PathRejection>) -> Result<String, ApiError> {
    id.map(|Path(id)| id).map_err(|_| ControlStoreError::NoSuchToken("of this name".to_owned()).into())
}

/// The query parameters of the list of tokens.
#[derive(Debug, Deserialize)]
pub(crate) struct TokenListQuery {
    limit: Option<String>,
    cursor: Option<String>,
}

fn parse_cursor(text: &str) -> Result<TokenListKey, ApiError> {
    let parse = || {
        let (created_us, id) = text.split_once('-')?;
        Some(TokenListKey { created_us: created_us.parse().ok()?, id: id.to_owned() })
    };
    parse().ok_or_else(|| wrong_cursor(text))
}

/// The token with this id, as the audit has it.
fn of_token(id: &str) -> Target {
    Target { session: None, subject: Some(id.to_owned()) }
}

/// Lists the tokens that were not revoked, the newest first, page by page. The `Link` header of a
/// page leads to the next.
#[utoipa::path(
    get, path = "/tokens", tag = "tokens", operation_id = "list_tokens",
    params(
        ("limit" = Option<u64>, Query, minimum = 1, description = "Number of tokens in one page; the server answers at most 1,000"),
        ("cursor" = Option<String>, Query, description = "Where the page begins; the link to the next page has it"),
    ),
    responses(
        (status = 200, description = "The tokens, without their secrets", body = [TokenDocument], headers(
            ("Link" = String, description = "The next page, with `rel=\"next\"` (RFC 8288); absent on the last page"),
        )),
        (status = 403, description = "The Host header names a host that this server does not answer for", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "The server asks for no tokens, or the caller is no admin", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`limit` is not a positive number, or `cursor` is not from a link of this server", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Extension(address): Extension<PublicAddress>,
    query: Result<Query<TokenListQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let users = users_for(&app, &caller)?;
    let Query(query) = query.map_err(|error| ApiError::field("limit", error.body_text()))?;
    let after = query.cursor.as_deref().map(parse_cursor).transpose()?;
    let limit = query.limit.as_deref().map(parse_limit).transpose()?;
    let max = limit.unwrap_or(u64::MAX).min(MAX_PAGE_TOKENS) as usize;
    let mut tokens = users.tokens(after.as_ref(), max + 1).await?;
    let has_more = tokens.len() > max;
    tokens.truncate(max);
    let last = tokens.last().filter(|_| has_more);
    let next = last.map(|last| format!("/tokens?limit={max}&cursor={}-{}", last.created_us, last.id));
    let documents: Vec<_> = tokens.into_iter().map(|token| token_document(token, None)).collect();
    let response = Json(documents).into_response();
    match next {
        Some(path) => link_to_next(response, &address, &path),
        None => Ok(response),
    }
}

/// Makes a token for a user. The answer is the only one that has the token itself.
#[utoipa::path(
    post, path = "/tokens", tag = "tokens", operation_id = "create_token",
    request_body = CreateToken,
    responses(
        (status = 201, description = "The token", body = TokenDocument),
        (status = 400, description = "The body is not well-formed JSON", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The Host header names a host that this server does not answer for", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "The server asks for no tokens, or the caller is no admin", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field is wrong", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Extension(payer): Extension<Payer>,
    Extension(ClientAddress(client)): Extension<ClientAddress>,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    let users = users_for(&app, &caller)?;
    let request: CreateToken = read_json(&app, &caller, payer, request.into_body()).await?;
    let user = request.user.parse().map_err(|error| ApiError::field("user", format!("{error}")))?;
    let CreateToken { role, limits, .. } = request;
    let roles = app.registry.roles();
    if !roles.has(&role) {
        let detail = format!("there is no role {role}; this server has {}", roles.names());
        return Err(ApiError::field("role", detail));
    }
    if let Some(name) = limits.zero() {
        let detail = "a limit of a token is at least 1; without a limit, leave it out";
        return Err(ApiError::field(format!("limits.{name}"), detail));
    }
    let new = NewToken { user, role, limits, expires_us: expiry(request.expires_in_s)? };
    let (token, secret) = users.create_token(&new).await?;
    app.audit.note(Action::TokenCreated, &caller, client, of_token(&token.id));
    Ok(created(token, &secret))
}

/// Revokes a token. It is not valid any more when the answer comes, and connections that use it
/// are closed.
#[utoipa::path(
    delete, path = "/tokens/{id}", tag = "tokens", operation_id = "revoke_token",
    params(("id" = String, Path, description = "The token's id")),
    responses(
        (status = 204, description = "The token is revoked"),
        (status = 403, description = "The Host header names a host that this server does not answer for", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such token, the server asks for no tokens, or the caller is no admin", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn revoke(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Extension(ClientAddress(client)): Extension<ClientAddress>,
    id: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, ApiError> {
    let id = token_id(id)?;
    users_for(&app, &caller)?.revoke_token(&id).await?;
    app.audit.note(Action::TokenRevoked, &caller, client, of_token(&id));
    Ok(StatusCode::NO_CONTENT)
}

/// Replaces a token by a new one for the same user, with the same role and limits. The old one is not valid
/// any more when the answer comes, and connections that use it are closed.
#[utoipa::path(
    post, path = "/tokens/{id}/rotate", tag = "tokens", operation_id = "rotate_token",
    params(("id" = String, Path, description = "The token's id")),
    request_body = RotateToken,
    responses(
        (status = 201, description = "The new token", body = TokenDocument),
        (status = 400, description = "The body is not well-formed JSON", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The Host header names a host that this server does not answer for", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such token, the server asks for no tokens, or the caller is no admin", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field is wrong", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn rotate(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Extension(payer): Extension<Payer>,
    Extension(ClientAddress(client)): Extension<ClientAddress>,
    id: Result<Path<String>, PathRejection>,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    let users = users_for(&app, &caller)?;
    let request: RotateToken = read_json(&app, &caller, payer, request.into_body()).await?;
    let id = token_id(id)?;
    let (token, secret) = users.rotate_token(&id, expiry(request.expires_in_s)?).await?;
    app.audit.note(Action::TokenRotated, &caller, client, of_token(&id));
    app.audit.note(Action::TokenCreated, &caller, client, of_token(&token.id));
    Ok(created(token, &secret))
}
