//! `GET /livecode`: a websocket that runs one program.

use std::time::Duration;

use axum::{Extension, body::Bytes, extract::State, response::Response};
use livecode_protocol::{
    session::{CreateSession, Problem},
    stream::{
        ClientDelivery, ClientMessage, ClientMessageError, MAX_CLIENT_MESSAGE_BYTES, ServerMessage, WELCOME,
        echo,
    },
};
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::{ephemeral::EphemeralSession, request::ExecRequest};
use crate::auth::{Caller, Payer};
use crate::http::{
    app::App,
    body::{HeldBody, parse_json},
    caller::ClientAddress,
    encode::{Dialect, message_json},
    notices::Notices,
    problem::ApiError,
    websocket::{
        frame::{CloseReason, Disconnected},
        socket::{MAX_FRAME_BYTES, WebsocketConnection},
        upgrade::WebsocketUpgrade,
    },
};

/// How often an `error` is held on its way to the client: with its message, as text, and in the
/// buffer of the connection.
const COPIES_OF_AN_ERROR: u64 = 2;

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
    Extension(client): Extension<ClientAddress>,
    upgrade: Result<WebsocketUpgrade, ApiError>,
) -> Result<Response, ApiError> {
    // One message carries a program with all its files, so it may be as large as a body.
    let max_bytes = usize::try_from(app.config.body_max_bytes).unwrap_or(usize::MAX).max(MAX_FRAME_BYTES);
    Ok(upgrade?.on_upgrade(&app.clone(), payer, max_bytes, move |websocket, meter| async move {
        let socket = WebsocketConnection::new(websocket, meter, &app, caller.clone(), payer);
        // An error only says that the client has disconnected.
        let _ = serve_connection(socket, app, caller, payer, client).await;
    }))
}

/// Answers messages until the client sends a program, runs the program, and closes the connection.
async fn serve_connection(
    mut socket: WebsocketConnection,
    app: App,
    caller: Caller,
    payer: Payer,
    client: ClientAddress,
) -> Result<(), Disconnected> {
    let program_deadline = Instant::now() + Duration::from_millis(app.config.exec_timeout_ms);
    socket.send(message_json(&ServerMessage::Welcome { message: WELCOME })).await?;
    let ephemeral = loop {
        let (text, held) = tokio::select! {
            text = socket.receive_any_size(Dialect::V01) => text?,
            () = app.stopped() => {
                socket.close(CloseReason::server_restart()).await;
                return Ok(());
            }
            () = app.credentials.ended(&caller) => {
                socket.close(CloseReason::unauthorized()).await;
                return Ok(());
            }
            () = tokio::time::sleep_until(program_deadline) => {
                socket.close(CloseReason::no_program()).await;
                return Ok(());
            }
        };
        let text = Bytes::from(text);
        // The text is kept until the message is answered, because an error repeats it.
        let body = HeldBody::new(text.clone(), app.held_bytes.hold(payer));
        let refused = match body.process(&app, |bytes| Ok(FirstMessage::parse(bytes))).await {
            Ok((FirstMessage::Ping, _)) => {
                socket.send(message_json(&ServerMessage::Pong)).await?;
                continue;
            }
            Ok((FirstMessage::Quit, _)) => {
                socket.close(CloseReason::goodbye()).await;
                return Ok(());
            }
            Ok((FirstMessage::Exec(request), _held)) => {
                match EphemeralSession::create(&app, &caller, payer, client, &request).await {
                    Ok(ephemeral) => break ephemeral,
                    Err(error) => error.to_string(),
                }
            }
            Ok((FirstMessage::Refused(error), _)) => error,
            Err(error) => error.to_string(),
        };
        if text.len() > MAX_CLIENT_MESSAGE_BYTES {
            // A large message is not repeated in the answer.
            let msg = RawValue::NULL.to_owned();
            socket.send(message_json(&ServerMessage::Error { error: refused, msg, code: None })).await?;
            continue;
        }
        // An error is copied on its way to the client as often as this.
        let Ok(answer) = held.another(COPIES_OF_AN_ERROR * text.len() as u64) else {
            socket.close(CloseReason::over_budget()).await;
            return Ok(());
        };
        let encode = move |bytes: &[u8]| {
            let msg = echo(std::str::from_utf8(bytes).unwrap_or_default());
            Ok(message_json(&ServerMessage::Error { error: refused, msg, code: None }))
        };
        let Ok((message, _held)) = HeldBody::new(text, answer).process(&app, encode).await else {
            socket.close(CloseReason::over_budget()).await;
            return Ok(());
        };
        socket.send(message).await?;
    };
    let follower = ephemeral.follow();
    let no_notices = Notices::new(&app, &ephemeral.session, false);
    socket.follow(&app, &ephemeral.session, follower, no_notices, Dialect::V01).await;
    Ok(())
}

/// A message before there is a program.
enum FirstMessage {
    Ping,
    Quit,
    /// A request to run a program.
    Exec(Box<CreateSession>),
    /// A message that is answered with this error.
    Refused(String),
}

impl FirstMessage {
    fn parse(bytes: &[u8]) -> Self {
        // The text of a websocket is always UTF-8.
        let message = match ClientMessage::parse(std::str::from_utf8(bytes).unwrap_or_default()) {
            Ok(message) => message,
            Err(ClientMessageError { error, code: _ }) => return Self::Refused(error),
        };
        let item = match message {
            ClientMessage::Ping => return Self::Ping,
            ClientMessage::Quit => return Self::Quit,
            ClientMessage::Exec => {
                return match parse_json::<ExecRequest>(bytes) {
                    Ok(exec) => Self::Exec(Box::new(exec.into())),
                    Err(error) => Self::Refused(error.to_string()),
                };
            }
            ClientMessage::Deliver { item, .. } => item,
        };
        Self::Refused(match item {
            ClientDelivery::Event { .. } => "No program runs yet: send an exec first".to_owned(),
            ClientDelivery::Input { .. } => "Unknown message type: input".to_owned(),
            ClientDelivery::Signal(_) => "Unknown message type: signal".to_owned(),
        })
    }
}
