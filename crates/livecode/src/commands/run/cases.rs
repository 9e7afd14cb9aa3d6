//! The cases of a program, from a file.

use std::path::Path;

use anyhow::Context as _;
use livecode_protocol::cases::Case;

use crate::commands::run::program::read_file;

/// Reads the cases from a file, which holds a JSON array of them.
///
/// # Errors
/// If the file cannot be read, or is in another form.
pub fn read(path: &Path) -> anyhow::Result<Vec<Case>> {
    let text = read_file(path)?;
    serde_json::from_slice(&text).with_context(|| format!("{} holds no list of cases", path.display()))
}
