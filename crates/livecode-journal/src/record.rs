//! One record, in bytes.

use bytes::Bytes;

use crate::{EXIT_RECORD_BYTES, HEADER_BYTES, MAX_PAYLOAD_BYTES, RECORD_HEADER_BYTES};

/// The file's header, version 1.
pub(crate) const HEADER: [u8; HEADER_BYTES as usize] = *b"LCJOURNL\x01\0\0\0\0\0\0\0";
/// The header of a journal whose last record is its exit record.
///
/// The checksum is no secret, so a program can print bytes that look like an exit record. The header is out of its
/// reach: only where this stands at the beginning is the end of the file believed. A word, not a bit, so that no single
/// flipped bit makes one of the two headers the other.
pub(crate) const CLOSED_HEADER: [u8; HEADER_BYTES as usize] = *b"LCJOURNL\x01\0\0\0DONE";

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Bytes the program wrote to descriptor 1.
    Stdout = 1,
    /// Bytes the program wrote to descriptor 2.
    Stderr = 2,
    /// A message of the program's own: one JSON object.
    Message = 3,
    /// How the session ended; always the last.
    Exit = 4,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Stdout, Self::Stderr, Self::Message, Self::Exit].into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// One entry of a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number, from 1.
    pub seq: u64,
    /// When it was written, in microseconds since the epoch.
    pub time_us: u64,
    /// What it is.
    pub kind: Kind,
    /// Its payload.
    pub data: Bytes,
}

/// A record's header, as far as it can be trusted before the payload is there.
pub(crate) struct Head {
    pub seq: u64,
    pub payload_bytes: usize,
}

impl Head {
    /// Length of the whole record.
    pub fn record_bytes(&self) -> usize {
        RECORD_HEADER_BYTES + self.payload_bytes
    }
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut value = [0; 8];
    value.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(value)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut value = [0; 4];
    value.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(value)
}

fn checksum(header: &[u8], payload: &[u8]) -> u32 {
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&header[..4]), &header[8..RECORD_HEADER_BYTES]);
    crc32c::crc32c_append(checksum, payload)
}

/// Appends a record to `buffer`. The payload is at most [`MAX_PAYLOAD_BYTES`].
pub(crate) fn encode(buffer: &mut Vec<u8>, seq: u64, time_us: u64, kind: Kind, payload: &[u8]) {
    buffer.extend_from_slice(&encode_header(seq, time_us, kind, payload));
    buffer.extend_from_slice(payload);
}

/// The header of a record with this payload.
pub(crate) fn encode_header(seq: u64, time_us: u64, kind: Kind, payload: &[u8]) -> [u8; RECORD_HEADER_BYTES] {
    let mut header = [0; RECORD_HEADER_BYTES];
    header[..4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    header[8..16].copy_from_slice(&seq.to_le_bytes());
    header[16..24].copy_from_slice(&time_us.to_le_bytes());
    header[24] = kind as u8;
    let checksum = checksum(&header, payload);
    header[4..8].copy_from_slice(&checksum.to_le_bytes());
    header
}

/// The header that `bytes` start with; `None` where no record can start so. `bytes` hold at least
/// [`RECORD_HEADER_BYTES`].
pub(crate) fn head(bytes: &[u8]) -> Option<Head> {
    let head = Head { seq: u64_at(bytes, 8), payload_bytes: u32_at(bytes, 0) as usize };
    // Numbers begin with 1. The closing entry is found from the end, so it has one length; it comes after all others, so
    // there is a number left for it after each.
    let (fits, last) = match Kind::from_byte(bytes[24])? {
        Kind::Exit => (head.record_bytes() == EXIT_RECORD_BYTES, u64::MAX - 1),
        _ => (head.payload_bytes <= MAX_PAYLOAD_BYTES, u64::MAX - 2),
    };
    (fits && (1..=last).contains(&head.seq)).then_some(head)
}

/// Whether `record` is exactly one record's bytes, and its checksum is right.
pub(crate) fn is_whole(record: &[u8]) -> bool {
    record.split_at_checked(RECORD_HEADER_BYTES).is_some_and(|(header, payload)| {
        head(header).is_some_and(|head| head.payload_bytes == payload.len())
            && u32_at(header, 4) == checksum(header, payload)
    })
}

/// The entry that `record`, exactly one record's bytes, holds; `None` where the checksum is wrong. Its payload is a part of
/// the same memory.
pub(crate) fn decode(record: &Bytes) -> Option<Entry> {
    if !is_whole(record) {
        return None;
    }
    let kind = Kind::from_byte(record[24])?;
    let data = record.slice(RECORD_HEADER_BYTES..);
    Some(Entry { seq: u64_at(record, 8), time_us: u64_at(record, 16), kind, data })
}

/// Makes what `bytes` start with a record, if it has the form of one but for its checksum. Returns its length.
#[cfg(any(test, fuzzing))]
pub(crate) fn mend(bytes: &mut [u8]) -> Option<usize> {
    let (header, payload) = bytes.split_at_mut_checked(RECORD_HEADER_BYTES)?;
    let head = head(header)?;
    let checksum = checksum(header, payload.get(..head.payload_bytes)?);
    header[4..8].copy_from_slice(&checksum.to_le_bytes());
    Some(head.record_bytes())
}
