//! Opens the websocket of a session's stream.

use std::time::Duration;

use anyhow::anyhow;
use livecode_protocol::SessionId;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config, tungstenite,
};
use tungstenite::{
    client::IntoClientRequest as _,
    http::{HeaderValue, StatusCode, header},
};

use super::server::{ServerClient, refusal};

/// How long it may take to open a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// An open websocket.
pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Why no connection could be opened.
pub enum ConnectError {
    /// A further attempt would fail, too.
    Permanent(anyhow::Error),
    /// A further attempt may succeed.
    Transient(anyhow::Error),
}

/// Opens the stream of session `id` after the entry with number `after`.
pub async fn connect(server: &ServerClient, id: SessionId, after: u64) -> Result<Socket, ConnectError> {
    let url = server.stream_url(id, after);
    let mut request = url.as_str().into_client_request().map_err(permanent)?;
    if let Some(authorization) = server.authorization().map_err(ConnectError::Permanent)? {
        let value = HeaderValue::try_from(authorization).map_err(permanent)?;
        request.headers_mut().insert(header::AUTHORIZATION, value);
    }
    let connector = server.tls_config().map_err(ConnectError::Permanent)?.map(Connector::Rustls);
    // Small messages, such as a key, are sent at once.
    let has_no_delay = true;
    let connecting = connect_async_tls_with_config(request, None, has_no_delay, connector);
    let no_answer = |error: anyhow::Error| ConnectError::Transient(server.connect_error(error));
    match timeout(CONNECT_TIMEOUT, connecting).await {
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(tungstenite::Error::Http(response))) => {
            let status = response.status();
            let body = response.body().as_deref().unwrap_or_default();
            let refusal = refusal(server.url(), status, response.headers(), body);
            Err(match status {
                StatusCode::NOT_FOUND => ConnectError::Permanent(anyhow!(
                    "there is no session {id}; it may have been deleted or have expired"
                )),
                status if status.is_client_error() || status.is_redirection() => {
                    ConnectError::Permanent(refusal.error)
                }
                _ => ConnectError::Transient(refusal.error),
            })
        }
        Ok(Err(error @ (tungstenite::Error::Io(_) | tungstenite::Error::Tls(_)))) => {
            Err(no_answer(error.into()))
        }
        Ok(Err(error)) => Err(ConnectError::Transient(
            anyhow::Error::from(error).context(format!("cannot open a websocket at {url}")),
        )),
        Err(elapsed) => Err(no_answer(elapsed.into())),
    }
}

fn permanent(error: impl Into<anyhow::Error>) -> ConnectError {
    ConnectError::Permanent(error.into())
}
