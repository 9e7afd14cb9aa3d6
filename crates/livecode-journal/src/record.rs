//! Encodes and decodes one record.

use bytes::Bytes;

use crate::format::{EXIT_RECORD_BYTES, MAX_PAYLOAD_BYTES, RECORD_HEADER_BYTES};

/// The kind of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Bytes that the program wrote to file descriptor 1.
    Stdout = 1,
    /// Bytes that the program wrote to file descriptor 2.
    Stderr = 2,
    /// A message from the program: one JSON object.
    Message = 3,
    /// How the session ended. This is always the last entry.
    Exit = 4,
    /// Output of compile steps, in sessions that tell it apart from the program's. In others it is
    /// [`Self::Stderr`].
    CompilerOutput = 5,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Stdout, Self::Stderr, Self::Message, Self::Exit, Self::CompilerOutput]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// One entry of a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The number of the entry. Numbers start at 1.
    pub seq: u64,
    /// The time at which the entry was appended, in microseconds since the epoch.
    pub time_us: u64,
    /// The kind of the entry.
    pub kind: Kind,
    /// The payload.
    pub data: Bytes,
}

/// The fields of a record's header that are known before the payload has been read. The checksum
/// has not been verified yet.
pub(crate) struct RecordHeader {
    pub seq: u64,
    pub kind: Kind,
    pub payload_bytes: usize,
}

impl RecordHeader {
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
    crc32c::crc32c_append(header_checksum(header), payload)
}

fn header_checksum(header: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&header[..4]), &header[8..RECORD_HEADER_BYTES])
}

/// Verifies a record whose payload comes in pieces.
pub(crate) struct PieceVerifier {
    expected: u32,
    checksum: u32,
}

impl PieceVerifier {
    /// `header` holds at least [`RECORD_HEADER_BYTES`].
    pub fn new(header: &[u8]) -> Self {
        Self { expected: u32_at(header, 4), checksum: header_checksum(header) }
    }

    /// Takes the next bytes of the payload.
    pub fn update(&mut self, piece: &[u8]) {
        self.checksum = crc32c::crc32c_append(self.checksum, piece);
    }

    /// Whether the checksum of the record is right.
    pub fn is_valid(&self) -> bool {
        self.checksum == self.expected
    }
}

/// Appends a record to `buffer`. The payload has at most [`MAX_PAYLOAD_BYTES`].
pub(crate) fn encode(buffer: &mut Vec<u8>, seq: u64, time_us: u64, kind: Kind, payload: &[u8]) {
    buffer.extend_from_slice(&encode_header(seq, time_us, kind, payload));
    buffer.extend_from_slice(payload);
}

/// Encodes the header of a record with this payload.
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

/// Parses the record header at the start of `bytes`, which hold at least [`RECORD_HEADER_BYTES`].
/// Returns `None` if no valid record starts with these bytes.
pub(crate) fn parse_header(bytes: &[u8]) -> Option<RecordHeader> {
    let kind = Kind::from_byte(bytes[24])?;
    let header = RecordHeader { seq: u64_at(bytes, 8), kind, payload_bytes: u32_at(bytes, 0) as usize };
    // Numbers start at 1. The closing entry is found from the end of the file, so its record has a
    // fixed length. Every other entry must leave a number for the closing entry after it.
    let (is_length_valid, max_seq) = match kind {
        Kind::Exit => (header.record_bytes() == EXIT_RECORD_BYTES, u64::MAX - 1),
        _ => (header.payload_bytes <= MAX_PAYLOAD_BYTES, u64::MAX - 2),
    };
    (is_length_valid && (1..=max_seq).contains(&header.seq)).then_some(header)
}

/// Whether `record` holds exactly the bytes of one record, and its checksum is right.
pub(crate) fn is_valid(record: &[u8]) -> bool {
    record.split_at_checked(RECORD_HEADER_BYTES).is_some_and(|(header, payload)| {
        parse_header(header).is_some_and(|parsed| parsed.payload_bytes == payload.len())
            && u32_at(header, 4) == checksum(header, payload)
    })
}

/// Decodes the entry in `record`, which must hold exactly the bytes of one record. The payload of
/// the entry shares the memory of `record`. Returns `None` if the record is not valid.
pub(crate) fn decode(record: &Bytes) -> Option<Entry> {
    if !is_valid(record) {
        return None;
    }
    let kind = Kind::from_byte(record[24])?;
    let data = record.slice(RECORD_HEADER_BYTES..);
    Some(Entry { seq: u64_at(record, 8), time_us: u64_at(record, 16), kind, data })
}

/// Replaces the checksum of the record at the start of `bytes` by the right one and returns the
/// length of the record. Returns `None` if a field other than the checksum is not valid.
#[cfg(any(test, fuzzing))]
pub(crate) fn fix_checksum(bytes: &mut [u8]) -> Option<usize> {
    let (header, payload) = bytes.split_at_mut_checked(RECORD_HEADER_BYTES)?;
    let parsed = parse_header(header)?;
    let checksum = checksum(header, payload.get(..parsed.payload_bytes)?);
    header[4..8].copy_from_slice(&checksum.to_le_bytes());
    Some(parsed.record_bytes())
}
