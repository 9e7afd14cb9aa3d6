//! `GET /sessions`: all sessions of the caller, or page by page.

use axum::{
    Extension, Json,
    body::{Body, Bytes},
    extract::{Query, State, rejection::QueryRejection},
    http::header,
    response::{IntoResponse, Response},
};
use futures_util::stream;
use livecode_protocol::{
    SessionId,
    session::{Problem, SessionDocument, SessionState},
};
use serde::{Deserialize, de::IntoDeserializer as _};

use crate::http::{
    api::sessions::session_document,
    app::App,
    caller::PublicAddress,
    paging::{link_to_next, parse_limit, wrong_cursor},
    problem::ApiError,
};
use crate::{
    auth::Caller,
    lifecycle::{ListKey, ListScope},
    sessions::Session,
};

/// How many sessions are written at once. A list of thousands whose client does not read holds no
/// more than this.
const CHUNK_SESSIONS: usize = 100;
/// How many sessions a page has at most, whatever `limit` asks for.
const MAX_PAGE_SESSIONS: u64 = 200;
/// How many sessions are examined for one page. A page for which few of them match has fewer than
/// `limit`, and leads to the next.
const MAX_EXAMINED_SESSIONS: usize = 10_000;
/// The longest name of a runtime that a filter may have, in bytes.
const MAX_RUNTIME_BYTES: usize = 64;

/// The query parameters of a list.
#[derive(Debug, Deserialize)]
pub(crate) struct ListQuery {
    limit: Option<String>,
    cursor: Option<String>,
    state: Option<String>,
    runtime: Option<String>,
}

/// Which of the caller's sessions a list has.
struct Filter {
    state: Option<SessionState>,
    runtime: Option<String>,
}

impl Filter {
    fn parse(query: &ListQuery) -> Result<Self, ApiError> {
        let state = query.state.as_deref().map(|text| {
            let state = SessionState::deserialize(text.into_deserializer());
            state.map_err(|_: serde::de::value::Error| {
                ApiError::field("state", format!("{text:?} is not queued, running or ended"))
            })
        });
        let is_name = |name: &str| {
            let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            (1..=MAX_RUNTIME_BYTES).contains(&name.len()) && name.bytes().all(is_allowed)
        };
        match &query.runtime {
            Some(name) if !is_name(name) => {
                Err(ApiError::field("runtime", format!("{name:?} is not the name of a runtime")))
            }
            runtime => Ok(Self { state: state.transpose()?, runtime: runtime.clone() }),
        }
    }

    fn has(&self, session: &Session) -> bool {
        self.state.is_none_or(|state| state == session.state())
            && self.runtime.as_ref().is_none_or(|runtime| **runtime == *session.runtime)
    }

    /// The parameters of a query that asks for the same.
    fn query(&self) -> String {
        let name = |state| serde_json::to_value(state).ok()?.as_str().map(str::to_owned);
        let state = self.state.and_then(name).map(|state| format!("&state={state}"));
        let runtime = self.runtime.as_ref().map(|runtime| format!("&runtime={runtime}"));
        state.into_iter().chain(runtime).collect()
    }
}

/// A caller's list, and how its documents are made.
struct CallersList {
    app: App,
    address: PublicAddress,
    caller: Caller,
    scope: ListScope,
    filter: Filter,
}

impl CallersList {
    /// A page of at most `max` documents, and where the list goes on if it may have more.
    async fn page(&self, mut after: Option<ListKey>, max: usize) -> (Vec<SessionDocument>, Option<ListKey>) {
        let (mut page, mut examined) = (vec![], 0);
        loop {
            let sessions = self.app.registry.page(&self.scope, after, CHUNK_SESSIONS + 1);
            for (index, session) in sessions.iter().take(CHUNK_SESSIONS).enumerate() {
                after = Some(key(session));
                if self.filter.has(session) {
                    page.push(session_document(&self.app, session, &self.caller, &self.address));
                }
                if page.len() == max {
                    return (page, after.filter(|_| index + 1 < sessions.len()));
                }
            }
            examined += CHUNK_SESSIONS;
            if sessions.len() <= CHUNK_SESSIONS {
                return (page, None);
            }
            if examined >= MAX_EXAMINED_SESSIONS {
                return (page, after);
            }
            // Other connections do not wait for the page.
            tokio::task::yield_now().await;
        }
    }

