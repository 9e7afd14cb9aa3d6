//! Guests of chosen addresses: clients that connect from 127.0.0.2, 127.0.0.3 and so on, and look
//! like pages of another site.

use std::{
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream},
};

use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use serde_json::Value;

use super::{Server, wait_timeout};

/// A guest with an address of its own and, perhaps, a token.
#[derive(Clone, Debug)]
pub struct Guest {
    address: Ipv4Addr,
    token: Option<String>,
}

/// A response that a guest got.
#[derive(Debug)]
pub struct GuestResponse {
    pub status: u16,
    /// The header lines, in lower case.
    headers: Vec<String>,
    pub body: Vec<u8>,
}

impl GuestResponse {
    /// The value of a header, if the response has it.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim))
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!("{error}: {} {}", self.status, String::from_utf8_lossy(&self.body))
        })
    }
}

impl Guest {
    /// A guest at 127.0.0.`last_byte`.
    pub fn at(last_byte: u8) -> Self {
        Self { address: Ipv4Addr::new(127, 0, 0, last_byte), token: None }
    }

    /// The same guest with a token, of 32 digits that all are `digit`.
    pub fn with_token(&self, digit: char) -> Self {
        Self { token: Some(String::from(digit).repeat(32)), ..self.clone() }
    }

    /// Opens a connection to the server.
    pub fn connect(&self, server: &Server) -> TcpStream {
        let to: SocketAddr = server.address().parse().expect("an address");
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        bind(&socket, &SocketAddrV4::new(self.address, 0)).expect("any address of 127/8 may be used");
        connect(&socket, &to).expect("the server listens");
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(wait_timeout())).expect("a positive duration");
        stream.set_nodelay(true).expect("a TCP socket");
        stream
    }

    /// The head of a request up to the guest's headers, without the empty line at its end.
    pub fn head(&self, method: &str, path: &str) -> String {
        let token = self.token.iter().map(|token| format!("Authorization: Bearer {token}\r\n"));
        let token: String = token.collect();
        format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: https://elsewhere.example\r\n{token}")
    }

    /// Sends a request on a connection that stays open, and reads the response.
    pub fn request_on(&self, mut stream: &TcpStream, method: &str, path: &str, body: &[u8]) -> GuestResponse {
        let head = self.head(method, path);
        let json = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        let head = format!("{head}{json}Content-Length: {}\r\n\r\n", body.len());
        // A refused connection may be closed already; what the server said can still be read.
        let _ = stream.write_all(&[head.as_bytes(), body].concat());
        read_response(&mut BufReader::new(stream))
    }

    /// Sends a request on a connection of its own.
    pub fn request(&self, server: &Server, method: &str, path: &str, body: &[u8]) -> GuestResponse {
        self.request_on(&self.connect(server), method, path, body)
    }

    /// Posts a session and returns the response.
    pub fn post(&self, server: &Server, request: &Value) -> GuestResponse {
        self.request(server, "POST", "/sessions", request.to_string().as_bytes())
    }

    /// Creates a session and returns its document.
    pub fn create(&self, server: &Server, code: &str) -> Value {
        let response = self.post(server, &serde_json::json!({"runtime": "bash", "code": code}));
        assert_eq!(response.status, 201, "{}", String::from_utf8_lossy(&response.body));
        response.json()
    }
}

fn read_response(reader: &mut impl BufRead) -> GuestResponse {
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a response");
        line.trim_end().to_owned()
    };
    let first = line();
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.unwrap_or_else(|| panic!("not a status line: {first:?}"));
    let headers: Vec<_> = std::iter::from_fn(|| Some(line()).filter(|line| !line.is_empty()))
        .map(|line| {
            let (name, value) = line.split_once(':').expect("a header");
            format!("{}:{value}", name.to_ascii_lowercase())
        })
        .collect();
    let mut response = GuestResponse { status, headers, body: vec![] };
    if response.header("transfer-encoding") == Some("chunked") {
        while let size @ 1.. = read_chunk_size(reader) {
            let begin = response.body.len();
            response.body.resize(begin + size, 0);
            reader.read_exact(&mut response.body[begin..]).expect("a chunk");
            reader.read_exact(&mut [0; 2]).expect("the end of a chunk");
        }
    } else {
        let length = response.header("content-length").map_or(0, |length| length.parse().expect("a length"));
        response.body.resize(length, 0);
        reader.read_exact(&mut response.body).expect("the body");
    }
    response
}

fn read_chunk_size(reader: &mut impl BufRead) -> usize {
    let mut line = String::new();
    reader.read_line(&mut line).expect("the size of a chunk");
    usize::from_str_radix(line.trim_end(), 16).expect("the size of a chunk")
}
