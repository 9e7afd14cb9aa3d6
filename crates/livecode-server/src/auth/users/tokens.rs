//! The users that the server knows by their tokens.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use livecode_protocol::{now_us, token::Role};
use livecode_store::{ControlStore, ControlStoreError, NewToken, Token, TokenKey, TokenListKey, TokenSecret};

use super::{
    refusal::Refusal,
    user::{Credential, User, UserId},
};
use crate::auth::{revocations::Revocations, roles::Roles};

/// How many tokens are kept in memory, so that they need not be looked up in the control store for
/// each request. When there are more, all are looked up anew.
const CACHED_TOKENS_MAX: usize = 10_000;

/// The users that the server knows by their tokens, which are in the control store.
#[derive(Debug)]
pub struct TokenUsers {
    store: ControlStore,
    cache: Mutex<TokenCache>,
    revocations: Revocations,
}

#[derive(Debug, Default)]
struct TokenCache {
    /// Valid tokens.
    tokens: HashMap<TokenKey, Token>,
    /// Counts revocations. A token that was looked up before one of them is not kept.
    generation: u64,
}

impl TokenUsers {
    /// The users of a control store.
    pub fn new(store: ControlStore) -> Self {
        Self { store, cache: Mutex::default(), revocations: Revocations::new() }
    }

    /// The user whose token this is.
    ///
    /// # Errors
    /// If the control store fails.
    pub async fn find(&self, text: &str) -> Result<Result<User, Refusal>, ControlStoreError> {
        match text.parse::<TokenSecret>() {
            Ok(secret) => self.user(secret.key()).await,
            Err(_) => Ok(Err(Refusal::NoToken)),
        }
    }

    /// The user whose token has this id.
    ///
    /// # Errors
    /// If the control store fails.
    pub async fn find_by_id(&self, id: String) -> Result<Result<User, Refusal>, ControlStoreError> {
        self.user(TokenKey::Id(id)).await
    }

    /// Waits until the token with this id is not valid any more.
    pub async fn ended(&self, id: &str, expires_us: Option<u64>) {
        let is_valid = || async { self.user(TokenKey::Id(id.to_owned())).await.map(|found| found.is_ok()) };
        self.revocations.ended(id, expires_us, is_valid).await;
    }

    async fn user(&self, key: TokenKey) -> Result<Result<User, Refusal>, ControlStoreError> {
        let (cached, generation) = {
            let cache = self.cache();
            (cache.tokens.get(&key).cloned(), cache.generation)
        };
        let token = match cached {
            Some(token) => Some(token),
            None => self.look_up(key, generation).await?,
        };
        Ok(match token {
            Some(token) if token.is_valid_at(now_us()) => Ok(User {
                id: UserId::Name(token.user),
                role: token.role,
                limits: (!token.limits.is_empty()).then(|| Box::new(token.limits)),
                expires_us: token.expires_us,
                credential: Credential::Token(token.id),
            }),
            Some(token) => Err(Refusal::EndedToken(token.id)),
            None => Err(Refusal::UnknownToken),
        })
    }

    async fn look_up(&self, key: TokenKey, generation: u64) -> Result<Option<Token>, ControlStoreError> {
        let found = self.store.token(&key).await?;
        if let Some(token) = found.as_ref().filter(|token| token.is_valid_at(now_us())) {
            let mut cache = self.cache();
            if cache.generation == generation {
                if cache.tokens.len() >= CACHED_TOKENS_MAX {
                    cache.tokens.clear();
                }
                cache.tokens.insert(key, token.clone());
            }
        }
        Ok(found)
    }

    /// Makes a token. Its secret can never be read again.
    ///
    /// # Errors
    /// If the control store fails.
    pub async fn create_token(&self, new: &NewToken) -> Result<(Token, TokenSecret), ControlStoreError> {
        self.store.create_token(new, now_us()).await
    }

    /// At most `max` tokens that were not revoked, the newest first; with `after` those that follow
    /// it in the list.
    ///
    /// # Errors
    /// If the control store fails.
    pub async fn tokens(
        &self,
        after: Option<&TokenListKey>,
        max: usize,
    ) -> Result<Vec<Token>, ControlStoreError> {
        self.store.tokens(after, max).await
    }

    /// Warns of valid tokens with roles that the configuration does not have.
    ///
    /// # Errors
    /// If the control store fails.
    pub async fn warn_of_unknown_roles(&self, roles: &Roles) -> Result<(), ControlStoreError> {
        for name in self.store.roles_of_tokens(now_us()).await? {
            if !name.parse().is_ok_and(|role: Role| roles.has(&role)) {
                tracing::warn!(
                    role = name,
                    "tokens have a role that the configuration does not name (roles); they count as those of users"
                );
            }
        }
        Ok(())
    }

    /// Revokes the token with this id. It is not valid any more when this returns.
    ///
    /// # Errors
    /// If there is no such token; if the control store fails.
    pub async fn revoke_token(&self, id: &str) -> Result<(), ControlStoreError> {
        // If the caller leaves, this future is dropped, and the change may be made all the same.
        let _forget = ForgetOnDrop { tokens: self, id };
        self.store.revoke_token(id, now_us()).await.map(drop)
    }

    /// Replaces the token with this id by a new one for the same user. The old one is not valid
    /// any more when this returns.
    ///
    /// # Errors
    /// If there is no such token; if the control store fails.
    pub async fn rotate_token(
        &self,
        id: &str,
        expires_us: Option<u64>,
    ) -> Result<(Token, TokenSecret), ControlStoreError> {
        let _forget = ForgetOnDrop { tokens: self, id };
        self.store.rotate_token(id, expires_us, now_us()).await
    }

    /// Forgets a token that was revoked or deleted, and lets the connections know that use it.
    pub fn forget(&self, id: &str) {
        let mut cache = self.cache();
        cache.generation += 1;
        cache.tokens.retain(|_, token| token.id != id);
        self.revocations.tell(id.to_owned());
    }

    fn cache(&self) -> MutexGuard<'_, TokenCache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets a token when a change of it is over, whether or not it has succeeded.
struct ForgetOnDrop<'t> {
    tokens: &'t TokenUsers,
    id: &'t str,
}

impl Drop for ForgetOnDrop<'_> {
    fn drop(&mut self) {
        self.tokens.forget(self.id);
    }
}
