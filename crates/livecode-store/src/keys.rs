//! Keys by which the server signs what it hands out.

use crate::{
    hex::{hex, parse_hex},
    secret::random,
    store::{ControlStore, ControlStoreError},
};

/// Length of the key that signs tickets: one block of SHA-256, as long as a key of HMAC can be
/// without being hashed (RFC 2104).
pub const TICKET_KEY_BYTES: usize = 64;

const TICKET_KEY: &str = "ticket";

impl ControlStore {
    /// The key that signs tickets. It is made when it is first asked for, and stays the same.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn ticket_key(&self) -> Result<[u8; TICKET_KEY_BYTES], ControlStoreError> {
        let new = random::<TICKET_KEY_BYTES>()?;
        sqlx::query("INSERT INTO keys (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING")
            .bind(TICKET_KEY)
            .bind(hex(&new))
            .execute(&self.pool)
            .await?;
        let value: String = sqlx::query_scalar("SELECT value FROM keys WHERE name = $1")
            .bind(TICKET_KEY)
            .fetch_one(&self.pool)
            .await?;
        parse_hex(&value)
            .ok_or_else(|| ControlStoreError::Damaged("the key of tickets is malformed".to_owned()))
    }
}
