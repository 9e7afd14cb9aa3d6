//! The journal as the supervisor writes it.

pub(crate) mod capped_journal;
mod disk_share;
pub(crate) mod sync;
