//! Checks that the links of a session lead where the URL leads.

use livecode_protocol::session::SessionDocument;
use ureq::http::Uri;

use super::{outcome::Outcome, remedies};
use crate::client::ServerUrl;

/// The name of the finding.
const LINKS: &str = "links";

/// Compares the links of a session with the URL by which it was created.
pub fn check(url: &ServerUrl, session: &SessionDocument) -> Outcome {
    let path = format!("/sessions/{}", session.id);
    let pairs = [
        (&session.links.self_, url.http(&path)),
        (&session.links.stream, url.websocket(&format!("{path}/stream"))),
    ];
    for (link, expected) in pairs {
        let (found, wanted) = (Parts::of(link), Parts::of(&expected));
        if found == wanted {
            continue;
        }
        let text = format!("{link} should be {expected}");
        let remedies = match (found, wanted) {
            (Some(found), Some(wanted)) if found.scheme != wanted.scheme => remedies::forwarded_scheme(),
            (Some(found), Some(wanted)) if found.path != wanted.path => remedies::own_host(),
            _ => remedies::forwarded_host(),
        };
        return Outcome::missing(LINKS, text, remedies);
    }
    Outcome::ok(LINKS, format!("links begin with {}", url.http("")))
}

/// The parts of a URL that are compared, in one form of all that mean the same.
#[derive(PartialEq, Eq)]
struct Parts {
    scheme: String,
    host: String,
    port: Option<u16>,
    path: String,
}

impl Parts {
    fn of(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let scheme = uri.scheme_str()?.to_ascii_lowercase();
        let default_port = match &*scheme {
            "http" | "ws" => Some(80),
            "https" | "wss" => Some(443),
            _ => None,
        };
        let port = uri.port_u16().or(default_port);
        Some(Self { scheme, host: uri.host()?.to_ascii_lowercase(), port, path: uri.path().to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_port_may_be_named_or_not() {
        assert!(Parts::of("https://Live.example/x") == Parts::of("https://live.example:443/x"));
        assert!(Parts::of("wss://a:8443/x") != Parts::of("wss://a/x"));
        assert!(Parts::of("wss://a/x") != Parts::of("ws://a:443/x"));
        assert!(Parts::of("a/x").is_none());
    }
}
