//! The commands for sessions that exist, but for their list.

pub mod attach;
pub mod rm;
pub mod share;
