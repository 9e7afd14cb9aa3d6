//! What `benches/` measures of this crate's inside.

use bytes::Bytes;

use crate::io::splitter::Splitter;

/// Cuts output into pieces, as it comes from a pipe at once; says how many there are.
pub fn split(bytes: Bytes) -> usize {
    let mut pieces = vec![];
    let mut splitter = Splitter::new(true);
    splitter.push(bytes, &mut pieces);
    pieces.len()
}
