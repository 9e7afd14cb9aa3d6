//! Shares: links by which the owner of a session lets others watch or join it. Whoever has the
//! secret of a link redeems it for a ticket, and is then a [`ShareHolder`].
//!
//! Shares are in the control store alone, and are looked up there whenever a link is redeemed or a
//! stream is opened. This file alone makes, redeems and revokes them.

use std::time::{Duration, Instant};

use livecode_protocol::{SessionId, now_us, share::ShareRights};
use livecode_store::{ControlStore, ControlStoreError, NewShare, Share, ShareKey, ShareSecret};

use super::{
    Payer,
    bucket::{PayerBuckets, Rate},
    revocations::Revocations,
    users::Refusal,
};

/// How often shares are forgotten that have ended, or whose sessions are gone.
const FORGET_INTERVAL: Duration = Duration::from_secs(600);

/// A caller that has a ticket of a share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareHolder {
    /// The share's id.
    pub share: String,
    /// The session that it opens.
    pub session: SessionId,
    /// The rights that it gives.
    pub rights: ShareRights,
    /// When it expires, in microseconds since the epoch.
    pub expires_us: u64,
}

/// Why a share could not be made, listed or revoked.
#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    /// The session has as many shares as it may have.
    #[error("the session has {0} shares, as many as one may have; revoke one first")]
    TooMany(u64),
    /// The payer has made too many lately.
    #[error("you or your address made too many shares lately; wait {retry_after_s} s")]
    TooManyCreations {
        /// How long it takes until one more is allowed, in seconds.
        retry_after_s: u64,
    },
    /// The session has no such share.
    #[error("the session has no such share; it may have been revoked, or have expired")]
    NoSuchShare,
    /// The server for guests runs without a control store.
    #[error("this server could not open its control store when it started, so it has no shares")]
    NoStore,
    /// The control store fails.
    #[error(transparent)]
    ControlStore(#[from] ControlStoreError),
}

/// The shares of all sessions.
#[derive(Debug)]
pub struct Shares {
    /// `None` if a server for guests could not open it.
    store: Option<ControlStore>,
    per_session_max: u64,
    /// Each share is written to the disk, so each payer may make so many.
    creations_per_min: u64,
    creations: PayerBuckets,
    revocations: Revocations,
}

impl Shares {
    /// The shares of a control store. A session may have `per_session_max` of them at once, and a
    /// payer may make `creations_per_min`.
    pub fn new(store: Option<ControlStore>, per_session_max: u64, creations_per_min: u64) -> Self {
        let creations = PayerBuckets::new(Rate::per_min(creations_per_min));
        Self { store, per_session_max, creations_per_min, creations, revocations: Revocations::new() }
    }

    fn check_rate(&self, payer: Payer) -> Result<(), ShareError> {
        match self.creations.try_take(payer, Instant::now()) {
            true => Ok(()),
            false => {
                Err(ShareError::TooManyCreations { retry_after_s: 60_u64.div_ceil(self.creations_per_min) })
            }
        }
    }

    fn store(&self) -> Result<&ControlStore, ShareError> {
        self.store.as_ref().ok_or(ShareError::NoStore)
    }

    /// Makes a share. Its secret can never be read again.
    ///
    /// # Errors
    /// If the session has too many, or the payer has made too many; if the control store
    /// fails.
    pub async fn create(&self, payer: Payer, new: &NewShare) -> Result<(Share, ShareSecret), ShareError> {
        self.check_rate(payer)?;
        let made = self.store()?.create_share(new, self.per_session_max, now_us()).await?;
        made.ok_or(ShareError::TooMany(self.per_session_max))
    }

    /// The valid shares of a session, the newest first.
    ///
    /// # Errors
    /// If the control store fails.
    pub async fn of_session(&self, session: SessionId) -> Result<Vec<Share>, ShareError> {
        Ok(self.store()?.shares_of(session, now_us()).await?)
    }

    /// Revokes a share of a session. It is not valid any more when this returns, and what it has
    /// opened is closed.
    ///
    /// # Errors
    /// If the session has no such share; if the control store fails.
    pub async fn revoke(&self, session: SessionId, id: String) -> Result<(), ShareError> {
        let (store, revocations) = (self.store()?.clone(), self.revocations.clone());
        // The task goes on if the caller leaves, so that no change is made of which nobody is told.
        let revoke = tokio::spawn(async move {
            let revoked = store.revoke_share(session, &id, now_us()).await;
            revocations.tell(id);
            revoked
        });
        match revoke.await {
            Ok(revoked) => revoked?.then_some(()).ok_or(ShareError::NoSuchShare),
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        }
    }

