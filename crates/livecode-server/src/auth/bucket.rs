//! A token bucket: how often something may happen at once, and on average.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use super::Payer;

/// How many payers are remembered. When there are more, those are forgotten whose buckets are full,
/// as that of a newcomer is; if there are none, all are.
const PAYERS_MAX: usize = 10_000;

/// How often something may happen.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// How often at once.
    pub burst: f64,
    /// How often in a second on average.
    pub per_s: f64,
}

impl Rate {
    /// So often in a minute, and as often at once.
    pub fn per_min(count: u64) -> Self {
        Self { burst: count as f64, per_s: count as f64 / 60.0 }
    }
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

    /// Whether there is no token left.
    pub fn is_empty(&self, now: Instant) -> bool {
        self.left_at(now) < 1.0
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

/// A bucket for each payer. The local user has none, and may always take.
#[derive(Debug)]
pub struct PayerBuckets {
    rate: Rate,
    buckets: Mutex<HashMap<Payer, Bucket>>,
}

impl PayerBuckets {
    /// Full buckets.
    pub fn new(rate: Rate) -> Self {
        Self { rate, buckets: Mutex::default() }
    }

    /// Takes a token of the payer; `false` if there is none left.
    pub fn try_take(&self, payer: Payer, now: Instant) -> bool {
        if payer == Payer::Local {
            return true;
        }
        let mut buckets = self.buckets();
        if buckets.len() >= PAYERS_MAX && !buckets.contains_key(&payer) {
            buckets.retain(|_, bucket| !bucket.is_full(now));
            if buckets.len() >= PAYERS_MAX {
                buckets.clear();
            }
        }
        buckets.entry(payer).or_insert(Bucket::new(self.rate, now)).try_take(now)
    }

    /// Whether the payer has no token left.
    pub fn is_empty(&self, payer: Payer, now: Instant) -> bool {
        self.buckets().get(&payer).is_some_and(|bucket| bucket.is_empty(now))
    }

    fn buckets(&self) -> MutexGuard<'_, HashMap<Payer, Bucket>> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_memory_for_payers_is_bounded() {
        let (payers, now) = (PayerBuckets::new(Rate { burst: 3.0, per_s: 1.0 }), Instant::now());
        for number in 0..25_000_u32 {
            payers.try_take(Payer::Address(std::net::Ipv4Addr::from(number).into()), now);
        }
        assert!(payers.buckets().len() <= PAYERS_MAX);
    }

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
