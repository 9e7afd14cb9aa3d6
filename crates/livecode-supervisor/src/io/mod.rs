//! The program's pipes: what is read from them, and what is written to them.

pub(crate) mod input;
pub(crate) mod messages;
pub(crate) mod outputs;
pub(crate) mod read_throttle;
pub(crate) mod splitter;
