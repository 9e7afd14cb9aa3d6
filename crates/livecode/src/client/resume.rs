//! Where reading goes on after a lost connection, so that nothing comes out twice.

/// The last entry that was seen.
#[derive(Clone, Copy, Debug)]
pub struct Resume {
    after: u64,
}

impl Resume {
    /// Begins after the entry with number `after`.
    pub fn new(after: u64) -> Self {
        Self { after }
    }

    /// The number to ask for.
    pub fn after(self) -> u64 {
        self.after
    }

    /// Notes entry `seq`; false where it was seen before.
    pub fn is_new(&mut self, seq: u64) -> bool {
        let is_new = seq > self.after;
        self.after = self.after.max(seq);
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_entry_counts_once() {
        let mut resume = Resume::new(3);
        assert!(!resume.is_new(3));
        assert!(resume.is_new(4));
        assert!(!resume.is_new(4));
        assert!(resume.is_new(9), "numbers may be missing");
        assert!(!resume.is_new(1));
        assert_eq!(resume.after(), 9);
    }
}
