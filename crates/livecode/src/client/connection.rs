//! Opens the websocket of a session's stream.

use std::time::Duration;

use anyhow::anyhow;
use livecode_protocol::SessionId;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite};

use super::server_client::ServerClient;

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
    let url = server.stream_url(id, after).map_err(ConnectError::Permanent)?;
    let transient = |error: anyhow::Error| {
        ConnectError::Transient(
            error.context(format!("no server answers at {url}; start one with `livecode serve`")),
        )
    };
    match timeout(CONNECT_TIMEOUT, connect_async(&url)).await {
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(tungstenite::Error::Http(response))) if response.status().is_client_error() => {
            Err(ConnectError::Permanent(match response.status().as_u16() {
                404 => anyhow!("there is no session {id}; it may have been deleted or have expired"),
                status => anyhow!("the server answered {status} at {url}"),
            }))
        }
        Ok(Err(error)) => Err(transient(error.into())),
        Err(elapsed) => Err(transient(elapsed.into())),
    }
}
