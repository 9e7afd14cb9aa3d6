//! The commands that print a table.

pub mod ls;
pub mod quota;
mod table;

pub(super) use table::print_table;
