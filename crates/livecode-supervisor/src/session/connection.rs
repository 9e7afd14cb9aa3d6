//! A connection to one server: a line of JSON for each message, in both directions. No call here
//! blocks, but for the two at the session's end, which have a timeout.

use std::{
    io::{self, Read as _, Write as _},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    time::{Duration, Instant},
};

use livecode_protocol::control::{self, MAX_LINE_BYTES, StartKind, SupervisorNotice, SupervisorRequest};
use rustix::event::{PollFd, PollFlags, poll};

use livecode_sandbox::timespec;

/// How long the end of a session waits for servers to send their greeting, and then again to read
/// the last notices.
const FINAL_NOTICE_TIMEOUT: Duration = Duration::from_secs(1);

/// Bytes of notices that may wait for a server to read them. While more wait, no requests are read
/// from it.
const MAX_UNSENT_BYTES: usize = 64 * 1024;
/// The most bytes read from a server in one turn of the supervisor's loop, so that no server can
/// keep the loop from serving the program.
const READ_BYTES: usize = 64 * 1024;

pub(crate) struct Connection {
    stream: UnixStream,
    /// Bytes read that are not a whole line yet.
    incoming: Vec<u8>,
    /// Notices that are not yet written to the socket.
    outgoing: Vec<u8>,
    /// Whether the server has sent its greeting, and the answer was queued.
    pub has_greeted: bool,
    /// Whether there is progress that was not sent to the server yet.
    pub has_unsent_progress: bool,
}

