//! How many files of one payer's sessions are written and removed at once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::auth::Payer;

/// How many creations and deletions of one payer use the disk at once. The threads for blocking
/// work are many more, so somebody who creates and deletes without end leaves threads for the
/// others.
const MAX_AT_ONCE: usize = 8;

/// The creations and deletions that use the disk, by payer. Those of one payer have their turns in
/// the order in which they came.
#[derive(Default)]
pub(super) struct DiskTurns(Mutex<HashMap<Payer, Arc<Semaphore>>>);

/// A right to use the disk. Dropping it gives it back.
pub(super) struct DiskTurn<'t> {
    turns: &'t DiskTurns,
    payer: Payer,
    /// `None` only while this is dropped.
    permit: Option<OwnedSemaphorePermit>,
}

impl DiskTurns {
    /// Waits until work for `payer` may use the disk.
    pub async fn acquire(&self, payer: Payer) -> DiskTurn<'_> {
        let semaphore = {
            let mut payers = self.payers();
            payers.entry(payer).or_insert_with(|| Arc::new(Semaphore::new(MAX_AT_ONCE))).clone()
        };
        // The semaphore is never closed.
        let permit = semaphore.acquire_owned().await.ok();
        DiskTurn { turns: self, payer, permit }
    }

    fn payers(&self) -> MutexGuard<'_, HashMap<Payer, Arc<Semaphore>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for DiskTurn<'_> {
    fn drop(&mut self) {
        self.permit = None;
        let mut payers = self.turns.payers();
        // Each permit and each wait holds the semaphore. New ones begin only under the lock.
        if payers.get(&self.payer).is_some_and(|semaphore| Arc::strong_count(semaphore) == 1) {
            payers.remove(&self.payer);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn one_payer_does_not_delay_another() {
        let turns = DiskTurns::default();
        let address = |number: u8| Payer::Address([192, 0, 2, number].into());
        let mut held = vec![];
        for _ in 0..MAX_AT_ONCE {
            held.push(turns.acquire(address(1)).await);
        }
        let mut waiting = Box::pin(turns.acquire(address(1)));
        assert!(waiting.as_mut().now_or_never().is_none());
        held.push(turns.acquire(address(2)).await);
        held.remove(0);
        held.push(waiting.await);
        drop(held);
        assert!(turns.payers().is_empty());
    }
}
