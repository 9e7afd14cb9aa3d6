//! The files of a request, and how many parts a request may have.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The largest number of files in one request.
pub const MAX_FILES: usize = 1000;
/// The largest number of arguments, and of environment variables, that is read. The server allows
/// 64 KiB for all of either together, so no request that it accepts has more.
pub const MAX_WORDS: usize = 64 * 1024;

/// A file of a new session.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceFile {
    /// Path relative to the working directory.
    #[schema(example = "data/names.txt")]
    pub filename: String,
    /// The text of the file, or its bytes in base64 if `encoding` is present.
    pub contents: String,
    /// The encoding of `contents`; absent for text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<Encoding>,
}

/// The encoding of bytes in a JSON string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// Base64, as in RFC 4648, section 4.
    Base64,
}
