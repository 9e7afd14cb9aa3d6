//! The ended sessions that are kept: by when they ended, and by the payer who is charged for their
//! disk space. Retention finds the next session to remove here without a look at the others.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use livecode_protocol::SessionId;

use crate::auth::Payer;

/// An ended session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeptSession {
    pub id: SessionId,
    pub payer: Payer,
    /// When it ended, in microseconds since the epoch.
    pub ended_us: u64,
    /// How much disk space the ended sessions of its payer may take, in bytes, in the role of this
    /// session.
    pub payer_max_bytes: u64,
}

/// When a session ended, and its id.
type EndKey = (u64, SessionId);

/// The ended sessions of one payer.
#[derive(Default)]
struct PayerSessions {
    /// The disk space of each, in bytes.
    oldest_first: BTreeMap<EndKey, u64>,
    /// The disk space of all, in bytes.
    bytes: u64,
    /// How much they may take: as much as in the role of the session that ended last.
    max_bytes: u64,
    latest_ended_us: u64,
}

#[derive(Default)]
pub(super) struct KeptSessions {
    oldest_first: BTreeSet<EndKey>,
    /// Sessions whose output was not removed yet.
    with_output: BTreeSet<EndKey>,
    payers: HashMap<Payer, PayerSessions>,
    /// The payers by disk space, and by number of sessions.
    by_bytes: BTreeSet<(u64, Payer)>,
    by_count: BTreeSet<(usize, Payer)>,
    total_bytes: u64,
    /// The payers whose sessions take more than they may.
    over: BTreeSet<Payer>,
}

impl KeptSession {
    fn key(&self) -> EndKey {
        (self.ended_us, self.id)
    }
}

impl KeptSessions {
    /// Adds a session that takes `bytes` of disk space. `has_output` is false if its output was
    /// removed before.
    pub fn add(&mut self, session: KeptSession, bytes: u64, has_output: bool) {
        self.remove(session);
        self.oldest_first.insert(session.key());
        if has_output {
            self.with_output.insert(session.key());
        }
        self.total_bytes += bytes;
        self.change(session.payer, |of_payer| {
            of_payer.oldest_first.insert(session.key(), bytes);
            of_payer.bytes += bytes;
            if session.ended_us >= of_payer.latest_ended_us {
                of_payer.latest_ended_us = session.ended_us;
                of_payer.max_bytes = session.payer_max_bytes;
            }
        });
    }

    /// Removes a session. Nothing happens if it is not kept.
    pub fn remove(&mut self, session: KeptSession) {
        if !self.oldest_first.remove(&session.key()) {
            return;
        }
        self.with_output.remove(&session.key());
        let mut freed = 0;
        self.change(session.payer, |of_payer| {
            freed = of_payer.oldest_first.remove(&session.key()).unwrap_or(0);
            of_payer.bytes -= freed;
        });
        self.total_bytes -= freed;
    }

    /// Changes what a payer has, and its ranks.
    fn change(&mut self, payer: Payer, change: impl FnOnce(&mut PayerSessions)) {
        let of_payer = self.payers.entry(payer).or_default();
        self.by_bytes.remove(&(of_payer.bytes, payer));
        self.by_count.remove(&(of_payer.oldest_first.len(), payer));
        change(of_payer);
        if of_payer.bytes > of_payer.max_bytes {
            self.over.insert(payer);
        } else {
            self.over.remove(&payer);
        }
        if of_payer.oldest_first.is_empty() {
            self.payers.remove(&payer);
        } else {
            self.by_bytes.insert((of_payer.bytes, payer));
            self.by_count.insert((of_payer.oldest_first.len(), payer));
        }
    }

    /// Disk space of all kept sessions, in bytes.
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// Disk space of the kept sessions of a payer, in bytes.
    pub fn bytes_of(&self, payer: &Payer) -> u64 {
        self.payers.get(payer).map_or(0, |of_payer| of_payer.bytes)
    }

    /// The oldest session, if it ended before `us`.
    pub fn ended_before(&self, us: u64) -> Option<SessionId> {
        self.oldest_first.first().filter(|(ended_us, _)| *ended_us < us).map(|(_, id)| *id)
    }

    /// The oldest session that has output, if it ended before `us`.
    pub fn with_output_before(&self, us: u64) -> Option<SessionId> {
        self.with_output.first().filter(|(ended_us, _)| *ended_us < us).map(|(_, id)| *id)
    }

    /// Whether the sessions of some payer take more disk space than they may.
    pub fn is_over_quota(&self) -> bool {
        !self.over.is_empty()
    }

    /// The oldest session of a payer whose sessions take more disk space than they may, if it ended
    /// before `us`.
    pub fn oldest_over_quota(&self, us: u64) -> Option<SessionId> {
        let oldest = |payer| Some(*self.payers.get(payer)?.oldest_first.first_key_value()?.0);
        self.over.iter().filter_map(oldest).find(|(ended_us, _)| *ended_us < us).map(|(_, id)| id)
    }

