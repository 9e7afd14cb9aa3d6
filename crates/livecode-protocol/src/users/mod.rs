//! The documents about users: their tokens, their quotas, and what they share.

pub mod quota;
pub mod share;
pub mod token;
pub mod user;
