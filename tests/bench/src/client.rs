//! A client that costs little: one thread, blocking, HTTP/1.1 on a connection that is kept, and websockets. What a figure
//! shows is to be the server's time, not the client's.

use std::{
    io::{self, Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// How long any answer may take: for what is broken, not for what is slow.
const PATIENCE: Duration = Duration::from_secs(120);
/// Room for what arrives at once.
const BUFFER_BYTES: usize = 256 * 1024;

/// Bytes from a socket, taken in as much as there is and given out as asked for.
struct Incoming {
    stream: TcpStream,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Incoming {
    fn connect(address: &str, room_bytes: usize) -> Result<Self> {
        let stream = TcpStream::connect(address).with_context(|| format!("nobody listens on {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, buffer: vec![0; room_bytes], start: 0, end: 0 })
    }

    fn here(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Has room behind what is here.
    fn make_room(&mut self) {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            if self.end == self.buffer.len() {
                self.buffer.resize(self.buffer.len() * 2, 0);
            }
        }
    }

    /// Reads once more from the socket.
    fn more(&mut self) -> Result<()> {
        self.make_room();
        match self.stream.read(&mut self.buffer[self.end..])? {
            0 => bail!("the connection was closed in the middle"),
            length => self.end += length,
        }
        Ok(())
    }

    /// Has at least `bytes` bytes here.
    fn want(&mut self, bytes: usize) -> Result<()> {
        while self.end - self.start < bytes {
            self.more()?;
        }
        Ok(())
    }

    /// Up to and with `delimiter`; where it ends, counted from what is here.
    fn find(&mut self, delimiter: &[u8]) -> Result<usize> {
        let mut searched = 0;
        loop {
            let here = self.here();
            let found = here[searched..].windows(delimiter.len()).position(|window| window == delimiter);
            if let Some(at) = found {
                return Ok(searched + at + delimiter.len());
            }
            searched = here.len().saturating_sub(delimiter.len() - 1);
            self.more()?;
        }
    }

    /// Passes over `bytes` bytes without looking at them.
    fn skip(&mut self, mut bytes: usize) -> Result<()> {
        loop {
            let here = bytes.min(self.end - self.start);
            self.start += here;
            bytes -= here;
            if bytes == 0 {
                return Ok(());
            }
            self.more()?;
        }
    }

    /// The head of an answer: its status and the length of its body; `None` where that comes in chunks.
    fn head(&mut self) -> Result<(u16, Option<usize>)> {
        let length = self.find(b"\r\n\r\n")?;
        let head = std::str::from_utf8(&self.here()[..length])?;
        let status = head.get(9..12).and_then(|status| status.parse().ok()).context("no status line")?;
        let body = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
        });
        self.start += length;
        Ok((status, body))
    }
}

/// A connection for requests, kept from one to the next.
pub struct Connection(Incoming);

/// When a run was how far, counted from before its request was sent.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Its first output was here.
    pub first_output: Duration,
    /// Its exit status was here.
    pub exit: Duration,
}

/// A request to create a session, ready to be sent.
pub struct Creation(Vec<u8>);

impl Creation {
    pub fn new(body: &Value) -> Self {
        let body = body.to_string();
        let head = format!(
            "POST /sessions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        Self([head, body].concat().into_bytes())
    }
}

impl Connection {
    pub fn connect(address: &str) -> Result<Self> {
        Incoming::connect(address, 16 * 1024).map(Self)
    }

    fn body(&mut self, status: u16) -> Result<&[u8]> {
        let (answered, length) = self.0.head()?;
        let length = length.unwrap_or(0);
        self.0.want(length)?;
        let start = self.0.start;
        self.0.start += length;
        let body = &self.0.buffer[start..start + length];
        if answered != status {
            bail!("answered {answered} instead of {status}: {}", String::from_utf8_lossy(body));
        }
        Ok(body)
    }

    /// Creates a session and returns its id.
    pub fn create(&mut self, creation: &Creation) -> Result<String> {
        self.0.stream.write_all(&creation.0)?;
        let body = self.body(201)?;
        // The document begins with it; to parse all of it would be time of ours.
        let id = body.strip_prefix(br#"{"id":""#).and_then(|rest| rest.get(..32)).context("no id")?;
        Ok(String::from_utf8(id.to_vec())?)
    }

    /// Ends and forgets a session.
    pub fn delete(&mut self, id: &str) -> Result<()> {
        write!(self.0.stream, "DELETE /sessions/{id} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")?;
        self.body(204).map(drop)
    }

    /// Gets a document.
    pub fn get(&mut self, path: &str) -> Result<Value> {
        write!(self.0.stream, "GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")?;
        Ok(serde_json::from_slice(self.body(200)?)?)
    }

    /// Runs a program and says when what was here. The stream is asked for on the same connection, as lines of JSON: one
    /// round trip sooner than a websocket, for which a connection must be made.
    pub fn run(&mut self, creation: &Creation) -> Result<Run> {
        let mut output = vec![];
        self.run_into(creation, &mut output)
    }

    /// The same; the stream's lines are appended to `lines`.
    pub fn run_into(&mut self, creation: &Creation, lines: &mut Vec<u8>) -> Result<Run> {
        let began = Instant::now();
        let id = self.create(creation)?;
        let (mut first_output, mut exit) = (None, None);
        self.follow(&id, |chunk| {
            let now = began.elapsed();
            lines.extend_from_slice(chunk);
            if first_output.is_none() && contains(lines, br#""msgtype":"write""#) {
                first_output = Some(now);
            }
            if exit.is_none() && contains(lines, br#""msgtype":"exitstatus""#) {
                exit = Some(now);
            }
        })?;
        let text = || String::from_utf8_lossy(lines);
        if !contains(lines, br#""exitstatus":0"#) {
            bail!("the program did not end well: {}", text());
        }
        let exit = exit.with_context(|| format!("no exit status: {}", text()))?;
        Ok(Run { first_output: first_output.unwrap_or(exit), exit })
    }

    /// Gives each chunk of a session's stream, to its end.
    fn follow(&mut self, id: &str, mut chunk: impl FnMut(&[u8])) -> Result<()> {
        let request = format!(
            "GET /sessions/{id}/stream HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: application/x-ndjson\r\n\r\n"
        );
        self.0.stream.write_all(request.as_bytes())?;
        let (status, _) = self.0.head()?;
        if status != 200 {
            bail!("the stream was answered {status}");
        }
        loop {
            let line = self.0.find(b"\r\n")?;
            let size = std::str::from_utf8(&self.0.here()[..line - 2])?;
            let size = usize::from_str_radix(size, 16).context("no size of a chunk")?;
            self.0.start += line;
            self.0.want(size + 2)?;
            chunk(&self.0.here()[..size]);
            self.0.start += size + 2;
            if size == 0 {
                return Ok(());
            }
        }
    }
}

/// Waits until a session's program has printed something.
pub fn await_output(address: &str, id: &str) -> Result<()> {
    let mut websocket = Websocket::open_with(address, &format!("/sessions/{id}/stream"), 4096)?;
    loop {
        let message = websocket.next()?.context("a program ended before it was up")?;
        if contains(message, br#""msgtype":"write""#) {
            return Ok(());
        }
    }
}

pub fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// A websocket, as a client has it.
pub struct Websocket {
    incoming: Incoming,
    outgoing: Vec<u8>,
}

const CLOSE: u8 = 8;

/// The opcode of the frame that begins here, the length of its header and that of its payload; `None` where not all of the
/// header is here.
fn frame(here: &[u8]) -> Result<Option<(u8, usize, usize)>> {
    let [first, length, rest @ ..] = here else { return Ok(None) };
    let extended = match length {
        0..126 => return Ok(Some((first & 15, 2, usize::from(*length)))),
        126 => 2,
        127 => 8,
        _ => bail!("a server's frame is not masked"),
    };
    let length = |bytes: &[u8]| bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    Ok(rest.get(..extended).map(|bytes| (first & 15, 2 + extended, length(bytes))))
}

impl Websocket {
    /// Opens one that takes in much at once.
    pub fn open(address: &str, path: &str) -> Result<Self> {
        Self::open_with(address, path, BUFFER_BYTES)
    }

    pub fn open_with(address: &str, path: &str, room_bytes: usize) -> Result<Self> {
        let mut incoming = Incoming::connect(address, room_bytes)?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        );
        incoming.stream.write_all(request.as_bytes())?;
        match incoming.head()? {
            (101, _) => Ok(Self { incoming, outgoing: vec![] }),
            (status, _) => bail!("the websocket was answered {status}"),
        }
    }

    /// The next frame's header: its opcode and the length of its payload.
    fn header(&mut self) -> Result<(u8, usize)> {
        loop {
            if let Some((opcode, header, length)) = frame(self.incoming.here())? {
                self.incoming.start += header;
                return Ok((opcode, length));
            }
            self.incoming.more()?;
        }
    }

    /// The next message; `None` at the close.
    pub fn next(&mut self) -> Result<Option<&[u8]>> {
        let (opcode, length) = self.header()?;
        self.incoming.want(length)?;
        let start = self.incoming.start;
        self.incoming.start += length;
        Ok((opcode != CLOSE).then(|| &self.incoming.buffer[start..start + length]))
    }

    /// Counts the payload bytes of all frames until the close, or until the connection ends.
    pub fn count(&mut self) -> Result<u64> {
        let mut bytes = 0;
        loop {
            match self.header() {
                Ok((CLOSE, length)) => {
                    self.incoming.skip(length)?;
                    self.close()?;
                    return Ok(bytes);
                }
                Ok((_, length)) => {
                    self.incoming.skip(length)?;
                    bytes += length as u64;
                }
                Err(_) if bytes > 0 => return Ok(bytes), // some servers end without a close
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends a text. The mask is zero, which leaves it as it is.
    pub fn send(&mut self, text: &str) -> Result<()> {
        self.frame(0x81, text.as_bytes())
    }

    /// Closes, or answers the close.
    pub fn close(&mut self) -> Result<()> {
        self.frame(0x80 | CLOSE, &1000_u16.to_be_bytes())
    }

    fn frame(&mut self, first: u8, payload: &[u8]) -> Result<()> {
        self.outgoing.clear();
        self.outgoing.push(first);
        match u16::try_from(payload.len()) {
            Ok(length @ 0..126) => self.outgoing.push(0x80 | length as u8),
            Ok(length) => {
                self.outgoing.push(0x80 | 126);
                self.outgoing.extend(length.to_be_bytes());
            }
            Err(_) => bail!("a message of {} bytes is longer than any that is sent here", payload.len()),
        }
        self.outgoing.extend([0; 4]);
        self.outgoing.extend(payload);
        match self.incoming.stream.write_all(&self.outgoing) {
            Err(error) if first & 15 == CLOSE && error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => Ok(other?),
        }
    }

    /// From now on reading takes what is there, and does not wait.
    pub fn set_nonblocking(&self) -> Result<()> {
        Ok(self.incoming.stream.set_nonblocking(true)?)
    }

    pub fn socket(&self) -> &TcpStream {
        &self.incoming.stream
    }

    /// Gives each message that is whole here, after one look at a socket that does not wait. `false` once it is closed.
    pub fn take(&mut self, mut message: impl FnMut(&[u8]) -> Result<()>) -> Result<bool> {
        let incoming = &mut self.incoming;
        incoming.make_room();
        match incoming.stream.read(&mut incoming.buffer[incoming.end..]) {
            Ok(0) => return Ok(false),
            Ok(length) => incoming.end += length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) => return Err(error.into()),
        }
        while let Some((opcode, header, length)) = frame(self.incoming.here())? {
            let Some(payload) = self.incoming.here().get(header..header + length) else { break };
            if opcode == CLOSE {
                return Ok(false);
            }
            message(payload)?;
            self.incoming.start += header + length;
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_told_by_their_headers() {
        assert_eq!(frame(&[]).unwrap(), None);
        assert_eq!(frame(&[0x81]).unwrap(), None);
        assert_eq!(frame(&[0x81, 5]).unwrap(), Some((1, 2, 5)));
        assert_eq!(frame(&[0x81, 126, 1]).unwrap(), None);
        assert_eq!(frame(&[0x88, 126, 1, 2]).unwrap(), Some((8, 4, 258)));
        assert_eq!(frame(&[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]).unwrap(), Some((1, 10, 65536)));
        assert!(frame(&[0x81, 0x85]).is_err(), "masked");
    }
}
