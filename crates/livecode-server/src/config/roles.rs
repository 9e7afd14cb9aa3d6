//! The settings of roles that the configuration names.

use std::collections::BTreeMap;

use livecode_protocol::token::RoleName;
use serde::{Deserialize, Serialize};

/// How many roles the configuration may name.
const ROLES_MAX: usize = 100;

/// The limits and rights of one role. A limit that is left out is that of users (`user_…`); with 0
/// there is none, or, for running and waiting sessions, that of an address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RoleSettings {
    /// Sessions that run at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions_running_max: Option<u64>,
    /// Sessions that wait in the queue to run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions_queued_max: Option<u64>,
    /// Sessions created in a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creations_per_min: Option<u64>,
    /// CPU time in a day, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_ms_per_day: Option<u64>,
    /// Output in a day, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_bytes_per_day: Option<u64>,
    /// Disk space for ended sessions, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_bytes_max: Option<u64>,
    /// Whether users with this role may keep exercises on the server.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub write_exercises: bool,
}

/// Checks the names of roles. An error says what is wrong with them.
pub(super) fn check_roles(roles: &BTreeMap<String, RoleSettings>) -> Result<(), String> {
    if roles.len() > ROLES_MAX {
        return Err(format!("there are {} of them, and there may be {ROLES_MAX}", roles.len()));
    }
    for name in roles.keys() {
        if ["user", "admin", "guest", "local"].contains(&name.as_str()) {
            return Err(format!(
                "every server has the role {name:?}; choose another name, or set user_… or guest_… for it"
            ));
        }
        name.parse::<RoleName>().map_err(|error| error.to_string())?;
    }
    Ok(())
}
