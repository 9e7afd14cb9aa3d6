//! What the server stores of a session in the session's folder, as `session.json`.

use std::net::IpAddr;

use livecode_protocol::{SessionId, exercise::ExerciseVersion};
use serde::{Deserialize, Serialize};

use crate::auth::{Account, Owner, Payer, role_of_payer};

/// The content of `session.json`. It is written when the session is created and never changes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SessionRecord {
    pub id: SessionId,
    pub owner: Owner,
    /// Whether a guest's session is for this guest alone. Records of servers that did not write it
    /// are for all guests who know the session's id.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_private: bool,
    /// The payer that is charged for the session; `None` in records of servers that did not know
    /// payers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer: Option<Payer>,
    /// The counts besides its payer's to which the session adds; `None` in records of servers that
    /// did not know them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charge: Option<Charge>,
    /// The address of the client that created the session; `None` if it is not known, and in
    /// records of servers that did not write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<IpAddr>,
    /// The name of the session's runtime.
    pub runtime: String,
    /// When the session was created, in microseconds since the epoch.
    pub created_us: u64,
    /// Whether the session was created by a v0.1 endpoint for a single response.
    #[serde(rename = "ephemeral")]
    pub is_ephemeral: bool,
    /// A number unique among living sessions.
    pub slot: u32,
    /// Whether input that clients send is kept in the journal. Absent in records of servers that
    /// did not know it.
    #[serde(default, rename = "echo", skip_serializing_if = "std::ops::Not::not")]
    pub has_echo: bool,
    /// The exercise that the session's program is for, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exercise: Option<ExerciseVersion>,
    /// Whether some of its cases are hidden.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_hidden_cases: bool,
    /// Whether files of the session are to be kept. Absent in records of servers that did not
    /// write it.
    #[serde(default, rename = "collect", skip_serializing_if = "Option::is_none")]
    pub is_collecting: Option<bool>,
    /// The key under which the session was created, if the client sent one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency: Option<IdempotencyKey>,
}

/// The counts besides its payer's to which a session adds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    /// The name of the role in which it was created.
    pub role: String,
    /// The id of the token by which it was created, if that limits usage by the day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Whether the JWT by which it was created limits the usage of its user by the day.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_limited_by_jwt: bool,
    /// How many sessions its user may run at once, if its credential has lowered that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions_running_max: Option<u64>,
}

impl Charge {
    /// The counts to which a session of this account adds.
    pub fn new(account: &Account) -> Self {
        Self {
            role: account.role.clone(),
            token: account.token.clone().filter(|_| account.own_limits.has_day()),
            is_limited_by_jwt: account.token.is_none() && account.own_limits.has_day(),
            sessions_running_max: account.own_limits.sessions_running_max,
        }
    }

    /// Whether it says nothing that the payer does not say.
    pub fn follows_from(&self, payer: &Payer) -> bool {
        *self == Self { role: role_of_payer(payer).to_owned(), ..Self::default() }
    }
}

/// A client's `Idempotency-Key`, with a digest of the request that it was sent with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IdempotencyKey {
    /// The key, chosen by the client.
    pub key: String,
    /// SHA-256 of the request's body, in hexadecimal.
    pub body_sha256: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Caller, Credential, Role, Roles, User, UserId};
    use livecode_protocol::quota::OwnLimits;

    #[test]
    fn only_what_the_payer_does_not_say_is_kept_in_memory() {
        let charge = |role, limits: OwnLimits, credential| {
            let id = UserId::Name("ada".parse().unwrap());
            let limits = (!limits.is_empty()).then(|| Box::new(limits));
            let caller = Caller::User(User { id, role, limits, expires_us: None, credential });
            let payer = Payer::of(&caller, None);
            let charge = Charge::new(&Roles::default().account(&caller, payer));
            let written = serde_json::to_value(&charge).unwrap();
            assert_eq!(serde_json::from_value::<Charge>(written.clone()).unwrap(), charge);
            (charge.follows_from(&payer), written)
        };
        let token = || Credential::Token("5f".into());
        let user = charge(Role::User, OwnLimits::default(), token());
        assert_eq!(user, (true, serde_json::json!({"role": "user"})));
        assert!(!charge(Role::Admin, OwnLimits::default(), token()).0);
        let by_minute = OwnLimits { creations_per_min: Some(5), ..OwnLimits::default() };
        assert!(charge(Role::User, by_minute, token()).0, "nothing of it is counted at the end");
        let by_day = OwnLimits { cpu_ms_per_day: Some(5), ..OwnLimits::default() };
        let expected = serde_json::json!({"role": "user", "token": "5f"});
        assert_eq!(charge(Role::User, by_day, token()), (false, expected));
    }
}
