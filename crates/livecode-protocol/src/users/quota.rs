//! Quotas: what a caller may hold, ask for and keep, and how much of it is left.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Names a quota. The numbers are in the unit that the name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum QuotaName {
    /// Sessions that run at once. Further ones wait in the queue.
    SessionsRunningMax,
    /// Sessions that wait in the queue to run.
    SessionsQueuedMax,
    /// Sessions created in a minute.
    CreationsPerMin,
    /// CPU time of the programs in a day (UTC), in milliseconds.
    CpuMsPerDay,
    /// Output of the programs in a day (UTC), in bytes.
    OutputBytesPerDay,
    /// Disk space of the ended sessions, in bytes. Beyond it the oldest of them are forgotten.
    KeptBytesMax,
}

/// For whom a quota counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum QuotaScope {
    /// For the user, over all tokens.
    User,
    /// For all guests of the caller's network address together.
    Address,
    /// For the token by which the caller is known.
    Token,
}

/// Limits of a token or a JWT, which lower those of its user's role. What is left out is as the
/// role has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OwnLimits {
    /// A session waits to run while its user runs so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1)]
    pub sessions_running_max: Option<u64>,
    /// Sessions that may be created in a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1)]
    pub creations_per_min: Option<u64>,
    /// CPU time that programs may use in a day (UTC), in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1)]
    pub cpu_ms_per_day: Option<u64>,
    /// Output that programs may write in a day (UTC), in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1)]
    pub output_bytes_per_day: Option<u64>,
}

impl OwnLimits {
    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether something is limited that is counted by the day.
    pub fn has_day(&self) -> bool {
        self.cpu_ms_per_day.is_some() || self.output_bytes_per_day.is_some()
    }

    /// The name and the number of each limit that is there.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let Self { sessions_running_max, creations_per_min, cpu_ms_per_day, output_bytes_per_day } = *self;
        [
            ("sessions_running_max", sessions_running_max),
            ("creations_per_min", creations_per_min),
            ("cpu_ms_per_day", cpu_ms_per_day),
            ("output_bytes_per_day", output_bytes_per_day),
        ]
        .into_iter()
        .filter_map(|(name, limit)| Some((name, limit?)))
    }

    /// The first limit that is 0.
    pub fn zero(&self) -> Option<&'static str> {
        self.iter().find(|(_, limit)| *limit == 0).map(|(name, _)| name)
    }
}

/// The quotas of a caller, and how much of each is left: the answer to `GET /quota`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct QuotaDocument {
    /// The caller's role: `local`, `guest`, `user`, `admin`, or one that the server's configuration
    /// names.
    #[schema(example = "user")]
    pub role: String,
    /// The caller's quotas. One that is not there does not exist.
    pub quotas: Vec<QuotaStatus>,
}

/// One quota of a caller.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct QuotaStatus {
    /// The quota.
    pub quota: QuotaName,
    /// For whom it counts.
    pub scope: QuotaScope,
    /// How much there is.
    pub limit: u64,
    /// How much of it is used. Sessions use CPU time and output when they end, so this may be more
    /// than `limit`.
    pub used: u64,
    /// How much is left; 0 if it is used up.
    pub left: u64,
    /// When all of it is left again (RFC 3339), if nothing is used until then. Absent if time does
    /// not decide, but the end of sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    pub refilled: Option<String>,
}
