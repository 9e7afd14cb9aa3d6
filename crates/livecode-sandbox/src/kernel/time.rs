//! Durations as the kernel takes them.

use std::time::Duration;

use rustix::event::Timespec;

/// Converts a duration to a `timespec` (timespec(3type)). Seconds that the type cannot hold become
/// its maximum.
pub fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: duration.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_keeps_its_seconds_and_nanoseconds() {
        let Timespec { tv_sec, tv_nsec } = timespec(Duration::new(3, 7));
        assert_eq!((tv_sec, tv_nsec), (3, 7));
        assert_eq!(timespec(Duration::MAX).tv_sec, i64::MAX);
    }
}
