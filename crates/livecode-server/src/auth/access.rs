//! Decides whether a caller may do something with a session.

use livecode_protocol::token::Role;

use super::{Caller, Owner};

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
}

impl Caller {
    /// Whether this caller may do something with a session of `owner` whose id it knows.
    ///
    /// The local user may do everything. A guest may use the sessions of all guests: ids are
    /// random, so a guest knows an id only if it created the session or was given the id by its
    /// creator. A user may use its own sessions. An admin may besides watch and end all sessions,
    /// but not speak in the place of their owners.
    pub fn may(&self, verb: Verb, owner: &Owner) -> bool {
        match self {
            Self::Local => true,
            Self::Guest(_) => matches!(owner, Owner::Guest(_)),
            Self::User(user) => {
                let is_own = matches!(owner, Owner::User(id) if *id == user.id);
                let is_for_admins = matches!(verb, Verb::Watch | Verb::End);
                is_own || (user.role == Role::Admin && is_for_admins)
            }
            Self::Nobody => false,
        }
    }

    /// Whether this caller may make, list and revoke tokens.
    pub fn may_administer(&self) -> bool {
        match self {
            Self::Local => true,
            Self::User(user) => user.role == Role::Admin,
            Self::Guest(_) | Self::Nobody => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Credential, User, UserId};

    const VERBS: [Verb; 5] = [Verb::Watch, Verb::Input, Verb::Event, Verb::Signal, Verb::End];

    fn named(name: &str) -> UserId {
        UserId::Name(name.parse().unwrap())
    }

    fn user(name: &str, role: Role) -> Caller {
        let (id, credential) = (named(name), Credential::Token("1".into()));
        let limits = Default::default();
        Caller::User(User { id, role, limits, expires_us: None, credential })
    }

    /// The actions that the caller may take on a session of `owner`.
    fn verbs(caller: &Caller, owner: &Owner) -> Vec<Verb> {
        VERBS.into_iter().filter(|verb| caller.may(*verb, owner)).collect()
    }

    #[test]
    fn each_caller_may_do_its_part() {
        let (local, guest, ada) = (Owner::Local, Owner::of_token("t"), Owner::User(named("ada")));
        let owners = [&local, &guest, &ada];
        let all = &VERBS[..];
        let admin = &[Verb::Watch, Verb::End][..];
        let cases = [
            (Caller::Local, [all, all, all], true),
            (Caller::Guest(None), [&[], all, &[]], false),
            (Caller::Guest(Some("other".into())), [&[], all, &[]], false),
            (user("ada", Role::User), [&[], &[], all], false),
            (user("bob", Role::User), [&[], &[], &[]], false),
            (user("ada", Role::Admin), [admin, admin, all], true),
            (user("root", Role::Admin), [admin, admin, admin], true),
            (Caller::Nobody, [&[], &[], &[]], false),
        ];
        for (caller, expected, may_administer) in cases {
            assert_eq!(owners.map(|owner| verbs(&caller, owner)), expected, "{caller:?}");
            assert_eq!(caller.may_administer(), may_administer, "{caller:?}");
        }
    }
}
