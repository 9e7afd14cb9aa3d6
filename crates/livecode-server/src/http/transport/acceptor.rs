//! Accepts connections and registers them with the async runtime.
//!
//! The kernel limits how many descriptors one user may watch by epoll(7)
//! (`/proc/sys/fs/epoll/max_user_watches`). If the server is an ordinary user, its sessions count
//! as the same user, and a program can use up the limit. A connection that cannot be registered is
//! therefore not closed, but handed to [`super::emergency`].

use std::{
    io,
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::io::Errno;
use tokio::{
    io::{Interest, unix::AsyncFd},
    net::{TcpListener, TcpStream},
};

/// The server's listener. It is registered when the server starts, so that later accepts need
/// nothing from the limit of epoll.
pub(super) struct Acceptor {
    listener: AsyncFd<std::net::TcpListener>,
    /// Whether the last connection could not be registered.
    is_emergency: AtomicBool,
}

/// A connection that a client has made.
pub(super) enum Accepted {
    /// The async runtime watches the connection.
    Registered(TcpStream),
    /// The async runtime cannot watch the connection. Its operations do not block.
    Unregistered(std::net::TcpStream),
}

impl Acceptor {
    /// # Errors
    /// If the listener cannot be registered.
    pub fn new(listener: TcpListener) -> io::Result<Self> {
        #[expect(deprecated, reason = "it is unsound only for types that do not own their descriptor")]
        let listener = AsyncFd::with_interest(listener.into_std()?, Interest::READABLE)?;
        Ok(Self { listener, is_emergency: AtomicBool::new(false) })
    }

    /// Waits for the next connection. Returns it and the client's address.
    ///
    /// # Errors
    /// If accept(2) failed, or descriptors or memory ran out.
    pub async fn accept(&self) -> io::Result<(Accepted, SocketAddr)> {
        let (stream, peer) =
            self.listener.async_io(Interest::READABLE, std::net::TcpListener::accept).await?;
        stream.set_nonblocking(true)?;
        // A registration that fails closes its stream. This duplicate keeps the connection open.
        let spare = stream.try_clone();
        let accepted = match (TcpStream::from_std(stream), spare) {
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
