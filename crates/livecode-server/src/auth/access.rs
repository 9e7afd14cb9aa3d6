//! Decides whether a caller may do something with a session.

use livecode_protocol::{SessionId, share::ShareRights, token::Role};

use super::{Caller, Owner};

/// A session, as far as access to it depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Target<'s> {
    /// Its id.
    pub id: SessionId,
    /// The owner.
    pub owner: &'s Owner,
    /// Whether the session is for its owner alone if this is a guest.
    pub is_private: bool,
}

/// An action that a caller asks for on a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Read the session's document, and follow its stream.
    Watch,
    /// Send input to the program.
    Input,
    /// Send an event to the program.
    Event,
    /// Send a signal to the program.
    Signal,
    /// End and delete the session.
    End,
    /// Make, list and revoke links by which others watch or join the session.
    Share,
}

impl Caller {
    /// Whether this caller may do something with a session whose id it knows.
    ///
    /// The local user may do everything. A guest that is known by a token or a cookie has its
    /// sessions for itself. Guests that keep neither, such as a plain client of the protocol, use
    /// each other's sessions: ids are random, so a guest knows an id only if it created the session
    /// or was given the id by its creator. A guest may share its own. A user may use its own
    /// sessions. An admin may besides watch and end all sessions, but not speak in the place of
    /// their owners. The holder of a share may watch one session, and send input and events to it if
    /// the share says so.
    pub fn may(&self, verb: Verb, session: &Target<'_>) -> bool {
        match self {
            Self::Local => true,
            Self::Guest(guest) => {
                let is_own = guest.as_ref().is_some_and(|guest| guest.owner() == *session.owner);
                let is_for_all = matches!(session.owner, Owner::Guest(_)) && !session.is_private;
                is_own || (is_for_all && verb != Verb::Share)
            }
            Self::User(user) => {
                let is_own = matches!(session.owner, Owner::User(id) if *id == user.id);
                let is_for_admins = matches!(verb, Verb::Watch | Verb::End);
                is_own || (user.role == Role::Admin && is_for_admins)
            }
            Self::Share(holder) => {
                let may = match verb {
                    Verb::Watch => true,
                    Verb::Input | Verb::Event => holder.rights == ShareRights::Join,
                    Verb::Signal | Verb::End | Verb::Share => false,
                };
                may && holder.session == session.id
            }
            Self::Nobody => false,
        }
    }

    /// Whether this caller may make, list and revoke tokens.
    pub fn may_administer(&self) -> bool {
        match self {
            Self::Local => true,
            Self::User(user) => user.role == Role::Admin,
            Self::Guest(_) | Self::Share(_) | Self::Nobody => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Credential, Guest, ShareHolder, User, UserId};

    const VERBS: [Verb; 6] = [Verb::Watch, Verb::Input, Verb::Event, Verb::Signal, Verb::End, Verb::Share];

    fn named(name: &str) -> UserId {
        UserId::Name(name.parse().unwrap())
    }

    fn user(name: &str, role: Role) -> Caller {
        let (id, credential) = (named(name), Credential::Token("1".into()));
        let limits = Default::default();
        Caller::User(User { id, role, limits, expires_us: None, credential })
    }

    fn session(number: u8) -> SessionId {
        SessionId::from_random([number; 16])
    }

    /// The actions that the caller may take on session 1 of `owner`.
    fn verbs(caller: &Caller, (owner, is_private): (&Owner, bool)) -> Vec<Verb> {
        let target = Target { id: session(1), owner, is_private };
        VERBS.into_iter().filter(|verb| caller.may(*verb, &target)).collect()
    }

    #[test]
    fn each_caller_may_do_its_part() {
        let guest_of = |token| Caller::Guest(Some(Guest::of_token(token)));
        let (local, guest) = (Owner::Local, Guest::of_token("t").owner());
        let ada = Owner::User(named("ada"));
        // The last two are a guest's: one for whoever knows its id, and one for the guest alone.
        let sessions = [(&local, true), (&ada, true), (&guest, false), (&guest, true)];
        let all = &VERBS[..];
        let unshared = &VERBS[..5];
        let admin = &[Verb::Watch, Verb::End][..];
        let cases = [
            (Caller::Local, [all, all, all, all], true),
            (Caller::Guest(None), [&[], &[], unshared, &[]], false),
            (guest_of("other"), [&[], &[], unshared, &[]], false),
            (guest_of("t"), [&[], &[], all, all], false),
            (user("ada", Role::User), [&[], all, &[], &[]], false),
            (user("bob", Role::User), [&[], &[], &[], &[]], false),
            (user("ada", Role::Admin), [admin, all, admin, admin], true),
            (user("root", Role::Admin), [admin, admin, admin, admin], true),
            (Caller::Nobody, [&[], &[], &[], &[]], false),
        ];
        for (caller, expected, may_administer) in cases {
            assert_eq!(sessions.map(|session| verbs(&caller, session)), expected, "{caller:?}");
            assert_eq!(caller.may_administer(), may_administer, "{caller:?}");
        }
    }

    #[test]
    fn the_holder_of_a_share_may_use_one_session_as_the_share_says() {
        let holder = |rights, number| {
            Caller::Share(ShareHolder {
                share: "1".into(),
                session: session(number),
                rights,
                expires_us: u64::MAX,
            })
        };
        let join = &[Verb::Watch, Verb::Input, Verb::Event][..];
        for owner in [Owner::Local, Guest::of_token("t").owner(), Owner::User(named("ada"))] {
            assert_eq!(verbs(&holder(ShareRights::Watch, 1), (&owner, true)), [Verb::Watch]);
            assert_eq!(verbs(&holder(ShareRights::Join, 1), (&owner, true)), join);
            assert_eq!(verbs(&holder(ShareRights::Join, 2), (&owner, true)), []);
            assert!(!holder(ShareRights::Join, 1).may_administer());
        }
    }
}
