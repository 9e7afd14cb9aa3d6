//! The supervisor's handle to a sandbox.

pub(crate) mod kernel_memory;
pub(crate) mod sample;
pub(crate) mod sandbox;
mod socket_list;
pub(crate) mod stdin_probe;
pub(crate) mod uncharged;
