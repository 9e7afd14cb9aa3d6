//! `/sessions/{id}/stream`: a websocket, or over plain HTTP server-sent events (SSE) or lines of
//! JSON (NDJSON).

use std::{fmt::Write as _, sync::Arc, time::Duration};

use axum::{
    Extension,
    body::{Body, Bytes},
    extract::{
        Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use futures_util::stream;
use livecode_protocol::{ErrorCode, session::Problem, stream::ServerMessage};
use serde::Deserialize;
use tokio::task::JoinSet;

use crate::http::{
    api::sessions::find_session,
    app::App,
    caller::ClientAddress,
    encode::{Dialect, message_json, pieces::MessagePieces},
    notices::Notices,
    problem::ApiError,
    websocket::{
        socket::{MAX_FRAME_BYTES, WebsocketConnection, serve_stream},
        upgrade::WebsocketUpgrade,
    },
};
use crate::{
    audit::Action,
    auth::{Caller, Payer, Verb},
    sessions::{Batch, Follower, Item, Session},
};

/// The time without messages after which a stream over plain HTTP sends a keep-alive. Many proxies
/// close a connection that is silent for a minute.
const HEARTBEAT: Duration = Duration::from_secs(15);
const EVENT_STREAM: &str = "text/event-stream";
const NDJSON: &str = "application/x-ndjson";

/// The query of the stream's URL.
#[derive(Deserialize)]
pub(crate) struct StreamQuery {
    after: Option<String>,
    notices: Option<String>,
}

impl StreamQuery {
    /// The number of the last entry that the client has.
    fn after(&self) -> Result<Option<u64>, ApiError> {
        let Some(text) = &self.after else { return Ok(None) };
        // Only digits are valid, but `parse` would accept a sign as well.
        let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
        // No journal is longer than `i64::MAX`, the largest integer in the OpenAPI document.
        let number = text.parse().ok().filter(|number| is_digits && *number <= i64::MAX as u64);
        let detail = || {
            format!("{text:?} is not the number of an entry; give the last \"seq\" you have, or 0 for all")
        };
        number.map(Some).ok_or_else(|| ApiError::field("after", detail()))
    }

    /// Whether the client wants notices.
    fn notices(&self) -> Result<bool, ApiError> {
        match self.notices.as_deref() {
            None | Some("0") => Ok(false),
            Some("1") => Ok(true),
            Some(other) => Err(ApiError::field("notices", format!("{other:?} is neither 0 nor 1"))),
        }
    }
}

/// Answers the session's messages from the first on, then live.
#[utoipa::path(
    get, path = "/sessions/{id}/stream", tag = "sessions",
    params(
        ("id" = String, Path, description = "The session's id"),
        ("after" = Option<u64>, Query, description = "Number of the last entry that the client has; each message then carries its `seq`"),
        ("notices" = Option<i32>, Query, minimum = 0, maximum = 1, description = "1 to be told the place in the queue too (`queued`), and whether the program waits for input (`waiting`)"),
        ("Last-Event-ID" = Option<String>, Header, description = "The same number, as an EventSource sends it"),
        ("Accept" = Option<String>, Header, description = "`text/event-stream` or `application/x-ndjson`, if the connection is not upgraded"),
    ),
    responses(
        (status = 101, description = "A websocket"),
        (status = 200, description = "Server-sent events, or lines of JSON; after 15 seconds without a message, a comment or an empty line", content(
            (String = "text/event-stream"),
            (String = "application/x-ndjson"),
        )),
        (status = 204, description = "The session has ended, and no event follows `Last-Event-ID`"),
        (status = 400, description = "The upgrade request is malformed", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The Host header names a host that this server does not answer for", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such session", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`after` is not a number, or `notices` neither 0 nor 1", body = Problem, content_type = "application/problem+json"),
        (status = 426, description = "The request asks neither for an upgrade nor for one of the two media types", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn stream(
    State(app): State<App>,
    (Extension(caller), Extension(payer)): (Extension<Caller>, Extension<Payer>),
    Extension(ClientAddress(client)): Extension<ClientAddress>,
    id: Result<Path<String>, PathRejection>,
    query: Result<Query<StreamQuery>, QueryRejection>,
    headers: HeaderMap,
    upgrade: Result<WebsocketUpgrade, ApiError>,
) -> Result<Response, ApiError> {
    let session = find_session(&app, (&caller, payer), Verb::Watch, id)?;
    let Query(query) = query.map_err(|error| ApiError::field("after", error.body_text()))?;
    let (after, are_notices_wanted) = (query.after()?, query.notices()?);
    // Some clients ask for an upgrade to HTTP/2. They are served without an upgrade.
    let protocol = headers.get(header::UPGRADE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if protocol.eq_ignore_ascii_case("websocket") {
        let upgrade = upgrade?;
        app.audit.note(Action::SessionWatched, &caller, client, session.id);
        return Ok(upgrade.on_upgrade(
            &app.clone(),
            payer,
            MAX_FRAME_BYTES,
            move |websocket, meter| async move {
                let socket = WebsocketConnection::new(websocket, meter, &app, caller, payer);
                serve_stream(socket, app, session, after, are_notices_wanted).await;
            },
        ));
    }
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let format = if accept.contains(EVENT_STREAM) {
        StreamFormat::Events
    } else if accept.contains(NDJSON) {
        StreamFormat::Lines
    } else {
        let detail = format!("upgrade to a websocket, or send Accept: {EVENT_STREAM} or Accept: {NDJSON}");
        let error = ApiError::new(StatusCode::UPGRADE_REQUIRED, ErrorCode::UpgradeRequired, detail);
        return Err(error.with_header(header::UPGRADE, "websocket"));
    };
    let last_event_id =
        headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if format == StreamFormat::Events && last_event_id.is_some_and(|last| has_seen_all(&session, last)) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    app.audit.note(Action::SessionWatched, &caller, client, session.id);
    let dialect = Dialect::V02 { with_seq: after.is_some() };
    let follower = app.registry.follow(&session, last_event_id.or(after).unwrap_or(0));
    let notices = Notices::new(&app, &session, are_notices_wanted);
    Ok(format.response(follower, notices, dialect, app, caller))
}

/// Whether the session has ended and the client has its last entry. An EventSource reconnects
/// whenever its stream ends, until it is answered 204 (HTML standard, section 9.2).
fn has_seen_all(session: &Arc<Session>, last: u64) -> bool {
    let progress = session.progress();
    progress.ended.is_some() && last >= progress.entries
}

/// The token or share of the reader was revoked, or has expired. The body is broken off.
#[derive(Debug, thiserror::Error)]
#[error("the token or share of this reader is not valid any more")]
struct CredentialEnded;

/// The state of a body that is being sent.
struct BodyState {
    follower: Follower,
    notices: Notices,
    /// The rest of a large message, which is sent before the follower is asked again.
    pieces: Option<MessagePieces>,
    app: App,
    /// Ends when the caller's token or share is not valid any more.
    ///
    /// It is a task of its own: the body is not polled while the client reads nothing, and must not
    /// hold a connection to the control store then.
    credential_ended: JoinSet<()>,
    is_over: bool,
}

fn log_unreadable(error: &impl std::error::Error) {
    tracing::error!(%error, "cannot read a journal");
}

/// The form of a stream over plain HTTP.
#[derive(Clone, Copy, PartialEq, Eq)]
enum StreamFormat {
    /// Server-sent events.
    Events,
    /// Lines of JSON.
    Lines,
}

impl StreamFormat {
    /// A response whose body goes on until the session ends or the server stops.
    fn response(
        self,
        follower: Follower,
        notices: Notices,
        dialect: Dialect,
        app: App,
        caller: Caller,
    ) -> Response {
        let mut credential_ended = JoinSet::new();
        credential_ended.spawn({
            let app = app.clone();
            async move { app.credentials.ended(&caller).await }
        });
        let state = BodyState { follower, notices, pieces: None, app, credential_ended, is_over: false };
        let body = stream::unfold(state, move |mut state| async move {
            // After an error the body is broken off. A proper end would claim that it is complete.
            let chunk = self.next(&mut state, dialect).await.transpose()?;
            state.is_over |= chunk.is_err();
            Some((chunk.map(Bytes::from), state))
        });
        let body = Body::from_stream(body);
        let content_type = if self == Self::Events { EVENT_STREAM } else { NDJSON };
        let headers = [
            (header::CONTENT_TYPE, content_type),
            (header::CACHE_CONTROL, "no-cache"),
            // nginx buffers responses unless this header tells it not to.
            (header::HeaderName::from_static("x-accel-buffering"), "no"),
        ];
        (headers, body).into_response()
    }

    /// The next chunk of the body; `None` after the last.
    async fn next(self, state: &mut BodyState, dialect: Dialect) -> Result<Option<String>, axum::Error> {
        let BodyState { follower, notices, pieces, app, credential_ended, is_over } = state;
        if *is_over {
            return Ok(None);
        }
        // The reader may have taken long to take what was sent before.
        if credential_ended.try_join_next().is_some() {
            return Err(axum::Error::new(CredentialEnded));
        }
        if let Some(large) = pieces {
            if let Some(piece) = large.next().inspect_err(log_unreadable).map_err(axum::Error::new)? {
                app.metrics.count_sent(piece.is_last.into(), piece.text.len());
                return Ok(Some(piece.text));
            }
            *pieces = None;
        }
        let (progress, position) = (follower.watch(), follower.position());
        let batch = tokio::select! {
            biased;
            _ = credential_ended.join_next() => return Err(axum::Error::new(CredentialEnded)),
            () = app.stopped_for_reader(progress) => {
                *is_over = true;
                return Ok(Some(self.goodbye()));
            }
            batch = follower.next() => batch.inspect_err(log_unreadable).map_err(axum::Error::new)?,
            notice = notices.next(position) => return Ok(Some(self.server_message(&notice))),
            () = tokio::time::sleep(HEARTBEAT) => return Ok(Some(self.keep_alive().into())),
        };
        match batch {
            None => Ok(None),
            Some(Batch::Items(items)) => {
                let chunk = self.chunk(&items, dialect);
                app.metrics.count_sent(items.len(), chunk.len());
                Ok(Some(chunk))
            }
            Some(Batch::LargeMessage(message)) => {
                let (prefix, suffix) = match self {
                    Self::Events => (format!("id: {}\ndata: ", message.seq), "\n\n"),
                    Self::Lines => (String::new(), "\n"),
                };
                let mut large = MessagePieces::new(message, dialect, prefix, suffix);
                let first = large.next().inspect_err(log_unreadable).map_err(axum::Error::new)?;
                let first = first.map(|piece| piece.text).unwrap_or_default();
                app.metrics.count_sent(0, first.len());
                *pieces = Some(large);
                Ok(Some(first))
            }
        }
    }

    /// Bytes that carry no message: a comment among events, an empty line among lines of JSON.
    fn keep_alive(self) -> &'static str {
        match self {
            Self::Events => ":\n\n",
            Self::Lines => "\n",
        }
    }

    /// The last message of a stream that ends because the server stops. Its session may go on:
    /// only `exitstatus` says that a session has ended.
    fn goodbye(self) -> String {
        self.server_message(&ServerMessage::Goodbye)
    }

    /// A message of the server, which has no number.
    fn server_message(self, message: &ServerMessage<'_>) -> String {
        let message = message_json(message);
        match self {
            Self::Events => format!("data: {message}\n\n"),
            Self::Lines => message + "\n",
        }
    }

    /// The messages for some items, in this form.
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
