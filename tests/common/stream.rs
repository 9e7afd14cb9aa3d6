//! A small websocket client.

use std::{net::TcpStream, time::Instant};

use serde_json::Value;
use tungstenite::{
    Error, Message, WebSocket,
    client::{IntoClientRequest, client_with_config},
    protocol::WebSocketConfig,
};

use super::wait_timeout;

/// A websocket connection to a stream.
pub struct Stream {
    socket: WebSocket<TcpStream>,
    close_code: Option<u16>,
}

impl Stream {
    pub fn connect(address: &str, path: &str) -> Self {
        Self::try_connect(address, path, &[])
            .unwrap_or_else(|status| panic!("{path}: not upgraded: {status}"))
    }

    /// Connects with further headers. Returns the status if the server does not upgrade the
    /// connection.
    pub fn try_connect(address: &str, path: &str, headers: &[(&'static str, &str)]) -> Result<Self, u16> {
        let tcp = TcpStream::connect(address).expect("the server listens");
        tcp.set_read_timeout(Some(wait_timeout())).expect("a positive duration");
        tcp.set_nodelay(true).expect("a TCP socket");
        let mut request = format!("ws://{address}{path}").into_client_request().expect("an address");
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().expect("a header's value"));
        }
        let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
        match client_with_config(request, tcp, Some(config)) {
            Ok((socket, _)) => Ok(Self { socket, close_code: None }),
            Err(tungstenite::HandshakeError::Failure(Error::Http(response))) => {
                Err(response.status().as_u16())
            }
            Err(other) => panic!("{path}: {other}"),
        }
    }

    /// The next message, or `None` once the server has closed the connection.
    // An Iterator is borrowed while it is read, so that nothing could be sent in between.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Option<Value> {
        let until = Instant::now() + wait_timeout();
        loop {
            assert!(Instant::now() < until, "no message arrived within {:?}", wait_timeout());
            match self.socket.read() {
                Ok(Message::Text(text)) => {
                    return Some(serde_json::from_str(&text).expect("a message is JSON"));
                }
                Ok(Message::Close(frame)) => self.close_code = frame.map(|frame| frame.code.into()),
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                Ok(other) => panic!("an unexpected frame: {other:?}"),
                Err(Error::ConnectionClosed | Error::AlreadyClosed) => return None,
                Err(Error::Protocol(_)) => return None,
                Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("no message arrived: {error}"),
            }
        }
    }

    /// The next message, exactly as it was sent.
    pub fn next_text(&mut self) -> String {
        match self.socket.read().expect("a message") {
            Message::Text(text) => text.to_string(),
            other => panic!("an unexpected frame: {other:?}"),
        }
    }

    /// Reads until a message of one of these types arrives. `None` if the connection is closed
    /// first.
    pub fn next_of_any(&mut self, msgtypes: &[&str]) -> Option<Value> {
        std::iter::from_fn(|| self.next())
            .find(|message| message["msgtype"].as_str().is_some_and(|msgtype| msgtypes.contains(&msgtype)))
    }

    /// Reads until a message of this type arrives, and returns it.
    pub fn next_of(&mut self, msgtype: &str) -> Value {
        while let Some(message) = self.next() {
            if message["msgtype"] == msgtype {
                return message;
            }
        }
        panic!("the connection closed before a message of type {msgtype:?}");
    }

    /// Reads until the standard output contains `text`; returns all of the output read so far.
    pub fn read_until(&mut self, text: &str) -> String {
        let mut all = String::new();
        while !all.contains(text) {
            let message = self
                .next()
                .unwrap_or_else(|| panic!("the connection closed before {text:?}; received {all:?}"));
            if message["msgtype"] == "write" {
                all += message["data"].as_str().expect("data");
            }
        }
        all
    }

    /// All messages until the server closes the connection.
    pub fn rest(&mut self) -> Vec<Value> {
        std::iter::from_fn(|| self.next()).collect()
    }

    pub fn send(&mut self, message: &Value) {
        self.send_text(&message.to_string());
    }

    /// Sends a message, or returns an error if the connection is closed.
    pub fn try_send(&mut self, message: &Value) -> Result<(), Error> {
        self.socket.send(Message::text(message.to_string()))
    }

    pub fn send_text(&mut self, text: &str) {
        self.socket.send(Message::text(text)).expect("the connection is open");
    }

    /// The code of the close frame, once the server has closed the connection.
    pub fn close_code(&self) -> Option<u16> {
        self.close_code
    }

    /// The TCP connection below the websocket, e.g. to cut it.
    pub fn tcp(&self) -> &TcpStream {
        self.socket.get_ref()
    }
}
