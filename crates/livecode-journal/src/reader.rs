//! Readers of a journal.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use rustix::{buffer::spare_capacity, io::retry_on_intr};

use crate::{
    EXIT_RECORD_BYTES, Entry, HEADER_BYTES, Kind, RECORD_HEADER_BYTES,
    record::{self, CLOSED_HEADER, HEADER},
};

/// Bytes read from the file at once: four records of the largest output, and a little.
const CHUNK_BYTES: usize = 264 * 1024;

/// Why a journal could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file could not be opened or read.
    #[error("cannot read the journal {0}")]
    Io(PathBuf, #[source] io::Error),
    /// What is there is no record, below a length that the writer made known.
    #[error("the journal {path} is damaged at byte {offset}")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where the record should start.
        offset: u64,
    },
}

/// Reads a journal from its beginning, or from a number on.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    file: File,
    /// Where the next record starts in the file.
    offset: u64,
    /// Bytes of the file from `offset` on, read ahead.
    ahead: Bytes,
    /// How much of `ahead` lies before `offset`.
    consumed: usize,
    last_seq: u64,
}

impl Reader {
    /// A reader at the beginning of the journal at `path`.
    ///
    /// # Errors
    /// Where the file cannot be opened, or is no journal.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let io = |error| ReadError::Io(path.to_owned(), error);
        let file = File::open(path).map_err(io)?;
        let mut header = [0; HEADER.len()];
        match file.read_exact_at(&mut header, 0) {
            Ok(()) if header == HEADER || header == CLOSED_HEADER => {}
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(io(error)),
            _ => return Err(ReadError::Corrupt { path: path.to_owned(), offset: 0 }),
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            offset: HEADER_BYTES,
            ahead: Bytes::new(),
            consumed: 0,
            last_seq: 0,
        })
    }

    /// Moves on to the first entry after number `after`, or to `until_bytes`. What is passed over is checked all the same:
    /// a length that is wrong could lead over an entry without a trace.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn skip_to(&mut self, after: u64, until_bytes: u64) -> Result<(), ReadError> {
        while let Some(head) = self.head(until_bytes)? {
            if head.seq > after {
                break;
            }
            let length = head.record_bytes();
            if !self.fill(length, until_bytes)?
                || !record::is_whole(&self.ahead[self.consumed..self.consumed + length])
            {
                return Err(self.corrupt());
            }
            self.advance(length, head.seq);
        }
        Ok(())
    }

    /// The next entries below `until_bytes`: about `max_bytes` of them, at least one if there is one. None means that
    /// there is nothing more yet.
    ///
    /// # Errors
    /// Where the file cannot be read, or holds something else than whole records below `until_bytes`.
    pub fn read(&mut self, until_bytes: u64, max_bytes: usize) -> Result<Vec<Entry>, ReadError> {
        let mut entries = vec![];
        let mut total = 0;
        while total < max_bytes
            && let Some(head) = self.head(until_bytes)?
        {
            let length = head.record_bytes();
            if !self.fill(length, until_bytes)? {
                return Err(self.corrupt());
            }
            let entry = record::decode(&self.ahead.slice(self.consumed..self.consumed + length));
            entries.push(entry.ok_or_else(|| self.corrupt())?);
            self.advance(length, head.seq);
            total += length;
        }
        Ok(entries)
    }

    /// Gives back the memory of what was read ahead, if nothing of it is left to read.
    pub fn rest(&mut self) {
        if self.consumed == self.ahead.len() {
            self.ahead = Bytes::new();
            self.consumed = 0;
        }
    }

    /// Bytes that [`Self::skip_to`] may have to pass over to reach `until_bytes`.
    pub fn left_bytes(&self, until_bytes: u64) -> u64 {
        until_bytes.saturating_sub(self.offset)
    }

    /// The length of the file, where its journal is closed: it may be read to its end.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn closed_bytes(&self) -> Result<Option<u64>, ReadError> {
        let io = |error| ReadError::Io(self.path.clone(), error);
        let mut header = [0; HEADER.len()];
        self.file.read_exact_at(&mut header, 0).map_err(io)?;
        let is_closed = header == CLOSED_HEADER;
        is_closed.then(|| self.file.metadata().map(|metadata| metadata.len()).map_err(io)).transpose()
    }

    /// Where the next record starts: everything before it was whole.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Number of the last entry read or passed over.
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }

    fn head(&mut self, until_bytes: u64) -> Result<Option<record::Head>, ReadError> {
        if self.offset >= until_bytes {
            return Ok(None);
        }
        if !self.fill(RECORD_HEADER_BYTES, until_bytes)? {
            return Err(self.corrupt());
        }
        let head = record::head(&self.ahead[self.consumed..]).filter(|head| head.seq > self.last_seq);
        head.map(Some).ok_or_else(|| self.corrupt())
    }

    fn advance(&mut self, bytes: usize, seq: u64) {
        self.offset += bytes as u64;
        self.consumed += bytes;
        self.last_seq = seq;
    }

    /// Has at least `needed` bytes ahead, if they lie below `until_bytes` and in the file.
    fn fill(&mut self, needed: usize, until_bytes: u64) -> Result<bool, ReadError> {
        if self.ahead.len() - self.consumed >= needed {
            return Ok(true);
        }
        let available = usize::try_from(until_bytes - self.offset).unwrap_or(usize::MAX);
        if available < needed {
            return Ok(false);
        }
        // The beginning of the next record is read again: the page cache gives it as fast as a copy would.
        let wanted = needed.max(CHUNK_BYTES).min(available);
        let mut ahead = self.room(wanted);
        self.consumed = 0;
        while ahead.len() < wanted {
            let at = self.offset + ahead.len() as u64;
            let read = retry_on_intr(|| rustix::io::pread(&self.file, spare_capacity(&mut ahead), at));
            if read.map_err(|error| ReadError::Io(self.path.clone(), error.into()))? == 0 {
                break;
            }
        }
        ahead.truncate(wanted); // beyond it, the writer may be at work
        self.ahead = ahead.into();
        Ok(self.ahead.len() >= needed)
    }

    /// Memory to read that many bytes into: that of the last time, where nobody has a part of it any more and it is not
    /// exceptionally large.
    fn room(&mut self, bytes: usize) -> Vec<u8> {
        if let Ok(mut last) = std::mem::take(&mut self.ahead).try_into_mut() {
            last.clear(); // or what was in it would be copied
            let room = Vec::from(last);
            if (bytes..=CHUNK_BYTES).contains(&room.capacity()) {
                return room;
            }
        }
        Vec::with_capacity(bytes)
    }

    fn corrupt(&self) -> ReadError {
        ReadError::Corrupt { path: self.path.clone(), offset: self.offset }
    }
}

/// The closing entry of the journal at `path`, without its padding, read from the end of the file; `None` where the
/// journal is not closed.
///
/// # Errors
/// Where the file cannot be read.
pub fn ending(path: &Path) -> Result<Option<Entry>, ReadError> {
    let io = |error| ReadError::Io(path.to_owned(), error);
    let file = File::open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    if length < HEADER_BYTES + EXIT_RECORD_BYTES as u64 {
        return Ok(None);
    }
    let mut header = [0; HEADER.len()];
    file.read_exact_at(&mut header, 0).map_err(io)?;
    if header != CLOSED_HEADER {
        return Ok(None);
    }
    let mut record = vec![0; EXIT_RECORD_BYTES];
    file.read_exact_at(&mut record, length - EXIT_RECORD_BYTES as u64).map_err(io)?;
    let entry = record::decode(&record.into()).filter(|entry| entry.kind == Kind::Exit);
    Ok(entry.map(|entry| Entry { data: entry.data.slice(..entry.data.trim_ascii_end().len()), ..entry }))
}
