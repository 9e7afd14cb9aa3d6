//! How much of the disk ended sessions may take.

use tokio::sync::Notify;

use crate::{config::Config, sessions::Store};

/// The free space that is kept is at most this part of the disk, so that a small disk is of use.
const KEEP_FREE_DIVISOR: u64 = 16;

/// The free space that the journals of running sessions and ended sessions leave on the disk, as a
/// multiple of `disk_min_free_bytes`. It is more than a new session needs, so that sessions can be
/// created while others are stopped for their output. With a `disk_min_free_bytes` of 0 the disk
/// may be filled.
pub(super) const RESERVE_FACTOR: u64 = 4;
/// The same multiple for free space that is scarce: a creation may soon find too little.
const SCARCE_FACTOR: u64 = 2;

/// How much disk space ended sessions may take.
pub(super) struct DiskLimits {
    pub keep_max_bytes: u64,
    keep_free_bytes: u64,
    min_free_bytes: u64,
    /// Notified when a session has ended and the limits are exceeded, and when a new session finds
    /// too little free space.
    pub is_exceeded: Notify,
}

impl DiskLimits {
    pub fn new(config: &Config) -> Self {
        Self {
            keep_max_bytes: config.keep_max_bytes,
            keep_free_bytes: config.disk_keep_free_bytes,
            min_free_bytes: config.disk_min_free_bytes,
            is_exceeded: Notify::new(),
        }
    }

    /// Whether the disk has less free space than is to be kept.
    pub fn lacks_space(&self, store: &Store) -> bool {
        store.disk_space().is_ok_and(|disk| {
            let wanted_bytes = self.keep_free_bytes.min(disk.total_bytes / KEEP_FREE_DIVISOR);
            disk.free_bytes < wanted_bytes.max(self.min_free_bytes.saturating_mul(RESERVE_FACTOR))
        })
    }

    /// Whether a creation may soon find too little free space.
    pub fn is_scarce(&self, store: &Store) -> bool {
        let scarce_bytes = self.min_free_bytes.saturating_mul(SCARCE_FACTOR);
        store.disk_space().is_ok_and(|disk| disk.free_bytes < scarce_bytes)
    }
}
