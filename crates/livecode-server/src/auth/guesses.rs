//! Bounds how often one payer may guess a token, the secret of a share, or the id of a session.
//!
//! They are so random that no guess is ever right. The bound tells who tries, and makes a client wait
//! that goes on with a wrong one. A right token or id is never refused here, as the pupils of a
//! school share an address.

use std::time::Instant;

use super::{
    Payer,
    bucket::{PayerBuckets, Rate},
};

/// Wrong guesses that a payer may make. A class whose sessions were deleted asks for all of them
/// again at the same time, from one address.
const RATE: Rate = Rate { burst: 600.0, per_s: 10.0 };

/// The wrong guesses of all payers. The local user may guess without a bound.
#[derive(Debug)]
pub struct Guesses(PayerBuckets);

impl Default for Guesses {
    fn default() -> Self {
        Self(PayerBuckets::new(RATE))
    }
}

impl Guesses {
    /// Notes a wrong guess. Returns whether the payer has made too many lately.
    pub fn note(&self, payer: Payer) -> bool {
        self.note_at(payer, Instant::now())
    }

    /// Whether one more wrong guess of the payer would be one too many.
    pub fn are_used_up(&self, payer: Payer) -> bool {
        self.0.is_empty(payer, Instant::now())
    }

    fn note_at(&self, payer: Payer, now: Instant) -> bool {
        !self.0.try_take(payer, now)
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
}
