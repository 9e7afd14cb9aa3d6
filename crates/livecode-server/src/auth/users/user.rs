//! A user, and what shows who it is.

use std::fmt;

use livecode_protocol::{quota::OwnLimits, token::Role};
use livecode_store::UserName;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A user that makes a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The identity of the user.
    pub id: UserId,
    /// The rights that the credential gives.
    pub role: Role,
    /// The limits that the credential has of its own, if it has some.
    pub limits: Option<Box<OwnLimits>>,
    /// When the credential expires, in microseconds since the epoch; `None` if it does not.
    pub expires_us: Option<u64>,
    /// The credential by which the user is known.
    pub credential: Credential,
}

/// Names a user. In a session's record a name is a text, and a subject is an object, so that
/// neither is ever taken for the other, whatever way the server knows its users later.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum UserId {
    /// A user of tokens.
    Name(UserName),
    /// A user of JWTs.
    Subject(Subject),
}

/// A user as a JWT names it: `sub` alone is unique only among the users of one issuer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Subject {
    /// The issuer.
    pub issuer: String,
    /// The user's identifier there, of any characters.
    pub sub: String,
}

/// By what a user is known, in a form that a ticket can have: it shows nothing that could be used
/// in place of a token or a JWT.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Credential {
    /// The token with this id.
    Token(String),
    /// A JWT.
    Jwt(JwtCredential),
}

/// The facts about a user that a verified JWT states.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JwtCredential {
    /// The user.
    pub subject: Subject,
    /// The rights that its claims give.
    pub role: Role,
    /// The limits that its claims have, if they have some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Box<OwnLimits>>,
    /// When it expires, in microseconds since the epoch, the leeway included.
    pub expires_us: u64,
    /// The fingerprint of the key that has signed it.
    pub key: String,
}

impl Credential {
    /// The name of the credential, without anything that could be used in its place: the id of a
    /// token, or the fingerprint of the key that has signed a JWT.
    pub fn name(&self) -> &str {
        match self {
            Self::Token(id) => id,
            Self::Jwt(jwt) => &jwt.key,
        }
    }
}

impl UserId {
    /// The first 64 bits of a digest. No two kinds of users have the same by intent: a name has no
    /// byte 0, and the bytes that are hashed for a subject begin with one.
    pub fn digest(&self) -> u64 {
        let digest = match self {
            Self::Name(name) => Sha256::digest(name.as_str()),
            Self::Subject(Subject { issuer, sub }) => {
                let length = (issuer.len() as u64).to_be_bytes();
                Sha256::new()
                    .chain_update([0])
                    .chain_update(length)
                    .chain_update(issuer)
                    .chain_update(sub)
                    .finalize()
            }
        };
        digest.iter().take(8).fold(0, |key, byte| key << 8 | u64::from(*byte))
    }
}

/// The user as logs name it: a name, or `"sub"@issuer` in which `sub` has quotes and no character
/// that controls a terminal. A name has no quotes.
impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Subject(Subject { issuer, sub }) => write!(f, "{sub:?}@{}", issuer.escape_debug()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(issuer: &str, sub: &str) -> UserId {
        UserId::Subject(Subject { issuer: issuer.into(), sub: sub.into() })
    }

    #[test]
    fn no_subject_is_taken_for_a_name_or_another_subject() {
        let name = UserId::Name("ada".parse().unwrap());
        let ids = [
            name.clone(),
            subject("https://a.example", "ada"),
            subject("https://b.example", "ada"),
            subject("https://a.exampl", "eada"),
            subject("", "ada"),
            subject("ada", ""),
            subject("https://a.example", "{\"user\":\"ada\"}\n\u{202e}\0"),
        ];
        for (index, id) in ids.iter().enumerate() {
            let json = serde_json::to_string(id).unwrap();
            assert_eq!(&serde_json::from_str::<UserId>(&json).unwrap(), id, "{json}");
            assert!(!id.to_string().contains(|char: char| char.is_control() || char == '\u{202e}'), "{id}");
            for other in &ids[..index] {
                assert_ne!(id.digest(), other.digest(), "{id} {other}");
                assert_ne!(id.to_string(), other.to_string());
            }
        }
        assert_eq!(serde_json::to_string(&name).unwrap(), r#""ada""#);
        assert_eq!(ids[1].to_string(), r#""ada"@https://a.example"#);
    }
}
