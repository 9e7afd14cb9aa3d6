//! The root file system of a sandbox.

pub(crate) mod mounts;
