//! HTTP requests, and websockets on a session's stream. A broken connection is an expected result
//! here.

use anyhow::{Context as _, Result, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, body::Bytes};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, client::IntoClientRequest as _},
};

/// A response: its status and its JSON document, `Null` if the body is empty.
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

impl Answer {
    /// Returns the document. Another status is an error.
    pub fn expect(self, status: u16) -> Result<Value> {
        if self.status != status {
            bail!("answered {} instead of {status}: {}", self.status, self.body);
        }
        Ok(self.body)
    }
}

/// The bearer token of all requests. All of them have the same owner.
pub const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Makes one request on a new connection. `key` is its idempotency key.
pub async fn request(
    address: &str,
    method: &str,
    path: &str,
    key: Option<&str>,
    body: Option<&Value>,
) -> Result<Answer> {
    send(TOKEN, None, address, method, path, key, body).await
}

/// Makes one request on a new connection, with another bearer token.
pub async fn request_as(
    token: &str,
    address: &str,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Result<Answer> {
    send(token, None, address, method, path, None, body).await
}

/// Makes one request as a page of another origin: as a guest, and not as the local user.
pub async fn request_as_guest(
    address: &str,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Result<Answer> {
    send(TOKEN, Some("https://elsewhere.example"), address, method, path, None, body).await
}

async fn send(
    token: &str,
    origin: Option<&str>,
    address: &str,
    method: &str,
    path: &str,
    key: Option<&str>,
    body: Option<&Value>,
) -> Result<Answer> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "127.0.0.1")
        .header("authorization", format!("Bearer {token}"));
    if let Some(origin) = origin {
        request = request.header("origin", origin);
    }
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    if body.is_some() {
        request = request.header("content-type", "application/json");
    }
    let body = body.map(Value::to_string).unwrap_or_default();
    let answer = sender.send_request(request.body(Full::new(Bytes::from(body)))?).await?;
    let status = answer.status().as_u16();
    let bytes = answer.into_body().collect().await?.to_bytes();
    connection.abort();
    let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes)? };
    Ok(Answer { status, body })
}

/// Makes one POST request, and returns the status and the body as text. An incomplete body is an
/// error.
pub async fn post_text(
    address: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: String,
) -> Result<(u16, String)> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let mut request = Request::builder().method("POST").uri(path).header("host", "127.0.0.1");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = sender.send_request(request.body(Full::new(Bytes::from(body)))?).await?;
    let status = answer.status().as_u16();
    let bytes = answer.into_body().collect().await.context("the response is incomplete")?.to_bytes();
    connection.abort();
    Ok((status, String::from_utf8_lossy(&bytes).into_owned()))
}

/// Requests a document.
pub async fn get(address: &str, path: &str) -> Result<Answer> {
    request(address, "GET", path, None, None).await
}

/// Deletes a session.
pub async fn delete(address: &str, id: &str) -> Result<Answer> {
    request(address, "DELETE", &format!("/sessions/{id}"), None, None).await
}

/// Creates a session and returns its id.
pub async fn create(address: &str, body: &Value) -> Result<String> {
    let session = request(address, "POST", "/sessions", None, Some(body)).await?.expect(201)?;
    Ok(session["id"].as_str().context("a session has no id")?.to_owned())
}

/// Creates a Python session.
pub async fn create_python(address: &str, code: &str) -> Result<String> {
    create(address, &json!({"runtime": "python", "code": code})).await
}

/// Requests the document of a session.
pub async fn session(address: &str, id: &str) -> Result<Value> {
    get(address, &format!("/sessions/{id}")).await?.expect(200)
}

/// A websocket on a session's stream.
pub struct Stream(WebSocketStream<MaybeTlsStream<TcpStream>>);

/// An event on a stream.
#[derive(Debug, PartialEq)]
pub enum Received {
    Message(Value),
    /// A close frame, with its code.
    Closed(u16),
    /// The connection broke.
    Cut,
}

impl Stream {
    /// Connects to the stream of the entries after the number `after`.
    pub async fn connect(address: &str, id: &str, after: u64) -> Result<Self> {
        let mut request =
            format!("ws://{address}/sessions/{id}/stream?after={after}").into_client_request()?;
        request.headers_mut().insert("authorization", format!("Bearer {TOKEN}").parse()?);
        let (stream, _) = connect_async(request).await?;
        Ok(Self(stream))
    }

    /// Waits for the next event. Answers pings meanwhile.
    pub async fn next(&mut self) -> Received {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => match serde_json::from_str(&text) {
                    Ok(message) => return Received::Message(message),
                    Err(_) => return Received::Cut, // would show as lost bytes
                },
                Some(Ok(Message::Close(frame))) => {
                    let code = frame.map_or(1005, |frame| frame.code.into());
                    let _ = self.0.next().await; // answers the close
                    return Received::Closed(code);
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Received::Cut,
            }
        }
    }

    /// Sends a message. Returns whether it could be written; an ack shows whether it arrived.
    pub async fn send(&mut self, message: &Value) -> bool {
        self.0.send(Message::text(message.to_string())).await.is_ok()
    }
}

/// Reads a session's stream from the beginning to the normal close.
pub async fn read_all(address: &str, id: &str) -> Result<Transcript> {
    let mut stream = Stream::connect(address, id, 0).await?;
    let mut transcript = Transcript::default();
    loop {
        match stream.next().await {
            Received::Message(message) => transcript.add(&message)?,
            Received::Closed(1000) => return Ok(transcript),
            other => bail!("the stream of {id} ended with {other:?}"),
        }
    }
}

/// The messages of a stream, put together.
#[derive(Clone, Debug, Default)]
pub struct Transcript {
    /// The number of the last entry.
    pub after: u64,
    pub stdout: String,
    pub stderr: String,
    /// The output on both streams, in its order.
    pub output: String,
    /// The program's own messages.
    pub messages: Vec<Value>,
    /// How many entries were reported as missing.
    pub gaps: u64,
    pub exit: Option<Value>,
}

impl Transcript {
    /// Adds the next message. A skipped or repeated entry number is an error.
    pub fn add(&mut self, message: &Value) -> Result<()> {
        match message["msgtype"].as_str() {
            Some("welcome" | "ack" | "error" | "pong") => return Ok(()),
            Some("gap") => {
                let (from, to) = (message["from"].as_u64(), message["to"].as_u64());
                let (Some(from), Some(to)) = (from, to) else { bail!("a gap has no numbers: {message}") };
                if from != self.after + 1 || to < from {
                    bail!("the gap {from} to {to} follows entry {}", self.after);
                }
                self.gaps += to + 1 - from;
                self.after = to;
                return Ok(());
            }
            _ => {}
        }
        let seq = message["seq"].as_u64().with_context(|| format!("the entry has no number: {message}"))?;
        if seq != self.after + 1 {
            bail!("entry {seq} follows entry {}", self.after);
        }
        self.after = seq;
        let data = message["data"].as_str().unwrap_or_default();
        if message["msgtype"] == "write" {
            self.output += data;
        }
        match (message["msgtype"].as_str(), message["file"].as_str()) {
            (Some("write"), Some("stdout")) => self.stdout += data,
            (Some("write"), _) => self.stderr += data,
            (Some("exitstatus"), _) => self.exit = Some(message.clone()),
            _ => self.messages.push(message.clone()),
        }
        Ok(())
    }

    pub fn exitstatus(&self) -> Option<i64> {
        self.exit.as_ref()?["exitstatus"].as_i64()
    }

    pub fn reason(&self) -> Option<&str> {
        self.exit.as_ref()?["reason"].as_str()
    }
}
