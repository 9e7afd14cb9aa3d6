//! A token bucket: how often something may happen at once, and on average.

use std::time::Instant;

/// How often something may happen.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// How often at once.
    pub burst: f64,
    /// How often in a second on average.
    pub per_s: f64,
}

/// A bucket that was full at first, and from which one token is taken each time.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    rate: Rate,
    left: f64,
    refilled: Instant,
}

impl Bucket {
    /// A full bucket.
    pub fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, left: rate.burst, refilled: now }
    }

    /// Takes a token; `false` if there is none left.
    pub fn try_take(&mut self, now: Instant) -> bool {
        let left = self.left_at(now);
        let is_allowed = left >= 1.0;
        *self = Self { left: if is_allowed { left - 1.0 } else { left }, refilled: now, ..*self };
        is_allowed
    }

    /// Whether it has as many tokens as a new bucket.
    pub fn is_full(&self, now: Instant) -> bool {
        self.left_at(now) >= self.rate.burst
    }

    fn left_at(&self, now: Instant) -> f64 {
        let refilled = self.rate.per_s * now.saturating_duration_since(self.refilled).as_secs_f64();
        (self.left + refilled).min(self.rate.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_bucket_is_refilled_up_to_its_burst() {
        let now = Instant::now();
        let mut bucket = Bucket::new(Rate { burst: 3.0, per_s: 0.5 }, now);
        let mut taken = |at| (0..10).filter(|_| bucket.try_take(at)).count();
        assert_eq!(taken(now), 3);
        assert_eq!(taken(now + Duration::from_secs(1)), 0);
        assert_eq!(taken(now + Duration::from_secs(4)), 2);
        assert_eq!(taken(now + Duration::from_secs(100)), 3);
    }
}
