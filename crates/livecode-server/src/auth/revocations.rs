//! Tells connections that the credential by which they were opened is not valid any more.

use std::time::Duration;

use livecode_protocol::now_us;
use tokio::sync::broadcast::{self, error::RecvError};

/// How many revocations a connection may not have noticed yet. A connection that has missed some
/// looks its credential up again.
const QUEUE: usize = 64;
/// The time after which a look-up is repeated that has failed.
const RETRY: Duration = Duration::from_secs(1);

/// The ids of credentials of one kind that were revoked a moment ago.
#[derive(Clone, Debug)]
pub(super) struct Revocations(broadcast::Sender<String>);

impl Revocations {
    pub fn new() -> Self {
        Self(broadcast::channel(QUEUE).0)
    }

    /// Lets the connections look their credential up again that were opened by the one with this
    /// id.
    pub fn tell(&self, id: String) {
        // An error means that no connection listens.
        let _ = self.0.send(id);
    }

    /// Waits until the credential with this id is not valid any more: at `expires_us`, in
    /// microseconds since the epoch, or when `is_valid` denies it. `is_valid` is asked now, since
    /// the credential may have been revoked a moment ago, and after each revocation.
    pub async fn ended<E, F: Future<Output = Result<bool, E>>>(
        &self,
        id: &str,
        expires_us: Option<u64>,
        is_valid: impl Fn() -> F,
    ) {
        let expiry = async {
            match expires_us {
                Some(expires_us) => {
                    let left_us = expires_us.saturating_sub(now_us());
                    tokio::time::sleep(Duration::from_micros(left_us)).await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = expiry => {}
            () = self.denied(id, is_valid) => {}
        }
    }

    async fn denied<E, F: Future<Output = Result<bool, E>>>(&self, id: &str, is_valid: impl Fn() -> F) {
        let mut revocations = self.0.subscribe();
        loop {
            match is_valid().await {
                Ok(false) => return,
                Ok(true) => {}
                Err(_) => {
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
            }
            loop {
                match revocations.recv().await {
                    Ok(revoked) if revoked != id => {}
                    Ok(_) | Err(RecvError::Lagged(_)) => break,
                    Err(RecvError::Closed) => std::future::pending().await,
                }
            }
        }
    }
}
