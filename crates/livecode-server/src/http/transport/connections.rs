//! How many connections are open, and for whom each of them counts.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    auth::{Caller, Payer, Portion, PortionLimits, PortionPool},
    config::{Config, TrustedProxy},
};

/// How many closed connections may linger at once; further ones are reset.
const MAX_LINGERING: u64 = 256;

/// The connections of a server.
pub(crate) struct Connections {
    /// One permit for each connection. The listener accepts no connection while there is none.
    permits: Arc<Semaphore>,
    max: u32,
    open: Arc<PortionPool>,
    lingering: Arc<PortionPool>,
    /// Whether a caller can be the local user.
    has_local_user: bool,
    trusted_proxies: Vec<TrustedProxy>,
}

/// A connection's right to be open, and the payer for whom it counts. Clones are the same.
#[derive(Clone)]
pub(crate) struct ConnectionPermit(Arc<PermitState>);

struct PermitState {
    portion: Mutex<Portion>,
    /// Whether a request has shown for which payer the connection counts.
    is_charged: AtomicBool,
    lingering: Arc<PortionPool>,
    /// Given back after `portion`, because the server stops when all permits are back.
    _permit: OwnedSemaphorePermit,
}

impl Connections {
    pub fn new(config: &Config, has_local_user: bool) -> Self {
        let max = u32::try_from(config.connections_max).unwrap_or(u32::MAX);
        let limits = |total, per_address| PortionLimits::new(total, per_address, has_local_user);
        Self {
            permits: Arc::new(Semaphore::new(max as usize)),
            max,
            open: PortionPool::new(limits(u64::from(max), config.connections_per_address_max)),
            lingering: PortionPool::new(limits(MAX_LINGERING, MAX_LINGERING)),
            has_local_user,
            trusted_proxies: config.trusted_proxies.clone(),
        }
    }

    /// Waits until another connection may be open.
    pub async fn acquire(&self) -> Option<OwnedSemaphorePermit> {
        self.permits.clone().acquire_owned().await.ok()
    }

    /// Waits until all connections are closed.
    pub async fn all_closed(&self) {
        let _ = self.permits.acquire_many(self.max).await;
    }

    /// Lets a connection of `peer` (`None` for a unix socket) be open; `None` if its address has as
    /// many as it may.
    ///
    /// The payer of a connection shows only when a request comes ([`ConnectionPermit::charge`]).
    /// Until then it counts for the address of the other end. A trusted proxy has the connections
    /// of many clients, so it counts for nobody in particular, as the local user does. The local
    /// user's own address may have connections that it could not have as a guest.
    pub fn admit(&self, peer: Option<IpAddr>, permit: OwnedSemaphorePermit) -> Option<ConnectionPermit> {
        let peer = peer.map(|peer| peer.to_canonical());
        let is_own_address =
            peer.is_none_or(|peer| peer == Ipv4Addr::LOCALHOST || peer == Ipv6Addr::LOCALHOST);
        let portion = if self.trusted_proxies.iter().any(|proxy| proxy.is_at(peer)) {
            self.open.try_take(Payer::Local)
        } else {
            let as_guest = self.open.try_take(Payer::of(&Caller::Guest(None), peer));
            let as_local = || self.open.try_take(Payer::Local);
            as_guest.or_else(|| (self.has_local_user && is_own_address).then(as_local).flatten())
        };
        let (portion, lingering) = (Mutex::new(portion?), self.lingering.clone());
        let is_charged = AtomicBool::new(false);
        Some(ConnectionPermit(Arc::new(PermitState { portion, is_charged, lingering, _permit: permit })))
    }

    /// The right of a refused connection of `peer` to linger.
    pub fn linger(&self, peer: Option<IpAddr>) -> Option<Portion> {
        self.lingering.try_take(Payer::of(&Caller::Guest(None), peer))
    }
}

impl ConnectionPermit {
    /// Lets the connection count for the payer of the request that has come on it. Returns `false`
    /// if that payer has as many connections as it may.
    pub fn charge(&self, payer: Payer) -> bool {
        self.0.is_charged.store(true, Ordering::Relaxed);
        self.portion().transfer(payer)
    }

    /// Whether a request has shown for which payer the connection counts.
    pub fn is_charged(&self) -> bool {
        self.0.is_charged.load(Ordering::Relaxed)
    }

    /// The payer for whom the connection counts at present.
    pub fn payer(&self) -> Payer {
        self.portion().payer()
    }

    /// The right to linger after the connection is closed; `None` if its payer has too many
    /// connections that linger.
    pub fn linger(&self) -> Option<Portion> {
        self.0.lingering.try_take(self.payer())
    }

    fn portion(&self) -> MutexGuard<'_, Portion> {
        self.0.portion.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A permit for tests that need one.
    pub(crate) fn permit() -> ConnectionPermit {
        let connections = Connections::new(&Config::default(), true);
        let permit = connections.permits.clone().try_acquire_owned().unwrap();
        connections.admit(Some(Ipv4Addr::LOCALHOST.into()), permit).unwrap()
    }

    #[test]
    fn guests_on_the_local_users_address_leave_it_some() {
        let proxy = IpAddr::from([192, 0, 2, 1]);
        let config = Config {
            connections_max: 8,
            trusted_proxies: vec![TrustedProxy::Address(proxy)],
            ..Config::default()
        };
        let connections = Connections::new(&config, true);
        let open = |peer: IpAddr| {
            connections.admit(Some(peer), connections.permits.clone().try_acquire_owned().ok()?)
        };
        let (own, other) = (IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from([127, 0, 0, 2]));
        let of_own = Payer::of(&Caller::Guest(None), Some(own));
        let guests: Vec<_> = (0..4).map(|_| open(own).unwrap()).collect();
        assert!(guests.iter().all(|guest| guest.charge(of_own)));
        let unknown = open(own).unwrap();
        assert!(!unknown.charge(of_own), "half of all is taken");
        assert!(unknown.charge(Payer::Local));
        let others = [open(other), open(other)];
        assert_eq!(others.map(|other| other.is_some()), [true, true]);
        let of_proxy = open(proxy).unwrap();
        assert!(of_proxy.charge(Payer::of(&Caller::Guest(None), Some(other))));
    }
}
