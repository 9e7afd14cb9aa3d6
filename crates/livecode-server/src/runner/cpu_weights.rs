//! How payers share the processors: the weights of their sessions.
//!
//! Cgroups of sessions are flat, so a payer with forty sessions would get forty times the CPU time
//! of a payer with one. So the weight of a session is that of one payer, divided by the number of
//! the payer's running sessions. While a payer is alone, nothing changes.
//!
//! Supervisors deprioritise programs that compute for long, so that others go first. Among
//! deprioritised programs weights count for nothing (`cpu.idle`, sched(7)): a payer with one such
//! program would still get as little as each of somebody's forty. So a payer that has far fewer
//! sessions than another one keeps a small weight for its deprioritised programs.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use livecode_protocol::control::CpuWeight;
use tokio::sync::watch;

use crate::auth::Payer;

/// How many times as many sessions as a payer another one must have, so that the first keeps a
/// weight for deprioritised programs.
const FAR_MORE: u64 = 4;
/// The weight of all deprioritised programs of such a payer together, in thousandths of a payer's
/// weight. It is small, so that programs that have just started go first.
const DEPRIORITIZED_PERMILLE: u64 = 32;

/// The weights of all payers' sessions.
#[derive(Debug)]
pub(crate) struct CpuWeights {
    payers: Mutex<HashMap<Payer, Running>>,
    /// The size of the payer with the most sessions.
    largest: watch::Sender<u64>,
}

/// The running sessions of one payer.
#[derive(Debug)]
struct Running {
    sessions: u64,
    /// Their number, rounded up to a power of two, so that not every start and end tells all
    /// supervisors. It is 1 until another payer has come.
    size: watch::Sender<u64>,
}

/// A running session, which has a weight. Dropping it leaves the others more.
#[derive(Debug)]
pub(crate) struct WeighedSession {
    weights: Arc<CpuWeights>,
    payer: Payer,
    size: watch::Receiver<u64>,
    largest: watch::Receiver<u64>,
}

impl CpuWeights {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { payers: Mutex::default(), largest: watch::Sender::new(1) })
    }

    /// Notes that a session of `payer` runs.
    pub fn add(self: &Arc<Self>, payer: Payer) -> WeighedSession {
        let mut payers = self.payers();
        let running =
            payers.entry(payer).or_insert_with(|| Running { sessions: 0, size: watch::Sender::new(1) });
        running.sessions += 1;
        let size = running.size.subscribe();
        self.publish(&payers);
        drop(payers);
        WeighedSession { weights: self.clone(), payer, size, largest: self.largest.subscribe() }
    }

    fn remove(&self, payer: Payer) {
        let mut payers = self.payers();
        if let Some(running) = payers.get_mut(&payer) {
            running.sessions -= 1;
            if running.sessions == 0 {
                payers.remove(&payer);
            }
        }
        self.publish(&payers);
    }

    /// Tells the sessions whose weight has changed.
    fn publish(&self, payers: &HashMap<Payer, Running>) {
        let is_alone = payers.len() == 1;
        let mut largest = 1;
        for running in payers.values() {
            let mut size = *running.size.borrow();
            // While a payer is alone, its weights do not matter. They are not set back then: a
            // payer that comes and goes would change them each time.
            if !is_alone && (running.sessions > size || running.sessions <= size / 4) {
                size = running.sessions.next_power_of_two();
            }
            running.size.send_if_modified(|old| std::mem::replace(old, size) != size);
            largest = largest.max(size);
        }
        self.largest.send_if_modified(|old| std::mem::replace(old, largest) != largest);
    }

    fn payers(&self) -> MutexGuard<'_, HashMap<Payer, Running>> {
        self.payers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WeighedSession {
    /// The weight of the session.
    pub fn weight(&mut self) -> CpuWeight {
        let (size, largest) = (*self.size.borrow_and_update(), *self.largest.borrow_and_update());
        let permille = |all: u64| u32::try_from(all / size).unwrap_or(1).max(1);
        CpuWeight {
            permille: permille(1000),
            deprioritized_permille: (largest >= size * FAR_MORE).then(|| permille(DEPRIORITIZED_PERMILLE)),
        }
    }

    /// Waits until the weight may have changed since [`Self::weight`] was called.
    pub async fn changed(&mut self) {
        // The senders exist as long as this session counts.
        tokio::select! {
            _ = self.size.changed() => {}
            _ = self.largest.changed() => {}
        }
    }
}

impl Drop for WeighedSession {
    fn drop(&mut self) {
        self.weights.remove(self.payer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u8) -> Payer {
        Payer::Address([192, 0, 2, number].into())
    }

    fn weight(permille: u32, deprioritized_permille: Option<u32>) -> CpuWeight {
        CpuWeight { permille, deprioritized_permille }
    }

    #[test]
    fn the_sessions_of_a_payer_share_its_weight() {
        let weights = CpuWeights::new();
        let mut many: Vec<_> = (0..40).map(|_| weights.add(address(1))).collect();
        assert_eq!(many[0].weight(), CpuWeight::default(), "alone");
        let mut one = weights.add(address(2));
        assert_eq!(one.weight(), weight(1000, Some(32)));
        assert_eq!(many[0].weight(), weight(15, None));
        many.truncate(17);
        assert_eq!(many[0].weight(), weight(15, None), "a little less changes nothing");
        many.truncate(3);
        assert_eq!(many[0].weight(), weight(250, None));
        assert_eq!(one.weight(), weight(1000, Some(32)));
        many.truncate(1);
        assert_eq!(many[0].weight(), CpuWeight::default());
        assert_eq!(one.weight(), CpuWeight::default());
        many.extend((0..7).map(|_| weights.add(address(1))));
        assert_eq!(many[0].weight(), weight(125, None));
        drop(one);
        assert_eq!(many[0].weight(), weight(125, None), "a payer that is alone keeps its weights");
        drop(many);
        assert!(weights.payers().is_empty());
    }

    #[tokio::test]
    async fn a_change_is_told() {
        let weights = CpuWeights::new();
        let mut one = weights.add(address(1));
        one.weight();
        let others: Vec<_> = (0..4).map(|_| weights.add(address(2))).collect();
        one.changed().await;
        assert_eq!(one.weight(), weight(1000, Some(32)));
        drop(others);
        one.changed().await;
        assert_eq!(one.weight(), CpuWeight::default());
    }
}
