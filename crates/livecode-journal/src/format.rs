//! Constants of the file format. The crate's documentation describes the layout.

/// Length of the file header: `LCJOURNL`, the format version (u32), then `DONE` if the journal is
/// closed, or else zero (u32).
pub const HEADER_BYTES: u64 = 16;
/// Length of a record's header.
pub const RECORD_HEADER_BYTES: usize = 32;
/// Length of the exit record, including its header and padding.
pub const EXIT_RECORD_BYTES: usize = 512;
/// Length of a trimmed journal, which holds nothing but the closing entry.
pub const TRIMMED_BYTES: u64 = HEADER_BYTES + EXIT_RECORD_BYTES as u64;
/// Room beyond the end of the entries that is allocated from the start and reserved for the last
/// records, so that a full disk cannot prevent them from being written.
pub const RESERVE_BYTES: u64 = 64 * 1024;
/// The largest payload: a message of 4 MiB and some room to spare.
pub const MAX_PAYLOAD_BYTES: usize = 4 * 1024 * 1024 + 64 * 1024;
/// The least distance in bytes between two places that the index names. A reader that starts at
/// such a place skips about so many bytes to any entry.
pub const INDEX_INTERVAL_BYTES: u64 = 256 * 1024;

/// File header of an open journal, format version 1.
pub(crate) const HEADER: [u8; HEADER_BYTES as usize] = *b"LCJOURNL\x01\0\0\0\0\0\0\0";
/// File header of a closed journal, whose last record is its exit record.
///
/// A program can print bytes that look like an exit record, because the checksum is not a secret.
/// But a program cannot change the file header. So a reader trusts the end of the file only if the
/// file starts with this header. The mark is a whole word, so that no single flipped bit turns one
/// of the two headers into the other.
pub(crate) const CLOSED_HEADER: [u8; HEADER_BYTES as usize] = *b"LCJOURNL\x01\0\0\0DONE";
