//! The state that every request handler can reach.

use std::{os::fd::AsFd, sync::Arc, time::Duration};

use livecode_store::ControlStore;
use tokio::{sync::watch, time::Instant};

use crate::http::parse_permits::ParsePermits;
use crate::{
    audit::Audit,
    auth::{Credentials, Guesses, Peer, PeerAddress, PeerUsers, Policy, is_loopback, is_own_unix_peer},
    catalogue::CurrentCatalogue,
    checks::RuntimeChecks,
    config::Config,
    held_bytes::ByteBudget,
    lifecycle::Registry,
    metrics::Metrics,
    runner::{reload::CatalogueReloader, spawner::SpawnerClient},
    serving_time::ServingTime,
    sessions::SessionProgress,
};

/// How long a reader of an ended session may go on reading after the server was asked to stop.
/// Reconnecting for the little that is left would cost more.
const FINAL_READ_TIMEOUT: Duration = Duration::from_secs(2);

/// The state that every request handler can reach. Clones share it.
#[derive(Clone)]
pub struct App {
    pub(crate) registry: Arc<Registry>,
    pub(crate) catalogue: CurrentCatalogue,
    pub(crate) reloader: Arc<CatalogueReloader>,
    pub(crate) checks: Arc<RuntimeChecks>,
    pub(crate) config: Arc<Config>,
    pub(crate) policy: Arc<Policy>,
    /// `None` if nobody needs to know the users of connections.
    pub(crate) peer_users: Option<Arc<PeerUsers>>,
    pub(crate) audit: Arc<Audit>,
    pub(crate) credentials: Arc<Credentials>,
    /// `None` if nothing is kept in it.
    pub(crate) control_store: Option<ControlStore>,
    pub(crate) guesses: Arc<Guesses>,
    pub(crate) default_spawner: Arc<SpawnerClient>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) held_bytes: Arc<ByteBudget>,
    pub(crate) serving_time: Arc<ServingTime>,
    pub(crate) parse_permits: ParsePermits,
    /// When the server was asked to stop; `None` while it serves.
    pub(crate) stopping: watch::Receiver<Option<Instant>>,
}

impl App {
    /// The other end of a connection that was accepted from `address`.
    pub(crate) fn peer(&self, stream: &impl AsFd, address: PeerAddress) -> Peer {
        let is_own_user = match (address, &self.peer_users) {
            (PeerAddress::UnixSocket | PeerAddress::AdminSocket, _) => is_own_unix_peer(stream),
            (PeerAddress::Tcp(address), Some(users)) => is_loopback(address.ip()) && users.is_own(stream),
            (PeerAddress::Tcp(_), None) => false,
        };
        Peer { address, is_own_user }
    }

    /// Waits until the server is asked to stop.
    pub(crate) async fn stopped(&self) {
        // An error means that the sender was dropped, which also happens only at the end.
        let _ = self.stopping.clone().wait_for(Option::is_some).await;
    }

    /// Waits until a reader of a session must be disconnected because the server stops. A reader
    /// of a session that has ended gets [`FINAL_READ_TIMEOUT`] more.
    pub(crate) async fn stopped_for_reader(&self, progress: watch::Receiver<SessionProgress>) {
        self.stopped().await;
        let stopping = *self.stopping.borrow();
        if progress.borrow().ended.is_some() {
            tokio::time::sleep_until(stopping.unwrap_or_else(Instant::now) + FINAL_READ_TIMEOUT).await;
        }
    }
}
