//! The talk with one server: lines of JSON both ways, never blocking.

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

use crate::session::supervisor::timespec;

/// How long the end waits for a server to greet, and to take the last notices.
const FINAL_NOTICE_TIMEOUT: Duration = Duration::from_secs(1);

/// Bytes of answers that may wait for a server to read them; while more wait, nothing is read from it.
const MAX_WAITING_BYTES: usize = 64 * 1024;
/// The most bytes taken from a server in one turn of the loop, so that no server can keep it from the program.
const READ_BYTES: usize = 64 * 1024;

pub(crate) struct Connection {
    stream: UnixStream,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    /// Whether both have greeted.
    pub greeted: bool,
    /// Whether progress was made that the server was not told of yet.
    pub owes_progress: bool,
}

impl Connection {
    /// Takes a connection over, if it comes from a process of our own user.
    pub fn accept(stream: UnixStream) -> io::Result<Self> {
        let peer = rustix::net::sockopt::socket_peercred(&stream)?;
        if peer.uid != rustix::process::geteuid() {
            return Err(io::Error::from(io::ErrorKind::PermissionDenied));
        }
        stream.set_nonblocking(true)?;
        Ok(Self { stream, incoming: vec![], outgoing: vec![], greeted: false, owes_progress: false })
    }

    pub fn stream(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// Whether something waits for the server to read.
    pub fn is_waiting(&self) -> bool {
        !self.outgoing.is_empty()
    }

    pub fn may_read(&self) -> bool {
        self.outgoing.len() < MAX_WAITING_BYTES
    }

    /// Reads what has come. `None` where the server has gone, or does not keep to the protocol.
    pub fn read(&mut self) -> Option<Vec<SupervisorRequest>> {
        if !self.may_read() {
            return Some(vec![]); // woken because it takes answers, which go first
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

    /// Answers a server's greeting.
    pub fn greet(&mut self, version: u32, degraded: Vec<String>, start: StartKind) {
        self.greeted = true;
        self.owes_progress = true;
        self.send(&SupervisorNotice::Hello { version: version.min(control::VERSION), degraded, start });
    }

    /// Queues a notice. It leaves with the next [`Self::flush`].
    pub fn send(&mut self, notice: &SupervisorNotice) {
        // Serialising plain data into memory cannot fail.
        if serde_json::to_writer(&mut self.outgoing, notice).is_ok() {
            self.outgoing.push(b'\n');
        }
    }

    /// Passes on as much as the server takes at the moment. `false` where it has gone.
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

/// Greets servers that had not come to it when the program ended: they hear how it began before they hear how it ended.
pub(crate) fn greet_late(
    connections: &mut Vec<Connection>,
    degraded: impl Fn() -> Vec<String>,
    start: StartKind,
) {
    let until = Instant::now() + FINAL_NOTICE_TIMEOUT;
    while let Some(index) = connections.iter().position(|connection| !connection.greeted) {
        let left = until.saturating_duration_since(Instant::now());
        let stream = connections[index].stream();
        let heard = poll(&mut [PollFd::from_borrowed_fd(stream, PollFlags::IN)], Some(&timespec(left)));
        // One that says much, but no greeting, is not heard any longer either.
        if heard == Ok(0) || left.is_zero() {
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

/// Sends the last notice, and gives every server a little time to take it. The connections stay open: their end says that
/// nothing of the session is left.
pub(crate) fn send_final_progress(connections: &mut Vec<Connection>, progress: &SupervisorNotice) {
    let until = Instant::now() + FINAL_NOTICE_TIMEOUT;
    connections.iter_mut().for_each(|connection| connection.send(progress));
    loop {
        connections.retain_mut(Connection::flush);
        let waiting = connections.iter().filter(|connection| connection.is_waiting());
        let mut waiting: Vec<_> =
            waiting.map(|connection| PollFd::from_borrowed_fd(connection.stream(), PollFlags::OUT)).collect();
        let left = until.saturating_duration_since(Instant::now());
        if waiting.is_empty() || left.is_zero() {
            return;
        }
        let _ = poll(&mut waiting, Some(&timespec(left))); // interrupted: look again
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_nobody_reads_do_not_grow() {
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
            // What one read asks for may come on top.
            assert!(connection.outgoing.len() < MAX_WAITING_BYTES + READ_BYTES * 16);
        }
    }
}
