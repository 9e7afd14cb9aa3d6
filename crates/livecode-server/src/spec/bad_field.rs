//! The error of every check of a request.

use livecode_protocol::ErrorCode;

/// A field of a request that is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {detail}")]
pub struct BadField {
    /// The path of the field, e.g. `files[0].filename`.
    pub field: String,
    /// The text that describes what is wrong and what would be right.
    pub detail: String,
    /// The code of the error.
    pub code: ErrorCode,
    /// The runtime whose version must be known before the request can be judged.
    pub unknown_version_of: Option<String>,
}

impl BadField {
    /// Refuses the value of `field`, for the reason that `detail` describes.
    pub fn new(field: impl Into<String>, detail: impl Into<String>) -> Self {
        let (field, detail) = (field.into(), detail.into());
        Self { field, detail, code: ErrorCode::InvalidField, unknown_version_of: None }
    }
}
