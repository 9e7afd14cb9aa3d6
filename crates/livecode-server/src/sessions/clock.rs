//! The wall clock, in the unit of journals and of `session.json`.

use std::time::{SystemTime, UNIX_EPOCH};

/// Microseconds since the epoch; 0 if the clock stands before it.
pub(crate) fn now_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_micros() as u64)
}
