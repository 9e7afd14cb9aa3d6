//! Tokens by which a server knows its users, as `/tokens` shows them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{json::object_or_default, quota::OwnLimits};

/// The longest name of a role, in bytes.
const ROLE_NAME_BYTES_MAX: usize = 32;

/// The rights of a user, and the limits that hold for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Role {
    /// The user may create sessions, and use them.
    #[default]
    User,
    /// The user may besides watch and end the sessions of all users, and make and revoke tokens. It
    /// has no quotas.
    Admin,
    /// The user has the rights of [`Self::User`], within limits that the server's configuration
    /// has for this name.
    Named(RoleName),
}

/// The name of a role in the server's configuration: 1 to 32 lower-case letters, digits, `_` and
/// `-`, and none of the roles that every server has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleName(String);

/// The text cannot name a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MalformedRole(String);

/// The body of a request for a new token.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// Name of the user to whom the token will belong: 1 to 64 letters, digits, and the signs
    /// `. _ - @`.
    #[schema(example = "ada", pattern = "^[A-Za-z0-9._@-]{1,64}$")]
    pub user: String,
    /// The role that the token will give: `user`, `admin`, or one that the server's configuration
    /// names.
    #[serde(default)]
    #[schema(value_type = String, pattern = "^[a-z0-9_-]{1,32}$", default = "user")]
    pub role: Role,
    /// Limits of the token, which lower those of the role.
    #[serde(default, skip_serializing_if = "OwnLimits::is_empty", deserialize_with = "object_or_default")]
    pub limits: OwnLimits,
    /// Seconds after which the token expires; without it the token does not expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 3_153_600_000i64)]
    pub expires_in_s: Option<u64>,
}

/// The body of a request to replace a token.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateToken {
    /// Seconds after which the new token expires. Without it, it expires when the old one would; if
    /// that has expired, it is valid for as long as the old one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 3_153_600_000i64)]
    pub expires_in_s: Option<u64>,
}

/// The document that describes a token.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TokenDocument {
    /// Names the token; it is no secret.
    #[schema(example = "5f0c61c1a3d9")]
    pub id: String,
    /// Name of the user to whom the token belongs.
    pub user: String,
    /// The role that the token gives.
    #[schema(value_type = String, example = "user")]
    pub role: Role,
    /// Limits of the token, which lower those of the role; absent if there are none.
    #[serde(default, skip_serializing_if = "OwnLimits::is_empty")]
    #[schema(nullable = false)]
    pub limits: OwnLimits,
    /// When the token was made (RFC 3339).
    pub created: String,
    /// When the token expires (RFC 3339); `null` if it does not.
    pub expires: Option<String>,
    /// Whether the token has expired.
    #[serde(default)]
    #[schema(required)]
    pub expired: bool,
    /// The token itself, in the answer that makes it and never again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// The document with a ticket that opens `/livecode`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TicketDocument {
    /// The ticket, for the query of the URL: `/livecode?ticket=…`.
    pub ticket: String,
    /// When the ticket expires (RFC 3339).
    pub expires: String,
}

impl Role {
    /// The role's name.
    pub fn as_str(&self) -> &str {
        match self {
            Self::User => "user",
            Self::Admin => "admin",
            Self::Named(RoleName(name)) => name,
        }
    }
}

impl FromStr for Role {
    type Err = MalformedRole;

    fn from_str(text: &str) -> Result<Self, MalformedRole> {
        match text {
            "user" => Ok(Self::User),
            "admin" => Ok(Self::Admin),
            name => name.parse().map(Self::Named),
        }
    }
}

impl FromStr for RoleName {
    type Err = MalformedRole;

    fn from_str(text: &str) -> Result<Self, MalformedRole> {
        let is_allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
        let is_name = (1..=ROLE_NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_allowed);
        if is_name && !["user", "admin", "guest", "local"].contains(&text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(MalformedRole(text.to_owned()))
        }
    }
}

impl RoleName {
    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Role {
    type Error = MalformedRole;

    fn try_from(text: String) -> Result<Self, MalformedRole> {
        text.parse()
    }
}

impl From<Role> for String {
    fn from(role: Role) -> Self {
        role.as_str().to_owned()
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for MalformedRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} cannot name a role: a name has 1 to {ROLE_NAME_BYTES_MAX} lower-case letters, \
             digits, and the signs _ - and is neither guest nor local",
            self.0
        )
    }
}

impl std::error::Error for MalformedRole {}
