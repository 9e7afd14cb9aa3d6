//! Decides who makes a request, and which sessions this caller may see, use and delete. Only the
//! token of `/metrics` and the exemption of the local user from rate limits are decided elsewhere.
//!
//! There are no user accounts yet, but one *local user*: the caller who connects over loopback to
//! a server that listens on loopback alone. A web page from elsewhere, loaded by a browser on this
//! machine, also connects over loopback, but is never the local user. It is a *guest*, and so is
//! every caller from another machine or through a proxy. A guest may create sessions, use a
//! session of any guest if it knows the id, and list the sessions that were made with its token.

mod bearer;
mod payer;
mod shares;

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

pub(crate) use bearer::bearer_token;
pub use payer::Payer;
pub use shares::{Share, ShareLimits, SharePool, Shares};

use crate::hex::sha256_hex;

/// The owner of a session, as written in the session's record.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    /// The local user.
    Local,
    /// A guest, named by the SHA-256 of its token in hexadecimal.
    Guest(String),
}

/// The caller that makes a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// The local user.
    Local,
    /// Any other caller, with its token if it sent one.
    Guest(Option<String>),
}

/// The facts about a request from which the caller is derived.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestFacts<'r> {
    /// The address of the other end of the connection.
    pub peer: Option<SocketAddr>,
    /// The `Host` header.
    pub host: Option<&'r str>,
    /// The `Origin` header; `Some("")` if its value is not text.
    pub origin: Option<&'r str>,
    /// The `Sec-Fetch-Site` header, which a page cannot set itself.
    pub fetch_site: Option<&'r str>,
    /// Whether the request has any header that a proxy adds when it forwards a request.
    pub is_forwarded: bool,
    /// The bearer token.
    pub token: Option<&'r str>,
}

/// The part of the server's configuration that decides who a caller is.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Whether the server listens on loopback alone.
    pub is_loopback: bool,
    /// Host names of the server, besides those of loopback.
    pub hosts: Vec<String>,
}

/// The `Host` header is not one of this server's names.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this server does not answer for the host {0:?}; if it should, start it with --host {0:?} \
     (see --help), otherwise use 127.0.0.1 or localhost"
)]
pub struct WrongHost(pub String);

impl Policy {
    /// Decides who makes a request.
    ///
    /// # Errors
    /// The request is for another host. A page whose own host name was made to resolve to this
    /// machine (DNS rebinding) sends its own name, and is refused here.
    pub fn caller(&self, facts: &RequestFacts<'_>) -> Result<Caller, WrongHost> {
        let host = facts.host.unwrap_or_default();
        let name = host_name(host);
        let is_local_name = is_loopback_name(name);
        let is_configured = self.hosts.iter().any(|own| own.eq_ignore_ascii_case(name));
        // A server that listens beyond loopback can be reached by addresses that are not
        // configured. An address is safe, because only a name can be made to resolve to this
        // machine.
        let is_address = !self.is_loopback && name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        if !is_local_name && !is_configured && !is_address {
            return Err(WrongHost(host.to_owned()));
        }
        let is_same_origin = facts.origin.is_none_or(|origin| origin_matches(origin, host));
        let is_same_site = facts.fetch_site.is_none_or(|site| site == "same-origin" || site == "none");
        let is_from_loopback = facts.peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback());
        let is_local_user = self.is_loopback
            && is_local_name
            && is_from_loopback
            && is_same_origin
            && is_same_site
            && !facts.is_forwarded;
        Ok(if is_local_user { Caller::Local } else { Caller::Guest(facts.token.map(str::to_owned)) })
    }
}

/// Removes the port from the value of a `Host` header.
fn host_name(host: &str) -> &str {
    match host.rfind(':') {
        Some(colon) if !host[colon..].contains(']') => &host[..colon],
        _ => host,
    }
}

