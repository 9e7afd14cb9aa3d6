//! `GET /livecode`: a websocket that runs one program.

use std::time::Duration;

use axum::{Extension, extract::State, response::Response};
use livecode_protocol::{
    session::Problem,
    stream::{ClientMessage, ClientMessageError, ServerMessage, WELCOME},
};
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::{ephemeral::EphemeralSession, request::ExecRequest};
use crate::auth::{Caller, Payer};
use crate::http::{
    app::App,
    body::parse_json,
    encode::{Dialect, message_json},
    problem::ApiError,
    websocket::{
        frame::{CloseReason, Disconnected},
        socket::{MAX_FRAME_BYTES, WebsocketConnection},
        upgrade::WebsocketUpgrade,
    },
};

/// Opens a websocket on which a client runs one program.
#[utoipa::path(
    get, path = "/livecode", tag = "v0.1",
    responses(
        (status = 101, description = "A websocket"),
        (status = 400, description = "The request is not a well-formed upgrade to a websocket", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The Host header names a host that this server does not answer for", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn livecode(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Extension(payer): Extension<Payer>,
    upgrade: Result<WebsocketUpgrade, ApiError>,
) -> Result<Response, ApiError> {
    // One message carries a program with all its files, so it may be as large as a body.
    let max_bytes = usize::try_from(app.config.body_max_bytes).unwrap_or(usize::MAX).max(MAX_FRAME_BYTES);
    Ok(upgrade?.on_upgrade(max_bytes, move |websocket| async move {
        let socket = WebsocketConnection::new(websocket, &app, &caller);
        // An error only says that the client has disconnected.
        let _ = serve_connection(socket, app, caller, payer).await;
    }))
}

/// Answers messages until the client sends a program, runs the program, and closes the connection.
async fn serve_connection(
    mut socket: WebsocketConnection,
    app: App,
    caller: Caller,
    payer: Payer,
) -> Result<(), Disconnected> {
    let program_deadline = Instant::now() + Duration::from_millis(app.config.exec_timeout_ms);
    socket.send(message_json(&ServerMessage::Welcome { message: WELCOME })).await?;
    let ephemeral = loop {
        let text = tokio::select! {
            text = socket.receive_any_size(Dialect::V01) => text?,
            () = app.stopped() => {
                socket.close(CloseReason::server_restart()).await;
                return Ok(());
            }
            () = tokio::time::sleep_until(program_deadline) => {
                socket.close(CloseReason::no_program()).await;
                return Ok(());
            }
        };
        let (error, msg) = match ClientMessage::parse(&text) {
            Ok(ClientMessage::Exec(fields)) => {
                match create_session(&app, &caller, payer, fields.clone()).await {
                    Ok(ephemeral) => break ephemeral,
                    Err(error) => (error.to_string(), Value::Object(fields)),
                }
            }
            Ok(ClientMessage::Ping) => {
                socket.send(message_json(&ServerMessage::Pong)).await?;
                continue;
            }
            Ok(ClientMessage::Quit) => {
                socket.close(CloseReason::goodbye()).await;
                return Ok(());
            }
            Ok(ClientMessage::Deliver { .. }) => {
                let msg: Value = serde_json::from_str(&text).unwrap_or_default();
                let error = match msg["msgtype"].as_str() {
                    Some("event") => "No program runs yet: send an exec first".to_owned(),
                    other => format!("Unknown message type: {}", other.unwrap_or_default()),
                };
                (error, msg)
            }
            Err(ClientMessageError { error, msg, code: _ }) => (error, msg),
        };
        socket.send(message_json(&ServerMessage::Error { error, msg, code: None })).await?;
    };
    let follower = ephemeral.follow();
    socket.follow(&app, &ephemeral.session, follower, Dialect::V01).await;
    Ok(())
}

/// Creates the session that an `exec` message asks for.
async fn create_session(
    app: &App,
    caller: &Caller,
    payer: Payer,
    mut fields: Map<String, Value>,
) -> Result<EphemeralSession, ApiError> {
    fields.remove("msgtype");
    let bytes =
        serde_json::to_vec(&fields).map_err(|error| ApiError::malformed_request(error.to_string()))?;
    let exec: ExecRequest = parse_json(&bytes)?;
    EphemeralSession::create(app, caller, payer, &exec.into()).await
}
