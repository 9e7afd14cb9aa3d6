//! The users that the server knows, in whatever way it knows them.
//!
//! | file | what it decides |
//! | --- | --- |
//! | `user` | what a user is, and what names one |
//! | `refusal` | why a credential was refused |
//! | `tokens` | users with tokens of the control store |
//! | `jwt` | users whom another site signs in |
//!
//! This file alone chooses between the ways.

mod jwt;
mod refusal;
mod tokens;
mod user;

use std::net::IpAddr;

use livecode_protocol::{SessionId, now_us};
use livecode_store::{ControlStore, ControlStoreError};

#[cfg(any(test, fuzzing))]
pub use self::jwt::fuzz;
use self::{jwt::JwtUsers, refusal::RefusalLog};
pub use self::{
    jwt::KeySourceError,
    refusal::Refusal,
    tokens::TokenUsers,
    user::{Credential, Subject, User, UserId},
};
use super::tickets::{Ticket, TicketSigner};
use crate::config::{AuthMode, Config};

/// The users that the server knows.
#[derive(Debug)]
pub struct Users {
    way: Way,
    signer: TicketSigner,
    refusals: RefusalLog,
}

/// The way in which the server knows its users.
#[derive(Debug)]
enum Way {
    Tokens(TokenUsers),
    Jwt(JwtUsers),
}

/// Why users cannot be known.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// The control store fails.
    #[error(transparent)]
    ControlStore(#[from] ControlStoreError),
    /// The keys of JWTs cannot be read.
    #[error(transparent)]
    Keys(#[from] KeySourceError),
}

impl Users {
    /// The users of a server with these settings and this store; `None` if it knows none.
    ///
    /// # Errors
    /// If the control store fails, or a key of JWTs cannot be read.
    pub async fn open(config: &Config, store: ControlStore) -> Result<Option<Self>, UsersError> {
        if config.auth == AuthMode::Open {
            return Ok(None);
        }
        let signer = TicketSigner::new(store.ticket_key().await?);
        let way = match config.jwt() {
            Some(settings) => Way::Jwt(JwtUsers::new(settings).await?),
            None => Way::Tokens(TokenUsers::new(store)),
        };
        Ok(Some(Self { way, signer, refusals: RefusalLog::new() }))
    }

    /// The user whom a bearer token names.
    ///
    /// # Errors
    /// If the control store fails.
    pub async fn find(&self, text: &str) -> Result<Result<User, Refusal>, ControlStoreError> {
        match &self.way {
            Way::Tokens(users) => users.find(text).await,
            Way::Jwt(users) => Ok(users.find(text).await),
        }
    }

    /// The user for whom a ticket was made that opens the stream of `session`, or `/livecode` if
    /// that is `None`.
    ///
    /// # Errors
    /// If the control store fails.
    pub async fn find_by_ticket(
        &self,
        text: &str,
        session: Option<SessionId>,
    ) -> Result<Result<User, Refusal>, ControlStoreError> {
        let ticket = self.signer.check(text, now_us()).filter(|ticket| ticket.session == session);
        let Some(Ticket { credential, .. }) = ticket else { return Ok(Err(Refusal::WrongTicket)) };
        match (&self.way, credential) {
            (Way::Tokens(users), Credential::Token(id)) => users.find_by_id(id).await,
            (Way::Jwt(users), Credential::Jwt(jwt)) => Ok(users.user(jwt)),
            (Way::Tokens(_), Credential::Jwt(_)) | (Way::Jwt(_), Credential::Token(_)) => {
                Ok(Err(Refusal::OtherWay))
            }
        }
    }

    /// A ticket for `user` that opens the stream of `session`, or `/livecode` if that is `None`, and
    /// when it expires: at `expires_us`, or with the user's credential if that is earlier.
    pub fn ticket(&self, user: &User, session: Option<SessionId>, expires_us: u64) -> (String, u64) {
        let expires_us = user.expires_us.unwrap_or(u64::MAX).min(expires_us);
        let ticket = Ticket { session, credential: user.credential.clone(), expires_us };
        (self.signer.sign(&ticket), expires_us)
    }

    /// Waits until the credential by which `user` is known is not valid any more.
    pub async fn ended(&self, user: &User) {
        match (&self.way, &user.credential) {
            (Way::Tokens(users), Credential::Token(id)) => users.ended(id, user.expires_us).await,
            (Way::Jwt(users), Credential::Jwt(jwt)) => users.ended(jwt).await,
            // No user of this server has a credential of the other way.
            (Way::Tokens(_), Credential::Jwt(_)) | (Way::Jwt(_), Credential::Token(_)) => {}
        }
    }

    /// Logs why a credential that came from `client` was refused.
    pub fn log(&self, refusal: &Refusal, client: Option<IpAddr>) {
        self.refusals.log(refusal, client);
    }

    /// The users by their tokens; `None` if the server does not ask for tokens of its own.
    pub fn by_token(&self) -> Option<&TokenUsers> {
        match &self.way {
            Way::Tokens(users) => Some(users),
            Way::Jwt(_) => None,
        }
    }
}
