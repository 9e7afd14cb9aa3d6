//! Decides who makes a request ([`Policy`], [`Credentials`]), and what this caller may do with which
//! session ([`Verb`]). Only the token of `/metrics` and the exemption of the local user from rate
//! limits are decided elsewhere.
//!
//! With the setting `auth = "open"` there is one *local user*: the caller whose process belongs to
//! the server's user or to root, and connects over loopback to a server that neither other machines
//! nor proxies use. A web page from elsewhere, loaded by a browser on this machine, also connects
//! over loopback, but is never the local user. It is a *guest*, and so is every caller from another
//! machine, of another user or through a proxy.
//!
//! With `auth = "tokens"` or `"jwt"` every caller is a *user* with a token or a JWT, or nobody. The
//! local user is then whoever may use the admin socket in the data directory.

mod access;
mod bucket;
mod credentials;
mod guesses;
mod guests;
mod payer;
mod peer;
mod portions;
mod request;
mod revocations;
mod roles;
mod shares;
mod sock_diag;
mod tickets;
mod users;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub use access::{Target, Verb};
pub use credentials::Credentials;
pub use guesses::Guesses;
pub use guests::{FramePasses, Guest, GuestCookies, guest_token};
pub use livecode_protocol::token::Role;
pub use livecode_store::UserName;
pub use payer::{Payer, UserKey};
pub use peer::{Peer, PeerAddress, PeerUsers, is_own_unix_peer, try_peer_users};
pub use portions::{Portion, PortionLimits, PortionPool, Portions};
pub(crate) use request::bearer_token;
pub use request::{RequestFacts, RequestingPage};
use request::{host_name, is_loopback_name};
pub use roles::{Account, Allowance, Roles, role_of_payer};
pub use shares::{ShareError, ShareHolder};
#[cfg(test)]
pub use users::JwtCredential;
#[cfg(any(test, fuzzing))]
pub use users::fuzz;
pub use users::{Credential, KeySourceError, Refusal, Subject, TokenUsers, User, UserId, Users, UsersError};

use crate::config::{AuthMode, Config, ListenAddress, LocalUser};

/// How many digits of a token's digest a log has.
const OWNER_DIGITS: usize = 12;

/// The owner of a session, as written in the session's record.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    /// The local user.
    Local,
    /// A guest, named by the digest of its token or cookie in hexadecimal.
    Guest(String),
    /// A user.
    User(UserId),
}

/// The caller that makes a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// The local user.
    Local,
    /// Any other caller of a server that takes guests, with what names it if it sent that.
    Guest(Option<Guest>),
    /// A user, known by a token or a JWT.
    User(User),
    /// A caller that has the link by which a session is shared, on the stream of this session.
    Share(ShareHolder),
    /// A caller without a valid token, where the server asks for one.
    Nobody,
}

/// The part of the server's configuration that decides who a caller is.
#[derive(Clone, Debug)]
pub struct Policy {
    auth: AuthMode,
    local_user: LocalUser,
    /// Whether the server listens on loopback alone.
    is_loopback: bool,
    /// Whether the server listens on a unix socket.
    has_unix_socket: bool,
    /// Host names of the server, besides those of loopback.
    hosts: Vec<String>,
    /// Whether others than the users of this machine may reach the server by its settings.
    is_public: bool,
}

/// The `Host` header is not one of this server's names.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this server does not answer for the host {0:?}; if it should, start it with --host {0:?} \
     (see --help), otherwise use 127.0.0.1 or localhost"
)]
pub struct WrongHost(pub String);

impl Policy {
    /// The policy of a server with these settings.
    pub fn new(config: &Config) -> Self {
        Self {
            auth: config.auth,
            local_user: config.local_user,
            is_loopback: config.listen.iter().all(ListenAddress::is_local),
            has_unix_socket: config.listen.iter().any(|address| matches!(address, ListenAddress::Unix(_))),
            hosts: config.hosts.clone(),
            is_public: config.is_public_by().is_some(),
        }
    }

