//! Strangers who send nothing. They show how much of a row's times comes from the machine.

use std::sync::Arc;

use crate::attacker::Attacker;

/// Does nothing.
pub async fn wait(_: Arc<Attacker>) {
    std::future::pending().await
}

/// Computes without end, within the half core that attackers have.
pub async fn compute(attacker: Arc<Attacker>) {
    loop {
        for _ in 0..100_000 {
            std::hint::black_box(attacker.random(0..u64::MAX));
        }
        tokio::task::yield_now().await;
    }
}
