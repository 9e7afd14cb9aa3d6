//! `POST /exec`: runs a program and answers its output while it runs.

use axum::{
    Extension,
    body::{Body, Bytes},
    extract::{Request, State},
    http::header,
    response::{IntoResponse as _, Response},
};
use futures_util::stream;
use livecode_protocol::session::Problem;

use super::{
    ephemeral::{EphemeralSession, PLAIN_TEXT},
    request::ExecRequest,
};
use crate::auth::{Caller, Payer};
use crate::http::{
    app::App,
    body::{parse_json, read_body},
    caller::ClientAddress,
    encode::{Dialect, pieces::MessagePieces},
    problem::ApiError,
};
use crate::sessions::{Batch, Follower, Item};

/// Runs a program and answers its output while it runs.
#[utoipa::path(
    post, path = "/exec", tag = "v0.1",
    request_body = ExecRequest,
    responses(
        (status = 200, description = "The output; with `raw_output` one JSON message on each line", body = String, content_type = "text/plain"),
        (status = 400, description = "The body is not well-formed JSON", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The Host header names a host that this server does not answer for", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "The body did not arrive in time", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field is wrong", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "The owner or the server has too many sessions", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The server is stopping, the queue of sessions that wait to run is full, the server has no file descriptors or memory left, or it holds as many bytes as it may", body = Problem, content_type = "application/problem+json"),
        (status = 507, description = "There is no space left on the disk", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn exec(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Extension(payer): Extension<Payer>,
    Extension(client): Extension<ClientAddress>,
    request: Request,
) -> Result<Response, ApiError> {
    // The first server accepted JSON with any Content-Type, and pages rely on that.
    let body = read_body(&app, &caller, payer, request.into_body()).await?;
    let (exec, held) = body.process(&app, parse_json::<ExecRequest>).await?;
    let is_raw = exec.raw_output.unwrap_or(false);
    let ephemeral = EphemeralSession::create(&app, &caller, payer, client, &exec.into()).await?;
    drop(held);
    let follower = ephemeral.follow();
    let body = output_body(ephemeral, follower, is_raw);
    Ok(([(header::CONTENT_TYPE, PLAIN_TEXT)], body).into_response())
}

/// A body with the output that `follower` yields: plain, or as messages. The session moves into
/// the body: it is deleted when the body ends or the client disconnects.
pub(super) fn output_body(ephemeral: EphemeralSession, follower: Follower, is_raw: bool) -> Body {
    let state = BodyState { follower, pieces: None, ephemeral };
    Body::from_stream(stream::unfold(state, move |mut state| async move {
        // After an error the body is broken off. A proper end would claim that it is complete.
        let chunk = state.next(is_raw).await.transpose()?;
        Some((chunk.map(Bytes::from), state))
    }))
}

/// The state of an answer that is being sent.
struct BodyState {
    follower: Follower,
    /// The rest of a large message, which is sent before the follower is asked again.
    pieces: Option<MessagePieces>,
    ephemeral: EphemeralSession,
}

impl BodyState {
    /// The next chunk of the body; `None` after the last.
    async fn next(&mut self, is_raw: bool) -> Result<Option<Vec<u8>>, axum::Error> {
        let metrics = self.ephemeral.registry.metrics();
        if let Some(pieces) = &mut self.pieces {
            if let Some(piece) = pieces.next().map_err(axum::Error::new)? {
                metrics.count_sent(piece.is_last.into(), piece.text.len());
                return Ok(Some(piece.text.into_bytes()));
            }
            self.pieces = None;
        }
        let batch = self.follower.next().await;
        let batch = batch.inspect_err(|error| tracing::error!(%error, "cannot read a journal"));
        let (chunk, count) = match batch.map_err(axum::Error::new)? {
            None => return Ok(None),
            Some(Batch::Items(items)) if is_raw => (message_lines(&items), items.len()),
            Some(Batch::Items(items)) => {
                (self.ephemeral.plain_output(&items).map_err(axum::Error::new)?, items.len())
            }
            Some(Batch::LargeMessage(message)) => {
                if is_raw {
                    let pieces = MessagePieces::new(message, Dialect::V01, String::new(), "\n");
                    self.pieces = Some(pieces);
                }
                (vec![], 0)
            }
        };
        metrics.count_sent(count, chunk.len());
        Ok(Some(chunk))
    }
}

/// Items as messages of v0.1, one on each line.
fn message_lines(items: &[Item]) -> Vec<u8> {
    items.iter().map(|item| Dialect::V01.message(item) + "\n").collect::<String>().into_bytes()
}
