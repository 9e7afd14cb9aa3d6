//! What Ctrl-C means when it is pressed repeatedly.

use std::time::{Duration, Instant};

use livecode_protocol::stream::Signal;

/// A signal that arrives within this time after the previous one escalates.
const ESCALATION_WINDOW: Duration = Duration::from_secs(2);

/// What a received signal makes the command do.
#[derive(Debug, PartialEq, Eq)]
pub enum SignalAction {
    /// Send this signal to the program.
    Send(Signal),
    /// End the command and leave the program running.
    Detach,
}

/// Counts signals that follow one another within [`ESCALATION_WINDOW`].
#[derive(Default)]
pub struct SignalEscalation {
    last_received: Option<Instant>,
    count: u32,
}

impl SignalEscalation {
    /// The action for a signal that is received at `now`: the first sends `signal` to the program,
    /// the second kills the program, and any further one detaches.
    pub fn next_action(&mut self, signal: Signal, now: Instant) -> SignalAction {
        let escalates = self.last_received.is_some_and(|last| now.duration_since(last) < ESCALATION_WINDOW);
        self.count = if escalates { self.count + 1 } else { 1 };
        self.last_received = Some(now);
        match self.count {
            1 => SignalAction::Send(signal),
            2 => SignalAction::Send(Signal::Kill),
            _ => SignalAction::Detach,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_in_quick_succession_escalate() {
        let mut escalation = SignalEscalation::default();
        let start = Instant::now();
        let mut at = |ms| escalation.next_action(Signal::Interrupt, start + Duration::from_millis(ms));
        assert_eq!(at(0), SignalAction::Send(Signal::Interrupt));
        assert_eq!(at(2_500), SignalAction::Send(Signal::Interrupt), "late enough to start again");
        assert_eq!(at(3_000), SignalAction::Send(Signal::Kill));
        assert_eq!(at(4_900), SignalAction::Detach);
    }
}
