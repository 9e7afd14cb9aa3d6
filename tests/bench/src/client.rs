//! A cheap client: one blocking thread, HTTP/1.1 on a connection that is kept alive, and
//! websockets. It does little work of its own, so that a figure shows the server's time and not
//! the client's.

use std::{
    io::{self, Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// Timeout of each read. It is far beyond any slow answer and ends a run whose server hangs.
const READ_TIMEOUT: Duration = Duration::from_secs(120);
/// Initial capacity of a websocket's read buffer, in bytes.
const BUFFER_BYTES: usize = 256 * 1024;

/// A socket with a read buffer. Each read takes as many bytes as have arrived.
struct BufferedInput {
    stream: TcpStream,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// The header line with the caller's token; empty without one.
    authorization: String,
}

impl BufferedInput {
    /// Connects to an address, which has the caller's token before it if the server asks for one:
    /// `TOKEN@127.0.0.1:8000`.
    fn connect(address: &str, capacity_bytes: usize) -> Result<Self> {
        let (token, address) = address.split_once('@').unwrap_or(("", address));
        let authorization =
            if token.is_empty() { String::new() } else { format!("authorization: Bearer {token}\r\n") };
        let stream = TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(READ_TIMEOUT))?;
        Ok(Self { stream, buffer: vec![0; capacity_bytes], start: 0, end: 0, authorization })
    }

    /// Sends a request.
    fn send(&mut self, request: &[u8]) -> Result<()> {
        if self.authorization.is_empty() {
            return Ok(self.stream.write_all(request)?);
        }
        let line = request.iter().position(|byte| *byte == b'\n').context("the request has no line")? + 1;
        let (first, rest) = request.split_at(line);
        Ok(self.stream.write_all(&[first, self.authorization.as_bytes(), rest].concat())?)
    }

    /// The bytes that were received and not consumed yet.
    fn buffered(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Makes space behind the buffered bytes.
    fn reserve(&mut self) {
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

    /// Reads from the socket once.
    fn fill(&mut self) -> Result<()> {
        self.reserve();
        match self.stream.read(&mut self.buffer[self.end..])? {
            0 => bail!("the connection was closed early"),
            length => self.end += length,
        }
        Ok(())
    }

    /// Reads until at least `bytes` bytes are buffered.
    fn fill_to(&mut self, bytes: usize) -> Result<()> {
        while self.end - self.start < bytes {
            self.fill()?;
        }
        Ok(())
    }

    /// Reads until `delimiter` is buffered, and returns the number of bytes up to its end.
    fn find_end(&mut self, delimiter: &[u8]) -> Result<usize> {
        let mut searched = 0;
        loop {
            let buffered = self.buffered();
            let found = buffered[searched..].windows(delimiter.len()).position(|window| window == delimiter);
            if let Some(at) = found {
                return Ok(searched + at + delimiter.len());
            }
            searched = buffered.len().saturating_sub(delimiter.len() - 1);
            self.fill()?;
        }
    }

    /// Consumes `bytes` bytes without looking at them.
    fn skip(&mut self, mut bytes: usize) -> Result<()> {
        loop {
            let skipped = bytes.min(self.end - self.start);
            self.start += skipped;
            bytes -= skipped;
            if bytes == 0 {
                return Ok(());
            }
            self.fill()?;
        }
    }

    /// Reads the head of a response. Returns its status and the length of its body, or `None` for
    /// a body that is sent in chunks.
    fn read_head(&mut self) -> Result<(u16, Option<usize>)> {
        let length = self.find_end(b"\r\n\r\n")?;
        let head = std::str::from_utf8(&self.buffered()[..length])?;
        let status = head.get(9..12).and_then(|status| status.parse().ok()).context("no status line")?;
        let body = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
        });
        self.start += length;
        Ok((status, body))
    }

    /// Reads a body that is sent in chunks (RFC 9112, section 7.1) to its end, and calls `on_chunk`
    /// with each of them. The last one is empty.
    fn read_chunks(&mut self, mut on_chunk: impl FnMut(&[u8])) -> Result<()> {
        loop {
            let line = self.find_end(b"\r\n")?;
            let size = std::str::from_utf8(&self.buffered()[..line - 2])?;
            let size = usize::from_str_radix(size, 16).context("a chunk has no size")?;
            self.start += line;
            self.fill_to(size + 2)?;
            on_chunk(&self.buffered()[..size]);
            self.start += size + 2;
            if size == 0 {
                return Ok(());
            }
        }
    }
}

/// An HTTP connection that is kept alive between requests.
pub struct Connection(BufferedInput);

/// The times of one run, measured from before its request was sent.
#[derive(Clone, Copy, Debug)]
pub struct RunTimes {
    /// Until its first output was received.
    pub first_output: Duration,
    /// Until its exit status was received.
    pub exit: Duration,
}

/// An encoded request that creates a session.
pub struct CreateRequest(Vec<u8>);

impl CreateRequest {
    /// Encodes the request with this JSON document as its body.
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
        BufferedInput::connect(address, 16 * 1024).map(Self)
    }

    /// Reads a response and returns its body. A status other than `status` is an error.
    fn read_body(&mut self, status: u16) -> Result<&[u8]> {
        let (actual, length) = self.0.read_head()?;
        let length = length.unwrap_or(0);
        self.0.fill_to(length)?;
        let start = self.0.start;
        self.0.start += length;
        let body = &self.0.buffer[start..start + length];
        if actual != status {
            bail!("the status is {actual} instead of {status}: {}", String::from_utf8_lossy(body));
        }
        Ok(body)
    }

    /// Creates a session and returns its id.
    pub fn create(&mut self, request: &CreateRequest) -> Result<String> {
        self.0.send(&request.0)?;
        let body = self.read_body(201)?;
        // The document starts with the id. Parsing all of it would cost the client time.
        let id = body
            .strip_prefix(br#"{"id":""#)
            .and_then(|rest| rest.get(..32))
            .context("the session has no id")?;
        Ok(String::from_utf8(id.to_vec())?)
    }

    /// Deletes a session.
    pub fn delete(&mut self, id: &str) -> Result<()> {
        self.0.send(format!("DELETE /sessions/{id} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").as_bytes())?;
        self.read_body(204).map(drop)
    }

    /// Requests a JSON document. A list of sessions is sent in chunks.
    pub fn get(&mut self, path: &str) -> Result<Value> {
        self.0.send(format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").as_bytes())?;
        let mut document = vec![];
        match self.0.read_head()? {
            (200, Some(length)) => {
                self.0.fill_to(length)?;
                document.extend_from_slice(&self.0.buffered()[..length]);
                self.0.start += length;
            }
            (200, None) => self.0.read_chunks(|chunk| document.extend_from_slice(chunk))?,
            (status, _) => bail!("the status of {path} is {status}"),
        }
        Ok(serde_json::from_slice(&document)?)
    }

    /// Runs a program and measures its times. The stream is requested on the same connection, as
    /// lines of JSON. That saves a round trip over a websocket, which needs a connection of its
    /// own.
    pub fn run(&mut self, request: &CreateRequest) -> Result<RunTimes> {
        let mut lines = vec![];
        self.run_collecting(request, &mut lines)
    }

    /// Like [`Self::run`], and appends the stream's lines to `lines`.
    pub fn run_collecting(&mut self, request: &CreateRequest, lines: &mut Vec<u8>) -> Result<RunTimes> {
        let began = Instant::now();
        let id = self.create(request)?;
        let (mut first_output, mut exit) = (None, None);
        self.read_stream(&id, |chunk| {
            let now = began.elapsed();
            // A word may have begun in the chunk before. To look at all chunks again takes a time
            // that grows with the square of their number.
            let unread = lines.len().saturating_sub(OVERLAP_BYTES);
            lines.extend_from_slice(chunk);
            if first_output.is_none() && contains(&lines[unread..], br#""msgtype":"write""#) {
                first_output = Some(now);
            }
            if exit.is_none() && contains(&lines[unread..], br#""msgtype":"exitstatus""#) {
                exit = Some(now);
            }
        })?;
        let text = || String::from_utf8_lossy(lines);
        if !contains(lines, br#""exitstatus":0"#) {
            bail!("the program failed: {}", text());
        }
        let exit = exit.with_context(|| format!("the stream has no exit status: {}", text()))?;
        Ok(RunTimes { first_output: first_output.unwrap_or(exit), exit })
    }

    /// Reads a session's stream to its end, and calls `on_chunk` with each chunk.
    fn read_stream(&mut self, id: &str, on_chunk: impl FnMut(&[u8])) -> Result<()> {
        let request = format!(
            "GET /sessions/{id}/stream HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: application/x-ndjson\r\n\r\n"
        );
        self.0.send(request.as_bytes())?;
        let (status, _) = self.0.read_head()?;
        if status != 200 {
            bail!("the stream's status is {status}");
        }
        self.0.read_chunks(on_chunk)
    }
}

/// Waits for the first output of a session's program.
pub fn wait_for_output(address: &str, id: &str) -> Result<()> {
    let mut websocket = Websocket::open_with_capacity(address, &format!("/sessions/{id}/stream"), 4096)?;
    loop {
        let message = websocket.next_message()?.context("a program ended before its first output")?;
        if contains(message, br#""msgtype":"write""#) {
            return Ok(());
        }
    }
}

/// More bytes than any word has that is looked for in a stream.
const OVERLAP_BYTES: usize = 64;

/// Whether `part` occurs in `text`.
pub fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// The client's end of a websocket.
pub struct Websocket {
    input: BufferedInput,
    /// The frame that is being sent; kept to reuse its memory.
    output: Vec<u8>,
}

/// The opcode of a close frame (RFC 6455, section 5.2).
const OPCODE_CLOSE: u8 = 8;

/// Parses a frame's header: its opcode, the length of the header and that of the payload. Returns
/// `None` if `bytes` does not hold the whole header yet.
fn parse_frame_header(bytes: &[u8]) -> Result<Option<(u8, usize, usize)>> {
    let [first, length, rest @ ..] = bytes else { return Ok(None) };
    let extended = match length {
        0..126 => return Ok(Some((first & 15, 2, usize::from(*length)))),
        126 => 2,
        127 => 8,
        _ => bail!("a frame of a server is masked"),
    };
    let big_endian = |bytes: &[u8]| bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    Ok(rest.get(..extended).map(|bytes| (first & 15, 2 + extended, big_endian(bytes))))
}

impl Websocket {
    /// Opens a websocket with a large read buffer.
    pub fn open(address: &str, path: &str) -> Result<Self> {
        Self::open_with_capacity(address, path, BUFFER_BYTES)
    }

    /// Opens a websocket with a read buffer of `capacity_bytes`.
    pub fn open_with_capacity(address: &str, path: &str, capacity_bytes: usize) -> Result<Self> {
        let mut input = BufferedInput::connect(address, capacity_bytes)?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        );
        input.send(request.as_bytes())?;
        match input.read_head()? {
            (101, _) => Ok(Self { input, output: vec![] }),
            (status, _) => bail!("the websocket's status is {status}"),
        }
    }

    /// Reads the next frame's header. Returns its opcode and the length of its payload.
    fn next_header(&mut self) -> Result<(u8, usize)> {
        loop {
            if let Some((opcode, header, length)) = parse_frame_header(self.input.buffered())? {
                self.input.start += header;
                return Ok((opcode, length));
            }
            self.input.fill()?;
        }
    }

    /// Reads the next message. Returns `None` at the close frame.
    pub fn next_message(&mut self) -> Result<Option<&[u8]>> {
        let (opcode, length) = self.next_header()?;
        self.input.fill_to(length)?;
        let start = self.input.start;
        self.input.start += length;
        Ok((opcode != OPCODE_CLOSE).then(|| &self.input.buffer[start..start + length]))
    }

    /// Counts the payload bytes of all frames up to the close frame or the end of the connection.
    pub fn count_payload_bytes(&mut self) -> Result<u64> {
        let mut bytes = 0;
        loop {
            match self.next_header() {
                Ok((OPCODE_CLOSE, length)) => {
                    self.input.skip(length)?;
                    self.close()?;
                    return Ok(bytes);
                }
                Ok((_, length)) => {
                    self.input.skip(length)?;
                    bytes += length as u64;
                }
                Err(_) if bytes > 0 => return Ok(bytes), // some servers send no close frame
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends a text message. Its mask is zero, which leaves the payload unchanged.
    pub fn send(&mut self, text: &str) -> Result<()> {
        self.send_frame(0x81, text.as_bytes())
    }

    /// Sends a close frame, of its own accord or in reply to the server's.
    pub fn close(&mut self) -> Result<()> {
        self.send_frame(0x80 | OPCODE_CLOSE, &1000_u16.to_be_bytes())
    }

    /// Sends one masked frame. `first` is the header's first byte: the final bit and the opcode.
    fn send_frame(&mut self, first: u8, payload: &[u8]) -> Result<()> {
        self.output.clear();
        self.output.push(first);
        match u16::try_from(payload.len()) {
            Ok(length @ 0..126) => self.output.push(0x80 | length as u8),
            Ok(length) => {
                self.output.push(0x80 | 126);
                self.output.extend(length.to_be_bytes());
            }
            Err(_) => bail!("a message of {} bytes is too long for this client", payload.len()),
        }
        self.output.extend([0; 4]);
        self.output.extend(payload);
        match self.input.stream.write_all(&self.output) {
            Err(error) if first & 15 == OPCODE_CLOSE && error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => Ok(other?),
        }
    }

    /// Makes the socket non-blocking, for [`Self::poll_messages`].
    pub fn set_nonblocking(&self) -> Result<()> {
        Ok(self.input.stream.set_nonblocking(true)?)
    }

    /// The socket, for epoll(7).
    pub fn socket(&self) -> &TcpStream {
        &self.input.stream
    }

    /// Reads the non-blocking socket once, and calls `on_message` with each complete message.
    /// Returns `false` once the websocket is closed.
    pub fn poll_messages(&mut self, mut on_message: impl FnMut(&[u8]) -> Result<()>) -> Result<bool> {
        let input = &mut self.input;
        input.reserve();
        match input.stream.read(&mut input.buffer[input.end..]) {
            Ok(0) => return Ok(false),
            Ok(length) => input.end += length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) => return Err(error.into()),
        }
        while let Some((opcode, header, length)) = parse_frame_header(self.input.buffered())? {
            let Some(payload) = self.input.buffered().get(header..header + length) else { break };
            if opcode == OPCODE_CLOSE {
                return Ok(false);
            }
            on_message(payload)?;
            self.input.start += header + length;
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_headers_are_parsed() {
        assert_eq!(parse_frame_header(&[]).unwrap(), None);
        assert_eq!(parse_frame_header(&[0x81]).unwrap(), None);
        assert_eq!(parse_frame_header(&[0x81, 5]).unwrap(), Some((1, 2, 5)));
        assert_eq!(parse_frame_header(&[0x81, 126, 1]).unwrap(), None);
        assert_eq!(parse_frame_header(&[0x88, 126, 1, 2]).unwrap(), Some((8, 4, 258)));
        assert_eq!(parse_frame_header(&[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]).unwrap(), Some((1, 10, 65536)));
        assert!(parse_frame_header(&[0x81, 0x85]).is_err(), "masked");
    }
}
