//! Internals of this crate that `benches/` measures.

/// Encodes an entry as the message that a websocket gets.
pub fn message(entry: &livecode_journal::Entry) -> String {
    crate::http::entry_message(entry)
}
