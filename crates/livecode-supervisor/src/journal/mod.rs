//! The journal as the supervisor writes it.

pub(crate) mod capped_journal;
pub(crate) mod sync;
