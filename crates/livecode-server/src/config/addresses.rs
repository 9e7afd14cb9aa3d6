//! Where the server listens, and which proxies it trusts.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

use serde::{Deserialize, Serialize, Serializer};

/// The beginning of the address of a unix socket.
const UNIX_PREFIX: &str = "unix:";
/// The longest path of a unix socket, in bytes. The kernel has room for 107 (unix(7)), and the
/// socket is made under a name with four more.
const MAX_SOCKET_PATH_BYTES: usize = 103;

/// An address on which the server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// A TCP port.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

/// Why a text is not an address to listen on.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadListenAddress {
    #[allow(missing_docs)]
    #[error("not an address and port, such as 127.0.0.1:8000, and not unix: and a path")]
    Malformed,
    #[allow(missing_docs)]
    #[error(
        "an abstract unix socket has no file mode, so every user of the machine may use it; give the path of a file"
    )]
    Abstract,
    #[allow(missing_docs)]
    #[error("the path of a unix socket begins with a slash, as in unix:/run/livecode.sock")]
    Relative,
    #[allow(missing_docs)]
    #[error("the path of a unix socket has at most {MAX_SOCKET_PATH_BYTES} bytes, and this one has {0}")]
    TooLong(usize),
}

impl ListenAddress {
    /// The address in the form in which clients use it.
    pub fn url(&self) -> String {
        match self {
            Self::Tcp(address) => format!("http://{address}"),
            Self::Unix(_) => self.to_string(),
        }
    }

    /// The TCP port.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp(address) => Some(address.port()),
            Self::Unix(_) => None,
        }
    }

    /// Whether only this machine reaches the address.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

impl FromStr for ListenAddress {
    type Err = BadListenAddress;

    fn from_str(text: &str) -> Result<Self, BadListenAddress> {
        let Some(path) = text.strip_prefix(UNIX_PREFIX) else {
            return text.parse().map(Self::Tcp).map_err(|_| BadListenAddress::Malformed);
        };
        match path.as_bytes() {
            [b'@' | 0, ..] => Err(BadListenAddress::Abstract),
            [b'/', ..] if path.contains('\0') || path.ends_with('/') => Err(BadListenAddress::Malformed),
            [b'/', ..] if path.len() > MAX_SOCKET_PATH_BYTES => Err(BadListenAddress::TooLong(path.len())),
            [b'/', ..] => Ok(Self::Unix(path.into())),
            _ => Err(BadListenAddress::Relative),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "{UNIX_PREFIX}{}", path.display()),
        }
    }
}

impl Serialize for ListenAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A proxy whose forwarding headers are believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrustedProxy {
    /// The proxy with this address.
    Address(IpAddr),
    /// Every client of the server's unix socket.
    UnixSocket,
}

/// A text does not name a proxy.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not the address of a proxy, such as 127.0.0.1, and not \"unix\"")]
pub struct BadTrustedProxy;

impl TrustedProxy {
    /// Whether this is the proxy at `address`, which is `None` for the other end of a unix socket.
    pub fn is_at(self, address: Option<IpAddr>) -> bool {
        match (self, address) {
            (Self::Address(own), Some(address)) => own == address.to_canonical(),
            (Self::UnixSocket, None) => true,
            _ => false,
        }
    }
}

impl FromStr for TrustedProxy {
    type Err = BadTrustedProxy;

    fn from_str(text: &str) -> Result<Self, BadTrustedProxy> {
        match text {
            "unix" => Ok(Self::UnixSocket),
            _ => text.parse().map(Self::Address).map_err(|_| BadTrustedProxy),
        }
    }
}

impl fmt::Display for TrustedProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::UnixSocket => f.write_str("unix"),
        }
    }
}

impl Serialize for TrustedProxy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The users of the machine who may connect to a unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum SocketAccess {
    /// The server's user and root: mode 0600.
    Owner,
    /// The members of the file's group, too: mode 0660.
    Group,
    /// All users: mode 0666.
    All,
}

impl SocketAccess {
    /// The mode of the socket's file.
    pub fn mode(self) -> u32 {
        match self {
            Self::Owner => 0o600,
            Self::Group => 0o660,
            Self::All => 0o666,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_written() {
        for text in ["127.0.0.1:8000", "[::1]:0", "unix:/run/livecode.sock"] {
            assert_eq!(text.parse::<ListenAddress>().unwrap().to_string(), text);
        }
        for text in ["127.0.0.1", "::1", "unix"] {
            assert_eq!(text.parse::<TrustedProxy>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn wrong_addresses_are_refused_with_words_that_help() {
        let long = format!("unix:/{}", "x".repeat(103));
        for (text, words) in [
            ("8000", "127.0.0.1:8000"),
            ("localhost:8000", "127.0.0.1:8000"),
            ("unix:@livecode", "abstract"),
            ("unix:\0livecode", "abstract"),
            ("unix:livecode.sock", "slash"),
            ("unix:", "slash"),
            ("unix:/run/", "path"),
            (&long, "103 bytes, and this one has 104"),
        ] {
            let error = text.parse::<ListenAddress>().unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
        assert!("near".parse::<TrustedProxy>().is_err());
    }
}
