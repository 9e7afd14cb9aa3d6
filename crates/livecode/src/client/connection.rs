//! Opens the websocket of a session's stream.

use std::{io, time::Duration};

use anyhow::anyhow;
use livecode_protocol::{ErrorCode, SessionId};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    time::timeout,
};
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config, tungstenite,
};
use tungstenite::{
    client::IntoClientRequest as _,
    http::{HeaderValue, StatusCode, Uri, header},
};

use super::server::{ServerClient, refusal};

/// How long it may take to open a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// An open websocket.
pub type Socket = WebSocketStream<MaybeTlsStream<Box<dyn ByteStream>>>;

/// A connection, over TCP or a unix socket.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for S {}

/// Why no connection could be opened.
pub enum ConnectError {
    /// A further attempt would fail, too.
    Permanent(anyhow::Error),
    /// A further attempt may succeed.
    Transient(anyhow::Error),
}

/// Opens the stream of session `id` after the entry with number `after`.
pub async fn connect(server: &ServerClient, id: SessionId, after: u64) -> Result<Socket, ConnectError> {
    let url = stream_url(server, id, after).await?;
    let mut request = url.as_str().into_client_request().map_err(permanent)?;
    if let Some(authorization) = server.authorization().map_err(ConnectError::Permanent)? {
        let value = HeaderValue::try_from(authorization).map_err(permanent)?;
        request.headers_mut().insert(header::AUTHORIZATION, value);
    }
    let connector = server.tls_config().map_err(ConnectError::Permanent)?.map(Connector::Rustls);
    let connecting = async {
        let stream = open_stream(server, request.uri()).await?;
        client_async_tls_with_config(request, stream, None, connector).await
    };
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
            anyhow::Error::from(error).context(format!("cannot open a websocket at {}", server.url())),
        )),
        Err(elapsed) => Err(no_answer(elapsed.into())),
    }
}

/// The URL of the stream. A share is redeemed for a new ticket each time.
async fn stream_url(server: &ServerClient, id: SessionId, after: u64) -> Result<String, ConnectError> {
    if !server.is_of_share() {
        return Ok(server.stream_url(id, after));
    }
    let client = server.clone();
    let redeemed = tokio::task::spawn_blocking(move || client.redeem()).await;
    match redeemed.map_err(anyhow::Error::from).flatten().map_err(ConnectError::Transient)? {
        Ok(shared) => Ok(server.shared_stream_url(&shared, after)),
        Err(refusal) if refusal.code == Some(ErrorCode::NoSuchShare) => {
            Err(ConnectError::Permanent(refusal.error))
        }
        Err(refusal) => Err(ConnectError::Transient(refusal.error)),
    }
}

/// Connects to the server's socket, or to the host and port of a websocket's URL.
async fn open_stream(server: &ServerClient, url: &Uri) -> io::Result<Box<dyn ByteStream>> {
    if let Some(path) = server.url().socket() {
        return Ok(Box::new(UnixStream::connect(path).await?));
    }
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    let default_port = if url.scheme_str() == Some("wss") { 443 } else { 80 };
    let stream = TcpStream::connect((host, url.port_u16().unwrap_or(default_port))).await?;
    // Small messages, such as a key, are sent at once.
    stream.set_nodelay(true)?;
    Ok(Box::new(stream))
}

fn permanent(error: impl Into<anyhow::Error>) -> ConnectError {
    ConnectError::Permanent(error.into())
}
