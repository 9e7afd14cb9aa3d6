//! The error of every check of a request.

/// A field of a request that is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {detail}")]
pub struct BadField {
    /// The path of the field, e.g. `files[0].filename`.
    pub field: String,
    /// The text that describes what is wrong and what would be right.
    pub detail: String,
    /// The runtime whose version must be known before the request can be judged.
    pub unknown_version_of: Option<String>,
}

impl BadField {
    /// Refuses `field`, for the reason that `detail` describes.
    pub fn new(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { field: field.into(), detail: detail.into(), unknown_version_of: None }
    }
}