    /// The documents of those among the next `max` sessions that the filter has, and where the list
    /// goes on if it has more.
    fn documents(&self, after: Option<ListKey>, max: usize) -> (Vec<SessionDocument>, Option<ListKey>) {
        let mut sessions = self.app.registry.page(&self.scope, after, max + 1);
        let has_more = sessions.len() > max;
        sessions.truncate(max);
        let last = sessions.last().filter(|_| has_more);
        let next = last.map(|session| key(session));
        let documents = sessions
            .iter()
            .filter(|session| self.filter.has(session))
            .map(|session| session_document(&self.app, session, &self.caller, &self.address));
        (documents.collect(), next)
    }

    /// The whole list after `after` as a JSON array, written piece by piece.
    fn stream(self, after: Option<ListKey>) -> Response {
        let (documents, next) = self.documents(after, CHUNK_SESSIONS);
        if next.is_none() {
            return Json(documents).into_response();
        }
        let first = json_items(&documents).map(|items| Bytes::from([b"[", &*items].concat()));
        let rest = stream::unfold(Some((self, next, !documents.is_empty())), |state| async {
            let (list, next, has_items) = state?;
            if next.is_none() {
                return Some((Ok(Bytes::from_static(b"]")), None));
            }
            // The connection's slice ends here, so that other connections do not wait for the list.
            tokio::task::yield_now().await;
            // Sessions may have been deleted meanwhile.
            let (documents, next) = list.documents(next, CHUNK_SESSIONS);
            let separator: &[u8] = if has_items && !documents.is_empty() { b"," } else { b"" };
            let items = json_items(&documents).map(|items| Bytes::from([separator, &*items].concat()));
            Some((items, Some((list, next, has_items || !documents.is_empty()))))
        });
        let body = Body::from_stream(futures_util::StreamExt::chain(stream::iter([first]), rest));
        ([(header::CONTENT_TYPE, "application/json")], body).into_response()
    }
}

fn key(session: &Session) -> ListKey {
    ListKey { created_us: session.created_us, id: session.id }
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
    get, path = "/sessions", tag = "sessions", operation_id = "list_sessions",
    params(
        ("limit" = Option<u64>, Query, minimum = 1, description = "Number of sessions in one page; the server may answer fewer"),
        ("cursor" = Option<String>, Query, description = "Where the page begins; the link to the next page has it"),
        ("state" = Option<SessionState>, Query, description = "Only sessions in this state"),
        ("runtime" = Option<String>, Query, description = "Only sessions of this runtime", pattern = "^[A-Za-z0-9._-]{1,64}$"),
    ),
    responses(
        (status = 200, description = "The sessions", body = [SessionDocument], headers(
            ("Link" = String, description = "The next page, with `rel=\"next\"` (RFC 8288); absent on the last page and without `limit`"),
        )),
        (status = 403, description = "The Host header names a host that this server does not answer for", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`limit` is not a positive number, `cursor` is not from a link of this server, or a filter is wrong", body = Problem, content_type = "application/problem+json"),
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
    let filter = Filter::parse(&query)?;
    let list = CallersList { app, address, caller, scope, filter };
    let Some(limit) = limit else { return Ok(list.stream(after)) };
    let (documents, next) = list.page(after, limit.min(MAX_PAGE_SESSIONS) as usize).await;
    let response = Json(documents).into_response();
    let Some(ListKey { created_us, id }) = next else { return Ok(response) };
    let filter = list.filter.query();
    let path = format!("/sessions?limit={limit}{filter}&cursor={created_us}-{id}");
    link_to_next(response, &list.address, &path)
}

fn parse_cursor(text: &str) -> Result<ListKey, ApiError> {
    let parse = || {
        let (created_us, id) = text.split_once('-')?;
        Some(ListKey { created_us: created_us.parse().ok()?, id: id.parse::<SessionId>().ok()? })
    };
    parse().ok_or_else(|| wrong_cursor(text))
}