    /// Whether any caller can be the local user.
    pub fn has_local_user(&self) -> bool {
        match self.local_user {
            _ if self.auth.knows_users() => true,
            LocalUser::Auto => self.has_unix_socket || self.has_local_user_over_tcp(),
            LocalUser::All => true,
            LocalUser::None => false,
        }
    }

    fn has_local_user_over_tcp(&self) -> bool {
        self.is_loopback && !self.is_public
    }

    /// Logs what an operator should know about the local user.
    pub fn log(&self) {
        match self.local_user {
            LocalUser::All => tracing::warn!(
                "STRANGERS ARE LOCAL: local_user is \"all\", so everybody who reaches this server may use, end and \
                 delete all sessions, and has no limits of guests"
            ),
            LocalUser::Auto if self.is_loopback && self.is_public => tracing::info!(
                "nobody is the local user over TCP: hosts or trusted_proxies are set, so a proxy may pass strangers on"
            ),
            LocalUser::Auto | LocalUser::None => {}
        }
    }

    /// Whether it matters which user has the other end of a TCP connection of this machine.
    pub fn asks_for_users(&self) -> bool {
        self.auth == AuthMode::Open && self.local_user == LocalUser::Auto && self.has_local_user_over_tcp()
    }

    /// Decides who makes a request, except which user: that shows the token.
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
        if self.auth.knows_users() {
            let is_admin = |peer: Peer| peer.address == PeerAddress::AdminSocket && peer.is_own_user;
            return Ok(if facts.peer.is_some_and(is_admin) { Caller::Local } else { Caller::Nobody });
        }
        // A page of another origin is never the local user, not even where all callers are.
        let is_local_user = facts.page() != RequestingPage::Foreign && self.is_at_local_user(facts);
        Ok(if is_local_user { Caller::Local } else { Caller::Guest(facts.token.map(Guest::of_token)) })
    }

    /// Whether the request comes from a process of the local user. If that is a browser, the page
    /// that makes the request may be anybody's.
    pub fn is_at_local_user(&self, facts: &RequestFacts<'_>) -> bool {
        if self.auth.knows_users() {
            return false;
        }
        match self.local_user {
            LocalUser::Auto => {
                let may_be_local = |peer: Peer| match peer.address {
                    PeerAddress::Tcp(address) => self.has_local_user_over_tcp() && is_loopback(address.ip()),
                    PeerAddress::UnixSocket | PeerAddress::AdminSocket => true,
                };
                is_loopback_name(host_name(facts.host.unwrap_or_default()))
                    && !facts.is_forwarded
                    && facts.peer.is_some_and(|peer| peer.is_own_user && may_be_local(peer))
            }
            LocalUser::All => true,
            LocalUser::None => false,
        }
    }
}

/// Whether a connection from `address` comes from this machine.
pub fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// The owner as logs name it: `local`, `guest:` and the first digits of the token's digest, or
/// `user:` and the user.
impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Local => f.write_str("local"),
            Self::User(id) => write!(f, "user:{id}"),
            Self::Guest(digest) => write!(f, "guest:{}", digest.get(..OWNER_DIGITS).unwrap_or(digest)),
        }
    }
}

