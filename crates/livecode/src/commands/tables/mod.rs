//! The commands that print a table.

pub mod ls;
pub mod quota;
pub mod runtimes;
mod table;

pub(super) use table::print_table;
