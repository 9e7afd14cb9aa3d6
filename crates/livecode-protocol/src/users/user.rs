//! What a server says about users to its admins.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What was deleted of a user.
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
}