impl Owner {
    /// The owner as the audit of the control store names it.
    pub fn audit_name(&self) -> String {
        // Serialising plain data cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Caller {
    /// The owner of the sessions that this caller creates; `None` for a guest that nothing names,
    /// which owns no session yet, for the holder of a share, and for nobody.
    pub fn owner(&self) -> Option<Owner> {
        match self {
            Self::Local => Some(Owner::Local),
            Self::Guest(guest) => guest.as_ref().map(Guest::owner),
            Self::User(user) => Some(Owner::User(user.id.clone())),
            Self::Share(_) | Self::Nobody => None,
        }
    }

    /// The caller in the audit of the control store: the text of its owner as in a session's
    /// record, by which a user's actions are found. The holder of a share owns nothing.
    pub fn audit_name(&self) -> String {
        match self {
            Self::Share(holder) => format!("share:{}", holder.share),
            _ => self.owner().map(|owner| owner.audit_name()).unwrap_or_default(),
        }
    }

    /// The credential by which the caller is known, as far as the audit has it: the id of a token,
    /// or the fingerprint of the key of a JWT.
    pub fn audit_credential(&self) -> Option<String> {
        match self {
            Self::User(user) => Some(user.credential.name().to_owned()),
            Self::Share(holder) => Some(holder.share.clone()),
            Self::Local | Self::Guest(_) | Self::Nobody => None,
        }
    }

    /// The caller as logs name it; `None` for a guest that nothing names, and for nobody.
    pub fn log_name(&self) -> Option<String> {
        match self {
            Self::Share(holder) => Some(format!("share:{}", holder.share)),
            _ => self.owner().map(|owner| owner.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    use crate::config::TrustedProxy;

    const LOCAL: RequestFacts<'_> = RequestFacts {
        peer: Some(peer([127, 0, 0, 1], true)),
        host: Some("127.0.0.1:8000"),
        origin: None,
        fetch_site: None,
        is_of_script: false,
        is_secure: false,
        is_forwarded: false,
        token: None,
    };

    const fn peer(address: [u8; 4], is_own_user: bool) -> Peer {
        let [a, b, c, d] = address;
        let address = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(a, b, c, d)), 5);
        Peer { address: PeerAddress::Tcp(address), is_own_user }
    }

    fn policy(change: impl FnOnce(&mut Config)) -> Policy {
        let mut config = Config::default();
        change(&mut config);
        Policy::new(&config)
    }

    fn beyond_loopback(config: &mut Config) {
        config.listen = vec![ListenAddress::Tcp(SocketAddr::from(([0, 0, 0, 0], 8000)))];
    }

    fn with_host(config: &mut Config) {
        config.hosts = vec!["live.example".into()];
    }

    #[test]
    fn only_loopback_callers_are_the_local_user() {
        let guest = Caller::Guest(None);
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
            (
                "another machine",
                RequestFacts { peer: Some(peer([10, 0, 0, 1], true)), ..LOCAL },
                guest.clone(),
            ),
            (
                "another user",
                RequestFacts { peer: Some(peer([127, 0, 0, 1], false)), ..LOCAL },
                guest.clone(),
            ),
            ("unknown peer", RequestFacts { peer: None, ..LOCAL }, guest.clone()),
            ("through a proxy", RequestFacts { is_forwarded: true, ..LOCAL }, guest.clone()),
            (
                "with a token",
                RequestFacts { token: Some("t"), is_forwarded: true, ..LOCAL },
                Caller::Guest(Some(Guest::of_token("t"))),
            ),
        ];
        for (name, facts, expected) in cases {
            assert_eq!(policy(|_| ()).caller(&facts), Ok(expected), "{name}");
        }
    }

    #[test]
    fn settings_decide_whether_there_is_a_local_user() {
        let guest = Caller::Guest(None);
        let with_proxy = |config: &mut Config| config.trusted_proxies = vec![TrustedProxy::UnixSocket];
        let settings: [(fn(&mut Config), _); 3] =
            [(beyond_loopback, "beyond loopback"), (with_host, "a host"), (with_proxy, "a proxy")];
        for (change, name) in settings {
            let policy = policy(change);
            assert_eq!(policy.caller(&LOCAL), Ok(guest.clone()), "{name}");
            assert!(!policy.has_local_user() && !policy.asks_for_users());
        }
        let stranger = RequestFacts { peer: Some(peer([10, 0, 0, 1], false)), is_forwarded: true, ..LOCAL };
        let page = RequestFacts { origin: Some("https://elsewhere.example"), ..LOCAL };
        let of_all = policy(|config| {
            beyond_loopback(config);
            with_host(config);
            config.local_user = LocalUser::All;
        });
        assert_eq!(of_all.caller(&stranger), Ok(Caller::Local));
        assert_eq!(
            of_all.caller(&RequestFacts { host: Some("live.example"), ..stranger }),
            Ok(Caller::Local)
        );
        assert_eq!(of_all.caller(&page), Ok(guest.clone()));
        assert!(of_all.caller(&RequestFacts { host: Some("attacker.example"), ..LOCAL }).is_err());
        let of_none = policy(|config| config.local_user = LocalUser::None);
        assert_eq!(of_none.caller(&LOCAL), Ok(guest));
    }

