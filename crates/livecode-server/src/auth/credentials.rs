//! The credentials by which the server knows callers: tokens and JWTs of users, secrets of shares,
//! and the tickets that stand for one of these in the URL of a stream.

use std::net::IpAddr;

use livecode_protocol::{SessionId, now_us};
use livecode_store::{ControlStore, ControlStoreError, TICKET_KEY_BYTES};

use super::{
    Caller,
    shares::Shares,
    tickets::{Ticket, TicketHolder, TicketSigner},
    users::{Refusal, RefusalLog, Users, UsersError},
};
use crate::config::Config;

/// All credentials that the server accepts.
#[derive(Debug)]
pub struct Credentials {
    /// The users that the server knows; `None` if it asks nobody who it is.
    users: Option<Users>,
    shares: Shares,
    signer: TicketSigner,
    refusals: RefusalLog,
}

impl Credentials {
    /// The credentials of a server with these settings. A server that takes guests can do without
    /// a control store: its tickets are then not valid after its end.
    ///
    /// # Errors
    /// If the control store fails on a server that knows its users, or a key of JWTs cannot be
    /// read.
    pub async fn open(config: &Config, store: Option<ControlStore>) -> Result<Self, UsersError> {
        let key = match &store {
            Some(store) => store.ticket_key().await.map_err(UsersError::from),
            None => random_key(),
        };
        let shares = Shares::new(store.clone(), config.shares_per_session_max);
        let (key, users) = match store {
            Some(store) if config.auth.knows_users() => (key?, Some(Users::open(config, store).await?)),
            _ => (key.or_else(|error| without_store(&error))?, None),
        };
        Ok(Self { users, shares, signer: TicketSigner::new(key), refusals: RefusalLog::new() })
    }

    /// The users that the server knows; `None` if it asks nobody who it is.
    pub fn users(&self) -> Option<&Users> {
        self.users.as_ref()
    }

    /// The links by which sessions are shared.
    pub fn shares(&self) -> &Shares {
        &self.shares
    }

    /// The caller for whom a ticket was made that opens the stream of `session`, or `/livecode` if
    /// that is `None`.
    ///
    /// # Errors
    /// If the control store fails.
    pub async fn find_by_ticket(
        &self,
        text: &str,
        session: Option<SessionId>,
    ) -> Result<Result<Caller, Refusal>, ControlStoreError> {
        let ticket = self.signer.check(text, now_us()).filter(|ticket| ticket.session == session);
        let Some(Ticket { holder, .. }) = ticket else { return Ok(Err(Refusal::WrongTicket)) };
        match (holder, &self.users) {
            (TicketHolder::User(credential), Some(users)) => {
                Ok(users.find_by_credential(credential).await?.map(Caller::User))
            }
            (TicketHolder::User(_), None) => Ok(Err(Refusal::OtherWay)),
            (TicketHolder::Share { share }, _) => Ok(self.shares.find_by_id(share).await?.map(Caller::Share)),
        }
    }

    /// A ticket for `caller` that opens the stream of `session`, or `/livecode` if that is `None`,
    /// and when it expires: at `expires_us`, or with the caller's credential if that is earlier.
    /// `None` if the caller needs no ticket.
    pub fn ticket(
        &self,
        caller: &Caller,
        session: Option<SessionId>,
        expires_us: u64,
    ) -> Option<(String, u64)> {
        let (holder, until_us) = match caller {
            Caller::User(user) => (TicketHolder::User(user.credential.clone()), user.expires_us),
            Caller::Share(holder) => {
                (TicketHolder::Share { share: holder.share.clone() }, Some(holder.expires_us))
            }
            Caller::Local | Caller::Guest(_) | Caller::Nobody => return None,
        };
        let expires_us = until_us.unwrap_or(u64::MAX).min(expires_us);
        Some((self.signer.sign(&Ticket { session, holder, expires_us }), expires_us))
    }

    /// Waits until the credential by which the caller is known is not valid any more; for ever if
    /// it is known by none.
    pub async fn ended(&self, caller: &Caller) {
        match (&self.users, caller) {
            (Some(users), Caller::User(user)) => users.ended(user).await,
            (_, Caller::Share(holder)) => self.shares.ended(holder).await,
            _ => std::future::pending().await,
        }
    }

    /// Logs why a credential that came from `client` was refused.
    pub fn log(&self, refusal: &Refusal, client: Option<IpAddr>) {
        self.refusals.log(refusal, client);
    }
}

/// A key of tickets for one run of the server.
fn random_key() -> Result<[u8; TICKET_KEY_BYTES], UsersError> {
    let mut key = [0; TICKET_KEY_BYTES];
    getrandom::fill(&mut key).map_err(ControlStoreError::Random)?;
    Ok(key)
}

/// The key of a server for guests whose control store has none to give. It goes on without.
fn without_store(error: &UsersError) -> Result<[u8; TICKET_KEY_BYTES], UsersError> {
    tracing::error!(
        error = error as &dyn std::error::Error,
        "the control store has no key of tickets, so tickets end with this server"
    );
    random_key()
}
