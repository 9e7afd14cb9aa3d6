//! The root file system of a sandbox.

pub(crate) mod accounts;
pub(crate) mod disk_size;
pub(crate) mod mount_sources;
pub(crate) mod mounts;
mod own_root;
