//! The index of a journal: places at which records start, so that a reader that continues late in
//! a long journal need not read what is before.
//!
//! The index is a file beside the journal, `journal.index`, to which the journal's writer appends
//! one entry of [`INDEX_ENTRY_BYTES`] whenever [`INDEX_INTERVAL_BYTES`] or more were written since
//! the last. It is a hint and nothing more: a reader verifies the record that it finds at such a
//! place, and an index that is missing, too short, torn, or of another journal costs only time.
//! The first record of the journal is part of each entry's checksum, so an entry is valid for the
//! one journal for which it was written.

use std::{
    fs::File,
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use crate::format::{HEADER_BYTES, INDEX_INTERVAL_BYTES, RECORD_HEADER_BYTES};

/// Length of an entry: number of the record (u64), its position in the journal (u64), CRC32C
/// (u32), zero (u32), little-endian.
pub(crate) const INDEX_ENTRY_BYTES: usize = 24;

/// A place at which a record starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexPoint {
    /// The number of the record.
    pub seq: u64,
    /// Its position in the journal, in bytes.
    pub offset: u64,
}

/// The header of a journal's first record. It tells one journal from another: it holds a time in
/// microseconds and a checksum of the payload.
type FirstRecord = [u8; RECORD_HEADER_BYTES];

fn first_record(journal: &File) -> io::Result<FirstRecord> {
    let mut header = [0; RECORD_HEADER_BYTES];
    journal.read_exact_at(&mut header, HEADER_BYTES)?;
    Ok(header)
}

/// The path of the index of the journal at `journal`.
pub(crate) fn index_path(journal: &Path) -> PathBuf {
    journal.with_extension("index")
}

impl IndexPoint {
    fn encode(self, first_record: &FirstRecord) -> [u8; INDEX_ENTRY_BYTES] {
        let mut entry = [0; INDEX_ENTRY_BYTES];
        entry[..8].copy_from_slice(&self.seq.to_le_bytes());
        entry[8..16].copy_from_slice(&self.offset.to_le_bytes());
        let checksum = crc32c::crc32c_append(crc32c::crc32c(first_record), &entry[..16]);
        entry[16..20].copy_from_slice(&checksum.to_le_bytes());
        entry
    }

    fn decode(entry: &[u8; INDEX_ENTRY_BYTES], first_record: &FirstRecord) -> Option<Self> {
        let (numbers, _) = entry.as_chunks::<8>();
        let point = Self { seq: u64::from_le_bytes(numbers[0]), offset: u64::from_le_bytes(numbers[1]) };
        (point.encode(first_record) == *entry).then_some(point)
    }
}

/// The index as its writer has it. No error reaches the caller: without an index, readers only
/// need more time.
#[derive(Debug)]
pub(crate) struct IndexWriter {
    path: PathBuf,
    /// `None` until the first entry is written.
    file: Option<(File, FirstRecord)>,
    entries: u64,
    /// The next record at this position or behind it gets an entry.
    next_offset: u64,
}

impl IndexWriter {
    /// The writer of the index of the journal at `journal`. The file is created for the first
    /// entry, so a short session has none.
    pub fn new(journal: &Path) -> Self {
        let next_offset = HEADER_BYTES + INDEX_INTERVAL_BYTES;
        Self { path: index_path(journal), file: None, entries: 0, next_offset }
    }

    /// Notes that `point` is the place of a whole record in `journal`. Writes an entry if one is
    /// due.
    pub fn note(&mut self, journal: &File, point: IndexPoint) {
        if point.offset < self.next_offset {
            return;
        }
        self.next_offset = point.offset + INDEX_INTERVAL_BYTES;
        // An entry that was written in part is covered by the next one.
        if self.write(journal, point).is_ok() {
            self.entries += 1;
        }
    }

    fn write(&mut self, journal: &File, point: IndexPoint) -> io::Result<()> {
        let (file, first_record) = match &self.file {
            Some((file, first_record)) => (file, first_record),
            None => {
                let mut options = File::options();
                let options = options.write(true).create(true).truncate(true).mode(0o600);
                let (file, first_record) =
                    &*self.file.insert((options.open(&self.path)?, first_record(journal)?));
                (file, first_record)
            }
        };
        file.write_all_at(&point.encode(first_record), self.entries * INDEX_ENTRY_BYTES as u64)
    }
}

/// The index as a reader of the journal has it.
#[derive(Debug)]
pub(crate) struct Index {
    file: File,
    first_record: FirstRecord,
    entries: u64,
}

impl Index {
    /// Opens the index of `journal`, which is at `path`.
    pub fn open(path: &Path, journal: &File) -> io::Result<Self> {
        let file = File::open(index_path(path))?;
        let entries = file.metadata()?.len() / INDEX_ENTRY_BYTES as u64;
        Ok(Self { file, first_record: first_record(journal)?, entries })
    }

    /// How many entries the index has, valid or not.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Among the first `entries` entries, the last one that `is_wanted`, and how many entries are
    /// before it. The wanted entries come before the others. An entry that is not valid counts as
    /// one of the others, which may lead to an earlier entry than necessary.
    pub fn last(&self, entries: u64, is_wanted: impl Fn(IndexPoint) -> bool) -> Option<(u64, IndexPoint)> {
        let (mut low, mut high, mut found) = (0, entries, None);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.point(middle).filter(|point| is_wanted(*point)) {
                Some(point) => (low, found) = (middle + 1, Some((middle, point))),
                None => high = middle,
            }
        }
        found
    }

    fn point(&self, at: u64) -> Option<IndexPoint> {
        let mut entry = [0; INDEX_ENTRY_BYTES];
        self.file.read_exact_at(&mut entry, at * INDEX_ENTRY_BYTES as u64).ok()?;
        IndexPoint::decode(&entry, &self.first_record)
    }
}

/// Writes an index with these entries for the journal at `path`, whether they are right or wrong.
#[cfg(any(test, fuzzing))]
pub(crate) fn write_index(path: &Path, points: &[IndexPoint]) -> io::Result<()> {
    let first_record = first_record(&File::open(path)?)?;
    std::fs::write(
        index_path(path),
        points.iter().map(|point| point.encode(&first_record)).collect::<Vec<_>>().concat(),
    )
}
