//! What `benches/` measures of this crate's inside.

use crate::splitter::Splitter;

/// Cuts output into pieces, as it comes from a pipe at once; says how many there are.
pub fn split(bytes: &[u8]) -> usize {
    let mut pieces = vec![];
    let mut splitter = Splitter::new(true);
    splitter.push(bytes, &mut pieces);
    pieces.len()
}
