//! Access to internals of this crate for `benches/`.

use bytes::Bytes;

use crate::io::splitter::Splitter;

/// Splits output that one read of a pipe returned into pieces. Returns the number of pieces.
pub fn split(bytes: Bytes) -> usize {
    let mut pieces = vec![];
    let mut splitter = Splitter::new(true);
    splitter.push(bytes, &mut pieces);
    pieces.len()
}
