//! Conversions of durations and times to what system calls and the protocol take.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::event::Timespec;

/// `duration` as poll(2) and epoll_wait(2) take a timeout. The kernel rounds it up to the
/// resolution of its clock.
pub(crate) fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: duration.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}

/// The present time, in microseconds since the Unix epoch.
pub(crate) fn now_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_micros() as u64)
}
