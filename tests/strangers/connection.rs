//! A guest's connection from any loopback address, byte by byte.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, SocketAddrV4, TcpStream},
};

use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use serde_json::Value;

use crate::common::{Server, wait_timeout};

/// The header that makes a caller a guest: its page comes from elsewhere.
pub const ORIGIN: &str = "origin: https://elsewhere.example\r\n";
/// The opcodes of frames (RFC 6455, section 11.8).
pub const CONTINUATION: u8 = 0;
pub const TEXT: u8 = 1;
pub const CLOSE: u8 = 8;
pub const PONG: u8 = 10;

/// A TCP connection to the server.
pub struct Connection {
    pub tcp: TcpStream,
    /// Bytes that were read and not used yet.
    buffered: Vec<u8>,
}

/// An HTTP response.
#[derive(Debug)]
pub struct RawResponse {
    pub status: u16,
    /// The head in lower case.
    pub head: String,
    pub body: Vec<u8>,
}

impl RawResponse {
    /// The code in a problem document.
    pub fn code(&self) -> String {
        let problem: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        problem["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// A TCP connection from 127.0.0.`last` to the server.
pub fn connect_from(server: &Server, last: u8) -> TcpStream {
    let to: SocketAddr = server.address().parse().expect("an address");
    let from = SocketAddr::V4(SocketAddrV4::new([127, 0, 0, last].into(), 0));
    let fd = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    bind(&fd, &from).expect("a loopback address");
    connect(&fd, &to).expect("the server listens");
    let tcp = TcpStream::from(fd);
    tcp.set_read_timeout(Some(wait_timeout())).expect("a positive duration");
    tcp.set_write_timeout(Some(wait_timeout())).expect("a positive duration");
    tcp.set_nodelay(true).expect("a TCP socket");
    tcp
}

impl Connection {
    /// Connects from 127.0.0.`last`.
    pub fn new(server: &Server, last: u8) -> Self {
        Self { tcp: connect_from(server, last), buffered: vec![] }
    }

    /// A guest's websocket from 127.0.0.`last`.
    pub fn websocket(server: &Server, last: u8, path: &str) -> Self {
        let mut connection = Self::new(server, last);
        let head = format!(
            "GET {path} HTTP/1.1\r\nhost: {}\r\n{ORIGIN}upgrade: websocket\r\nconnection: Upgrade\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
            server.address()
        );
        connection.send(head.as_bytes()).expect("the server reads");
        let head = connection.head().expect("an answer");
        assert!(head.starts_with("http/1.1 101"), "{head}");
        connection
    }

    /// Sends the head of a guest's request, and the first bytes of its body.
    pub fn request(server: &Server, last: u8, line: &str, headers: &str, body: &[u8]) -> Self {
        let mut connection = Self::new(server, last);
        let head = format!("{line} HTTP/1.1\r\nhost: {}\r\n{ORIGIN}{headers}\r\n", server.address());
        let _ = connection.send(&[head.as_bytes(), body].concat()); // the answer may come earlier
        connection
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.tcp.write_all(bytes)
    }

    /// Sends one frame, masked with zeros.
    pub fn send_frame(&mut self, opcode: u8, is_last: bool, payload: &[u8]) -> io::Result<()> {
        self.send(&frame(opcode, is_last, payload.len(), payload))
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 65536];
        let length = self.tcp.read(&mut buffer)?;
        self.buffered.extend_from_slice(&buffer[..length]);
        Ok(length)
    }

    fn take(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.buffered.len() < length {
            if self.fill().unwrap_or(0) == 0 {
                return None;
            }
        }
        Some(self.buffered.drain(..length).collect())
    }

    /// The head of the next response, in lower case.
    fn head(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffered.windows(4).position(|end| end == b"\r\n\r\n") {
                let head = self.take(end + 4)?;
                return Some(String::from_utf8_lossy(&head).to_lowercase());
            }
            if self.fill().unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    /// The next response, or `None` if the connection ends first.
    pub fn response(&mut self) -> Option<RawResponse> {
        let head = self.head()?;
        let status = head.get(9..12)?.parse().ok()?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        Some(RawResponse { status, body: self.take(length.unwrap_or(0))?, head })
    }

    /// The next frame that the server sent: its opcode and payload; `None` at the end.
    pub fn next_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let head = self.take(2)?;
        let length = match head[1] & 127 {
            126 => u16::from_be_bytes(self.take(2)?.try_into().ok()?).into(),
            127 => u64::from_be_bytes(self.take(8)?.try_into().ok()?) as usize,
            short => short.into(),
        };
        Some((head[0] & 15, self.take(length)?))
    }

    /// Reads until the server's close frame: its code and reason; `None` if the connection ends
    /// without one.
    pub fn close_frame(&mut self) -> Option<(u16, String)> {
        loop {
            let (opcode, payload) = self.next_frame()?;
            if opcode == CLOSE {
                let code = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                return Some((code, String::from_utf8_lossy(payload.get(2..).unwrap_or_default()).into()));
            }
        }
    }

    /// Whether the server has closed the connection; does not wait.
    pub fn is_closed(&mut self) -> bool {
        self.tcp.set_nonblocking(true).expect("a TCP socket");
        let is_closed = loop {
            match self.fill() {
                Ok(0) => break true,
                Ok(_) => {}
                Err(error) => break error.kind() != io::ErrorKind::WouldBlock,
            }
        };
        self.tcp.set_nonblocking(false).expect("a TCP socket");
        is_closed
    }
}

/// A frame that announces `length` bytes and has `payload`, masked with zeros.
pub fn frame(opcode: u8, is_last: bool, length: usize, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![u8::from(is_last) << 7 | opcode];
    match length {
        0..=125 => frame.push(0x80 | length as u8),
        126..=65535 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

/// A value of /proc/PID/status in bytes, e.g. `VmRSS` or `VmHWM`.
pub fn memory(server: &Server, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).expect(field);
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

/// Makes the peak of the server's memory (`VmHWM`) start again from its memory of now.
pub fn reset_memory_peak(server: &Server) {
    std::fs::write(format!("/proc/{}/clear_refs", server.pid()), "5").expect("a process of this user");
}

/// The value of a metric without labels; 0 if the server does not have it.
pub fn metric(server: &Server, name: &str) -> u64 {
    let text = server.get("/metrics").text();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.map_or(0, |value| value.parse().expect("a number"))
}
