//! The origins whose pages may use the server (CORS).

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The text that stands for all origins.
const ANY: &str = "*";

/// The origins, besides the server's own, whose pages may use the server. In settings it is `"*"` or
/// a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ListOrText", into = "ListOrText")]
pub enum CorsOrigins {
    /// All origins.
    Any,
    /// These alone, each as browsers send it in the header `Origin`.
    Listed(Vec<String>),
}

/// Why a text is not an origin.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadOrigin {
    /// It is the origin of every sandboxed frame and of every file.
    #[error("\"null\" is what pages without an origin of their own send, so it names nobody; leave it out")]
    Null,
    /// All origins beside others.
    #[error("\"*\" stands for all origins, so it stands alone")]
    AnyAmongOthers,
    /// A pattern.
    #[error("{0:?} has a \"*\", and there are no patterns; list each origin")]
    Pattern(String),
    /// The text names an origin, but browsers write it in another way.
    #[error("{0:?} is not written as browsers send it; write {1:?}")]
    OtherForm(String, String),
    /// The text names no origin.
    #[error("{0:?} is not an origin, such as https://learn.example or http://127.0.0.1:3000")]
    Malformed(String),
}

impl CorsOrigins {
    /// Whether pages of this origin may use the server.
    pub fn has(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(origins) => origins.iter().any(|listed| listed == origin),
        }
    }
}

/// An origin in the form in which browsers send it (RFC 6454, section 6.2).
fn origin(text: &str) -> Result<String, BadOrigin> {
    let malformed = || BadOrigin::Malformed(text.to_owned());
    if text == "null" {
        return Err(BadOrigin::Null);
    }
    if text.contains('*') {
        return Err(BadOrigin::Pattern(text.to_owned()));
    }
    let lower = text.to_ascii_lowercase();
    let (scheme, rest) = lower.split_once("://").ok_or_else(malformed)?;
    let default_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return Err(malformed()),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.strip_suffix(default_port).unwrap_or(authority);
    let (host, port) = match authority.rfind(':') {
        Some(colon) if !authority[colon..].contains(']') => {
            (&authority[..colon], Some(&authority[colon + 1..]))
        }
        _ => (authority, None),
    };
    let is_host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        }
    };
    if !is_host || port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return Err(malformed());
    }
    let right = format!("{scheme}://{authority}");
    if right == text { Ok(right) } else { Err(BadOrigin::OtherForm(text.to_owned(), right)) }
}

fn listed(texts: &[String]) -> Result<CorsOrigins, BadOrigin> {
    if texts.iter().any(|text| text == ANY) {
        return if texts.len() == 1 { Ok(CorsOrigins::Any) } else { Err(BadOrigin::AnyAmongOthers) };
    }
    Ok(CorsOrigins::Listed(texts.iter().map(|text| origin(text)).collect::<Result<_, _>>()?))
}

/// Reads a list with commas.
impl FromStr for CorsOrigins {
    type Err = BadOrigin;

    fn from_str(text: &str) -> Result<Self, BadOrigin> {
        let texts = text.split(',').map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        listed(&texts.collect::<Vec<_>>())
    }
}

/// The forms of the setting. An environment variable cannot hold a list.
#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum ListOrText {
    List(Vec<String>),
    Text(String),
}

impl TryFrom<ListOrText> for CorsOrigins {
    type Error = BadOrigin;

    fn try_from(value: ListOrText) -> Result<Self, BadOrigin> {
        match value {
            ListOrText::List(texts) => listed(&texts),
            ListOrText::Text(text) => text.parse(),
        }
    }
}

impl From<CorsOrigins> for ListOrText {
    fn from(origins: CorsOrigins) -> Self {
        match origins {
            CorsOrigins::Any => Self::Text(ANY.to_owned()),
            CorsOrigins::Listed(origins) => Self::List(origins),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_those_that_browsers_send() {
        let origins = ["https://learn.example".to_owned(), "http://127.0.0.1:3000".to_owned()];
        assert_eq!(origins.join(", ").parse(), Ok(CorsOrigins::Listed(origins.to_vec())));
        let allowed: CorsOrigins = "https://learn.example,http://[::1]:8080".parse().unwrap();
        assert!(allowed.has("https://learn.example") && allowed.has("http://[::1]:8080"));
        for other in
            ["http://learn.example", "https://learn.example:444", "https://learn.example.org", "null", ""]
        {
            assert!(!allowed.has(other), "{other}");
        }
        assert_eq!("*".parse(), Ok(CorsOrigins::Any));
        assert!(CorsOrigins::Any.has("null"));
        assert_eq!("".parse(), Ok(CorsOrigins::Listed(vec![])));
    }

    #[test]
    fn other_texts_are_refused_with_what_would_be_right() {
        let right = "https://learn.example";
        for text in
            ["https://learn.example/", "https://Learn.example", "https://learn.example:443/course?a#b"]
        {
            let error = text.parse::<CorsOrigins>().unwrap_err();
            assert_eq!(error, BadOrigin::OtherForm(text.into(), right.into()));
        }
        for text in [
            "learn.example",
            "ftp://learn.example",
            "https://",
            "https://a b",
            "https://user@a",
            "http://a:b",
            "https://ü.example",
        ] {
            assert_eq!(text.parse::<CorsOrigins>(), Err(BadOrigin::Malformed(text.into())));
        }
        assert_eq!("null".parse::<CorsOrigins>(), Err(BadOrigin::Null));
        assert_eq!(
            "https://*.example".parse::<CorsOrigins>(),
            Err(BadOrigin::Pattern("https://*.example".into()))
        );
        assert_eq!("*, https://a.example".parse::<CorsOrigins>(), Err(BadOrigin::AnyAmongOthers));
    }
}
