//! Pauses between tries to connect: growing, and spread so that not all clients come at once.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// The next pause, longer each time up to a bound.
#[derive(Default)]
pub struct Backoff {
    tries: u32,
}

impl Backoff {
    /// How long to wait now: between half and the whole of what has grown.
    pub fn next(&mut self) -> Duration {
        let grown = FIRST.saturating_mul(2u32.saturating_pow(self.tries)).min(LONGEST);
        self.tries += 1;
        let mut random = [0; 1];
        // Without randomness the pauses are only less spread.
        let _ = getrandom::fill(&mut random);
        grown / 2 + (grown / 2).mul_f64(f64::from(random[0]) / 255.0)
    }

    /// A try succeeded.
    pub fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound() {
        let mut backoff = Backoff::default();
        for try_ in 0..20 {
            let grown = (FIRST * 2u32.pow(try_.min(10))).min(LONGEST);
            let pause = backoff.next();
            assert!(pause >= grown / 2 && pause <= grown, "{pause:?} of {grown:?}");
        }
        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }
}
