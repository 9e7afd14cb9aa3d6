//! The progress of an ended session, read from its journal.

use std::io;

use livecode_protocol::SessionId;

use crate::sessions::{
    progress::{SessionEnd, SessionProgress},
    store::Store,
};

/// The progress of session `id`, whose journal must be closed. The result is torn down; a caller
/// that knows better sets `is_torn_down` itself.
///
/// # Errors
/// If the journal cannot be read. [`io::ErrorKind::NotFound`] if it is missing or not closed.
pub(crate) fn ended_progress(store: &Store, id: SessionId) -> io::Result<SessionProgress> {
    let (entries, closing_entry) = store.closing_entry(id)?.ok_or(io::ErrorKind::NotFound)?;
    Ok(SessionProgress {
        entries,
        bytes: store.journal_bytes(id),
        started_us: Some(closing_entry.started_us).filter(|us| *us != 0),
        active_us: None,
        compiled: None,
        wait: None,
        ended: Some(SessionEnd::new(&closing_entry)),
        is_torn_down: true,
    })
}
