//! `/sessions/{id}/stream`: a websocket, or over plain HTTP server-sent events or lines of JSON.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use axum::{
    Extension,
    body::{Body, Bytes},
    extract::{
        Path, Query, State, WebSocketUpgrade,
        rejection::{PathRejection, QueryRejection},
        ws::rejection::WebSocketUpgradeRejection,
    },
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use futures_util::stream;
use livecode_protocol::{session::Problem, stream::ServerMessage};
use serde::Deserialize;

use crate::http::{
    App,
    api::sessions::find,
    encode::{Dialect, json},
    problem::ApiError,
    websocket::{self, MAX_FRAME_BYTES, Socket},
};
use crate::{
    auth::Caller,
    sessions::{FollowError, Follower, Item, Session},
};

/// How often a silent stream of events says that it is there: proxies close what is silent for a minute.
const HEARTBEAT: Duration = Duration::from_secs(15);
const EVENTS: &str = "text/event-stream";
const LINES: &str = "application/x-ndjson";

#[derive(Deserialize)]
pub(crate) struct Parameters {
    after: Option<String>,
}

impl Parameters {
    fn after(&self) -> Result<Option<u64>, ApiError> {
        let Some(text) = &self.after else { return Ok(None) };
        // Digits alone: `parse` would take a sign as well.
        let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
        // No journal is that long; the document of the interface has integers of 63 bits.
        let number = text.parse().ok().filter(|number| is_plain && *number <= i64::MAX as u64);
        let detail = || {
            format!("{text:?} is not the number of an entry; give the last \"seq\" you have, or 0 for all")
        };
        number.map(Some).ok_or_else(|| ApiError::field("after", detail()))
    }
}

/// The session's messages from the first on, and then live.
#[utoipa::path(
    get, path = "/sessions/{id}/stream", tag = "sessions",
    params(
        ("id" = String, Path, description = "The session's id"),
        ("after" = Option<u64>, Query, description = "Number of the last entry the client has; each message then carries its `seq`"),
        ("Last-Event-ID" = Option<String>, Header, description = "The same, as an EventSource sends it"),
        ("Accept" = Option<String>, Header, description = "`text/event-stream` or `application/x-ndjson`, where the connection is not upgraded"),
    ),
    responses(
        (status = 101, description = "A websocket"),
        (status = 200, description = "Events, or lines of JSON", content(
            (String = "text/event-stream"),
            (String = "application/x-ndjson"),
        )),
        (status = 204, description = "The events that follow `Last-Event-ID`: none, for ever"),
        (status = 400, description = "An upgrade that is not well-formed", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Another host was meant", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such session", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`after` is no number", body = Problem, content_type = "application/problem+json"),
        (status = 426, description = "Neither an upgrade nor one of the two media types was asked for", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn stream(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
    parameters: Result<Query<Parameters>, QueryRejection>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let session = find(&app, &caller, id)?;
    let Query(parameters) = parameters.map_err(|error| ApiError::field("after", error.body_text()))?;
    let after = parameters.after()?;
    // Clients that would rather speak HTTP/2 ask for another upgrade, and do well without.
    let wants = headers.get(header::UPGRADE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if wants.eq_ignore_ascii_case("websocket") {
        let upgrade = upgrade.map_err(|error| ApiError::bad_request(error.to_string()))?;
        let upgrade = upgrade.max_message_size(MAX_FRAME_BYTES).max_frame_size(MAX_FRAME_BYTES);
        return Ok(upgrade.on_upgrade(move |websocket| async move {
            websocket::stream(Socket::new(websocket, &app, &caller), app, session, after).await;
        }));
    }
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let format = if accept.contains(EVENTS) {
        Format::Events
    } else if accept.contains(LINES) {
        Format::Lines
    } else {
        let detail = format!("upgrade to a websocket, or ask for Accept: {EVENTS} or Accept: {LINES}");
        return Err(
            ApiError::new(StatusCode::UPGRADE_REQUIRED, detail).with_header(header::UPGRADE, "websocket")
        );
    };
    let last_event = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if format == Format::Events && last_event.is_some_and(|last| has_seen_all(&session, last)) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let dialect = Dialect::V02 { with_seq: after.is_some() };
    let follower = app.registry.follow(&session, last_event.or(after).unwrap_or(0));
    Ok(format.response(follower, dialect, app))
}

/// An EventSource comes again whenever its stream ends, until it is answered 204 (HTML, section 9.2).
fn has_seen_all(session: &Arc<Session>, last: u64) -> bool {
    let progress = session.progress();
    progress.ended.is_some() && last >= progress.entries
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Events,
    Lines,
}

impl Format {
    fn response(self, follower: Follower, dialect: Dialect, app: App) -> Response {
        let body = stream::unfold((follower, app, false), move |(mut follower, app, is_over)| async move {
            if is_over {
                return None;
            }
            // An error breaks the answer off: its end would say that it is whole.
            let (chunk, is_last) = self.next(&mut follower, &app, dialect).await?;
            Some((chunk.map(Bytes::from), (follower, app, is_last)))
        });
        let body = Body::from_stream(body);
        let content_type = if self == Self::Events { EVENTS } else { LINES };
        let headers = [
            (header::CONTENT_TYPE, content_type),
            (header::CACHE_CONTROL, "no-cache"),
            // nginx holds answers back unless told not to.
            (header::HeaderName::from_static("x-accel-buffering"), "no"),
        ];
        (headers, body).into_response()
    }

    /// The next chunk, and whether it is the last.
    async fn next(
        self,
        follower: &mut Follower,
        app: &App,
        dialect: Dialect,
    ) -> Option<(Result<String, FollowError>, bool)> {
        let progress = follower.watch();
        let items = tokio::select! {
            items = follower.next() => items,
            () = tokio::time::sleep(HEARTBEAT), if self == Self::Events => {
                return Some((Ok(":\n\n".into()), false));
            }
            () = app.interrupted(progress) => return Some((Ok(self.goodbye()), true)),
        };
        let items =
            items.inspect_err(|error| tracing::error!(%error, "a journal cannot be read")).transpose()?;
        let chunk = |items: Vec<Item>| {
            let chunk = self.chunk(&items, dialect);
            app.metrics.sent(items.len(), chunk.len());
            chunk
        };
        Some((items.map(chunk), false))
    }

    /// The last that a server says which stops: where the session goes on, the stream ends without its `exitstatus`.
    fn goodbye(self) -> String {
        let message = json(&ServerMessage::Goodbye);
        match self {
            Self::Events => format!("data: {message}\n\n"),
            Self::Lines => message + "\n",
        }
    }

    fn chunk(self, items: &[Item], dialect: Dialect) -> String {
        let mut chunk = String::new();
        for item in items {
            let message = dialect.message(item);
            let _ = match (self, item) {
                (Self::Events, Item::Entry(entry)) => {
                    write!(chunk, "id: {}\ndata: {message}\n\n", entry.seq)
                }
                (Self::Events, _) => write!(chunk, "data: {message}\n\n"),
                (Self::Lines, _) => writeln!(chunk, "{message}"),
            }; // writing to a String cannot fail
        }
        chunk
    }
}
