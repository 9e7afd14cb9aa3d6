//! The allowance of each role: how much it may hold, ask for and keep. Quotas, the run queue and
//! retention ask here.
//!
//! The numbers come from the configuration: `guest_…` and `user_…` for the roles that every server
//! has, and a table for each further one. Admins and the local user have no quotas.

use std::collections::BTreeMap;

use livecode_protocol::{quota::OwnLimits, token::Role};

use super::{Caller, Credential, Payer, User};
use crate::config::{Config, RoleSettings};

/// How much a payer may hold, ask for and keep. `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    /// Sessions that run at once. Further ones wait.
    pub sessions_running_max: Option<u64>,
    /// Sessions that wait to run.
    pub sessions_queued_max: Option<u64>,
    /// Sessions created in a minute.
    pub creations_per_min: Option<u64>,
    /// CPU time of programs in a day, in milliseconds.
    pub cpu_ms_per_day: Option<u64>,
    /// Output of programs in a day, in bytes.
    pub output_bytes_per_day: Option<u64>,
    /// Disk space of ended sessions, in bytes.
    pub kept_bytes_max: Option<u64>,
    /// Whether a user may keep exercises on the server.
    pub may_write_exercises: bool,
}

/// The roles of a server, each with its allowance.
#[derive(Clone, Debug, Default)]
pub struct Roles {
    local: Allowance,
    guest: Allowance,
    user: Allowance,
    admin: Allowance,
    named: BTreeMap<String, Allowance>,
}

/// The names of the roles that every server has.
mod name {
    pub const LOCAL: &str = "local";
    pub const GUEST: &str = "guest";
    pub const USER: &str = "user";
    pub const ADMIN: &str = "admin";
}

/// For what a new session counts, and within which limits.
#[derive(Clone, Debug)]
pub struct Account {
    /// The payer.
    pub payer: Payer,
    /// The name of the caller's role.
    pub role: String,
    /// The allowance of the payer as this caller.
    pub allowance: Allowance,
    /// The limits of the caller's credential, which lower it.
    pub own_limits: OwnLimits,
    /// The id of the caller's token, if that has limits by itself.
    pub token: Option<String>,
}

impl Allowance {
    /// Whether something is limited that is counted by the day.
    pub fn has_day(&self) -> bool {
        self.cpu_ms_per_day.is_some() || self.output_bytes_per_day.is_some()
    }

    /// The lower one of each of these limits and of others.
    fn lowered_by(self, limits: &OwnLimits) -> Self {
        let lower = |own: Option<u64>, other: Option<u64>| match (own, other) {
            (Some(own), Some(other)) => Some(own.min(other)),
            (limit, None) | (None, limit) => limit,
        };
        Self {
            sessions_running_max: lower(self.sessions_running_max, limits.sessions_running_max),
            creations_per_min: lower(self.creations_per_min, limits.creations_per_min),
            cpu_ms_per_day: lower(self.cpu_ms_per_day, limits.cpu_ms_per_day),
            output_bytes_per_day: lower(self.output_bytes_per_day, limits.output_bytes_per_day),
            ..self
        }
    }
}

