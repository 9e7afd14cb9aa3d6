//! Reads a journal.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use rustix::{buffer::spare_capacity, io::retry_on_intr};

use crate::{
    format::{
        CLOSED_HEADER, EXIT_RECORD_BYTES, HEADER, HEADER_BYTES, INDEX_INTERVAL_BYTES, RECORD_HEADER_BYTES,
    },
    index::{Index, IndexPoint},
    record::{self, Entry, Kind, PieceVerifier, RecordHeader},
};

/// Bytes that one read of the file asks for: two records of the largest output and a little more.
/// A reader whose client does not read holds so many bytes.
const READ_CHUNK_BYTES: usize = 136 * 1024;
/// Bytes of a longer record that are in memory at once while it is verified.
const VERIFY_PIECE_BYTES: usize = 64 * 1024;

/// Why a journal could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file could not be opened or read.
    #[error("cannot read the journal {0}")]
    Io(PathBuf, #[source] io::Error),
    /// The bytes at `offset` are not a valid record, although they lie below the length that the
    /// writer has announced.
    #[error("the journal {path} is damaged at byte {offset}")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The position at which the record should start.
        offset: u64,
    },
}

/// Reads the entries of a journal in order, from the beginning or from some number on.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    file: Arc<File>,
    /// The position in the file at which the next record starts.
    offset: u64,
    /// Bytes that were read from the file ahead of their use.
    read_ahead: Bytes,
    /// How many bytes at the start of `read_ahead` lie before `offset` and have been used.
    consumed: usize,
    last_seq: u64,
}

