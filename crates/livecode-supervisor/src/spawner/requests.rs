//! The datagrams between the server and its spawner, and the requests that a spawner passes on.

use std::{
    io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::UnixStream,
    },
};

use livecode_protocol::control::{LayoutRequest, SpawnerReady, SpawnerRequest};
use livecode_sandbox::fd_passing;
use rustix::net::{RecvFlags, SendFlags, send};
use serde::de::DeserializeOwned;

/// The longest request, in bytes.
const MAX_REQUEST_BYTES: usize = 256;
/// The longest [`LayoutRequest`], in bytes. A zygote can be sent no longer layout either.
const MAX_LAYOUT_REQUEST_BYTES: usize = 64 * 1024;

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
    receive(server, &mut [0; MAX_REQUEST_BYTES])
}

/// Receives a request on the layout socket, as [`receive_request`] does on the other.
pub(super) fn receive_layout_request(
    layout_socket: &OwnedFd,
) -> io::Result<Option<(LayoutRequest, UnixStream)>> {
    receive(layout_socket, &mut vec![0; MAX_LAYOUT_REQUEST_BYTES])
}

/// Sends a request to a worker, with the socket that came with it.
///
/// # Errors
/// If the worker has ended.
pub(super) fn send_request(
    status_channel: &OwnedFd,
    request: &SpawnerRequest,
    stream: &UnixStream,
) -> io::Result<()> {
    fd_passing::send(status_channel, &serde_json::to_vec(request)?, &[stream.as_fd()], SendFlags::DONTWAIT)
}

fn receive<T: DeserializeOwned>(socket: &OwnedFd, bytes: &mut [u8]) -> io::Result<Option<(T, UnixStream)>> {
    loop {
        let (length, mut streams) = fd_passing::receive(socket, bytes, RecvFlags::DONTWAIT)?;
        if length == 0 {
            return Ok(None);
        }
        match (serde_json::from_slice(&bytes[..length]), streams.pop()) {
            (Ok(request), Some(stream)) => return Ok(Some((request, stream.into()))),
            _ => eprintln!("livecode spawner: received a datagram that is no request with a socket"),
        }
    }
}
