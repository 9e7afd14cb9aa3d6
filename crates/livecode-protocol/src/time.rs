//! The unit of every time in the documents and journals.

use std::time::{SystemTime, UNIX_EPOCH};

/// The present time, in microseconds since the Unix epoch; 0 if the clock is set to before it.
pub fn now_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_micros() as u64)
}
