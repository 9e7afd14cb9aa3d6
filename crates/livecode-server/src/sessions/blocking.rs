//! Work that may block on a disk or on another process.

use std::io;

/// Runs `work` on a thread for blocking work, away from the threads that serve.
///
/// # Errors
/// If `work` panics. The panic becomes an error so that it does not end the task that drives a
/// session and has to finalize it.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}

/// Whether `error` comes from [`blocking`] work that panicked. Retrying such work forever does not
/// help.
pub(crate) fn is_panic(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<tokio::task::JoinError>())
}
