//! What `benches/` measures of this crate's inside.

/// An entry as the message of a stream that a websocket gets.
pub fn message(entry: &livecode_journal::Entry) -> String {
    crate::http::entry_message(entry)
}
