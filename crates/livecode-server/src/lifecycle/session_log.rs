//! The two lines that the log has for each session: one for its creation and one for its end. They
//! tell who ran something and what it cost, and never what was run.

use crate::lifecycle::quotas::Quotas;
use crate::sessions::{Session, Store};

/// Logs the creation of a session.
pub(super) fn log_creation(session: &Session) {
    tracing::info!(
        id = %session.id.short(),
        client = session.client.map(tracing::field::display),
        owner = %session.owner,
        runtime = &*session.runtime,
        "session created"
    );
}

/// Logs the end of a session, and counts what it has used, unless that was done before: a session
/// may end while no server runs, and then the next server logs the end. The session's folder
/// remembers it.
pub(super) fn log_end(store: &Store, quotas: &Quotas, session: &Session) {
    let progress = session.progress();
    let Some(ended) = progress.ended.filter(|_| !store.is_end_logged(session.id)) else { return };
    if !quotas.count(session) {
        return;
    }
    let usage = ended.usage.unwrap_or_default();
    tracing::info!(
        id = %session.id.short(),
        client = session.client.map(tracing::field::display),
        owner = %session.owner,
        runtime = &*session.runtime,
        outcome = ended.outcome.as_str(),
        exitstatus = ended.exitstatus,
        wall_ms = ended.usage.map(|usage| usage.wall_ms),
        cpu_ms = usage.cpu_ms,
        memory_peak_bytes = usage.memory_peak_bytes,
        output_bytes = usage.output_bytes,
        "session ended"
    );
    store.mark_end_logged(session.id);
}
