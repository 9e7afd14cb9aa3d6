//! Tokens by which a server knows its users, as `/tokens` shows them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The rights of a user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The user may create sessions, and use them.
    #[default]
    User,
    /// The user may besides watch and end the sessions of all users, and make and revoke tokens.
    Admin,
}

/// The body of a request for a new token.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// Name of the user to whom the token will belong: 1 to 64 letters, digits, and the signs
    /// `. _ - @`.
    #[schema(example = "ada", pattern = "^[A-Za-z0-9._@-]{1,64}$")]
    pub user: String,
    /// The rights that the token will give.
    #[serde(default)]
    pub role: Role,
    /// Seconds after which the token expires; without it the token does not expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 3_153_600_000i64)]
    pub expires_in_s: Option<u64>,
}

/// The body of a request to replace a token.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateToken {
    /// Seconds after which the new token expires; without it, it expires when the old one would.
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
    /// The rights that the token gives.
    pub role: Role,
    /// When the token was made (RFC 3339).
    pub created: String,
    /// When the token expires (RFC 3339); `null` if it does not.
    pub expires: Option<String>,
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
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Admin => "admin",
        }
    }
}