impl Roles {
    /// The roles of a server with these settings.
    pub fn new(config: &Config) -> Self {
        let of_address = Allowance {
            sessions_running_max: Some(config.sessions_running_per_address_max),
            sessions_queued_max: Some(config.sessions_queued_per_address_max),
            ..Allowance::default()
        };
        let guest = Allowance {
            creations_per_min: unless_0(config.guest_creations_per_min),
            cpu_ms_per_day: unless_0(config.guest_cpu_ms_per_day),
            output_bytes_per_day: unless_0(config.guest_output_bytes_per_day),
            kept_bytes_max: unless_0(config.guest_kept_bytes_max),
            ..of_address
        };
        let user = Allowance {
            sessions_running_max: unless_0(config.user_sessions_running_max)
                .or(of_address.sessions_running_max),
            sessions_queued_max: unless_0(config.user_sessions_queued_max).or(of_address.sessions_queued_max),
            creations_per_min: unless_0(config.user_creations_per_min),
            cpu_ms_per_day: unless_0(config.user_cpu_ms_per_day),
            output_bytes_per_day: unless_0(config.user_output_bytes_per_day),
            kept_bytes_max: unless_0(config.user_kept_bytes_max),
            may_write_exercises: false,
        };
        let named = |role: &RoleSettings| Allowance {
            sessions_running_max: match role.sessions_running_max {
                None => user.sessions_running_max,
                Some(limit) => unless_0(limit).or(of_address.sessions_running_max),
            },
            sessions_queued_max: match role.sessions_queued_max {
                None => user.sessions_queued_max,
                Some(limit) => unless_0(limit).or(of_address.sessions_queued_max),
            },
            creations_per_min: role.creations_per_min.map_or(user.creations_per_min, unless_0),
            cpu_ms_per_day: role.cpu_ms_per_day.map_or(user.cpu_ms_per_day, unless_0),
            output_bytes_per_day: role.output_bytes_per_day.map_or(user.output_bytes_per_day, unless_0),
            kept_bytes_max: role.kept_bytes_max.map_or(user.kept_bytes_max, unless_0),
            may_write_exercises: role.write_exercises,
        };
        Self {
            local: Allowance::default(),
            guest,
            user,
            admin: of_address,
            named: config.roles.iter().map(|(name, role)| (name.clone(), named(role))).collect(),
        }
    }

    /// Whether a token may be made with this role.
    pub fn has(&self, role: &Role) -> bool {
        match role {
            Role::User | Role::Admin => true,
            Role::Named(name) => self.named.contains_key(name.as_str()),
        }
    }

    /// The names of the roles that a token may have, for a message.
    pub fn names(&self) -> String {
        let named = self.named.keys().map(String::as_str);
        [name::USER, name::ADMIN].into_iter().chain(named).collect::<Vec<_>>().join(", ")
    }

    /// Whether some role has a quota that is counted by the day.
    pub fn have_day(&self) -> bool {
        [&self.guest, &self.user].into_iter().chain(self.named.values()).any(Allowance::has_day)
    }

    /// The allowance of a role. A role that the configuration does not name any more is that of
    /// users.
    pub fn allowance(&self, role: &str) -> &Allowance {
        match role {
            name::LOCAL => &self.local,
            name::GUEST => &self.guest,
            name::ADMIN => &self.admin,
            role => self.named.get(role).unwrap_or(&self.user),
        }
    }

    /// Whether a caller may keep exercises on the server. Whoever may administer the server may do
    /// so with the exercises of all, a user whose role says so with its own.
    pub fn may_write_exercises(&self, caller: &Caller) -> bool {
        let is_author = match caller {
            Caller::User(User { role, .. }) => {
                self.has(role) && self.allowance(role.as_str()).may_write_exercises
            }
            Caller::Local | Caller::Guest(_) | Caller::Share(_) | Caller::Nobody => false,
        };
        is_author || caller.may_administer()
    }

    /// For what a new session of this caller counts.
    pub fn account(&self, caller: &Caller, payer: Payer) -> Account {
        let role = match caller {
            Caller::User(User { role, .. }) if self.has(role) => role.as_str(),
            Caller::User(_) => name::USER,
            Caller::Local => name::LOCAL,
            Caller::Guest(_) | Caller::Share(_) | Caller::Nobody => name::GUEST,
        };
        let allowance = *self.allowance(role);
        let mut account = Account {
            payer,
            role: role.to_owned(),
            allowance,
            own_limits: OwnLimits::default(),
            token: None,
        };
        let Caller::User(User { limits: Some(limits), credential, .. }) = caller else { return account };
        account.own_limits = **limits;
        match credential {
            // Limits of a token are counted for the token, except the number that runs at once.
            Credential::Token(id) => {
                account.token = Some(id.clone());
                let sessions_running_max = limits.sessions_running_max;
                let of_user = OwnLimits { sessions_running_max, ..OwnLimits::default() };
                account.allowance = allowance.lowered_by(&of_user);
            }
            Credential::Jwt(_) => account.allowance = allowance.lowered_by(limits),
        }
        account
    }
}

