//! The credentials by which the server knows callers: tokens and JWTs of users, secrets of shares,
//! and the tickets that stand for one of these in the URL of a stream.

use std::{net::IpAddr, time::Duration};

use livecode_protocol::{SessionId, now_us};
use livecode_store::{ControlStore, ControlStoreError, SIGNING_KEY_BYTES};

use super::{
    Caller, FramePasses, Guest, GuestCookies,
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
    /// `None` if the server has no key for them that it would have after a restart.
    guest_cookies: Option<GuestCookies>,
    frame_passes: FramePasses,
    refusals: RefusalLog,
}

impl Credentials {
    /// The credentials of a server with these settings. A server that takes guests can do without
    /// a control store: its tickets are then not valid after its end, and it sets no cookies, so
    /// that browsers keep those that they have.
    ///
    /// # Errors
    /// If the control store fails on a server that knows its users, or a key of JWTs cannot be
    /// read.
    pub async fn open(config: &Config, store: Option<ControlStore>) -> Result<Self, UsersError> {
        let keys = match &store {
            Some(store) => Keys::of_store(store).await,
            None => Keys::random(),
        };
        let shares =
            Shares::new(store.clone(), config.shares_per_session_max, config.share_creations_per_min);
        let (keys, users) = match store {
            Some(store) if config.auth.knows_users() => (keys?, Some(Users::open(config, store).await?)),
            _ => (keys.or_else(|error| Keys::without_store(&error))?, None),
        };
        let (signer, guest_cookies) =
            (TicketSigner::new(keys.tickets), keys.guest_cookies.map(GuestCookies::new));
        let lifetime = Duration::from_millis(config.frame_pass_lifetime_ms);
        let frame_passes = FramePasses::new(keys.tickets, lifetime);
        Ok(Self { users, shares, signer, guest_cookies, frame_passes, refusals: RefusalLog::new() })
    }

    /// The cookies by which the browsers of guests are known; `None` if this server makes none, and
    /// knows none.
    pub fn guest_cookies(&self) -> Option<&GuestCookies> {
        self.guest_cookies.as_ref()
    }

    /// The passes by which pages of `/embed` are known.
    pub fn frame_passes(&self) -> &FramePasses {
        &self.frame_passes
    }

    /// Whether a text is a ticket by which a guest opens the stream of `session`.
    pub fn has_guest_ticket(&self, text: &str, session: SessionId) -> bool {
        self.signer.check(text, now_us()).is_some_and(|ticket| {
            ticket.session == Some(session) && matches!(ticket.holder, TicketHolder::Guest { .. })
        })
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
            (TicketHolder::Guest { guest }, None) => Ok(Ok(Caller::Guest(Some(Guest::of_digest(guest))))),
            (TicketHolder::User(_), None) | (TicketHolder::Guest { .. }, Some(_)) => {
                Ok(Err(Refusal::OtherWay))
            }
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
            // A browser sends the cookie with a websocket, too.
            Caller::Guest(Some(guest)) if !guest.is_of_cookie() => {
                (TicketHolder::Guest { guest: guest.digest().to_owned() }, None)
            }
            Caller::Local | Caller::Guest(_) | Caller::Nobody => return None,
        };
        let expires_us = until_us.unwrap_or(u64::MAX).min(expires_us);
        Some((self.signer.sign(&Ticket { session, holder, expires_us }), expires_us))
    }

    /// Whether the credential by which the caller is known is still valid; `true` if it is known by
    /// none.
    ///
    /// # Errors
    /// If the control store fails.
    pub async fn holds(&self, caller: &Caller) -> Result<bool, ControlStoreError> {
        Ok(match (&self.users, caller) {
            (Some(users), Caller::User(user)) => {
                users.find_by_credential(user.credential.clone()).await?.is_ok()
            }
            (_, Caller::Share(holder)) => self.shares.find_by_id(holder.share.clone()).await?.is_ok(),
            _ => true,
        })
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

/// The keys with which the server signs what it hands out.
struct Keys {
    tickets: [u8; SIGNING_KEY_BYTES],
    guest_cookies: Option<[u8; SIGNING_KEY_BYTES]>,
}

impl Keys {
    async fn of_store(store: &ControlStore) -> Result<Self, ControlStoreError> {
        Ok(Self { tickets: store.ticket_key().await?, guest_cookies: Some(store.guest_cookie_key().await?) })
    }

    /// Keys for one run of the server. There is none for cookies: browsers keep those for a year,
    /// and one that is signed by such a key would replace a lasting one.
    fn random() -> Result<Self, ControlStoreError> {
        let mut tickets = [0; SIGNING_KEY_BYTES];
        getrandom::fill(&mut tickets).map_err(ControlStoreError::Random)?;
        Ok(Self { tickets, guest_cookies: None })
    }

    /// The keys of a server for guests whose control store has none to give. It goes on without.
    fn without_store(error: &ControlStoreError) -> Result<Self, ControlStoreError> {
        tracing::error!(
            error = error as &dyn std::error::Error,
            "the control store has no keys, so tickets end with this server, and it sets and knows \
             no cookies of guests"
        );
        Self::random()
    }
}
