//! Numbers unique among living sessions.

use std::collections::BTreeSet;

/// The slots of living sessions. Free slots are taken round-robin, so that a slot is not reused
/// soon after its release.
#[derive(Default)]
pub(super) struct SlotPool {
    used: BTreeSet<u32>,
    next: u32,
}

impl SlotPool {
    /// The number of slots. A data directory has one uid more, which the spawner's trial sandbox
    /// uses.
    const COUNT: u32 = 0xffff;

    /// Takes a free slot; `None` if all are used.
    pub fn acquire(&mut self) -> Option<u32> {
        if self.is_exhausted() {
            return None;
        }
        while !self.used.insert(self.next) {
            self.next = (self.next + 1) % Self::COUNT;
        }
        let slot = self.next;
        self.next = (self.next + 1) % Self::COUNT;
        Some(slot)
    }

    /// Whether all slots are used.
    pub fn is_exhausted(&self) -> bool {
        self.used.len() >= Self::COUNT as usize
    }

    /// Marks the slot of a session that has one already as used.
    pub fn mark_used(&mut self, slot: u32) {
        self.used.insert(slot);
    }

    /// Frees a slot.
    pub fn release(&mut self, slot: u32) {
        self.used.remove(&slot);
    }
}
