//! The position in a session's entries from which a new connection continues, so that no entry is
//! printed twice.

/// Number of the last entry that was received.
#[derive(Clone, Copy, Debug)]
pub struct ResumePosition {
    last_seq: u64,
}

impl ResumePosition {
    /// Starts after the entry with number `after`.
    pub fn new(after: u64) -> Self {
        Self { last_seq: after }
    }

    /// The number after which a new connection asks for entries.
    pub fn after(self) -> u64 {
        self.last_seq
    }

    /// Moves the position to entry `seq`. Returns false if that entry was received before.
    pub fn advance(&mut self, seq: u64) -> bool {
        let is_new = seq > self.last_seq;
        self.last_seq = self.last_seq.max(seq);
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_entry_is_new_once() {
        let mut position = ResumePosition::new(3);
        assert!(!position.advance(3));
        assert!(position.advance(4));
        assert!(!position.advance(4));
        assert!(position.advance(9), "numbers may be missing");
        assert!(!position.advance(1));
        assert_eq!(position.after(), 9);
    }
}
