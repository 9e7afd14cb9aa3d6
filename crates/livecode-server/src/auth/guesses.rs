//! Bounds how often one payer may guess a token or the id of a session.
//!
//! Tokens and ids are so random that no guess is ever right. The bound tells who tries, and makes a
//! client wait that goes on with a wrong one. A right token or id is never refused here, as the
//! pupils of a school share an address.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use super::{
    Payer,
    bucket::{Bucket, Rate},
};

/// Wrong guesses that a payer may make. A class whose sessions were deleted asks for all of them
/// again at the same time, from one address.
const RATE: Rate = Rate { burst: 600.0, per_s: 10.0 };
/// How many payers are remembered. When there are more, those are forgotten who may make as many
/// guesses as a newcomer; if there are none, all are.
const PAYERS_MAX: usize = 10_000;

/// The wrong guesses of all payers. The local user may guess without a bound.
#[derive(Debug, Default)]
pub struct Guesses(Mutex<HashMap<Payer, Bucket>>);

impl Guesses {
    /// Notes a wrong guess. Returns whether the payer has made too many lately.
    pub fn note(&self, payer: Payer) -> bool {
        self.note_at(payer, Instant::now())
    }

    fn note_at(&self, payer: Payer, now: Instant) -> bool {
        if payer == Payer::Local {
            return false;
        }
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= PAYERS_MAX && !buckets.contains_key(&payer) {
            buckets.retain(|_, bucket| !bucket.is_full(now));
            if buckets.len() >= PAYERS_MAX {
                buckets.clear();
            }
        }
        !buckets.entry(payer).or_insert(Bucket::new(RATE, now)).try_take(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn address(number: u32) -> Payer {
        Payer::Address(std::net::Ipv4Addr::from(number).into())
    }

    #[test]
    fn guesses_are_bounded_for_each_payer() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        let allowed = |payer, at| (0..2000).filter(|_| !guesses.note_at(payer, at)).count();
        assert_eq!(allowed(address(1), now), 600);
        assert_eq!(allowed(address(2), now), 600);
        assert_eq!(allowed(address(1), now + Duration::from_secs(10)), 100);
        assert_eq!(allowed(Payer::Local, now), 2000);
    }

    #[test]
    fn the_memory_for_guesses_is_bounded() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        for number in 0..25_000 {
            guesses.note_at(address(number), now);
        }
        assert!(guesses.0.lock().unwrap().len() <= PAYERS_MAX);
    }
}