fn is_loopback_name(name: &str) -> bool {
    let name = name.trim_matches(['[', ']']);
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether an `Origin` header names `host`, by either scheme.
fn origin_matches(origin: &str, host: &str) -> bool {
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
}

impl Owner {
    /// The guest that a token identifies.
    pub fn of_token(token: &str) -> Self {
        Self::Guest(sha256_hex(token))
    }
}

impl Caller {
    /// The owner of the sessions that this caller creates; `None` for a guest without a token,
    /// which owns no session yet.
    pub fn owner(&self) -> Option<Owner> {
        match self {
            Self::Local => Some(Owner::Local),
            Self::Guest(token) => token.as_deref().map(Owner::of_token),
        }
    }

    /// Whether this caller may use a session of `owner` whose id it knows. The local user may use
    /// every session. A guest may use the sessions of all guests: ids are random, so a guest knows
    /// an id only if it created the session or was given the id by its creator.
    pub fn may_use(&self, owner: &Owner) -> bool {
        match self {
            Self::Local => true,
            Self::Guest(_) => matches!(owner, Owner::Guest(_)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: RequestFacts<'_> = RequestFacts {
        peer: Some(SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5)),
        host: Some("127.0.0.1:8000"),
        origin: None,
        fetch_site: None,
        is_forwarded: false,
        token: None,
    };

    fn policy(is_loopback: bool) -> Policy {
        Policy { is_loopback, hosts: vec!["live.example".into()] }
    }

    #[test]
    fn only_loopback_callers_are_the_local_user() {
        let guest = Caller::Guest(None);
        let remote = "10.0.0.1:9".parse().ok();
        let cases = [
            ("curl", LOCAL, Caller::Local),
            ("another loopback name", RequestFacts { host: Some("LocalHost:8000"), ..LOCAL }, Caller::Local),
            ("IPv6", RequestFacts { host: Some("[::1]:8000"), ..LOCAL }, Caller::Local),
            ("own page", RequestFacts { origin: Some("http://127.0.0.1:8000"), ..LOCAL }, Caller::Local),
            (
                "foreign page",
                RequestFacts { origin: Some("https://elsewhere.example"), ..LOCAL },
                guest.clone(),
            ),
            (
                "another port's page",
                RequestFacts { origin: Some("http://127.0.0.1:9000"), ..LOCAL },
                guest.clone(),
            ),
            ("sandboxed frame", RequestFacts { origin: Some("null"), ..LOCAL }, guest.clone()),
            (
                "foreign page, no origin",
                RequestFacts { fetch_site: Some("cross-site"), ..LOCAL },
                guest.clone(),
            ),
            ("another machine", RequestFacts { peer: remote, ..LOCAL }, guest.clone()),
            ("through a proxy", RequestFacts { is_forwarded: true, ..LOCAL }, guest.clone()),
            ("configured host", RequestFacts { host: Some("live.example"), ..LOCAL }, guest.clone()),
            (
                "with a token",
                RequestFacts { token: Some("t"), is_forwarded: true, ..LOCAL },
                Caller::Guest(Some("t".into())),
            ),
        ];
        for (name, facts, expected) in cases {
            assert_eq!(policy(true).caller(&facts), Ok(expected), "{name}");
        }
        assert_eq!(policy(false).caller(&LOCAL), Ok(guest), "a server beyond loopback has no local user");
    }

    #[test]
    fn requests_for_other_hosts_are_refused() {
        for host in [
            Some("attacker.example"),
            Some("127.0.0.1.attacker.example:8000"),
            Some(""),
            None,
            Some("10.0.0.1"),
        ] {
            assert!(policy(true).caller(&RequestFacts { host, ..LOCAL }).is_err(), "{host:?}");
        }
        let by_address = RequestFacts { host: Some("10.0.0.1:8000"), ..LOCAL };
        assert!(policy(false).caller(&by_address).is_ok());
    }

    #[test]
    fn guests_use_the_sessions_of_guests() {
        let guest = Owner::of_token("t");
        assert!(Caller::Local.may_use(&Owner::Local) && Caller::Local.may_use(&guest));
        assert!(Caller::Guest(None).may_use(&guest));
        assert!(!Caller::Guest(Some("t".into())).may_use(&Owner::Local));
        assert_eq!(Caller::Guest(Some("t".into())).owner().as_ref(), Some(&guest));
        assert_eq!(Caller::Guest(None).owner(), None);
    }
}
