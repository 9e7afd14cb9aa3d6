//! The other end of a connection, and whether its user can be the local user.

use std::{
    fmt, fs, io,
    net::{IpAddr, SocketAddr},
    os::fd::AsFd,
    sync::{
        LazyLock,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::process::geteuid;

use super::sock_diag::SockDiag;

/// The uid that the kernel gives in place of one that this user namespace does not have
/// (`/proc/sys/kernel/overflowuid`, user_namespaces(7)). It may stand for many users, and is then
/// never the server's own.
const OVERFLOW_UID: u32 = 65534;

/// Whether this user namespace has all uids, so that the kernel shows each as it is.
static HAS_ALL_UIDS: LazyLock<bool> = LazyLock::new(|| {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().eq(["0", "0", "4294967295"])
});

/// Where the other end of a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerAddress {
    /// At a network address.
    Tcp(SocketAddr),
    /// On this machine; it has connected to a unix socket on which the server listens.
    UnixSocket,
    /// On this machine; it has connected to the admin socket in the data directory.
    AdminSocket,
}

impl PeerAddress {
    /// The network address; `None` on a unix socket.
    pub fn ip(self) -> Option<IpAddr> {
        match self {
            Self::Tcp(address) => Some(address.ip()),
            Self::UnixSocket | Self::AdminSocket => None,
        }
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::UnixSocket => f.write_str("unix socket"),
            Self::AdminSocket => f.write_str("admin socket"),
        }
    }
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Where it is.
    pub address: PeerAddress,
    /// Whether the kernel says that the connection belongs to a process of the server's user or of
    /// root. `false` also if nobody asked the kernel.
    pub is_own_user: bool,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

/// Finds out to which users the connections inside this machine belong.
#[derive(Debug)]
pub struct PeerUsers {
    sock_diag: Option<SockDiag>,
    has_reported_failure: AtomicBool,
}

impl PeerUsers {
    /// Prepares to ask the kernel. Where it does not answer, nobody is the server's own user, and
    /// the log says so.
    pub fn prepare() -> Self {
        let sock_diag = SockDiag::open().map_err(|error| {
            tracing::warn!(
                "the kernel does not tell which user has the other end of a connection ({error}), so nobody is the \
                 local user; see `livecode doctor`"
            );
        });
        Self { sock_diag: sock_diag.ok(), has_reported_failure: AtomicBool::new(false) }
    }

    /// Whether the other end of a TCP connection inside this machine belongs to the server's user
    /// or to root. `false` if that cannot be known.
    pub fn is_own(&self, stream: &impl AsFd) -> bool {
        let Some(sock_diag) = &self.sock_diag else { return false };
        match sock_diag.peer_uid(stream) {
            Ok(uid) => uid.is_some_and(is_own_uid),
            Err(error) => {
                if !self.has_reported_failure.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, "cannot find out whose a connection is, so it is a guest's");
                }
                false
            }
        }
    }
}

/// Whether a process of the server's user or of root has connected to the server's unix socket
/// (`SO_PEERCRED`).
pub fn is_own_unix_peer(stream: &impl AsFd) -> bool {
    rustix::net::sockopt::socket_peercred(stream).is_ok_and(|peer| is_own_uid(peer.uid.as_raw()))
}

/// Whether a process of this user may do what the server's user may.
fn is_own_uid(uid: u32) -> bool {
    uid == 0 || (uid == geteuid().as_raw() && (uid != OVERFLOW_UID || *HAS_ALL_UIDS))
}

/// Tries whether the kernel tells to which users connections inside this machine belong.
///
/// # Errors
/// If it does not.
pub fn try_peer_users() -> io::Result<()> {
    SockDiag::open().map(drop)
}
