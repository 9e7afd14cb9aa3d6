//! The files that are taken at the end of a session.

use livecode_protocol::{
    results::{CollectSpec, FilePattern, MAX_PATTERNS},
    session::CreateSession,
};

use crate::spec::{bad_field::BadField, limits::LimitSettings};

/// Checks the patterns of a request. Returns `None` if there are none.
pub(super) fn resolve(
    request: &CreateSession,
    settings: &LimitSettings,
) -> Result<Option<CollectSpec>, BadField> {
    let texts = request.collect.as_deref().unwrap_or_default();
    if texts.len() > MAX_PATTERNS {
        let detail = format!("there are {} patterns; at most {MAX_PATTERNS} are allowed", texts.len());
        return Err(BadField::new("collect", detail));
    }
    let patterns = texts.iter().enumerate().map(|(index, text)| {
        text.parse::<FilePattern>().map_err(|error| {
            BadField::new(format!("collect[{index}]"), format!("{text:?} cannot name files: {error}"))
        })
    });
    let patterns = patterns.collect::<Result<Vec<_>, _>>()?;
    let (files_max, bytes_max) = (settings.collect_files_max, settings.collect_max_bytes);
    Ok((!patterns.is_empty()).then_some(CollectSpec { patterns, files_max, bytes_max }))
}
