//! Connections: accepted, bounded, and closed in the end without a loss.

pub(crate) mod linger;
pub(crate) mod listen;
