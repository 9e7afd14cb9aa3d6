//! Limits and priorities that the supervisor enforces by measuring the program.

pub(crate) mod cpu_deprioritizer;
pub(crate) mod cpu_time;
pub(crate) mod idle;
pub(crate) mod memory;
pub(crate) mod output_cost;
