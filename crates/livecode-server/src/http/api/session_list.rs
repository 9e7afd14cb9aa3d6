//! `GET /sessions`: all sessions of the caller, or page by page.

use axum::{
    Extension, Json,
    body::{Body, Bytes},
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use livecode_protocol::{
    SessionId,
    session::{Problem, SessionDocument},
};
use serde::Deserialize;

use crate::http::{api::sessions::session_document, app::App, caller::PublicAddress, problem::ApiError};
use crate::{
    auth::Caller,
    lifecycle::{ListKey, ListScope},
};

/// How many sessions are written at once. A list of thousands whose client does not read holds no
/// more than this.
const CHUNK_SESSIONS: usize = 100;
/// How many sessions a page has at most, whatever `limit` asks for.
const MAX_PAGE_SESSIONS: u64 = 200;

/// The query parameters of a list.
#[derive(Debug, Deserialize)]
pub(crate) struct ListQuery {
    limit: Option<String>,
    cursor: Option<String>,
}

/// A caller's list, and how its documents are made.
struct CallersList {
    app: App,
    address: PublicAddress,
    caller: Caller,
    scope: ListScope,
}

impl CallersList {
    /// The documents of at most `max` sessions, and where the list goes on if it has more.
    fn documents(&self, after: Option<ListKey>, max: usize) -> (Vec<SessionDocument>, Option<ListKey>) {
        let mut sessions = self.app.registry.page(&self.scope, after, max + 1);
        let has_more = sessions.len() > max;
        sessions.truncate(max);
        let last = sessions.last().filter(|_| has_more);
        let next = last.map(|session| ListKey { created_us: session.created_us, id: session.id });
        let documents =
            sessions.iter().map(|session| session_document(&self.app, session, &self.caller, &self.address));
        (documents.collect(), next)
    }

    /// The whole list after `after` as a JSON array, written piece by piece.
    fn stream(self, after: Option<ListKey>) -> Response {
        let (documents, next) = self.documents(after, CHUNK_SESSIONS);
        if next.is_none() {
            return Json(documents).into_response();
        }
        let first = json_items(&documents).map(|items| Bytes::from([b"[", &*items].concat()));
        let rest = stream::unfold(Some((self, next)), |state| async {
            let (list, next) = state?;
            if next.is_none() {
                return Some((Ok(Bytes::from_static(b"]")), None));
            }
            // The connection's time slice ends here, so that other connections do not wait for the list.
            tokio::task::yield_now().await;
            // Sessions may have been deleted meanwhile.
            let (documents, next) = list.documents(next, CHUNK_SESSIONS);
            let items = json_items(&documents).map(|items| match items.is_empty() {
                true => Bytes::new(),
                false => Bytes::from([b",", &*items].concat()),
            });
            Some((items, Some((list, next))))
        });
        let body = Body::from_stream(futures_util::StreamExt::chain(stream::iter([first]), rest));
        ([(header::CONTENT_TYPE, "application/json")], body).into_response()
    }
}

/// The items of a JSON array, without its brackets.
fn json_items(documents: &[SessionDocument]) -> Result<Vec<u8>, serde_json::Error> {
    let mut json = serde_json::to_vec(documents)?;
    json.pop();
    json.drain(..1);
    Ok(json)
}

/// Lists the caller's own sessions, newest first: all of them, or with `limit` a page whose `Link`
/// header leads to the next.
#[utoipa::path(
    get, path = "/sessions", tag = "sessions",
    params(
        ("limit" = Option<u64>, Query, minimum = 1, description = "Number of sessions in one page; the server may answer fewer"),
        ("cursor" = Option<String>, Query, description = "Where the page begins; the link to the next page has it"),
    ),
    responses(
        (status = 200, description = "The sessions", body = [SessionDocument], headers(
            ("Link" = String, description = "The next page, with `rel=\"next\"` (RFC 8288); absent on the last page and without `limit`"),
        )),
        (status = 403, description = "The Host header names a host that this server does not answer for", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`limit` is not a positive number, or `cursor` is not from a link of this server", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Extension(address): Extension<PublicAddress>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(query) = query.map_err(|error| ApiError::field("limit", error.body_text()))?;
    let after = query.cursor.as_deref().map(parse_cursor).transpose()?;
    let limit = query.limit.as_deref().map(parse_limit).transpose()?;
    let scope = ListScope::of(&caller);
    let list = CallersList { app, address, caller, scope };
    let Some(limit) = limit else { return Ok(list.stream(after)) };
    let (documents, next) = list.documents(after, limit.min(MAX_PAGE_SESSIONS) as usize);
    let mut response = Json(documents).into_response();
    if let Some(ListKey { created_us, id }) = next {
        let path = format!("/sessions?limit={limit}&cursor={created_us}-{id}");
        let link = HeaderValue::try_from(format!("<{}>; rel=\"next\"", list.address.http(&path)))
            .map_err(|_| ApiError::malformed_request("the Host header is not valid in a URL"))?;
        response.headers_mut().insert(header::LINK, link);
    }
    Ok(response)
}

fn parse_limit(text: &str) -> Result<u64, ApiError> {
    // The OpenAPI document's integers are of 64 bits with a sign.
    let limit = text.parse::<i64>().ok().and_then(|limit| u64::try_from(limit).ok());
    limit
        .filter(|limit| *limit > 0)
        .ok_or_else(|| ApiError::field("limit", format!("{text:?} is not a positive whole number")))
}

fn parse_cursor(text: &str) -> Result<ListKey, ApiError> {
    let parse = || {
        let (created_us, id) = text.split_once('-')?;
        Some(ListKey { created_us: created_us.parse().ok()?, id: id.parse::<SessionId>().ok()? })
    };
    parse().ok_or_else(|| {
        ApiError::field("cursor", format!("{text:?} is not the cursor of a link to a next page"))
    })
}
