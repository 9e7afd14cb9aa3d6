//! The journal as a supervisor writes it.

pub(crate) mod capped_journal;
pub(crate) mod sync;