impl Connection {
    /// Accepts a connection of a process that runs as the same user.
    ///
    /// # Errors
    /// `PermissionDenied` if it runs as another user.
    pub fn accept(stream: UnixStream) -> io::Result<Self> {
        let peer = rustix::net::sockopt::socket_peercred(&stream)?;
        if peer.uid != rustix::process::geteuid() {
            return Err(io::Error::from(io::ErrorKind::PermissionDenied));
        }
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            incoming: vec![],
            outgoing: vec![],
            has_greeted: false,
            has_unsent_progress: false,
        })
    }

    pub fn stream(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// Whether notices wait for the server to read them.
    pub fn has_unsent(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Whether requests may be read: not while too many notices wait.
    pub fn may_read(&self) -> bool {
        self.outgoing.len() < MAX_UNSENT_BYTES
    }

    /// Reads the requests that have come. Returns `None` if the server has closed the
    /// connection or violates the protocol.
    pub fn read(&mut self) -> Option<Vec<SupervisorRequest>> {
        if !self.may_read() {
            // The connection was polled for writing only: its notices are sent at the end of this
            // turn of the loop, and requests are read afterwards.
            return Some(vec![]);
        }
        let mut buffer = [0; READ_BYTES];
        match self.stream.read(&mut buffer) {
            Ok(0) => return None,
            Ok(length) => self.incoming.extend_from_slice(&buffer[..length]),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(_) => return None,
        }
        let whole = memchr::memrchr(b'\n', &self.incoming).map_or(0, |end| end + 1);
        let requests = self.incoming[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let requests = requests.map(|line| serde_json::from_slice(line).ok()).collect::<Option<Vec<_>>>()?;
        self.incoming.drain(..whole);
        (self.incoming.len() <= MAX_LINE_BYTES).then_some(requests)
    }

    /// Answers the server's greeting.
    pub fn greet(&mut self, version: u32, degraded: Vec<String>, start: StartKind) {
        self.has_greeted = true;
        self.has_unsent_progress = true;
        self.send(&SupervisorNotice::Hello { version: version.min(control::VERSION), degraded, start });
    }

    /// Queues a notice, which the next [`Self::flush`] sends.
    pub fn send(&mut self, notice: &SupervisorNotice) {
        // Serialising plain data into memory does not fail.
        if serde_json::to_writer(&mut self.outgoing, notice).is_ok() {
            self.outgoing.push(b'\n');
        }
    }

    /// Writes as much as the socket takes now. Returns `false` if the server has closed the
    /// connection.
    pub fn flush(&mut self) -> bool {
        while !self.outgoing.is_empty() {
            match self.stream.write(&self.outgoing) {
                Ok(length) => drop(self.outgoing.drain(..length)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
        true
    }
}

/// Waits for the greetings of servers that had not sent them when the program ended, and answers
/// them. So every server is told how the session started before it is told how the session ended.
pub(crate) fn await_greetings(
    connections: &mut Vec<Connection>,
    degraded: impl Fn() -> Vec<String>,
    start: StartKind,
) {
    let deadline = Instant::now() + FINAL_NOTICE_TIMEOUT;
    while let Some(index) = connections.iter().position(|connection| !connection.has_greeted) {
        let left = deadline.saturating_duration_since(Instant::now());
        let stream = connections[index].stream();
        let polled = poll(&mut [PollFd::from_borrowed_fd(stream, PollFlags::IN)], Some(&timespec(left)));
        // The deadline also ends the wait for a server that sends much, but no greeting.
        if polled == Ok(0) || left.is_zero() {
            return;
        }
        let Some(requests) = connections[index].read() else {
            connections.remove(index);
            continue;
        };
        for request in requests {
            if let SupervisorRequest::Hello { version } = request {
                connections[index].greet(version, degraded(), start);
            }
        }
    }
}

/// Waits until a server has released this process: it knows that the session has ended. Returns
/// `false` if none does so within [`FINAL_NOTICE_TIMEOUT`]. Then a server may be about to kill
/// this process, which must not serve another session.
pub(crate) fn await_release(connections: &mut Vec<Connection>) -> bool {
    let deadline = Instant::now() + FINAL_NOTICE_TIMEOUT;
    while !connections.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut fds: Vec<_> = connections
            .iter()
            .map(|connection| PollFd::from_borrowed_fd(connection.stream(), PollFlags::IN))
            .collect();
        let polled = poll(&mut fds, Some(&timespec(left)));
        if polled == Ok(0) || left.is_zero() {
            return false;
        }
        let is_ready: Vec<_> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        for index in (0..is_ready.len()).rev().filter(|index| is_ready[*index]) {
            match connections[index].read() {
                Some(requests) => {
                    if requests.iter().any(|request| matches!(request, SupervisorRequest::Release)) {
                        return true;
                    }
                }
                None => drop(connections.remove(index)),
            }
        }
    }
    false
}

/// Sends the last notice to every server, and gives them [`FINAL_NOTICE_TIMEOUT`] to read it. The
/// connections stay open; their end is to tell the servers that nothing of the sandbox is left.
pub(crate) fn send_final_notice(connections: &mut Vec<Connection>, notice: &SupervisorNotice) {
    let deadline = Instant::now() + FINAL_NOTICE_TIMEOUT;
    connections.iter_mut().for_each(|connection| connection.send(notice));
    loop {
        connections.retain_mut(Connection::flush);
        let unsent = connections.iter().filter(|connection| connection.has_unsent());
        let mut unsent: Vec<_> =
            unsent.map(|connection| PollFd::from_borrowed_fd(connection.stream(), PollFlags::OUT)).collect();
        let left = deadline.saturating_duration_since(Instant::now());
        if unsent.is_empty() || left.is_zero() {
            return;
        }
        // A signal may interrupt this wait. The loop waits again then.
        let _ = poll(&mut unsent, Some(&timespec(left)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_that_are_not_read_are_bounded() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        let mut connection = Connection::accept(ours).unwrap();
        let requests = b"{\"request\":\"hello\",\"version\":2}\n".repeat(1000);
        for _ in 0..100 {
            let _ = theirs.write(&requests);
            let requests = connection.read().unwrap();
            requests.iter().for_each(|_| {
                connection.send(&SupervisorNotice::Refused { tag: 0, error: "x".repeat(300), code: None })
            });
            assert!(connection.flush());
            let _ = theirs.read(&mut [0; 4096]);
            // The answers to the requests of one read may come on top.
            assert!(connection.outgoing.len() < MAX_UNSENT_BYTES + READ_BYTES * 16);
        }
    }
}
