//! The text that the streaming rows transfer.

/// A line of 80 bytes.
pub const LINE: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdefg\n";
