//! Places in a journal without an index that earlier skips have seen.

use std::sync::{Mutex, MutexGuard, PoisonError};

use livecode_journal::{INDEX_INTERVAL_BYTES, IndexPoint};

/// The places of one journal, at least [`INDEX_INTERVAL_BYTES`] apart, in their order. There are
/// none for a journal that has an index, as all journals but those of older builds have.
#[derive(Default)]
pub(crate) struct SeenPoints(Mutex<Vec<IndexPoint>>);

impl SeenPoints {
    fn points(&self) -> MutexGuard<'_, Vec<IndexPoint>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a place, unless there is one nearby.
    pub fn note(&self, point: IndexPoint) {
        let mut points = self.points();
        let at = points.partition_point(|known| known.offset <= point.offset);
        let before = at.checked_sub(1).map(|before| points[before].offset);
        let is_near = |offset: Option<u64>| {
            offset.is_some_and(|offset| offset.abs_diff(point.offset) < INDEX_INTERVAL_BYTES)
        };
        if !is_near(before) && !is_near(points.get(at).map(|after| after.offset)) {
            points.insert(at, point);
        }
    }

    /// The last place whose number is not greater than `seq`.
    pub fn last_before(&self, seq: u64) -> Option<IndexPoint> {
        let points = self.points();
        points[..points.partition_point(|point| point.seq <= seq)].last().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_kept_in_order_and_apart() {
        let seen = SeenPoints::default();
        let point = |number: u64| IndexPoint { seq: number, offset: number * INDEX_INTERVAL_BYTES / 2 };
        for number in [10, 4, 11, 9, 3, 5, 6, 4, 20] {
            seen.note(point(number));
        }
        assert_eq!(*seen.points(), [4, 6, 10, 20].map(point));
        assert_eq!(seen.last_before(3), None);
        assert_eq!(seen.last_before(4), Some(point(4)));
        assert_eq!(seen.last_before(19), Some(point(10)));
    }
}
