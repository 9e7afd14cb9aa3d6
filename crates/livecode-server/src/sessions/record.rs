//! What the server stores of a session in the session's folder, as `session.json`.

use std::net::IpAddr;

use livecode_protocol::SessionId;
use serde::{Deserialize, Serialize};

use crate::auth::{Owner, Payer};

/// The content of `session.json`. It is written when the session is created and never changes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SessionRecord {
    pub id: SessionId,
    pub owner: Owner,
    /// The payer that is charged for the session; `None` in records of servers that did not know
    /// payers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer: Option<Payer>,
    /// The address of the client that created the session; `None` if it is not known, and in
    /// records of servers that did not write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<IpAddr>,
    /// The name of the session's runtime.
    pub runtime: String,
    /// When the session was created, in microseconds since the epoch.
    pub created_us: u64,
    /// Whether the session was created by a v0.1 endpoint for a single response.
    #[serde(rename = "ephemeral")]
    pub is_ephemeral: bool,
    /// A number unique among living sessions.
    pub slot: u32,
    /// The key under which the session was created, if the client sent one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency: Option<IdempotencyKey>,
}

/// A client's `Idempotency-Key`, with a digest of the request that it was sent with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IdempotencyKey {
    /// The key, chosen by the client.
    pub key: String,
    /// SHA-256 of the request's body, in hexadecimal.
    pub body_sha256: String,
}
