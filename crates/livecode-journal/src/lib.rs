//! A session's journal: the numbered entries of one program in order. The journal is the only
//! truth about the session.
//!
//! A journal is one file with one writer and any number of readers. It starts with a header of
//! [`HEADER_BYTES`] bytes. Records follow, with all numbers little-endian:
//!
//! | bytes | field |
//! | --- | --- |
//! | 0..4 | length of the payload |
//! | 4..8 | CRC32C of everything else in the record |
//! | 8..16 | number of the entry; numbers start at 1 and rise |
//! | 16..24 | time, in microseconds since the epoch |
//! | 24 | kind: 1 stdout, 2 stderr, 3 message, 4 exit |
//! | 25..32 | zero |
//! | 32.. | payload |
//!
//! The last record of a closed journal has the kind exit and a length of exactly
//! [`EXIT_RECORD_BYTES`] (its payload is padded with spaces), so that [`closing_entry`] finds it
//! without a scan. The file header then says that the journal is closed. Missing numbers are a
//! gap: the disk had no room for those entries, or they were trimmed.
//!
//! An index beside the journal names places at which records start ([`INDEX_INTERVAL_BYTES`]), so
//! that a reader need not read a long journal from its start. Nothing depends on it but time.
//!
//! The writer holds a lock (flock(2)) on the file while it lives. Readers need no lock, because
//! they never read beyond the length that the writer has announced.

mod format;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod index;
mod reader;
mod record;
mod recover;
mod writer;

pub use format::{
    EXIT_RECORD_BYTES, HEADER_BYTES, INDEX_INTERVAL_BYTES, MAX_PAYLOAD_BYTES, RECORD_HEADER_BYTES,
    RESERVE_BYTES, TRIMMED_BYTES,
};
pub use index::IndexPoint;
pub use reader::{LargeMessage, ReadError, Reader, closing_entry};
pub use record::{Entry, Kind};
pub use recover::{CloseResult, RecoverError, close_abandoned, close_existing, intact_prefix, is_locked};
pub use writer::{FlushResult, WriteError, Writer, release_reserve, trim};