impl Reader {
    /// Opens the journal at `path` and positions the reader at its first entry.
    ///
    /// # Errors
    /// Fails if the file cannot be opened or is not a journal.
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
            file: file.into(),
            offset: HEADER_BYTES,
            read_ahead: Bytes::new(),
            consumed: 0,
            last_seq: 0,
        })
    }

    /// Moves on to the first entry after number `after`, or to `until_bytes`. The skipped records
    /// are verified too, because a wrong length could lead past an entry unnoticed.
    ///
    /// # Errors
    /// Fails for the same reasons as [`Self::read`].
    pub fn skip_to(&mut self, after: u64, until_bytes: u64) -> Result<(), ReadError> {
        self.skip_some(after, until_bytes, u64::MAX, |_| {}).map(|_| ())
    }

    /// Like [`Self::skip_to`], but stops after about `max_bytes`. Returns whether the skip is
    /// complete. Calls `on_point` with the place of a record now and then, about every
    /// [`INDEX_INTERVAL_BYTES`]. [`Self::jump_to`] takes such places.
    ///
    /// # Errors
    /// Fails for the same reasons as [`Self::read`].
    pub fn skip_some(
        &mut self,
        after: u64,
        until_bytes: u64,
        max_bytes: u64,
        mut on_point: impl FnMut(IndexPoint),
    ) -> Result<bool, ReadError> {
        let start = self.offset;
        let mut next_point = start + INDEX_INTERVAL_BYTES;
        while let Some(header) = self.peek_header(until_bytes)? {
            if header.seq > after {
                break;
            }
            if self.offset - start >= max_bytes {
                return Ok(false);
            }
            if self.offset >= next_point {
                next_point = self.offset + INDEX_INTERVAL_BYTES;
                on_point(IndexPoint { seq: header.seq, offset: self.offset });
            }
            if !self.is_record_valid(&header, until_bytes)? {
                return Err(self.corrupt());
            }
            self.advance(header.record_bytes(), header.seq);
        }
        Ok(true)
    }

    /// Moves forward to a place from which few bytes must be skipped to the first entry after
    /// number `after`, if the index beside the journal knows one. The record there is verified.
    ///
    /// # Errors
    /// Fails if the journal cannot be read. An index that cannot be read counts as missing.
    pub fn jump_near(&mut self, after: u64, until_bytes: u64) -> Result<(), ReadError> {
        let Ok(index) = Index::open(&self.path, &self.file) else { return Ok(()) };
        let mut entries = index.entries();
        let is_before = |point: IndexPoint| point.seq <= after && point.offset < until_bytes;
        while let Some((before, point)) = index.last(entries, is_before) {
            if point.offset <= self.offset || self.jump_to(point, until_bytes)? {
                break;
            }
            entries = before / 2; // the journal is damaged here: look much earlier, so few times
        }
        Ok(())
    }

    /// Moves forward to the record that `point` names. Returns `false` and stays if there is no
    /// such record ahead. The record is verified, the records before it are not.
    ///
    /// # Errors
    /// Fails if the file cannot be read.
    pub fn jump_to(&mut self, point: IndexPoint, until_bytes: u64) -> Result<bool, ReadError> {
        if point.offset <= self.offset || point.seq <= self.last_seq || point.offset >= until_bytes {
            return Ok(false);
        }
        let start = self.offset;
        self.move_to(point.offset);
        let is_valid = match self.peek_header(until_bytes) {
            Ok(Some(header)) if header.seq == point.seq => self.is_record_valid(&header, until_bytes),
            Ok(_) | Err(ReadError::Corrupt { .. }) => Ok(false),
            Err(error) => Err(error),
        };
        match is_valid {
            Ok(true) => self.last_seq = point.seq - 1,
            _ => self.move_to(start),
        }
        is_valid
    }

    /// Reads the next entries below `until_bytes`: about `max_bytes` of them, and at least one if
    /// there is one. An empty result means that there are no more entries yet.
    ///
    /// # Errors
    /// Fails if the file cannot be read, or if it holds anything but whole records below
    /// `until_bytes`.
    pub fn read(&mut self, until_bytes: u64, max_bytes: usize) -> Result<Vec<Entry>, ReadError> {
        self.read_small(until_bytes, max_bytes, usize::MAX)
    }

    /// Like [`Self::read`], but stops before a message of more than `max_message_bytes`, which
    /// [`Self::large_message`] then returns.
    ///
    /// # Errors
    /// Fails for the same reasons as [`Self::read`].
    pub fn read_small(
        &mut self,
        until_bytes: u64,
        max_bytes: usize,
        max_message_bytes: usize,
    ) -> Result<Vec<Entry>, ReadError> {
        let mut entries = vec![];
        let mut total = 0;
        while total < max_bytes
            && let Some(header) = self.peek_header(until_bytes)?
        {
            if header.kind == Kind::Message && header.payload_bytes > max_message_bytes {
                break;
            }
            let length = header.record_bytes();
            if !self.fill(length, until_bytes)? {
                return Err(self.corrupt());
            }
            let entry = record::decode(&self.read_ahead.slice(self.consumed..self.consumed + length));
            entries.push(entry.ok_or_else(|| self.corrupt())?);
            self.advance(length, header.seq);
            total += length;
        }
        Ok(entries)
    }

    /// The next entry, if it is a message of more than `max_message_bytes`. Its record is
    /// verified, and its payload stays in the file.
    ///
    /// # Errors
    /// Fails for the same reasons as [`Self::read`].
    pub fn large_message(
        &mut self,
        until_bytes: u64,
        max_message_bytes: usize,
    ) -> Result<Option<LargeMessage>, ReadError> {
        let header = self.peek_header(until_bytes)?;
        let is_large =
            |header: &RecordHeader| header.kind == Kind::Message && header.payload_bytes > max_message_bytes;
        let Some(header) = header.filter(is_large) else { return Ok(None) };
        if !self.is_record_valid(&header, until_bytes)? {
            return Err(self.corrupt());
        }
        let message = LargeMessage {
            seq: header.seq,
            bytes: header.payload_bytes,
            file: self.file.clone(),
            offset: self.offset + RECORD_HEADER_BYTES as u64,
        };
        self.advance(header.record_bytes(), header.seq);
        Ok(Some(message))
    }

    /// Frees the reader's buffer if all bytes in it have been read. The next read allocates a new
    /// buffer.
    pub fn release_buffer(&mut self) {
        if self.consumed == self.read_ahead.len() {
            self.read_ahead = Bytes::new();
            self.consumed = 0;
        }
    }

    /// Bytes between the reader's position and `until_bytes`. [`Self::skip_to`] reads at most so
    /// many.
    pub fn remaining_bytes(&self, until_bytes: u64) -> u64 {
        until_bytes.saturating_sub(self.offset)
    }

    /// Returns the length of the file if the journal is closed, and `None` otherwise. A closed
    /// journal may be read to the end of its file.
    ///
    /// # Errors
    /// Fails if the file cannot be read.
    pub fn closed_bytes(&self) -> Result<Option<u64>, ReadError> {
        let io = |error| ReadError::Io(self.path.clone(), error);
        let mut header = [0; HEADER.len()];
        self.file.read_exact_at(&mut header, 0).map_err(io)?;
        let is_closed = header == CLOSED_HEADER;
        is_closed.then(|| self.file.metadata().map(|metadata| metadata.len()).map_err(io)).transpose()
    }

    /// The position at which the next record starts. All records before it were valid.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Number of the last entry that was read or skipped.
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }

    fn peek_header(&mut self, until_bytes: u64) -> Result<Option<RecordHeader>, ReadError> {
        if self.offset >= until_bytes {
            return Ok(None);
        }
        if !self.fill(RECORD_HEADER_BYTES, until_bytes)? {
            return Err(self.corrupt());
        }
        let header = record::parse_header(&self.read_ahead[self.consumed..])
            .filter(|header| header.seq > self.last_seq);
        header.map(Some).ok_or_else(|| self.corrupt())
    }

    fn advance(&mut self, bytes: usize, seq: u64) {
        self.offset += bytes as u64;
        self.consumed += bytes;
        self.last_seq = seq;
        // Only the beginning of a long record may be in the buffer.
        if self.consumed > self.read_ahead.len() {
            self.move_to(self.offset);
        }
    }

    fn move_to(&mut self, offset: u64) {
        self.offset = offset;
        self.read_ahead = Bytes::new();
        self.consumed = 0;
    }

    /// Whether the record at the reader's position, whose header is `header`, lies below
    /// `until_bytes` and has the right checksum. A long record is read piece by piece, past the
    /// buffer.
    fn is_record_valid(&mut self, header: &RecordHeader, until_bytes: u64) -> Result<bool, ReadError> {
        let length = header.record_bytes();
        if length <= READ_CHUNK_BYTES {
            let is_whole = self.fill(length, until_bytes)?;
            return Ok(is_whole && record::is_valid(&self.read_ahead[self.consumed..self.consumed + length]));
        }
        if self.remaining_bytes(until_bytes) < length as u64 {
            return Ok(false);
        }
        // The header was read by `peek_header`.
        let mut verifier = PieceVerifier::new(&self.read_ahead[self.consumed..]);
        let mut piece = vec![0; VERIFY_PIECE_BYTES];
        let mut done = RECORD_HEADER_BYTES;
        while done < length {
            let wanted = piece.len().min(length - done);
            match self.file.read_exact_at(&mut piece[..wanted], self.offset + done as u64) {
                Ok(()) => verifier.update(&piece[..wanted]),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
                Err(error) => return Err(ReadError::Io(self.path.clone(), error)),
            }
            done += wanted;
        }
        Ok(verifier.is_valid())
    }

    /// Makes at least `needed` bytes available in `read_ahead`. Returns `false` if so many bytes
    /// do not lie below `until_bytes`, or if the file is too short.
    fn fill(&mut self, needed: usize, until_bytes: u64) -> Result<bool, ReadError> {
        if self.read_ahead.len() - self.consumed >= needed {
            return Ok(true);
        }
        let available = usize::try_from(until_bytes - self.offset).unwrap_or(usize::MAX);
        if available < needed {
            return Ok(false);
        }
        // The beginning of the next record may be read a second time here. Reading it from the
        // page cache is as fast as copying it.
        let wanted = needed.max(READ_CHUNK_BYTES).min(available);
        let mut buffer = self.empty_buffer(wanted);
        self.consumed = 0;
        while buffer.len() < wanted {
            let at = self.offset + buffer.len() as u64;
            let read = retry_on_intr(|| rustix::io::pread(&*self.file, spare_capacity(&mut buffer), at));
            if read.map_err(|error| ReadError::Io(self.path.clone(), error.into()))? == 0 {
                break;
            }
        }
        buffer.truncate(wanted); // the writer may be changing the bytes beyond
        self.read_ahead = buffer.into();
        Ok(self.read_ahead.len() >= needed)
    }

    /// Returns an empty buffer with room for `bytes`. It is the previous buffer if no entry shares
    /// its memory any more and it is not exceptionally large.
    fn empty_buffer(&mut self, bytes: usize) -> Vec<u8> {
        if let Ok(mut previous) = std::mem::take(&mut self.read_ahead).try_into_mut() {
            previous.clear(); // so that the conversion below copies nothing
            let buffer = Vec::from(previous);
            if (bytes..=READ_CHUNK_BYTES).contains(&buffer.capacity()) {
                return buffer;
            }
        }
        Vec::with_capacity(bytes)
    }

    fn corrupt(&self) -> ReadError {
        ReadError::Corrupt { path: self.path.clone(), offset: self.offset }
    }
}

/// A message that is too large to be in memory as a whole for each of its readers. Its payload is
/// read in pieces. It stays readable when the journal is trimmed or deleted.
#[derive(Clone, Debug)]
pub struct LargeMessage {
    /// The number of the entry.
    pub seq: u64,
    /// Length of the payload.
    pub bytes: usize,
    file: Arc<File>,
    /// The position of the payload in the file.
    offset: u64,
}

impl LargeMessage {
    /// The bytes of the payload from `at` on: `max_bytes` of them, or fewer at its end.
    ///
    /// # Errors
    /// Fails if the file cannot be read.
    pub fn read_at(&self, at: usize, max_bytes: usize) -> io::Result<Vec<u8>> {
        let mut piece = vec![0; max_bytes.min(self.bytes.saturating_sub(at))];
        self.file.read_exact_at(&mut piece, self.offset + at as u64)?;
        Ok(piece)
    }
}

/// Returns the closing entry of the journal at `path` without its padding, or `None` if the
/// journal is not closed. The entry is read from the end of the file.
///
/// # Errors
/// Fails if the file cannot be read.
pub fn closing_entry(path: &Path) -> Result<Option<Entry>, ReadError> {
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
