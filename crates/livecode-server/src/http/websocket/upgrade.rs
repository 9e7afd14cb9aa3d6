//! The opening handshake of a websocket (RFC 6455, section 4.2).
//!
//! axum has an extractor for it, too, but its connection sends whole messages only, and hides the
//! bytes of the client. A large message is sent in fragments, and incoming bytes are charged.

use std::time::Duration;

use axum::{
    body::Body,
    extract::FromRequestParts,
    http::{Request, Response, request::Parts},
};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tungstenite::{
    handshake::server::create_response,
    protocol::{Role, WebSocketConfig},
};

use super::metered::{MessageMeter, MeteredStream};
use crate::{
    auth::Payer,
    http::{app::App, problem::ApiError},
};

/// Bytes that one read from a client asks for. Each connection holds a buffer of this length.
const READ_BUFFER_BYTES: usize = 8 * 1024;
/// Messages are gathered up to this length before they are written to the connection.
const WRITE_BUFFER_BYTES: usize = 32 * 1024;

/// The connection to a client after the handshake.
pub(crate) type Websocket = WebSocketStream<MeteredStream<TokioIo<Upgraded>>>;

/// A request to become a websocket, which has been found to be valid.
pub(crate) struct WebsocketUpgrade {
    response: Response<()>,
    on_upgrade: OnUpgrade,
}

impl<S: Send + Sync> FromRequestParts<S> for WebsocketUpgrade {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let mut request = Request::new(());
        *request.method_mut() = parts.method.clone();
        *request.version_mut() = parts.version;
        *request.headers_mut() = parts.headers.clone();
        let response =
            create_response(&request).map_err(|error| ApiError::invalid_upgrade(error.to_string()))?;
        let on_upgrade = parts.extensions.remove::<OnUpgrade>();
        let on_upgrade = on_upgrade
            .ok_or_else(|| ApiError::invalid_upgrade("this connection cannot become a websocket"))?;
        Ok(Self { response, on_upgrade })
    }
}

impl WebsocketUpgrade {
    /// The answer to the request. After it was sent, `serve` gets the connection. A message or
    /// frame of the client may have `max_message_bytes`; its bytes are charged to `payer`.
    pub fn on_upgrade<F>(
        self,
        app: &App,
        payer: Payer,
        max_message_bytes: usize,
        serve: impl FnOnce(Websocket, MessageMeter) -> F + Send + 'static,
    ) -> Response<Body>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(WRITE_BUFFER_BYTES)
            .max_message_size(Some(max_message_bytes))
            .max_frame_size(Some(max_message_bytes));
        let meter = MessageMeter::new(app.held_bytes.hold(payer));
        let timeout = Duration::from_millis(app.config.body_timeout_ms);
        let work = async move {
            // An error means that the client disconnected before it got the answer.
            let Ok(upgraded) = self.on_upgrade.await else { return };
            let stream = MeteredStream::new(TokioIo::new(upgraded), meter.clone(), timeout);
            let websocket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
            serve(websocket, meter).await;
        };
        tokio::spawn(app.serving_time.clone().serve(move || payer, work));
        self.response.map(|()| Body::empty())
    }
}
