//! Where the keys of JWTs are.

use std::{
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

/// Where the keys of an issuer (JWKS) are. In settings it is a path or an `https:` URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum JwksSource {
    /// A file.
    File(PathBuf),
    /// An `https:` URL, or an `http:` URL of this machine.
    Url(String),
}

/// The text does not say where keys are.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadJwksSource {
    /// The URL does not protect the keys.
    #[error("{0:?} would let others replace the keys on their way: it must begin with https://")]
    Insecure(String),
    /// There is no text.
    #[error("it must be the path of a file or an https: URL")]
    Empty,
}

impl FromStr for JwksSource {
    type Err = BadJwksSource;

    fn from_str(text: &str) -> Result<Self, BadJwksSource> {
        if text.is_empty() {
            return Err(BadJwksSource::Empty);
        }
        if text.starts_with("https://") {
            return Ok(Self::Url(text.to_owned()));
        }
        match text.strip_prefix("http://") {
            Some(rest) if is_loopback(rest) => Ok(Self::Url(text.to_owned())),
            None if !text.contains("://") => Ok(Self::File(Path::new(text).to_owned())),
            _ => Err(BadJwksSource::Insecure(text.to_owned())),
        }
    }
}

/// Whether the host at the start of `rest`, which is a URL without its scheme, is an address of this
/// machine. A name could be resolved to another.
fn is_loopback(rest: &str) -> bool {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(address) => address.split(']').next(),
        None => authority.split(':').next(),
    };
    host.and_then(|host| host.parse::<IpAddr>().ok()).is_some_and(|address| address.is_loopback())
}

impl TryFrom<String> for JwksSource {
    type Error = BadJwksSource;

    fn try_from(text: String) -> Result<Self, BadJwksSource> {
        text.parse()
    }
}

impl From<JwksSource> for String {
    fn from(source: JwksSource) -> Self {
        source.to_string()
    }
}

impl fmt::Display for JwksSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Url(url) => f.write_str(url),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_from_files_and_by_safe_urls() {
        let urls =
            ["https://learn.example/jwks.json", "http://127.0.0.1:8080/jwks.json", "http://[::1]/jwks.json"];
        for text in urls {
            assert_eq!(text.parse(), Ok(JwksSource::Url(text.into())));
        }
        assert_eq!("/etc/jwks.json".parse(), Ok(JwksSource::File("/etc/jwks.json".into())));
        assert_eq!("".parse::<JwksSource>(), Err(BadJwksSource::Empty));
        let unsafe_urls = [
            "http://learn.example/jwks.json",
            "http://127.0.0.1.learn.example/jwks.json",
            "http://127.0.0.1@learn.example/jwks.json",
            "http://localhost/jwks.json",
            "ftp://learn.example/jwks.json",
        ];
        for text in unsafe_urls {
            assert_eq!(text.parse::<JwksSource>(), Err(BadJwksSource::Insecure(text.into())));
        }
    }
}
