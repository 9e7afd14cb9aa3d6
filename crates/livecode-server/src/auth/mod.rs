//! The one place that decides who is asking, and who may do what.
//!
//! Before there are users there is one, the *local user*: whoever sits at this machine and asks on loopback. A page that
//! a browser has loaded from elsewhere also asks from this machine, but is never the local user: it is a *guest*, who may
//! create sessions, use those it knows the id of if a guest made them, and list those made with its token. So is everybody
//! who asks from another machine or through a proxy.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Whose a session is, as written in its record.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    /// The local user.
    Local,
    /// A guest: the SHA-256 of its token, in hexadecimal.
    Guest(String),
}

/// Who is asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// The local user.
    Local,
    /// Anybody else, with its token if it sent one.
    Guest(Option<String>),
}

/// What a request says about where it comes from.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestFacts<'r> {
    /// The other end of the connection.
    pub peer: Option<SocketAddr>,
    /// The `Host` header.
    pub host: Option<&'r str>,
    /// The `Origin` header; `Some("")` for one that is no text.
    pub origin: Option<&'r str>,
    /// The `Sec-Fetch-Site` header, which pages cannot forge.
    pub fetch_site: Option<&'r str>,
    /// Whether any forwarding header is there: a proxy spoke.
    pub is_forwarded: bool,
    /// The bearer token.
    pub token: Option<&'r str>,
}

/// Whom the server listens to.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Whether the server listens on loopback alone.
    pub is_loopback: bool,
    /// Host names besides loopback's.
    pub hosts: Vec<String>,
}

/// The `Host` header names none of this server's names.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this server does not answer for the host {0:?}; if it should, start it with --host {0:?} (see --help), otherwise ask \
     for 127.0.0.1 or localhost"
)]
pub struct WrongHost(pub String);

impl Policy {
    /// Says who is asking.
    ///
    /// # Errors
    /// Where the request is for another host: a page that had its own name point to this machine (DNS rebinding) sends its
    /// own name.
    pub fn caller(&self, facts: &RequestFacts<'_>) -> Result<Caller, WrongHost> {
        let host = facts.host.unwrap_or_default();
        let name = host_name(host);
        let is_local_name = is_loopback_name(name);
        let is_configured = self.hosts.iter().any(|own| own.eq_ignore_ascii_case(name));
        // Who listens beyond loopback is reached by addresses that nobody listed; a name must be listed.
        let is_address = !self.is_loopback && name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        if !is_local_name && !is_configured && !is_address {
            return Err(WrongHost(host.to_owned()));
        }
        let same_origin = facts.origin.is_none_or(|origin| is_same_origin(origin, host));
        let same_site = facts.fetch_site.is_none_or(|site| site == "same-origin" || site == "none");
        let from_here = facts.peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback());
        let is_local =
            self.is_loopback && is_local_name && from_here && same_origin && same_site && !facts.is_forwarded;
        Ok(if is_local { Caller::Local } else { Caller::Guest(facts.token.map(str::to_owned)) })
    }
}

/// A host without its port.
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

fn is_same_origin(origin: &str, host: &str) -> bool {
    let own = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    own.is_some_and(|own| own.eq_ignore_ascii_case(host))
}

impl Owner {
    /// The owner that a token stands for.
    pub fn of_token(token: &str) -> Self {
        Self::Guest(Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl Caller {
    /// Whether a session of this owner is in the caller's list. The local user's has everybody's.
    pub fn lists(&self, owner: &Owner) -> bool {
        *self == Self::Local || self.owner().as_ref() == Some(owner)
    }

    /// Whose this caller's sessions are; `None` for a guest without a token, who has none yet.
    pub fn owner(&self) -> Option<Owner> {
        match self {
            Self::Local => Some(Owner::Local),
            Self::Guest(token) => token.as_deref().map(Owner::of_token),
        }
    }

    /// Whether this caller, who knows its id, may use a session. The local user may use any; a guest any that a guest made,
    /// since only who made it, or was told by them, knows the id.
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
    fn who_is_local() {
        let guest = Caller::Guest(None);
        let far = "10.0.0.1:9".parse().ok();
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
            ("another machine", RequestFacts { peer: far, ..LOCAL }, guest.clone()),
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
        assert_eq!(policy(false).caller(&LOCAL), Ok(guest), "a server for everybody has no local user");
    }

    #[test]
    fn other_hosts_are_not_answered_for() {
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
    fn who_may_use_what() {
        let guest = Owner::of_token("t");
        assert!(Caller::Local.may_use(&Owner::Local) && Caller::Local.may_use(&guest));
        assert!(Caller::Guest(None).may_use(&guest));
        assert!(!Caller::Guest(Some("t".into())).may_use(&Owner::Local));
        assert_eq!(Caller::Guest(Some("t".into())).owner().as_ref(), Some(&guest));
        assert_eq!(Caller::Guest(None).owner(), None);
        assert!(Caller::Local.lists(&guest) && Caller::Guest(Some("t".into())).lists(&guest));
        assert!(!Caller::Guest(None).lists(&guest) && !Caller::Guest(Some("u".into())).lists(&guest));
    }
}
