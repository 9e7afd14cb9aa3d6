//! A small asynchronous client: HTTP/1.1 on one connection, and websockets. Both the neighbour and
//! the attackers use it. It connects from an address of 127.0.0.0/8 that its user chooses, and an
//! attacker may send whatever bytes it likes.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

/// How long a client waits for one answer. A later answer counts as lost.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// A caller of the server: where it connects from, and what its requests say about it.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The server's address.
    pub server: SocketAddr,
    /// The address that it connects from.
    pub from: Ipv4Addr,
    /// Whether its requests come from a page of another origin, which makes it a guest.
    pub is_guest: bool,
    /// Its bearer token.
    pub token: Option<String>,
}

impl Caller {
    /// The local user.
    pub fn local(server: SocketAddr) -> Self {
        Self { server, from: Ipv4Addr::LOCALHOST, is_guest: false, token: None }
    }

    /// A guest at an address, without a token.
    pub fn guest(server: SocketAddr, from: Ipv4Addr) -> Self {
        Self { server, from, is_guest: true, token: None }
    }

    /// The same caller with a token of 32 hexadecimal digits made of `number`.
    pub fn with_token(mut self, number: u64) -> Self {
        self.token = Some(format!("{number:016x}{:016x}", !number));
        self
    }

    /// A user whom the server knows by this token, at an address.
    pub fn user(server: SocketAddr, from: Ipv4Addr, token: impl Into<String>) -> Self {
        Self { server, from, is_guest: false, token: Some(token.into()) }
    }

    /// The head of a request up to and without its empty line. `headers` are lines that end with
    /// CR LF.
    pub fn head(&self, method: &str, path: &str, headers: &str) -> String {
        let origin = if self.is_guest { "origin: https://elsewhere.example\r\n" } else { "" };
        let token =
            self.token.as_ref().map_or(String::new(), |token| format!("authorization: Bearer {token}\r\n"));
        format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n{origin}{token}{headers}", self.server)
    }

    /// A complete request with this body.
    pub fn request(&self, method: &str, path: &str, body: &[u8]) -> Vec<u8> {
        let headers = match body {
            [] => String::new(),
            body => format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len()),
        };
        [self.head(method, path, &headers).as_bytes(), b"\r\n", body].concat()
    }

    /// Opens a connection. `receive_bytes` is the size of its receive buffer in the kernel.
    pub async fn connect_with(&self, receive_bytes: Option<u32>) -> Result<Connection> {
        let socket = TcpSocket::new_v4()?;
        if let Some(bytes) = receive_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        socket.bind(SocketAddr::new(IpAddr::V4(self.from), 0))?;
        let stream = timeout(ANSWER_TIMEOUT, socket.connect(self.server)).await.context("connect")??;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, buffer: vec![], start: 0 })
    }

    /// Opens a connection.
    pub async fn connect(&self) -> Result<Connection> {
        self.connect_with(None).await
    }

    /// Sends one request on a connection of its own, and returns the status and the body.
    pub async fn send(&self, method: &str, path: &str, body: &[u8]) -> Result<(u16, Vec<u8>)> {
        let mut connection = self.connect().await?;
        connection.exchange(&self.request(method, path, body)).await
    }

    /// Creates a session with this request, and returns its id.
    pub async fn create(&self, request: &Value) -> Result<String> {
        let (status, body) = self.send("POST", "/sessions", request.to_string().as_bytes()).await?;
        ensure!(status == 201, "a session was refused: {status} {}", String::from_utf8_lossy(&body));
        session_id(&body)
    }

    /// Waits until the session has ended, and returns its document.
    pub async fn wait_for_end(&self, id: &str) -> Result<Value> {
        loop {
            let (status, body) = self.send("GET", &format!("/sessions/{id}"), &[]).await?;
            ensure!(status == 200, "the session {id} is not shown: {status}");
            let document: Value = serde_json::from_slice(&body)?;
            if document["state"] == "ended" {
                return Ok(document);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Opens a websocket.
    pub async fn websocket(&self, path: &str) -> Result<Connection> {
        self.websocket_with(path, None).await
    }

    /// Opens a websocket with a receive buffer of this size in the kernel.
    pub async fn websocket_with(&self, path: &str, receive_bytes: Option<u32>) -> Result<Connection> {
        let mut connection = self.connect_with(receive_bytes).await?;
        let upgrade = "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                       sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
        connection.write(self.head("GET", path, upgrade).as_bytes()).await?;
        let head = timeout(ANSWER_TIMEOUT, connection.read_head()).await.context("no answer")??;
        ensure!(head.status == 101, "no websocket: {}", head.status);
        Ok(connection)
    }
}

/// The id in a session's document, which begins with it. A stranger does not parse the rest.
pub fn session_id(document: &[u8]) -> Result<String> {
    let id = document.strip_prefix(br#"{"id":""#).and_then(|rest| rest.get(..32));
    Ok(String::from_utf8(id.context("the session has no id")?.to_vec())?)
}

/// The status of a response, and the length of its body; `None` for a body in chunks or none.
pub struct Head {
    pub status: u16,
    pub length: Option<usize>,
}

/// A connection with a read buffer.
pub struct Connection {
    pub stream: TcpStream,
    buffer: Vec<u8>,
    start: usize,
}

/// The opcodes of websocket frames (RFC 6455, section 5.2).
pub mod opcode {
    pub const TEXT: u8 = 1;
    pub const CLOSE: u8 = 8;
    pub const PING: u8 = 9;
    pub const PONG: u8 = 10;
}

impl Connection {
    /// Writes bytes.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes).await?)
    }

    /// Reads once into the buffer. The end of the connection is an error.
    async fn fill(&mut self) -> Result<()> {
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.reserve(16 * 1024);
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            bail!("the connection was closed");
        }
        Ok(())
    }

    /// Reads until `length` bytes are buffered, and takes them.
    async fn take(&mut self, length: usize) -> Result<&[u8]> {
        while self.buffer.len() - self.start < length {
            self.fill().await?;
        }
        self.start += length;
        Ok(&self.buffer[self.start - length..self.start])
    }

    /// Reads until `delimiter` is buffered, and takes the bytes up to its end.
    async fn take_until(&mut self, delimiter: &[u8]) -> Result<&[u8]> {
        loop {
            let buffered = &self.buffer[self.start..];
            if let Some(at) = buffered.windows(delimiter.len()).position(|window| window == delimiter) {
                return self.take(at + delimiter.len()).await;
            }
            self.fill().await?;
        }
    }

    /// Reads the head of a response.
    pub async fn read_head(&mut self) -> Result<Head> {
        let head = String::from_utf8(self.take_until(b"\r\n\r\n").await?.to_vec())?;
        let status = head.get(9..12).and_then(|status| status.parse().ok()).context("no status line")?;
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
        });
        Ok(Head { status, length })
    }

    /// Sends a request, and returns the status and the body.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<(u16, Vec<u8>)> {
        self.write(request).await?;
        let answer = async {
            let head = self.read_head().await?;
            let mut body = vec![];
            match head.length {
                Some(length) => body.extend_from_slice(self.take(length).await?),
                None if head.status == 204 => {}
                None => {
                    while let Some(chunk) = self.read_chunk().await? {
                        body.extend_from_slice(chunk);
                    }
                }
            }
            Ok((head.status, body))
        };
        timeout(ANSWER_TIMEOUT, answer).await.context("no answer")?
    }

    /// Reads the next chunk of a body. `None` is its end.
    pub async fn read_chunk(&mut self) -> Result<Option<&[u8]>> {
        let line = self.take_until(b"\r\n").await?;
        let size = usize::from_str_radix(std::str::from_utf8(line)?.trim_end(), 16)?;
        let chunk = self.take(size + 2).await?;
        Ok((size > 0).then_some(&chunk[..size]))
    }

    /// Reads the next websocket frame: its opcode and its payload.
    pub async fn read_frame(&mut self) -> Result<(u8, &[u8])> {
        let header = self.take(2).await?;
        let (first, length) = (header[0], usize::from(header[1]));
        let extended = match length {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let number = self.take(extended).await?.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        let length = if extended == 0 { length } else { number };
        Ok((first & 15, self.take(length).await?))
    }

    /// Discards everything that arrives until the connection is closed.
    pub async fn drain(&mut self) {
        let mut bytes = vec![0; 64 * 1024];
        while self.stream.read(&mut bytes).await.is_ok_and(|length| length > 0) {}
    }
}

