//! The listeners of a server, one for each address of the setting `listen`.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsRawFd, OwnedFd, RawFd},
    path::Path,
};

use rustix::net::{SocketFlags, accept_with, acceptfrom_with};
use tokio::net::TcpListener;

use crate::{
    auth::PeerAddress,
    config::{Config, ListenAddress, SocketAccess},
    http::transport::unix_socket::{SocketFile, UnixSocketError, bind_socket},
};

/// The name of the admin socket in the data directory.
pub const ADMIN_SOCKET: &str = "admin.sock";

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
    Unix { listener: std::os::unix::net::UnixListener, address: PeerAddress, _file: SocketFile },
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
                    listeners.push(Listener::Unix {
                        listener,
                        address: PeerAddress::UnixSocket,
                        _file: file,
                    });
                }
            }
        }
        Ok((Self(listeners), addresses))
    }

    /// Listens on the admin socket in `data_dir`, too, which only the server's user and root can
    /// use.
    ///
    /// # Errors
    /// See [`ListenError`].
    pub fn bind_admin_socket(&mut self, data_dir: &Path) -> Result<(), ListenError> {
        let (listener, file) = bind_socket(&data_dir.join(ADMIN_SOCKET), SocketAccess::Owner.mode())?;
        self.0.push(Listener::Unix { listener, address: PeerAddress::AdminSocket, _file: file });
        Ok(())
    }
}

impl Listener {
    /// Accepts a connection, whose operations do not block. Returns where its other end is, too.
    ///
    /// # Errors
    /// If accept(2) fails, or none waits.
    pub fn accept(&self) -> io::Result<(OwnedFd, PeerAddress)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = acceptfrom_with(listener, flags)?;
                let address = address.and_then(|address| SocketAddr::try_from(address).ok());
                Ok((stream, PeerAddress::Tcp(address.ok_or(io::ErrorKind::ConnectionAborted)?)))
            }
            Self::Unix { listener, address, .. } => Ok((accept_with(listener, flags)?, *address)),
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
