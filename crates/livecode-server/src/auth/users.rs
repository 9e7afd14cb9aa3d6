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

use livecode_store::{ControlStore, ControlStoreError};

use self::jwt::JwtUsers;
#[cfg(any(test, fuzzing))]
pub use self::jwt::fuzz;
#[cfg(test)]
pub use self::user::JwtCredential;
pub use self::{
    jwt::KeySourceError,
    refusal::{Refusal, RefusalLog},
    tokens::TokenUsers,
    user::{Credential, Subject, User, UserId},
};
use crate::config::Config;

/// The users that the server knows.
#[derive(Debug)]
pub struct Users {
    way: Way,
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
    /// The users of a server with these settings, which knows them, and this store.
    ///
    /// # Errors
    /// If the control store fails, or a key of JWTs cannot be read.
    pub async fn open(config: &Config, store: ControlStore) -> Result<Self, UsersError> {
        let way = match config.jwt() {
            Some(settings) => Way::Jwt(JwtUsers::new(settings).await?),
            None => Way::Tokens(TokenUsers::new(store)),
        };
        Ok(Self { way })
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

    /// The user whose credential a ticket stands for.
    ///
    /// # Errors
    /// If the control store fails.
    pub async fn find_by_credential(
        &self,
        credential: Credential,
    ) -> Result<Result<User, Refusal>, ControlStoreError> {
        match (&self.way, credential) {
            (Way::Tokens(users), Credential::Token(id)) => users.find_by_id(id).await,
            (Way::Jwt(users), Credential::Jwt(jwt)) => Ok(users.user(jwt)),
            (Way::Tokens(_), Credential::Jwt(_)) | (Way::Jwt(_), Credential::Token(_)) => {
                Ok(Err(Refusal::OtherWay))
            }
        }
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

    /// The users by their tokens; `None` if the server does not ask for tokens of its own.
    pub fn by_token(&self) -> Option<&TokenUsers> {
        match &self.way {
            Way::Tokens(users) => Some(users),
            Way::Jwt(_) => None,
        }
    }
}
