//! The limits that a request may ask for.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Limits that a request may ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RequestedLimits {
    /// CPU time of the program, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 10)]
    pub cpu_ms: Option<u64>,
    /// Share of the machine's processors, in thousandths of one processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 10)]
    pub cpu_millicores: Option<u64>,
    /// Memory, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 2097152)]
    pub memory_bytes: Option<u64>,
    /// Number of processes and threads that exist at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub processes: Option<u64>,
    /// Output that is kept, in bytes. A program that writes more is killed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 32)]
    pub output_bytes: Option<u64>,
    /// Size of the working directory, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 16384)]
    pub disk_bytes: Option<u64>,
}
