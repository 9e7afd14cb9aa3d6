//! The program's pipes: reads its output and writes its input.

pub(crate) mod echo;
pub(crate) mod input;
pub(crate) mod input_wait;
pub(crate) mod messages;
pub(crate) mod outputs;
pub(crate) mod read_throttle;
pub(crate) mod splitter;
