//! The findings of a runtime's check: whether its hello ran here, and what its toolchain says of
//! itself.

use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckResult {
    /// The state of the toolchain that was checked (`spec::toolchain`).
    pub fingerprint: String,
    /// When the check ended, in microseconds since the epoch.
    pub checked_us: u64,
    /// How long the hello took from the request to its end, in milliseconds.
    pub duration_ms: u64,
    /// Why the hello has failed; `None` if it ran.
    pub failure: Option<String>,
    /// The version, as the toolchain says it; `None` if the runtime has no command for it.
    pub version: Option<String>,
    /// Names of the packages that programs can import; `None` if the runtime has no command that
    /// lists them.
    pub packages: Option<Vec<String>>,
}

/// The result of a check, as `GET /runtimes` tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CheckInfo {
    /// Whether the hello ran.
    pub passed: bool,
    /// How long the hello took from the request to its end, in milliseconds.
    pub duration_ms: u64,
    /// Time at which the check ended: UTC, RFC 3339.
    #[schema(format = DateTime, example = "2026-03-01T10:20:30.000Z")]
    pub checked: String,
    /// Why the hello has failed. Only the local user and admins are told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub failure: Option<String>,
}

/// The result of the last check of a runtime, which changes while the catalogue stays.
#[derive(Debug, Default)]
pub struct LastCheck(RwLock<Option<Arc<CheckResult>>>);

impl LastCheck {
    /// The result; `None` if the runtime was not checked since its toolchain has changed.
    pub fn result(&self) -> Option<Arc<CheckResult>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the result.
    pub fn set(&self, result: Option<Arc<CheckResult>>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = result;
    }
}
