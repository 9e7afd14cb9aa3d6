//! The URL of a server, as the user gives it.

use std::{
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
    str::FromStr,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use percent_encoding::percent_decode_str;
use ureq::http::Uri;

/// The URL of a server: its unix socket, or its scheme, host and port, the path below which a proxy
/// serves it, and the credentials for that proxy.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl {
    is_tls: bool,
    /// The unix socket on which the server listens; `None` if it is reached over TCP.
    socket: Option<PathBuf>,
    /// Host and port, as in the URL.
    authority: String,
    /// Empty, or a path that starts with a slash and does not end with one.
    path: String,
    /// The value of an `Authorization` header (RFC 7617), if the URL has a user's name.
    basic_credentials: Option<String>,
}

/// Why a text is not the URL of a server.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadServerUrl {
    #[error("{0:?} has no scheme; did you mean http://{0} or https://{0}?")]
    NoScheme(String),
    #[error(
        "unix: needs a path that begins with a slash, as in unix:/run/livecode.sock; there are no abstract sockets"
    )]
    NoSocketPath,
    #[error("a server is reached by http:// or https://, not by {0}://")]
    OtherScheme(String),
    #[error("a server's URL has no query and no fragment; leave out everything from {0:?} on")]
    QueryOrFragment(char),
    #[error("{0:?} is not the URL of a server, such as http://127.0.0.1:8000")]
    Malformed(String),
}

impl FromStr for ServerUrl {
    type Err = BadServerUrl;

    fn from_str(text: &str) -> Result<Self, BadServerUrl> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if !path.starts_with('/') || path.contains('\0') {
                return Err(BadServerUrl::NoSocketPath);
            }
            return Ok(Self {
                is_tls: false,
                socket: Some(path.into()),
                authority: "localhost".to_owned(),
                path: String::new(),
                basic_credentials: None,
            });
        }
        let (scheme, rest) = text.split_once("://").ok_or_else(|| BadServerUrl::NoScheme(text.to_owned()))?;
        let is_tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(BadServerUrl::OtherScheme(scheme.to_owned())),
        };
        if let Some(found) = rest.chars().find(|c| matches!(c, '?' | '#')) {
            return Err(BadServerUrl::QueryOrFragment(found));
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (credentials, authority) = match authority.rsplit_once('@') {
            Some((credentials, authority)) => (Some(credentials), authority),
            None => (None, authority),
        };
        let path = path.trim_end_matches('/');
        let without_credentials = format!("{scheme}://{authority}{path}");
        let malformed = || BadServerUrl::Malformed(without_credentials.clone());
        let uri: Uri = without_credentials.parse().map_err(|_| malformed())?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(malformed)?;
        let has_bad_port = authority.len() > host.len() && uri.port_u16().is_none();
        if has_bad_port {
            return Err(malformed());
        }
        Ok(Self {
            is_tls,
            socket: None,
            authority: authority.to_owned(),
            path: path.to_owned(),
            basic_credentials: credentials.map(basic_credentials),
        })
    }
}

/// The value of the header that sends the credentials of a URL.
fn basic_credentials(credentials: &str) -> String {
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    let decode = |text| percent_decode_str(text).collect::<Vec<u8>>();
    let pair = [decode(user), decode(password)].join(&b':');
    format!("Basic {}", BASE64_STANDARD.encode(pair))
}

/// The URL without its credentials.
impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.socket {
            Some(socket) => write!(f, "unix:{}", socket.display()),
            None => f.write_str(&self.http("")),
        }
    }
}

impl ServerUrl {
    /// Whether the server is reached through TLS.
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// The unix socket on which the server listens.
    pub fn socket(&self) -> Option<&Path> {
        self.socket.as_deref()
    }

    /// Whether requests do not leave this machine: the server is on a unix socket or on loopback.
    pub fn is_on_this_machine(&self) -> bool {
        let host = self.authority.parse().ok().and_then(|uri: Uri| uri.host().map(str::to_ascii_lowercase));
        let host = host.unwrap_or_default();
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        self.socket.is_some() || host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }

    /// The value of the `Authorization` header for the URL's credentials.
    pub fn basic_credentials(&self) -> Option<&str> {
        self.basic_credentials.as_deref()
    }

    /// The URL of a path on the server.
    pub fn http(&self, path: &str) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}{}{path}", self.authority, self.path)
    }

    /// The websocket URL of a path on the server.
    pub fn websocket(&self, path: &str) -> String {
        let scheme = if self.is_tls { "wss" } else { "ws" };
        format!("{scheme}://{}{}{path}", self.authority, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let url: ServerUrl = "https://pupil:a%40b@live.example:8443/course/".parse().unwrap();
        assert_eq!(url.to_string(), "https://live.example:8443/course");
        assert_eq!(url.websocket("/sessions/x"), "wss://live.example:8443/course/sessions/x");
        assert_eq!(url.basic_credentials(), Some("Basic cHVwaWw6YUBi"), "pupil:a@b");
        assert_eq!("HTTP://[::1]:8000".parse::<ServerUrl>().unwrap().http("/x"), "http://[::1]:8000/x");
    }

    #[test]
    fn loopback_and_unix_sockets_are_on_this_machine() {
        let is_here = |text: &str| text.parse::<ServerUrl>().unwrap().is_on_this_machine();
        for text in ["http://localhost:1", "http://127.8.9.1", "https://[::1]:8000/x", "unix:/s"] {
            assert!(is_here(text), "{text}");
        }
        for text in ["http://live.example", "http://10.0.0.1:8000", "http://[2001:db8::1]"] {
            assert!(!is_here(text), "{text}");
        }
    }

    #[test]
    fn a_unix_socket_is_a_server() {
        let url: ServerUrl = "unix:/run/livecode.sock".parse().unwrap();
        assert_eq!(url.to_string(), "unix:/run/livecode.sock");
        assert_eq!(url.socket(), Some(Path::new("/run/livecode.sock")));
        assert_eq!(url.http("/sessions"), "http://localhost/sessions");
        for text in ["unix:", "unix:@x", "unix:x.sock"] {
            assert_eq!(text.parse::<ServerUrl>().map(|_| ()), Err(BadServerUrl::NoSocketPath), "{text}");
        }
    }

    #[test]
    fn errors_say_what_would_be_right() {
        let error = |text: &str| text.parse::<ServerUrl>().map(|_| ()).unwrap_err().to_string();
        assert!(error("127.0.0.1:8000").contains("http://127.0.0.1:8000"));
        assert!(error("localhost").contains("https://localhost"));
        assert!(error("ftp://a").contains("ftp://") && error("wss://a").contains("https://"));
        assert!(error("http://a/?x=1").contains("'?'"));
        for text in ["http://", "http://a:port", "http://a b", "http://a:", "http:///x"] {
            assert!(error(text).contains("127.0.0.1:8000"), "{text}");
        }
        assert!(!error("http://user:secret@a b").contains("secret"));
    }
}
