//! The share of the disk that the journal of one running session may take.
//!
//! The share is not negotiated: a journal may be as large as the space that is still free above a
//! reserve. This is the dynamic threshold by which switches share the memory of their queues. One
//! session that writes without end gets half of the space above the reserve, two get a third each,
//! and whoever asks for more is stopped while its neighbours go on. The rule needs no word of
//! other sessions, so it holds while the server is down, too.

use std::{fs::File, io};

use rustix::fs::fstatvfs;

/// Bytes that a journal may take from the reserve, however little is free.
const MIN_SHARE_BYTES: u64 = 1024 * 1024;
/// Bytes by which a journal grows between two looks at the disk.
const CHECK_INTERVAL_BYTES: u64 = 256 * 1024;

/// Watches the share of one journal.
pub(super) struct DiskShare {
    /// Free space to leave on the disk, in bytes; `None` if the server asked for no reserve.
    reserve_bytes: Option<u64>,
    /// Length of the journal at which the disk is looked at next.
    next_check_bytes: u64,
}

impl DiskShare {
    pub fn new(reserve_bytes: Option<u64>) -> Self {
        Self { reserve_bytes, next_check_bytes: MIN_SHARE_BYTES }
    }

    /// Whether a journal that has grown to `journal_bytes` takes more than its share of the disk
    /// that holds `file`. If the disk cannot be examined, nothing is exceeded.
    pub fn is_exceeded(&mut self, file: &File, journal_bytes: u64) -> bool {
        let Some(reserve_bytes) = self.reserve_bytes.filter(|_| journal_bytes >= self.next_check_bytes)
        else {
            return false;
        };
        self.next_check_bytes = journal_bytes + CHECK_INTERVAL_BYTES;
        free_bytes(file).is_ok_and(|free_bytes| journal_bytes > share_bytes(free_bytes, reserve_bytes))
    }
}

/// The largest size of a journal while so much of the disk is free.
fn share_bytes(free_bytes: u64, reserve_bytes: u64) -> u64 {
    free_bytes.saturating_sub(reserve_bytes).max(MIN_SHARE_BYTES)
}

/// Space left on the disk for the user of this process, in bytes.
fn free_bytes(file: &File) -> io::Result<u64> {
    let disk = fstatvfs(file)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    /// Lets sessions write in turn, until each is stopped. Returns their sizes, and what is free
    /// then.
    fn fill(disk_bytes: u64, reserve_bytes: u64, sessions: usize) -> (Vec<u64>, u64) {
        let mut sizes = vec![0; sessions];
        let mut is_stopped = vec![false; sessions];
        while is_stopped.contains(&false) {
            for session in (0..sessions).filter(|session| !is_stopped[*session]).collect::<Vec<_>>() {
                sizes[session] += CHECK_INTERVAL_BYTES;
                let free_bytes = disk_bytes.saturating_sub(sizes.iter().sum());
                is_stopped[session] = sizes[session] > share_bytes(free_bytes, reserve_bytes);
            }
        }
        let free_bytes = disk_bytes - sizes.iter().sum::<u64>();
        (sizes, free_bytes)
    }

    #[test]
    fn sessions_that_write_without_end_share_the_disk_and_leave_the_reserve() {
        for sessions in [1, 2, 10, 50] {
            let (sizes, free_bytes) = fill(1024 * MIB, 64 * MIB, sessions);
            let fair_bytes = 960 * MIB / (sessions as u64 + 1);
            // Each session may write beyond its share until it looks at the disk again.
            let beyond_bytes = sessions as u64 * CHECK_INTERVAL_BYTES;
            assert!(free_bytes + beyond_bytes >= 64 * MIB, "{sessions} sessions left {free_bytes} bytes");
            for size in sizes {
                assert!(size.abs_diff(fair_bytes) <= MIB, "{size} is far from {fair_bytes}");
            }
        }
    }

    #[test]
    fn a_small_session_may_write_on_a_nearly_full_disk() {
        assert_eq!(share_bytes(MIB, 64 * MIB), MIN_SHARE_BYTES);
        let file = tempfile::tempfile().unwrap();
        assert!(!DiskShare::new(Some(u64::MAX)).is_exceeded(&file, MIN_SHARE_BYTES - 1));
        assert!(DiskShare::new(Some(u64::MAX)).is_exceeded(&file, MIN_SHARE_BYTES + 1));
        assert!(!DiskShare::new(None).is_exceeded(&file, u64::MAX));
    }
}
