//! Keys by which the server signs what it hands out.

use crate::{
    hex::{hex, parse_hex},
    secret::random,
    store::{ControlStore, ControlStoreError},
};

/// Length of a key: one block of SHA-256, as long as a key of HMAC can be without being hashed
/// (RFC 2104).
pub const SIGNING_KEY_BYTES: usize = 64;

// Each kind of thing is signed with a key of its own, so that none is taken for another.
const TICKET_KEY: &str = "ticket";
const GUEST_COOKIE_KEY: &str = "guest_cookie";

impl ControlStore {
    /// The key that signs tickets. It is made when it is first asked for, and stays the same.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn ticket_key(&self) -> Result<[u8; SIGNING_KEY_BYTES], ControlStoreError> {
        self.key(TICKET_KEY).await
    }

    /// The key that signs the cookies of guests. It is made when it is first asked for, and stays
    /// the same.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn guest_cookie_key(&self) -> Result<[u8; SIGNING_KEY_BYTES], ControlStoreError> {
        self.key(GUEST_COOKIE_KEY).await
    }

    async fn key(&self, name: &str) -> Result<[u8; SIGNING_KEY_BYTES], ControlStoreError> {
        let new = random::<SIGNING_KEY_BYTES>()?;
        sqlx::query("INSERT INTO keys (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING")
            .bind(name)
            .bind(hex(&new))
            .execute(&self.pool)
            .await?;
        let value: String = sqlx::query_scalar("SELECT value FROM keys WHERE name = $1")
            .bind(name)
            .fetch_one(&self.pool)
            .await?;
        parse_hex(&value).ok_or_else(|| ControlStoreError::Damaged(format!("the key {name} is malformed")))
    }
}
