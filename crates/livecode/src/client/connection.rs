//! Opens the websocket of a session's stream.

use std::time::Duration;

use anyhow::anyhow;
use livecode_protocol::{SessionId, session::Problem};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite};
use tungstenite::http::{Response, StatusCode};

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
    let no_answer = |error: anyhow::Error| {
        ConnectError::Transient(
            error.context(format!("no server answers at {url}; start one with `livecode serve`")),
        )
    };
    match timeout(CONNECT_TIMEOUT, connect_async(&url)).await {
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(tungstenite::Error::Http(response))) => Err(match response.status() {
            StatusCode::NOT_FOUND => ConnectError::Permanent(anyhow!(
                "there is no session {id}; it may have been deleted or have expired"
            )),
            status if status.is_client_error() => ConnectError::Permanent(refusal(&response, &url)),
            _ => ConnectError::Transient(refusal(&response, &url)),
        }),
        Ok(Err(error @ tungstenite::Error::Io(_))) => Err(no_answer(error.into())),
        Ok(Err(error)) => {
            let context = format!("cannot open a websocket at {url}");
            Err(ConnectError::Transient(anyhow::Error::from(error).context(context)))
        }
        Err(elapsed) => Err(no_answer(elapsed.into())),
    }
}

/// The error for an HTTP response in place of a websocket. It includes the detail of the problem
/// document if the whole document arrived together with the response's head; the rest of a body is
/// not read.
fn refusal(response: &Response<Option<Vec<u8>>>, url: &str) -> anyhow::Error {
    let status = response.status();
    let body = response.body().as_deref().unwrap_or_default();
    match serde_json::from_slice::<Problem>(body) {
        Ok(Problem { detail, .. }) => anyhow!("the server answered {status} at {url}: {detail}"),
        Err(_) => anyhow!("the server answered {status} at {url}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_a_websocket_is_reported_with_its_status_and_detail() {
        let url = "ws://127.0.0.1:8000/sessions/0/stream?after=0";
        let mut response = Response::new(None);
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        let status_only = format!("the server answered 503 Service Unavailable at {url}");
        assert_eq!(refusal(&response, url).to_string(), status_only);
        *response.body_mut() = Some(br#"{"type":"about:blank","title":"Serv"#.to_vec());
        assert_eq!(refusal(&response, url).to_string(), status_only, "half a document");
        let problem = r#"{"type":"about:blank","title":"Service Unavailable","status":503,"code":"server_stopping","detail":"the server stops"}"#;
        *response.body_mut() = Some(problem.into());
        assert_eq!(refusal(&response, url).to_string(), format!("{status_only}: the server stops"));
    }
}
