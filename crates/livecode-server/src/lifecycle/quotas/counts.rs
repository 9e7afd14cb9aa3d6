//! The usage of each payer, and of each token with limits by itself.

use std::{collections::HashMap, time::Instant};

use serde::{Deserialize, Serialize};

use crate::auth::Payer;

/// How many are counted. When there are more, those are forgotten that have used nothing today, and
/// then guests.
pub(super) const COUNTED_MAX: usize = 100_000;
const DAY_US: u64 = 24 * 60 * 60 * 1_000_000;

/// A payer or token whose usage is counted. The control store has it as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Counted {
    /// A payer.
    Payer(Payer),
    /// A token.
    Token {
        /// Its id.
        token: Box<str>,
    },
}

/// The name under which the control store has the usage of a token.
pub fn store_key_of_token(id: &str) -> String {
    // Serialising plain data cannot fail.
    serde_json::to_string(&Counted::Token { token: id.into() }).unwrap_or_default()
}

/// The usage of one of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counts {
    /// The day that is counted, in days since the epoch.
    pub day: u64,
    /// CPU time on this day, in milliseconds.
    pub cpu_ms: u64,
    /// Output on this day, in bytes.
    pub output_bytes: u64,
    /// Creations that are not made up for yet, and when that was right. A bucket of the caller's
    /// size holds them, so that callers with several roles have one bucket.
    pub creations: f64,
    pub drained: Instant,
    /// Whether something was counted that is not written yet.
    pub is_changed: bool,
}

/// The day of a time in microseconds since the epoch.
pub(super) fn day_of(us: u64) -> u64 {
    us / DAY_US
}

/// When the day after that of a time begins, in microseconds since the epoch.
pub(super) fn next_day_us(us: u64) -> u64 {
    (day_of(us) + 1) * DAY_US
}

/// The counts of one of those that are counted, which may be new.
pub(super) fn entry(
    all: &mut HashMap<Counted, Counts>,
    counted: Counted,
    day: u64,
    now: Instant,
) -> &mut Counts {
    if all.len() >= COUNTED_MAX && !all.contains_key(&counted) {
        all.retain(|_, counts| counts.day >= day && counts.has_used());
        if all.len() >= COUNTED_MAX {
            all.retain(|counted, _| !matches!(counted, Counted::Payer(Payer::Address(_))));
        }
    }
    all.entry(counted).or_insert_with(|| Counts::new(day, now))
}

impl Counts {
    pub fn new(day: u64, now: Instant) -> Self {
        Self { day, cpu_ms: 0, output_bytes: 0, creations: 0.0, drained: now, is_changed: false }
    }

    /// Begins to count a day. A clock that is set back does not end the day.
    pub fn begin_day(&mut self, day: u64) {
        if self.day < day {
            (self.day, self.cpu_ms, self.output_bytes) = (day, 0, 0);
        }
    }

    /// Adds what was used on a day, unless a later one has begun.
    pub fn add(&mut self, day: u64, cpu_ms: u64, output_bytes: u64) {
        self.begin_day(day);
        if self.day > day {
            return;
        }
        self.cpu_ms = self.cpu_ms.saturating_add(cpu_ms);
        self.output_bytes = self.output_bytes.saturating_add(output_bytes);
        self.is_changed = true;
    }

    /// The creations in a bucket from which `per_min` drain in a minute.
    pub fn creations(&self, per_min: u64, now: Instant) -> f64 {
        let passed_s = now.saturating_duration_since(self.drained).as_secs_f64();
        (self.creations - per_min as f64 * passed_s / 60.0).max(0.0)
    }

    /// Puts one creation into that bucket.
    pub fn create(&mut self, per_min: u64, now: Instant) {
        self.creations = self.creations(per_min, now) + 1.0;
        self.drained = now;
    }

    /// Takes one creation out of the bucket.
    pub fn take_back(&mut self) {
        self.creations = (self.creations - 1.0).max(0.0);
    }

    fn has_used(&self) -> bool {
        self.cpu_ms > 0 || self.output_bytes > 0
    }
}
