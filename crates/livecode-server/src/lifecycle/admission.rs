//! Whether new sessions are taken now, and what stands or may soon stand against them.

use std::sync::atomic::Ordering;

use serde::Serialize;
use utoipa::ToSchema;

use crate::lifecycle::{disk_limits::RESERVE_FACTOR, registry::Registry};

/// The queue counts as long from this part of its places on: a half.
const LONG_QUEUE_DIVISOR: u64 = 2;

/// The stable name of a reason in the health of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum HealthCode {
    /// New sessions are refused: the server is stopping, or drains.
    ServerStopping,
    /// New sessions are refused: the disk of the sessions has less than `disk_min_free_bytes`
    /// left, or cannot be examined.
    DiskFull,
    /// New sessions are refused: too many wait to run.
    RunQueueFull,
    /// New sessions are refused: there are as many sessions as there may be, and none has ended.
    ServerFull,
    /// New sessions are refused: this machine can run none of the runtimes.
    NoRuntime,
    /// The output of sessions is limited, and sessions may soon be refused: the disk has less than
    /// four times `disk_min_free_bytes` left.
    DiskLow,
    /// Sessions wait long: more than half of the places in the queue are taken.
    RunQueueLong,
    /// This machine cannot enforce every limit of a session; `degraded` lists what is missing.
    SandboxDegraded,
}

impl HealthCode {
    /// Whether new sessions are refused for this reason.
    pub fn refuses_sessions(self) -> bool {
        match self {
            Self::ServerStopping
            | Self::DiskFull
            | Self::RunQueueFull
            | Self::ServerFull
            | Self::NoRuntime => true,
            Self::DiskLow | Self::RunQueueLong | Self::SandboxDegraded => false,
        }
    }
}

/// A reason why a server is not healthy.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct HealthReason {
    /// The stable name of the reason.
    pub code: HealthCode,
    /// The reason in a sentence.
    pub detail: String,
}

impl HealthReason {
    pub fn new(code: HealthCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}

impl Registry {
    /// The reasons against new sessions, now or soon. This calls statvfs(3).
    pub(crate) fn health(&self) -> Vec<HealthReason> {
        let mut reasons = vec![];
        if self.is_closed.load(Ordering::Acquire) {
            let detail = "the server is stopping and takes no new sessions";
            reasons.push(HealthReason::new(HealthCode::ServerStopping, detail));
        }
        reasons.extend(self.disk_reason());
        let queue = self.run_queue.length();
        let waiting = format!("{} of at most {} sessions wait to run", queue.waiting, queue.max);
        if queue.is_full {
            reasons.push(HealthReason::new(HealthCode::RunQueueFull, waiting));
        } else if queue.waiting > queue.max / LONG_QUEUE_DIVISOR {
            reasons.push(HealthReason::new(HealthCode::RunQueueLong, waiting));
        }
        if self.table().is_full(self.limits) {
            let detail = "there are as many sessions as there may be (sessions_max), and none has ended";
            reasons.push(HealthReason::new(HealthCode::ServerFull, detail));
        }
        reasons
    }

    fn disk_reason(&self) -> Option<HealthReason> {
        let min_bytes = self.disk_min_free_bytes;
        let low_bytes = min_bytes.saturating_mul(RESERVE_FACTOR);
        let free_bytes = match self.store.disk_space() {
            Ok(disk) => disk.free_bytes,
            Err(error) => return Some(HealthReason::new(HealthCode::DiskFull, error.to_string())),
        };
        let reason = |code, least_bytes, use_| {
            let detail = format!(
                "the disk of the sessions has {free_bytes} bytes left, and {use_} {least_bytes} \
                 (disk_min_free_bytes is {min_bytes})"
            );
            HealthReason::new(code, detail)
        };
        if free_bytes < min_bytes {
            Some(reason(HealthCode::DiskFull, min_bytes, "a new session needs"))
        } else if free_bytes < low_bytes {
            Some(reason(HealthCode::DiskLow, low_bytes, "output is limited below"))
        } else {
            None
        }
    }

    /// The free space on the disk of the sessions, in bytes; `None` if it is unknown.
    pub(crate) fn free_disk_bytes(&self) -> Option<u64> {
        self.store.disk_space().ok().map(|disk| disk.free_bytes)
    }
}
