//! Accepts connections and registers them with the async runtime.
//!
//! The kernel limits how many descriptors one user may watch by epoll(7)
//! (`/proc/sys/fs/epoll/max_user_watches`). If the server is an ordinary user, its sessions count
//! as the same user, and a program can use up the limit. A connection that cannot be registered is
//! therefore not closed, but handed to [`super::emergency`].

use std::{
    io,
    os::fd::OwnedFd,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use futures_util::future::select_all;
use rustix::io::Errno;
use tokio::io::{Interest, unix::AsyncFd};

use crate::auth::PeerAddress;
use crate::http::transport::{
    listeners::{Listener, Listeners},
    stream::ClientStream,
};

/// The server's listeners. They are registered when the server starts, so that later accepts need
/// nothing from the limit of epoll.
pub(super) struct Acceptor {
    listeners: Vec<AsyncFd<Listener>>,
    /// The listener that is asked first. Each has its turn, so that none starves.
    first: AtomicUsize,
    /// Whether the last connection could not be registered.
    is_emergency: AtomicBool,
}

/// A connection that a client has made.
pub(super) enum Accepted {
    /// The async runtime watches the connection.
    Registered(ClientStream),
    /// The async runtime cannot watch the connection. Its operations do not block.
    Unregistered(OwnedFd),
}

impl Acceptor {
    /// # Errors
    /// If the listener cannot be registered.
    pub fn new(listeners: Listeners) -> io::Result<Self> {
        #[expect(deprecated, reason = "it is unsound only for types that do not own their descriptor")]
        let register = |listener| AsyncFd::with_interest(listener, Interest::READABLE);
        let listeners = listeners.0.into_iter().map(register).collect::<io::Result<_>>()?;
        Ok(Self { listeners, first: AtomicUsize::new(0), is_emergency: AtomicBool::new(false) })
    }

    /// Waits for the next connection. Returns it and where its other end is.
    ///
    /// # Errors
    /// If accept(2) failed, or descriptors or memory ran out.
    pub async fn accept(&self) -> io::Result<(Accepted, PeerAddress)> {
        let first = self.first.load(Ordering::Relaxed);
        let (before, after) = self.listeners.split_at(first);
        let accept = |listener| {
            let listener: &AsyncFd<Listener> = listener;
            Box::pin(listener.async_io(Interest::READABLE, Listener::accept))
        };
        let (accepted, index, _) = select_all(after.iter().chain(before).map(accept)).await;
        self.first.store((first + index + 1) % self.listeners.len(), Ordering::Relaxed);
        let (stream, peer) = accepted?;
        // A registration that fails closes its stream. This duplicate keeps the connection open.
        let spare = stream.try_clone();
        let accepted = match (ClientStream::register(stream, peer), spare) {
            (Ok(stream), _) => Accepted::Registered(stream),
            (Err(error), Ok(spare)) if is_out_of_watches(&error) => Accepted::Unregistered(spare),
            (Err(error), _) => return Err(error),
        };
        self.report_change(matches!(accepted, Accepted::Unregistered(_)));
        Ok((accepted, peer))
    }

    /// Logs when an emergency begins or ends.
    fn report_change(&self, is_emergency: bool) {
        match (self.is_emergency.swap(is_emergency, Ordering::Relaxed), is_emergency) {
            (false, true) => tracing::error!(
                "new connections cannot be watched: the server's user has no epoll watch left; a \
                 session may use them up"
            ),
            (true, false) => tracing::warn!("connections can be watched again"),
            _ => {}
        }
    }
}

/// Whether the user of this process has no epoll watch left (epoll_ctl(2)).
fn is_out_of_watches(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::NOSPC)
}
