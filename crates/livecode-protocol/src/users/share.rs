//! Shares: links by which the owner of a session lets others watch or join it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::session::SessionDocument;

/// The rights that a share gives to whoever has its link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ShareRights {
    /// Follow the session's stream.
    Watch,
    /// Follow the stream, and send input and events to the program.
    Join,
}

/// The body of a request for a share.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateShare {
    /// The rights that the share gives.
    pub rights: ShareRights,
    /// Seconds after which the share expires; without it, a time that the server chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 2_592_000)]
    pub expires_in_s: Option<u64>,
}

/// The document that describes a share.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ShareDocument {
    /// Names the share; it is no secret.
    #[schema(example = "5f0c61c1a3d9")]
    pub id: String,
    /// The rights that the share gives.
    pub rights: ShareRights,
    /// When the share was made (RFC 3339).
    pub created: String,
    /// When the share expires (RFC 3339).
    pub expires: String,
    /// The link, in the answer that makes the share and never again. Its secret stands after the
    /// `#`, which browsers send to no server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "https://live.example/#share=livecode_share_…")]
    pub link: Option<String>,
}

/// The body of a request to redeem a share.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RedeemShare {
    /// The secret that stands in the link.
    #[schema(example = "livecode_share_…")]
    pub secret: String,
}

/// The session that a share opens.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SharedSession {
    /// The session. Its link to the stream has a ticket with the rights of the share.
    #[serde(flatten)]
    pub session: SessionDocument,
    /// The rights that the share gives.
    pub rights: ShareRights,
    /// When the share expires (RFC 3339).
    pub expires: String,
}

impl ShareRights {
    /// The name of the rights.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Watch => "watch",
            Self::Join => "join",
        }
    }
}
