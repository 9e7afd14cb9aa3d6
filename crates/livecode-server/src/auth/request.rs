//! The facts in a request about who makes it: a client with a token, or a page.

use std::net::IpAddr;

use axum::http::{HeaderMap, header};

use super::Peer;

/// The facts about a request from which the caller is derived.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestFacts<'r> {
    /// The other end of the connection.
    pub peer: Option<Peer>,
    /// The `Host` header.
    pub host: Option<&'r str>,
    /// The `Origin` header; `Some("")` if its value is not text.
    pub origin: Option<&'r str>,
    /// The `Sec-Fetch-Site` header, which a page cannot set itself.
    pub fetch_site: Option<&'r str>,
    /// Whether the header `X-Requested-With` is there, which only scripts can set.
    pub is_of_script: bool,
    /// Whether the client has reached the server by TLS, as a trusted proxy says.
    pub is_secure: bool,
    /// Whether the request bears a sign of a proxy, such as a header that proxies add.
    pub is_forwarded: bool,
    /// A guest's bearer token.
    pub token: Option<&'r str>,
}

/// The bearer token of a request (RFC 6750, section 2.1); `None` if there is no `Authorization`
/// header, or one of another scheme.
pub(crate) fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The page that makes a request, as far as its headers tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestingPage {
    /// The server's own page, or the user of a browser who has typed the address.
    Own,
    /// A page of another origin, or a sandboxed frame.
    Foreign,
    /// No header tells. The client is no browser, or the request is one that pages of all origins
    /// can make a browser send over plain HTTP: a GET without headers of a script.
    Unknown,
}

impl RequestFacts<'_> {
    /// The page that makes the request. A browser sends `Origin` with each request of another origin
    /// whose answer a page may read, with each one that is not a GET or HEAD, and to open a
    /// websocket. It sends `Sec-Fetch-Site` with all requests by TLS or to loopback. A page of another
    /// origin cannot add a header of its own without `Origin` (Fetch standard, CORS protocol).
    pub fn page(&self) -> RequestingPage {
        let is_own_site = self.fetch_site.map(|site| site == "same-origin" || site == "none");
        match (self.origin, is_own_site) {
            (_, Some(false)) => RequestingPage::Foreign,
            (Some(origin), _) if self.is_own_origin(origin) => RequestingPage::Own,
            (Some(_), _) => RequestingPage::Foreign,
            (None, Some(true)) => RequestingPage::Own,
            (None, None) if self.is_of_script => RequestingPage::Own,
            (None, None) => RequestingPage::Unknown,
        }
    }

    /// Whether `origin` is that of the request's host. A proxy may speak TLS without saying so; if
    /// it does, a page that was loaded without TLS is another origin.
    fn is_own_origin(&self, origin: &str) -> bool {
        let plain = origin.strip_prefix("http://").filter(|_| !self.is_secure);
        let authority = plain.or_else(|| origin.strip_prefix("https://"));
        authority.is_some_and(|authority| self.host.is_some_and(|host| authority.eq_ignore_ascii_case(host)))
    }
}

/// Removes the port from the value of a `Host` header.
pub(super) fn host_name(host: &str) -> &str {
    match host.rfind(':') {
        Some(colon) if !host[colon..].contains(']') => &host[..colon],
        _ => host,
    }
}

pub(super) fn is_loopback_name(name: &str) -> bool {
    let name = name.trim_matches(['[', ']']);
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_no_other_page_can_send_is_of_the_own_page() {
        use RequestingPage::{Foreign, Own, Unknown};
        let of = |host, origin, fetch_site, is_of_script, is_secure| {
            RequestFacts {
                host: Some(host),
                origin,
                fetch_site,
                is_of_script,
                is_secure,
                ..RequestFacts::default()
            }
            .page()
        };
        let plain =
            |origin, fetch_site, is_of_script| of("a.example", origin, fetch_site, is_of_script, false);
        let cases = [
            (plain(None, None, false), Unknown),
            (plain(None, None, true), Own),
            (plain(None, Some("same-origin"), false), Own),
            (plain(None, Some("none"), false), Own),
            (plain(None, Some("same-site"), true), Foreign),
            (plain(None, Some("cross-site"), true), Foreign),
            (plain(None, Some(""), true), Foreign),
            (plain(Some("http://a.example"), None, false), Own),
            (plain(Some("https://A.example"), Some("same-origin"), false), Own),
            (plain(Some("https://a.example"), Some("same-site"), false), Foreign),
            (plain(Some("https://a.example:8443"), None, true), Foreign),
            (plain(Some("https://b.example"), Some("same-origin"), true), Foreign),
            (plain(Some("https://a.example.b.example"), None, true), Foreign),
            (plain(Some("null"), None, true), Foreign),
            (plain(Some(""), None, true), Foreign),
            (of("a.example", Some("http://a.example"), None, true, true), Foreign),
            (of("a.example", Some("https://a.example"), None, true, true), Own),
            (of("a.example:8443", Some("https://a.example:8443"), None, false, true), Own),
        ];
        for (index, (found, expected)) in cases.into_iter().enumerate() {
            assert_eq!(found, expected, "case {index}");
        }
    }
}
