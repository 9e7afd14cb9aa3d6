//! The outside of a sandbox: what its supervisor holds.

pub(crate) mod sample;
pub(crate) mod sandbox;
