//! The documents about users that a server has for its admins.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The number of things of a user that were deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PurgeReport {
    /// Sessions.
    pub sessions: u64,
    /// Tokens, with those that were revoked.
    pub tokens: u64,
    /// Actions of the audit: those of the user, and those of others with its sessions and tokens.
    pub audit: u64,
    /// Days of usage.
    pub usage_days: u64,
    /// Whether the files of the control store may still have copies, because somebody was reading
    /// them; another purge removes them.
    #[serde(default)]
    #[schema(required)]
    pub has_copies: bool,
}
