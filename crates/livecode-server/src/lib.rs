//! x
pub mod catalogue;
pub mod prepare;
