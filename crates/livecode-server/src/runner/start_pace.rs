//! Bounds how many sessions of one payer start in a second, while others use the server.
//!
//! A start is almost all CPU time, and a payer that starts one short session after the other would
//! keep a processor busy with nothing but starts. So each payer has a token bucket: it may start
//! some sessions at once, and then go on at a constant rate. A payer whose bucket is empty waits
//! while another payer has created a session a moment ago. A payer that is alone never waits, nor
//! does the local user.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::auth::Payer;

/// How long a payer counts as one that uses the server, after it has created a session.
const ACTIVE_TIME: Duration = Duration::from_secs(1);
/// The size of a bucket, as the time in which it fills.
const FILLING_TIME: Duration = Duration::from_secs(4);
/// How many payers are remembered before those are forgotten whose buckets are full.
const PAYERS_MAX: usize = 1000;

/// The buckets of payers, and who has created a session lately.
#[derive(Debug)]
pub(super) struct StartPace {
    starts_per_second: f64,
    buckets: HashMap<Payer, Bucket>,
    /// The payer that created the latest session, and the latest other payer.
    latest: Option<(Payer, Instant)>,
    other: Option<(Payer, Instant)>,
}

/// How many starts were taken from a bucket and have not come back, at a time.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    taken: f64,
    at: Instant,
}

impl StartPace {
    pub fn new(starts_per_second: u64) -> Self {
        let starts_per_second = starts_per_second as f64;
        Self { starts_per_second, buckets: HashMap::new(), latest: None, other: None }
    }

    /// Notes that `payer` creates a session.
    pub fn note_creation(&mut self, payer: &Payer, now: Instant) {
        if self.latest.as_ref().is_some_and(|(latest, _)| latest != payer) {
            self.other = self.latest.take();
        }
        self.latest = Some((*payer, now));
    }

    /// Takes one start from the bucket of `payer`.
    pub fn take(&mut self, payer: &Payer, now: Instant) {
        if *payer == Payer::Local {
            return;
        }
        if self.buckets.len() >= PAYERS_MAX {
            let starts_per_second = self.starts_per_second;
            self.buckets.retain(|_, bucket| bucket.taken_at(now, starts_per_second) > 0.0);
        }
        // A payer that was alone until now owes no more than one start.
        let taken = (self.taken(payer, now) + 1.0).min(self.size() + 1.0);
        self.buckets.insert(*payer, Bucket { taken, at: now });
    }

    /// When a session of `payer` may start; `None` if it may start now.
    pub fn pause_end(&self, payer: &Payer, now: Instant) -> Option<Instant> {
        let missing = self.taken(payer, now) + 1.0 - self.size();
        if missing <= 0.0 {
            return None;
        }
        let is_latest = self.latest.as_ref().is_some_and(|(latest, _)| latest == payer);
        let (_, other_at) = if is_latest { self.other.as_ref()? } else { self.latest.as_ref()? };
        let others_until = *other_at + ACTIVE_TIME;
        // A millisecond more, so that rounding does not leave a part of a start missing then.
        let wait = Duration::from_secs_f64(missing / self.starts_per_second) + Duration::from_millis(1);
        (others_until > now).then_some((now + wait).min(others_until))
    }

    fn size(&self) -> f64 {
        self.starts_per_second * FILLING_TIME.as_secs_f64()
    }

    fn taken(&self, payer: &Payer, now: Instant) -> f64 {
        self.buckets.get(payer).map_or(0.0, |bucket| bucket.taken_at(now, self.starts_per_second))
    }
}

impl Bucket {
    fn taken_at(&self, now: Instant, starts_per_second: f64) -> f64 {
        let elapsed_s = now.saturating_duration_since(self.at).as_secs_f64();
        (self.taken - starts_per_second * elapsed_s).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u8) -> Payer {
        Payer::Address([192, 0, 2, number].into())
    }

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn pace() -> StartPace {
        StartPace::new(40)
    }

    /// How many starts of 10 ms each a payer can make within 3 seconds, one after the other.
    fn starts(pace: &mut StartPace, payer: &Payer, other: Option<&Payer>) -> u32 {
        let begin = Instant::now();
        let (mut now, mut count) = (begin, 0);
        while now < begin + ms(3000) {
            pace.note_creation(payer, now);
            other.into_iter().for_each(|other| pace.note_creation(other, now));
            now = pace.pause_end(payer, now).unwrap_or(now);
            pace.take(payer, now);
            now += ms(10);
            count += 1;
        }
        count
    }

    #[test]
    fn a_payer_has_its_rate_beside_others_and_no_bound_alone() {
        assert_eq!(starts(&mut pace(), &address(1), None), 300);
        assert_eq!(starts(&mut pace(), &Payer::Local, Some(&address(1))), 300);
        let beside = starts(&mut pace(), &address(1), Some(&Payer::Local));
        assert!((270..=281).contains(&beside), "the bucket, and 40 in each second: {beside}");
    }

    #[test]
    fn somebody_who_starts_less_than_the_rate_never_waits() {
        let (mut pace, begin) = (pace(), Instant::now());
        for number in 0..1000 {
            let now = begin + ms(number * 26);
            pace.note_creation(&address(2), now);
            pace.note_creation(&address(1), now);
            assert_eq!(pace.pause_end(&address(1), now), None, "{number}");
            pace.take(&address(1), now);
        }
    }

    #[test]
    fn a_pause_is_short_and_ends_with_the_others() {
        let (mut pace, now) = (pace(), Instant::now());
        for _ in 0..1000 {
            pace.note_creation(&address(1), now);
            assert_eq!(pace.pause_end(&address(1), now), None, "alone");
            pace.take(&address(1), now);
        }
        pace.note_creation(&address(2), now);
        let end = pace.pause_end(&address(1), now).expect("a pause");
        assert!(end > now + ms(25) && end < now + ms(60), "{:?}", end - now);
        assert_eq!(pace.pause_end(&address(1), end), None);
        pace.take(&address(1), now + ms(999));
        assert!(pace.pause_end(&address(1), now + ms(999)).is_none_or(|end| end <= now + ms(1000)));
        assert_eq!(pace.pause_end(&address(1), now + ms(1001)), None, "nobody else is active");
    }

    #[test]
    fn the_memory_for_buckets_is_bounded() {
        let (mut pace, now) = (pace(), Instant::now());
        for number in 0..100_000_u32 {
            let payer = Payer::Address(std::net::Ipv4Addr::from(number).into());
            pace.take(&payer, now + ms(u64::from(number)));
        }
        assert!(pace.buckets.len() <= PAYERS_MAX);
    }
}