/// A masked frame of a client. Its mask is zero, which leaves the payload unchanged.
pub fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = frame_header(opcode, payload.len());
    frame.extend_from_slice(payload);
    frame
}

/// The header of a masked frame with a payload of `length` bytes.
pub fn frame_header(opcode: u8, length: usize) -> Vec<u8> {
    let mut header = vec![0x80 | opcode];
    match length {
        0..126 => header.push(0x80 | length as u8),
        126..65536 => {
            header.push(0x80 | 126);
            header.extend((length as u16).to_be_bytes());
        }
        _ => {
            header.push(0x80 | 127);
            header.extend((length as u64).to_be_bytes());
        }
    }
    header.extend([0; 4]);
    header
}

/// Whether `part` occurs in `text`.
pub fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_have_the_length_that_they_say() {
        for length in [0, 125, 126, 65535, 65536] {
            let frame = frame(opcode::TEXT, &vec![b'x'; length]);
            let header = frame_header(opcode::TEXT, length);
            assert_eq!(frame.len(), header.len() + length);
            assert_eq!(header[0], 0x81);
        }
        assert_eq!(frame_header(opcode::TEXT, 5), [0x81, 0x85, 0, 0, 0, 0]);
        assert_eq!(frame_header(opcode::TEXT, 300), [0x81, 0xfe, 1, 44, 0, 0, 0, 0]);
    }

    #[test]
    fn a_guest_names_its_origin_and_its_token() {
        let server = SocketAddr::from(([127, 0, 0, 1], 80));
        let guest = Caller::guest(server, Ipv4Addr::new(127, 0, 0, 2)).with_token(1);
        let head = guest.head("GET", "/sessions", "");
        assert!(head.contains("origin: https://elsewhere.example\r\n"), "{head}");
        assert!(head.contains("Bearer 0000000000000001fffffffffffffffe\r\n"), "{head}");
        assert!(!Caller::local(server).head("GET", "/", "").contains("origin"));
    }
}
