//! Reports attempts to reconnect, and bounds how long they go on.

use std::{
    io::{self, IsTerminal as _},
    time::{Duration, Instant},
};

use super::status::print_note;

/// The attempts since the connection was lost.
pub struct Reconnection {
    timeout: Option<Duration>,
    /// When the first attempt failed; `None` while there is a connection.
    lost_at: Option<Instant>,
    failures: u32,
}

impl Reconnection {
    /// No attempt yet. After `timeout` without a connection the attempts are over.
    pub fn new(timeout: Option<Duration>) -> Self {
        Self { timeout, lost_at: None, failures: 0 }
    }

    /// Starts again, since there is a connection.
    pub fn succeeded(&mut self) {
        if self.failures > 0 {
            print_note(format_args!("connected again"));
        }
        (self.lost_at, self.failures) = (None, 0);
    }

    /// Whether an attempt has failed since there was a connection.
    pub fn is_ongoing(&self) -> bool {
        self.failures > 0
    }

    /// Counts a failed attempt, and reports it: on a terminal each, elsewhere at longer and longer
    /// intervals, since nobody may be there to read.
    pub fn report_failure(&mut self, error: &anyhow::Error) {
        self.lost_at.get_or_insert_with(Instant::now);
        self.failures += 1;
        if self.failures == 1 {
            print_note(format_args!("the connection is lost: {error:#}"));
        }
        if io::stderr().is_terminal() || self.failures.is_power_of_two() {
            print_note(format_args!("reconnecting, {} try; Ctrl-C leaves", ordinal(self.failures)));
        }
    }

    /// Whether the timeout has passed.
    pub fn is_over(&self) -> bool {
        self.remaining().is_some_and(|remaining| remaining.is_zero())
    }

    /// A delay that ends no later than the timeout.
    pub fn shorten(&self, delay: Duration) -> Duration {
        self.remaining().map_or(delay, |remaining| delay.min(remaining))
    }

    fn remaining(&self) -> Option<Duration> {
        Some(self.timeout?.saturating_sub(self.lost_at?.elapsed()))
    }
}

/// 1st, 2nd, 3rd, 4th, …
fn ordinal(number: u32) -> String {
    let suffix = match (number % 10, number % 100) {
        (1, hundred) if hundred != 11 => "st",
        (2, hundred) if hundred != 12 => "nd",
        (3, hundred) if hundred != 13 => "rd",
        _ => "th",
    };
    format!("{number}{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinals_are_english() {
        let words: Vec<_> = [1, 2, 3, 4, 11, 12, 13, 21, 102, 111].map(ordinal).into();
        assert_eq!(words, ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "102nd", "111th"]);
    }

    #[test]
    fn attempts_end_after_the_timeout() {
        let mut endless = Reconnection::new(None);
        endless.report_failure(&anyhow::anyhow!("x"));
        assert!(!endless.is_over() && endless.shorten(Duration::from_secs(5)) == Duration::from_secs(5));
        let mut short = Reconnection::new(Some(Duration::ZERO));
        assert!(!short.is_over(), "a connection that was never lost");
        short.report_failure(&anyhow::anyhow!("x"));
        assert!(short.is_over() && short.shorten(Duration::from_secs(5)).is_zero());
        short.succeeded();
        assert!(!short.is_over());
    }
}