    /// The caller that has the secret of a share.
    ///
    /// # Errors
    /// If the control store fails.
    pub async fn redeem(&self, secret: &str) -> Result<Result<ShareHolder, Refusal>, ControlStoreError> {
        match secret.parse::<ShareSecret>() {
            Ok(secret) => self.holder(&secret.key()).await,
            Err(_) => Ok(Err(Refusal::NoShare)),
        }
    }

    /// The caller that has a ticket of the share with this id.
    ///
    /// # Errors
    /// If the control store fails.
    pub async fn find_by_id(&self, id: String) -> Result<Result<ShareHolder, Refusal>, ControlStoreError> {
        self.holder(&ShareKey::Id(id)).await
    }

    async fn holder(&self, key: &ShareKey) -> Result<Result<ShareHolder, Refusal>, ControlStoreError> {
        let share = match &self.store {
            Some(store) => store.share(key).await?,
            None => None,
        };
        Ok(match share {
            Some(share) if share.is_valid_at(now_us()) => Ok(ShareHolder {
                share: share.id,
                session: share.session,
                rights: share.rights,
                expires_us: share.expires_us,
            }),
            Some(share) => Err(Refusal::EndedShare(share.id)),
            None => Err(Refusal::UnknownShare),
        })
    }

    /// Waits until the share of `holder` is not valid any more.
    pub async fn ended(&self, holder: &ShareHolder) {
        let is_valid = || async { self.find_by_id(holder.share.clone()).await.map(|found| found.is_ok()) };
        self.revocations.ended(&holder.share, Some(holder.expires_us), is_valid).await;
    }

    /// Forgets all shares of a session that is gone.
    ///
    /// # Errors
    /// If the control store fails.
    pub async fn forget_of(&self, session: SessionId) -> Result<(), ShareError> {
        Ok(self.store()?.forget_shares_of(session).await?)
    }

    /// Forgets the shares that have expired, were revoked, or whose sessions are gone, at intervals.
    /// This never returns.
    pub async fn forget_at_intervals(&self, has_session: impl Fn(SessionId) -> bool) {
        loop {
            if let Err(error) = self.forget_where(|session| !has_session(session)).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "old shares are left");
            }
            tokio::time::sleep(FORGET_INTERVAL).await;
        }
    }

    async fn forget_where(&self, is_gone: impl Fn(SessionId) -> bool) -> Result<(), ControlStoreError> {
        let Some(store) = &self.store else { return Ok(()) };
        store.forget_ended_shares(now_us()).await?;
        for session in store.sessions_with_shares().await? {
            if is_gone(session) {
                store.forget_shares_of(session).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn shares_that_have_ended_or_whose_sessions_are_gone_are_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let store = ControlStore::open(folder.path()).await.unwrap();
        let shares = Shares::new(Some(store.clone()), 9, 60);
        let (kept, gone) = (SessionId::from_random([1; 16]), SessionId::from_random([2; 16]));
        let make = async |session, expires_us| {
            let (rights, maker) = (ShareRights::Watch, "local".to_owned());
            let new = NewShare { session, rights, maker, expires_us };
            shares.create(Payer::Local, &new).await.unwrap().0.id
        };
        make(kept, u64::MAX).await;
        make(gone, u64::MAX).await;
        let ended = [make(kept, u64::MAX).await, make(kept, now_us() + 1).await];
        shares.revoke(kept, ended[0].clone()).await.unwrap();
        shares.forget_where(|session| session == gone).await.unwrap();
        assert_eq!(shares.of_session(kept).await.unwrap().len(), 1);
        assert_eq!(shares.of_session(gone).await.unwrap(), []);
        for id in ended {
            assert_eq!(store.share(&ShareKey::Id(id)).await.unwrap(), None);
        }
    }

    #[tokio::test]
    async fn a_server_without_its_store_has_no_shares() {
        let shares = Shares::new(None, 9, 60);
        let session = SessionId::from_random([1; 16]);
        assert!(matches!(shares.of_session(session).await, Err(ShareError::NoStore)));
        let secret = format!("livecode_share_{}", "0".repeat(48));
        assert_eq!(shares.redeem(&secret).await.unwrap(), Err(Refusal::NoShare));
        assert_eq!(shares.find_by_id("1".to_owned()).await.unwrap(), Err(Refusal::UnknownShare));
    }
}
