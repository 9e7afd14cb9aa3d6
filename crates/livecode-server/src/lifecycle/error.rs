//! Why a session could not be created or deleted.

use std::time::Duration;

use livecode_protocol::ErrorCode;

use crate::lifecycle::quotas::QuotaExceeded;
use crate::runner::run_queue::RunQueueFull;
use crate::sessions::{StoreError, is_disk_full, is_exhausted};

/// How long a deletion waits until everything of the session is torn down.
pub(super) const TEARDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// Why no session was created.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The owner has `sessions_per_owner_max` sessions.
    #[error("you have {0} sessions, as many as one owner may have; delete one first")]
    TooMany(u64),
    /// The guests of the address have `sessions_per_address_max` sessions, and none of them has
    /// ended.
    #[error("you have as many sessions as you may have, and none of them has ended; end one first")]
    AddressFull,
    /// The server has `sessions_max` sessions, of which none has ended, or no slot is free.
    #[error("the server has as many sessions as it may have; try again later")]
    Full,
    /// The session would have to wait until it may run, and the queue has no place for it.
    #[error("{0}; try again in a moment")]
    QueueFull(#[from] RunQueueFull),
    /// The caller has used up a quota.
    #[error(transparent)]
    Quota(#[from] QuotaExceeded),
    /// Another request was made under the same idempotency key.
    #[error("another request was made under this Idempotency-Key; use a new key for a new request")]
    KeyReused,
    /// The same request is in progress.
    #[error("a request under this Idempotency-Key is being worked on; ask again in a moment")]
    InProgress,
    /// The server is about to stop.
    #[error("the server is stopping and makes no new sessions; try again in a moment")]
    Closed,
    /// The disk has less than `disk_min_free_bytes` left, which running sessions need.
    #[error(
        "the disk of the sessions has {free_bytes} bytes left, and {needed_bytes} must stay free \
         (disk_min_free_bytes): delete sessions, or make room"
    )]
    NoRoom {
        /// Bytes that are left.
        free_bytes: u64,
        /// Bytes that must be left.
        needed_bytes: u64,
    },
    /// The session could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system returned no random bytes.
    #[error("no random id could be drawn: {0}")]
    Random(getrandom::Error),
}

impl CreateError {
    /// The code of the refusal.
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::TooMany(_) | Self::AddressFull => ErrorCode::TooManySessions,
            Self::Full => ErrorCode::ServerFull,
            Self::QueueFull(_) => ErrorCode::RunQueueFull,
            Self::Quota(_) => ErrorCode::QuotaExceeded,
            Self::KeyReused => ErrorCode::IdempotencyKeyReused,
            Self::InProgress => ErrorCode::IdempotencyInProgress,
            Self::Closed => ErrorCode::ServerStopping,
            Self::NoRoom { .. } => ErrorCode::DiskFull,
            Self::Store(StoreError::Write(cause)) if is_disk_full(cause) => ErrorCode::DiskFull,
            Self::Store(StoreError::Write(cause)) if is_exhausted(cause) => ErrorCode::OutOfResources,
            Self::Store(_) | Self::Random(_) => ErrorCode::Internal,
        }
    }
}

/// Why a session could not be deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    /// The session was not torn down within [`TEARDOWN_TIMEOUT`].
    #[error("the session's processes did not end within {} seconds; try again", TEARDOWN_TIMEOUT.as_secs())]
    Alive,
    /// The session's folder could not be removed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