/// The role of a payer of whom nothing else is known.
pub fn role_of_payer(payer: &Payer) -> &'static str {
    match payer {
        Payer::Local => name::LOCAL,
        Payer::Address(_) => name::GUEST,
        Payer::User(_) => name::USER,
    }
}

/// A setting of which 0 is none.
fn unless_0(limit: u64) -> Option<u64> {
    (limit > 0).then_some(limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{JwtCredential, Subject, UserId};

    fn roles() -> Roles {
        let pupil = RoleSettings {
            cpu_ms_per_day: Some(600),
            output_bytes_per_day: Some(0),
            sessions_running_max: Some(3),
            ..RoleSettings::default()
        };
        Roles::new(&Config {
            user_cpu_ms_per_day: 1_000,
            user_output_bytes_per_day: 2_000,
            user_creations_per_min: 30,
            sessions_running_per_address_max: 50,
            roles: [("pupil".to_owned(), pupil)].into(),
            ..Config::default()
        })
    }

    fn user(role: Role, limits: OwnLimits, credential: Credential) -> Caller {
        let id = UserId::Name("ada".parse().unwrap());
        let limits = (!limits.is_empty()).then(|| Box::new(limits));
        Caller::User(User { id, role, limits, expires_us: None, credential })
    }

    fn by_jwt() -> Credential {
        Credential::Jwt(JwtCredential {
            subject: Subject { issuer: "i".into(), sub: "s".into() },
            role: Role::User,
            limits: None,
            expires_us: 0,
            key: String::new(),
        })
    }

    fn account(caller: &Caller) -> Account {
        roles().account(caller, Payer::of(caller, None))
    }

    #[test]
    fn a_role_has_its_limits_and_else_those_of_users() {
        let token = || Credential::Token("5f".into());
        let pupil = account(&user("pupil".parse().unwrap(), OwnLimits::default(), token()));
        assert_eq!(pupil.role, "pupil");
        let expected = Allowance {
            sessions_running_max: Some(3),
            sessions_queued_max: Some(500),
            creations_per_min: Some(30),
            cpu_ms_per_day: Some(600),
            output_bytes_per_day: None,
            kept_bytes_max: None,
            may_write_exercises: false,
        };
        assert_eq!(pupil.allowance, expected);
        let gone = account(&user("teacher".parse().unwrap(), OwnLimits::default(), token()));
        assert_eq!((&*gone.role, gone.allowance.cpu_ms_per_day), ("user", Some(1_000)));
        let admin = account(&user(Role::Admin, OwnLimits::default(), token()));
        assert!(!admin.allowance.has_day() && admin.allowance.sessions_running_max == Some(50));
        assert_eq!(account(&Caller::Local).allowance, Allowance::default());
        assert_eq!(roles().names(), "user, admin, pupil");
    }

    #[test]
    fn what_a_credential_limits_is_never_more() {
        let limits = OwnLimits {
            sessions_running_max: Some(2),
            cpu_ms_per_day: Some(70),
            output_bytes_per_day: Some(9_000),
            ..OwnLimits::default()
        };
        let of_jwt = account(&user(Role::User, limits, by_jwt()));
        assert_eq!(of_jwt.allowance.cpu_ms_per_day, Some(70));
        assert_eq!(of_jwt.allowance.output_bytes_per_day, Some(2_000), "not raised");
        assert_eq!((of_jwt.allowance.sessions_running_max, of_jwt.token), (Some(2), None));
        let of_token = account(&user(Role::User, limits, Credential::Token("5f".into())));
        assert_eq!(of_token.allowance.cpu_ms_per_day, Some(1_000), "the token counts apart");
        assert_eq!((of_token.token.as_deref(), of_token.own_limits), (Some("5f"), limits));
        assert_eq!(of_token.allowance.sessions_running_max, Some(2));
    }
}