    /// The oldest session of the payer whose sessions take the most disk space.
    pub fn oldest_of_largest(&self) -> Option<SessionId> {
        self.by_bytes.last().and_then(|(_, payer)| self.oldest_of(payer))
    }

    /// The oldest session of the payer who has the most sessions.
    pub fn oldest_of_most(&self) -> Option<SessionId> {
        self.by_count.last().and_then(|(_, payer)| self.oldest_of(payer))
    }

    /// The oldest session of a payer.
    pub fn oldest_of(&self, payer: &Payer) -> Option<SessionId> {
        Some(self.payers.get(payer)?.oldest_first.first_key_value()?.0.1)
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;

    fn address(number: u8) -> Payer {
        Payer::Address(IpAddr::from([192, 0, 2, number]))
    }

    fn session(number: u16, payer: u8) -> KeptSession {
        let id = SessionId::from_random(u128::from(number).to_be_bytes());
        KeptSession { id, payer: address(payer), ended_us: u64::from(number), payer_max_bytes: u64::MAX }
    }

    #[test]
    fn the_largest_and_the_most_are_found() {
        let mut kept = KeptSessions::default();
        let sessions = [(1, 1, 10), (2, 2, 100), (3, 1, 10), (4, 3, 50), (5, 3, 60), (6, 1, 10)];
        for (number, payer, bytes) in sessions {
            kept.add(session(number, payer), bytes, true);
        }
        assert_eq!(kept.oldest_of_largest(), Some(session(4, 3).id), "110 bytes are the most");
        assert_eq!(kept.oldest_of_most(), Some(session(1, 1).id));
        kept.remove(session(4, 3));
        assert_eq!(kept.oldest_of_largest(), Some(session(2, 2).id));
        kept.add(session(2, 2), 1, false); // trimmed
        assert_eq!(kept.oldest_of_largest(), Some(session(5, 3).id));
        assert_eq!((kept.ended_before(2), kept.ended_before(1)), (Some(session(1, 1).id), None));
        kept.remove(session(1, 1));
        assert_eq!(kept.with_output_before(9), Some(session(3, 1).id));
        assert_eq!(kept.ended_before(9), Some(session(2, 2).id));
    }

    #[test]
    fn payers_over_their_quotas_lose_their_own_oldest() {
        let mut kept = KeptSessions::default();
        let within =
            |number, payer, payer_max_bytes| KeptSession { payer_max_bytes, ..session(number, payer) };
        kept.add(within(1, 2, u64::MAX), 1000, true);
        kept.add(within(2, 1, 100), 60, true);
        assert_eq!(kept.oldest_over_quota(9), None);
        kept.add(within(3, 1, 100), 60, true);
        assert_eq!(kept.oldest_over_quota(9), Some(session(2, 1).id));
        kept.remove(session(2, 1));
        assert_eq!(kept.oldest_over_quota(9), None);
        kept.add(within(4, 1, u64::MAX), 500, true);
        assert_eq!(kept.oldest_over_quota(9), None, "the latest role counts");
        kept.add(within(5, 1, 10), 500, true);
        assert_eq!(kept.oldest_over_quota(9), Some(session(3, 1).id));
        assert_eq!(kept.oldest_over_quota(3), None, "it has not ended before");
        kept.add(within(2, 3, 1), 2, true);
        assert_eq!(kept.oldest_over_quota(3), Some(session(2, 3).id), "another payer");
        kept.remove(session(2, 3));
        for number in [3, 4, 5] {
            kept.remove(session(number, 1));
        }
        assert!(!kept.is_over_quota());
    }

    proptest! {
        #[test]
        fn the_sums_are_those_of_the_sessions(
            steps in prop::collection::vec((any::<bool>(), 0..20u16, 0..100u64), 1..80)
        ) {
            let mut kept = KeptSessions::default();
            let mut model: BTreeMap<u16, u64> = BTreeMap::new();
            // The payer of a session never changes.
            let payer_of = |number: u16| (number % 3) as u8;
            for (is_added, number, bytes) in steps {
                if is_added {
                    kept.add(session(number, payer_of(number)), bytes, true);
                    model.insert(number, bytes);
                } else {
                    kept.remove(session(number, payer_of(number)));
                    model.remove(&number);
                }
                prop_assert_eq!(kept.total_bytes(), model.values().sum::<u64>());
                let bytes_of = |payer| {
                    model.iter().filter(|(number, _)| payer_of(**number) == payer).map(|(_, bytes)| bytes).sum::<u64>()
                };
                let largest = (0..3).map(bytes_of).max().unwrap_or(0);
                let found = kept.by_bytes.last().map_or(0, |(bytes, _)| *bytes);
                prop_assert_eq!(found, largest);
                prop_assert_eq!(kept.oldest_of_most().is_none(), model.is_empty());
            }
        }
    }
}
