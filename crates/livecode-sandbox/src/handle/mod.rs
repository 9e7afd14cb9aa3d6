//! The supervisor's handle to a sandbox.

pub(crate) mod sample;
pub(crate) mod sandbox;
pub(crate) mod uncharged;
