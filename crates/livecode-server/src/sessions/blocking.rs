//! Work that may block on a disk or on another process.

use std::{io, time::Duration};

use tokio::task::JoinHandle;

use crate::serving_time;

/// How long a thread for blocking work stays without work. The runtime that serves must be built
/// with this time.
pub const BLOCKING_THREAD_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a thread for blocking work is used. It is much shorter than the time after which an
/// idle thread ends, so that one is always there.
const KEEP_THREAD_INTERVAL: Duration = Duration::from_secs(2);

/// Keeps one thread for blocking work alive. While there is one, work is queued if the machine has
/// no room for another thread; with none, the runtime would panic. Returns once there is a thread,
/// with the task that keeps it.
pub(crate) async fn keep_thread() -> JoinHandle<()> {
    let _ = blocking(|| {}).await;
    tokio::spawn(async {
        let mut interval = tokio::time::interval(KEEP_THREAD_INTERVAL);
        loop {
            interval.tick().await;
            let _ = blocking(|| {}).await;
        }
    })
}

/// Runs `work` on a thread for blocking work, away from the threads that serve. Its time is charged
/// to the payer whose connection asked for it.
///
/// # Errors
/// If `work` panics. The panic becomes an error so that it does not end the task that drives a
/// session and has to finalize it.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(serving_time::charged(work)).await.map_err(io::Error::other)
}

/// Whether `error` comes from [`blocking`] work that panicked. Retrying such work forever does not
/// help.
pub(crate) fn is_panic(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<tokio::task::JoinError>())
}
