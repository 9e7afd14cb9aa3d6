//! What Ctrl-C means: each press that follows soon on another asks for more.

use std::time::{Duration, Instant};

use livecode_protocol::stream::Signal;

/// A press within this time of the last one asks for more than it did.
const SOON: Duration = Duration::from_secs(2);

/// What a press asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Send the program this signal.
    Send(Signal),
    /// Leave the program alone.
    Leave,
}

/// Counts presses that follow on each other.
#[derive(Default)]
pub struct SignalEscalation {
    last: Option<Instant>,
    presses: u32,
}

impl SignalEscalation {
    /// What a press at `now` asks for: first `gentle`, then a kill, then to leave.
    pub fn press(&mut self, gentle: Signal, now: Instant) -> Step {
        let is_soon = self.last.is_some_and(|last| now.duration_since(last) < SOON);
        self.presses = if is_soon { self.presses + 1 } else { 1 };
        self.last = Some(now);
        match self.presses {
            1 => Step::Send(gentle),
            2 => Step::Send(Signal::Kill),
            _ => Step::Leave,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presses_that_follow_on_each_other_ask_for_more() {
        let mut escalation = SignalEscalation::default();
        let start = Instant::now();
        let mut at = |ms| escalation.press(Signal::Interrupt, start + Duration::from_millis(ms));
        assert_eq!(at(0), Step::Send(Signal::Interrupt));
        assert_eq!(at(2_500), Step::Send(Signal::Interrupt), "late enough to begin again");
        assert_eq!(at(3_000), Step::Send(Signal::Kill));
        assert_eq!(at(4_900), Step::Leave);
    }
}
