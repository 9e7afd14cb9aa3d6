//! The datagrams between the server and its spawner.

use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixStream},
};

use livecode_protocol::control::{SpawnerReady, SpawnerRequest};
use livecode_sandbox::fd_passing;
use rustix::net::{RecvFlags, SendFlags, send};

/// The longest request, in bytes.
const MAX_REQUEST_BYTES: usize = 256;

/// Tells the server whether the spawner is ready.
pub(super) fn send_ready(server: &OwnedFd, ready: &SpawnerReady) {
    // If the server is gone, the next receive returns that.
    let _ = send(server, &serde_json::to_vec(ready).unwrap_or_default(), SendFlags::NOSIGNAL);
}

/// Receives a request that is there already, with the socket attached to it. Returns `None` when
/// the server has closed its end.
///
/// # Errors
/// `WouldBlock` if no request is there.
pub(super) fn receive_request(server: &OwnedFd) -> io::Result<Option<(SpawnerRequest, UnixStream)>> {
    loop {
        let mut bytes = [0; MAX_REQUEST_BYTES];
        let (length, mut streams) = fd_passing::receive(server, &mut bytes, RecvFlags::DONTWAIT)?;
        if length == 0 {
            return Ok(None);
        }
        match (serde_json::from_slice(&bytes[..length]), streams.pop()) {
            (Ok(request), Some(stream)) => return Ok(Some((request, stream.into()))),
            _ => eprintln!("livecode spawner: received a datagram that is no request with a socket"),
        }
    }
}
