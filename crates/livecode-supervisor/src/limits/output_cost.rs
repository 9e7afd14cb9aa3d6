//! The CPU time that a supervisor spends on what its program writes. It is charged to the program,
//! whose writes cause it: reading, checking and keeping a byte may cost more than writing it.

use std::time::Duration;

/// CPU time that is not charged: about what the output of a small program costs.
const UNCHARGED: Duration = Duration::from_millis(20);

/// Measures, turn by turn of the supervisor's loop, what the output of one program costs.
pub(crate) struct OutputCost {
    /// CPU time that the supervisor had used at the end of the last turn.
    turn_ended_at: Duration,
    /// CPU time of all turns in which output was read.
    spent: Duration,
}

impl OutputCost {
    /// `used` is the CPU time that the supervisor has used so far.
    pub fn new(used: Duration) -> Self {
        Self { turn_ended_at: used, spent: Duration::ZERO }
    }

    /// Counts the output of another sandbox of the same session from now on. What is not charged
    /// is so once for all of them.
    pub fn start_sandbox(&mut self, used: Duration) {
        *self = Self { turn_ended_at: used, spent: self.spent.min(UNCHARGED) };
    }

    /// Ends a turn of the loop. `used` is the CPU time that the supervisor has used so far. The
    /// whole turn is charged if it has read output; what clients cause is not.
    pub fn end_turn(&mut self, has_read_output: bool, used: Duration) {
        let cost = used.saturating_sub(std::mem::replace(&mut self.turn_ended_at, used));
        if has_read_output {
            self.spent += cost;
        }
    }

    /// The CPU time that is charged to the program so far, in milliseconds.
    pub fn charged_ms(&self) -> u64 {
        self.spent.saturating_sub(UNCHARGED).as_millis() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_that_read_output_are_charged_beyond_a_small_allowance() {
        let ms = Duration::from_millis;
        let mut cost = OutputCost::new(ms(1000));
        cost.end_turn(true, ms(1020));
        assert_eq!(cost.charged_ms(), 0);
        cost.end_turn(false, ms(1500));
        assert_eq!(cost.charged_ms(), 0);
        cost.end_turn(true, ms(1507));
        assert_eq!(cost.charged_ms(), 7);
        cost.start_sandbox(ms(1600));
        assert_eq!(cost.charged_ms(), 0);
        cost.end_turn(true, ms(1603));
        assert_eq!(cost.charged_ms(), 3, "the allowance is used up");
    }
}