    #[test]
    fn a_unix_socket_has_a_local_user_behind_any_proxy() {
        let of_socket = policy(|config| {
            with_host(config);
            config.listen = vec!["unix:/run/livecode.sock".parse().unwrap(), "0.0.0.0:80".parse().unwrap()];
            config.trusted_proxies = vec![TrustedProxy::UnixSocket];
        });
        let own = RequestFacts {
            peer: Some(Peer { address: PeerAddress::UnixSocket, is_own_user: true }),
            ..LOCAL
        };
        let other = RequestFacts {
            peer: Some(Peer { address: PeerAddress::UnixSocket, is_own_user: false }),
            ..LOCAL
        };
        let guest = Caller::Guest(None);
        assert!(of_socket.has_local_user() && !of_socket.asks_for_users());
        assert_eq!(of_socket.caller(&own), Ok(Caller::Local));
        assert_eq!(of_socket.caller(&other), Ok(guest.clone()));
        assert_eq!(of_socket.caller(&RequestFacts { is_forwarded: true, ..own }), Ok(guest.clone()));
        assert_eq!(of_socket.caller(&RequestFacts { host: Some("live.example"), ..own }), Ok(guest.clone()));
        assert_eq!(of_socket.caller(&LOCAL), Ok(guest), "by TCP");
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
            assert!(policy(|_| ()).caller(&RequestFacts { host, ..LOCAL }).is_err(), "{host:?}");
        }
        let by_address = RequestFacts { host: Some("10.0.0.1:8000"), ..LOCAL };
        assert!(policy(beyond_loopback).caller(&by_address).is_ok());
        let by_name = RequestFacts { host: Some("Live.example:80"), ..LOCAL };
        assert_eq!(policy(with_host).caller(&by_name), Ok(Caller::Guest(None)));
    }

    #[test]
    fn where_tokens_are_asked_for_only_the_admin_socket_is_local() {
        for auth in [AuthMode::Tokens, AuthMode::Jwt] {
            only_the_admin_socket_is_local(&policy(|config| config.auth = auth));
        }
    }

    fn only_the_admin_socket_is_local(of_tokens: &Policy) {
        assert!(of_tokens.has_local_user() && !of_tokens.asks_for_users());
        assert_eq!(of_tokens.caller(&LOCAL), Ok(Caller::Nobody), "root over loopback");
        let by_socket =
            |address, is_own_user| RequestFacts { peer: Some(Peer { address, is_own_user }), ..LOCAL };
        let caller = |address, is_own_user| of_tokens.caller(&by_socket(address, is_own_user)).unwrap();
        assert_eq!(caller(PeerAddress::UnixSocket, true), Caller::Nobody);
        assert_eq!(caller(PeerAddress::AdminSocket, true), Caller::Local);
        assert_eq!(caller(PeerAddress::AdminSocket, false), Caller::Nobody);
        let attacker = RequestFacts { host: Some("attacker.example"), ..LOCAL };
        assert!(of_tokens.caller(&attacker).is_err());
    }

    #[test]
    fn a_guest_owns_what_was_made_with_its_token() {
        let guest = Guest::of_token("t");
        assert_eq!(Caller::Guest(Some(guest.clone())).owner(), Some(guest.owner()));
        assert_eq!(Caller::Guest(None).owner(), None);
    }
}
