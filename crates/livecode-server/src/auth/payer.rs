//! The payer: the party that is charged for what a request makes the server hold and do.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::{Caller, Owner, UserId};

/// The party to which the server charges memory, places in queues, slots and disk space.
///
/// A guest chooses its own token, so the address of a guest is charged and not its token. The
/// tokens behind one address share what that address may have: a whole school may have one
/// address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Payer {
    /// The local user.
    Local,
    /// The guests of one network address, as [`Payer::of`] shortens it.
    Address(IpAddr),
    /// A user.
    User(UserKey),
}

/// A user as payers name it, in a few bytes: the first 64 bits of a digest of its identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UserKey(u64);

impl Payer {
    /// The payer of a caller that uses the server from `client`, which is `None` if the address is
    /// unknown.
    ///
    /// An IPv6 address is shortened to its first 64 bits, because one host commonly has all
    /// addresses of such a network (RFC 4291, section 2.5.1). An IPv4 address inside an IPv6
    /// address is taken out of it.
    pub fn of(caller: &Caller, client: Option<IpAddr>) -> Self {
        match caller {
            Caller::Local => Self::Local,
            Caller::Guest(_) | Caller::Share(_) | Caller::Nobody => {
                client.map_or(Self::unknown(), Self::of_address)
            }
            Caller::User(user) => Self::of_user(&user.id),
        }
    }

    /// The payer of a session whose record was written before sessions had a payer.
    pub(crate) fn of_old_record(owner: &Owner) -> Self {
        match owner {
            Owner::Local => Self::Local,
            Owner::Guest(_) => Self::unknown(),
            Owner::User(id) => Self::of_user(id),
        }
    }

    /// The payer that a user is.
    pub fn of_user(id: &UserId) -> Self {
        Self::User(UserKey(id.digest()))
    }

    fn of_address(address: IpAddr) -> Self {
        Self::Address(Self::network_of(address))
    }

    /// The address, or of IPv6 the network (/64) that one client usually has for itself.
    pub fn network_of(address: IpAddr) -> IpAddr {
        match address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        }
    }

    /// The payer of all guests whose address is not known.
    fn unknown() -> Self {
        Self::Address(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Credential, Role, User};

    #[test]
    fn guests_of_one_network_have_one_payer() {
        let guest = |address: &str| Payer::of(&Caller::Guest(None), address.parse().ok());
        assert_eq!(guest("192.0.2.1"), guest("::ffff:192.0.2.1"));
        assert_ne!(guest("192.0.2.1"), guest("192.0.2.2"));
        assert_eq!(guest("2001:db8:1:2::1"), guest("2001:db8:1:2:ffff::9"));
        assert_ne!(guest("2001:db8:1:2::1"), guest("2001:db8:1:3::1"));
        assert_eq!(Payer::of(&Caller::Local, "192.0.2.1".parse().ok()), Payer::Local);
    }

    #[test]
    fn a_user_pays_alone_from_everywhere() {
        let user = |name: &str, address: &str| {
            let user = User {
                id: UserId::Name(name.parse().unwrap()),
                role: Role::User,
                limits: Default::default(),
                expires_us: None,
                credential: Credential::Token(String::new()),
            };
            Payer::of(&Caller::User(user), address.parse().ok())
        };
        assert_eq!(user("ada", "192.0.2.1"), user("ada", "192.0.2.2"));
        assert_ne!(user("ada", "192.0.2.1"), user("bob", "192.0.2.1"));
    }
}
