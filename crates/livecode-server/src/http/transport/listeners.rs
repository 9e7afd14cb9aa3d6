//! The listeners of a server, one for each address of the setting `listen`.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsRawFd, OwnedFd, RawFd},
};

use rustix::net::{SocketFlags, accept_with, acceptfrom_with};
use tokio::net::TcpListener;

use crate::{
    config::{Config, ListenAddress},
    http::transport::unix_socket::{SocketFile, UnixSocketError, bind_socket},
};

/// Why the server cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// A TCP port cannot be bound.
    #[error("cannot listen on {0}")]
    Tcp(SocketAddr, #[source] io::Error),
    /// A unix socket cannot be bound.
    #[error(transparent)]
    Unix(#[from] UnixSocketError),
}

/// All listeners of a server.
pub(crate) struct Listeners(pub(super) Vec<Listener>);

/// One listener.
pub(super) enum Listener {
    Tcp(std::net::TcpListener),
    Unix { listener: std::os::unix::net::UnixListener, _file: SocketFile },
}

impl Listeners {
    /// Listens on each configured address. Returns the addresses too, with the ports that the
    /// kernel chose.
    ///
    /// # Errors
    /// See [`ListenError`].
    pub async fn bind(config: &Config) -> Result<(Self, Vec<ListenAddress>), ListenError> {
        let (mut listeners, mut addresses) = (vec![], vec![]);
        for address in &config.listen {
            match address {
                ListenAddress::Tcp(tcp) => {
                    let failed = |error| ListenError::Tcp(*tcp, error);
                    let listener = TcpListener::bind(tcp).await.map_err(failed)?;
                    addresses.push(ListenAddress::Tcp(listener.local_addr().map_err(failed)?));
                    listeners.push(Listener::Tcp(listener.into_std().map_err(failed)?));
                }
                ListenAddress::Unix(path) => {
                    let (listener, file) = bind_socket(path, config.socket_access.mode())?;
                    addresses.push(address.clone());
                    listeners.push(Listener::Unix { listener, _file: file });
                }
            }
        }
        Ok((Self(listeners), addresses))
    }
}

impl Listener {
    /// Accepts a connection, whose operations do not block. The client's address is `None` for a
    /// unix socket.
    ///
    /// # Errors
    /// If accept(2) fails, or none waits.
    pub fn accept(&self) -> io::Result<(OwnedFd, Option<SocketAddr>)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = acceptfrom_with(listener, flags)?;
                let address = address.and_then(|address| SocketAddr::try_from(address).ok());
                // Without an address it could not be told from a client of a unix socket.
                Ok((stream, Some(address.ok_or(io::ErrorKind::ConnectionAborted)?)))
            }
            Self::Unix { listener, .. } => Ok((accept_with(listener, flags)?, None)),
        }
    }
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Self::Tcp(listener) => listener.as_raw_fd(),
            Self::Unix { listener, .. } => listener.as_raw_fd(),
        }
    }
}
