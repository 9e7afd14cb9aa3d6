//! A session's journal: everything the world will ever see of a program, once, in order, numbered.
//!
//! One file with one writer and any number of readers. A header of [`HEADER_BYTES`] bytes, then records, little-endian:
//!
//! | bytes | field |
//! | --- | --- |
//! | 0..4 | length of the payload |
//! | 4..8 | CRC32C of everything else in the record |
//! | 8..16 | number of the entry, from 1, rising |
//! | 16..24 | time, microseconds since the epoch |
//! | 24 | kind: 1 stdout, 2 stderr, 3 message, 4 exit |
//! | 25..32 | zero |
//! | 32.. | payload |
//!
//! The last record of a closed journal is of kind exit, and of exactly [`EXIT_RECORD_BYTES`] bytes (its payload is padded
//! with spaces), so that [`ending`] finds it without scanning; the header then says that the journal is closed. Numbers that are missing are a gap: the writer had no room.
//!
//! The writer holds a lock (flock(2)) on the file while it lives. Readers never look beyond the length that the writer has
//! made known, so they need no lock.

#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod reader;
mod record;
mod recover;
mod writer;

pub use reader::{ReadError, Reader, ending};
pub use record::{Entry, Kind};
pub use recover::{Closed, RecoverError, close_abandoned, is_locked, whole_bytes};
pub use writer::{Flushed, WriteError, Writer, release_reserve, trim};

/// Length of the file's header: `LCJOURNL`, the format's version (u32), then `DONE` if the journal is closed, else zero (u32).
pub const HEADER_BYTES: u64 = 16;
/// Length of a record's header.
pub const RECORD_HEADER_BYTES: usize = 32;
/// Length of the exit record, header and padding included.
pub const EXIT_RECORD_BYTES: usize = 512;
/// Length of a journal that was trimmed: nothing but how the session ended.
pub const TRIMMED_BYTES: u64 = HEADER_BYTES + EXIT_RECORD_BYTES as u64;
/// Room beyond the end that is set aside for the last records from the start, so that a full disk cannot swallow them.
pub const RESERVE_BYTES: u64 = 64 * 1024;
/// The largest payload: a message of 4 MiB, with some to spare.
pub const MAX_PAYLOAD_BYTES: usize = 4 * 1024 * 1024 + 64 * 1024;
