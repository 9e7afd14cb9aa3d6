//! Limits and priorities that the supervisor enforces by looking at the program.

pub(crate) mod cpu_deprioritizer;
pub(crate) mod idle;
pub(crate) mod memory;
