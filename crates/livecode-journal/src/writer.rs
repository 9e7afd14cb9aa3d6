//! The one writer of a journal.

use std::{
    fs::{self, File},
    io::{self, IoSlice},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use rustix::{
    fs::{FallocateFlags, FlockOperation, fallocate, flock},
    io::{Errno, retry_on_intr},
};

use crate::{
    format::{
        CLOSED_HEADER, EXIT_RECORD_BYTES, HEADER, HEADER_BYTES, MAX_PAYLOAD_BYTES, RECORD_HEADER_BYTES,
        RESERVE_BYTES,
    },
    index::{IndexPoint, IndexWriter, index_path},
    reader::closing_entry,
    record::{self, Kind},
};

/// The least number of bytes that are allocated ahead when the journal has outgrown its first
/// allocation.
const MIN_ALLOCATE_AHEAD_BYTES: u64 = 256 * 1024;
/// The most bytes that are allocated ahead. Between the two limits, a journal allocates ahead as
/// many bytes as it holds.
const MAX_ALLOCATE_AHEAD_BYTES: u64 = 8 * 1024 * 1024;
/// Room for the first entries, allocated together with the reserve when the journal is created, so
/// that a short session allocates only once.
const FIRST_ALLOCATION_BYTES: u64 = 64 * 1024;
/// The most slices that one pwritev(2) accepts (`IOV_MAX`).
const MAX_SLICES: usize = 1024;
/// The least length of a payload that is written from where it lies. Copying a smaller payload
/// into the buffer is cheaper.
const MIN_SHARED_BYTES: usize = 4096;

/// Why a journal could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The file could not be created: it exists already, or there is no room for it and its
    /// reserve.
    #[error("cannot create the journal {0}")]
    Create(PathBuf, #[source] io::Error),
    /// Another process holds the lock of a file that this process has just created.
    #[error("cannot lock the journal {0}")]
    Lock(PathBuf, #[source] io::Error),
    /// The closing entry could not be written, not even into the reserve.
    #[error("cannot close the journal")]
    Finish(#[source] io::Error),
    /// The closing entry is longer than its record.
    #[error("the closing entry has {0} bytes, more than its record holds")]
    ClosingEntryTooLong(usize),
}

impl WriteError {
    /// The error of the operating system, or one of the kind `InvalidInput`.
    pub fn into_io(self) -> io::Error {
        match self {
            Self::Create(_, error) | Self::Lock(_, error) | Self::Finish(error) => error,
            Self::ClosingEntryTooLong(_) => io::ErrorKind::InvalidInput.into(),
        }
    }
}

/// The result of one [`Writer::flush`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum FlushResult {
    /// The entries are in the file.
    Written,
    /// The disk had no room. The entries are lost, but they keep their numbers, so that readers
    /// see a gap.
    Dropped {
        /// The first lost number.
        from: u64,
        /// The last lost number.
        to: u64,
    },
}

/// The writer of a journal. It holds the file's lock while it lives.
#[derive(Debug)]
pub struct Writer {
    file: File,
    /// Records that are not written yet, without their shared payloads.
    buffer: Vec<u8>,
    /// Payloads that are written from where they lie. Each comes with the position in `buffer` at
    /// which it belongs.
    shared_payloads: Vec<(usize, Bytes)>,
    /// Number of the first entry that is not written yet.
    first_unwritten_seq: u64,
    last_seq: u64,
    written_bytes: u64,
    /// Length up to which the disk has allocated room; `None` if the file system cannot allocate
    /// ahead.
    allocated_bytes: Option<u64>,
    index: IndexWriter,
}

impl Writer {
    /// Creates a journal at `path` and takes its lock. The file appears there complete and locked,
    /// or not at all. So a journal that is not locked has a dead writer.
    ///
    /// # Errors
    /// Fails if the file exists already, or if there is no room for the reserve (`ENOSPC`).
    pub fn create(path: &Path) -> Result<Self, WriteError> {
        let create = |error| WriteError::Create(path.to_owned(), error);
        let temporary = TemporaryPath(path.with_extension(format!("new-{}", std::process::id())));
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(true).mode(0o600);
        let file = options.open(&temporary.0).map_err(create)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|error| WriteError::Lock(path.to_owned(), error.into()))?;
        let mut writer = Self {
            file,
            buffer: vec![],
            shared_payloads: vec![],
            first_unwritten_seq: 1,
            last_seq: 0,
            written_bytes: HEADER_BYTES,
            allocated_bytes: Some(0),
            index: IndexWriter::new(path),
        };
        writer.allocate(RESERVE_BYTES + FIRST_ALLOCATION_BYTES).map_err(create)?;
        writer.file.write_all_at(&HEADER, 0).map_err(create)?;
        // Unlike rename(2), link(2) never replaces a file that another process has created
        // meanwhile.
        fs::hard_link(&temporary.0, path).map_err(create)?;
        Ok(writer)
    }

    /// Assigns a number to an entry and keeps the entry for the next [`Self::flush`]. Returns the
    /// number. The payload has at most [`MAX_PAYLOAD_BYTES`]. Only [`Self::finish`] writes a
    /// closing entry.
    pub fn push(&mut self, kind: Kind, time_us: u64, data: &[u8]) -> u64 {
        debug_assert!(kind != Kind::Exit && data.len() <= MAX_PAYLOAD_BYTES);
        self.last_seq += 1;
        record::encode(&mut self.buffer, self.last_seq, time_us, kind, data);
        self.last_seq
    }

    /// Does the same as [`Self::push`], but does not copy a large payload.
    pub fn push_shared(&mut self, kind: Kind, time_us: u64, data: Bytes) -> u64 {
        if data.len() < MIN_SHARED_BYTES {
            return self.push(kind, time_us, &data);
        }
        debug_assert!(kind != Kind::Exit && data.len() <= MAX_PAYLOAD_BYTES);
        self.last_seq += 1;
        self.buffer.extend_from_slice(&record::encode_header(self.last_seq, time_us, kind, &data));
        self.shared_payloads.push((self.buffer.len(), data));
        self.last_seq
    }

    /// Writes the pushed entries, with one system call if possible.
    pub fn flush(&mut self) -> FlushResult {
        let from = std::mem::replace(&mut self.first_unwritten_seq, self.last_seq + 1);
        let buffer = std::mem::take(&mut self.buffer);
        let shared_payloads = std::mem::take(&mut self.shared_payloads);
        let written = match buffer.is_empty() {
            true => Ok(()),
            false => {
                let point = IndexPoint { seq: from, offset: self.written_bytes };
                let written = self.write(&buffer, &shared_payloads);
                written.map(|()| self.index.note(&self.file, point))
            }
        };
        // Keep the buffer of an ordinary batch for the next one, but free an exceptionally large
        // buffer.
        if buffer.capacity() <= MIN_ALLOCATE_AHEAD_BYTES as usize {
            self.buffer = buffer;
            self.buffer.clear();
        }
        match written {
            Ok(()) => FlushResult::Written,
            Err(_) => FlushResult::Dropped { from, to: self.last_seq },
        }
    }

    /// Writes whole records at the end of the journal and keeps the reserve behind them. With a
    /// reserve, the room is there before the first byte is written. Without one, a write may fail
    /// half-way for want of room. What it left is cut off: part of it would stay behind a shorter
    /// record that is written later, and a program could have chosen those bytes.
    fn write(&mut self, buffer: &[u8], shared_payloads: &[(usize, Bytes)]) -> io::Result<()> {
        let bytes = buffer.len() + shared_payloads.iter().map(|(_, data)| data.len()).sum::<usize>();
        let end = self.written_bytes + bytes as u64;
        self.allocate(end + RESERVE_BYTES)?;
        let mut slices = Vec::with_capacity(2 * shared_payloads.len() + 1);
        let mut from = 0;
        for (at, data) in shared_payloads {
            slices.extend([IoSlice::new(&buffer[from..*at]), IoSlice::new(data)]);
            from = *at;
        }
        slices.push(IoSlice::new(&buffer[from..]));
        let written = write_all_slices_at(&self.file, &mut slices, self.written_bytes);
        if written.is_err() && self.allocated_bytes.is_none() {
            let _ = self.file.set_len(self.written_bytes);
        }
        written?;
        self.written_bytes = end;
        Ok(())
    }

    /// Allocates room up to `needed` bytes, and some room ahead unless the disk is too full for
    /// it.
    fn allocate(&mut self, needed: u64) -> io::Result<()> {
        let Some(allocated) = self.allocated_bytes.filter(|allocated| *allocated < needed) else {
            return Ok(());
        };
        let ahead = match allocated {
            0 => 0,
            _ => self.written_bytes.clamp(MIN_ALLOCATE_AHEAD_BYTES, MAX_ALLOCATE_AHEAD_BYTES),
        };
        for target in [needed + ahead, needed] {
            let more = target - allocated;
            match retry_on_intr(|| fallocate(&self.file, FallocateFlags::KEEP_SIZE, allocated, more)) {
                Ok(()) => {
                    self.allocated_bytes = Some(target);
                    return Ok(());
                }
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                    self.allocated_bytes = None;
                    return Ok(());
                }
                Err(error) if target == needed => return Err(error.into()),
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// Writes the pushed entries and the closing entry, and closes this writer's descriptor. The
    /// journal stays locked as long as a duplicate of it is open. Returns the length of the file.
    /// The unused part of the reserve is freed by [`release_reserve`], which may be slow and is
    /// therefore called when nobody waits any more.
    ///
    /// # Errors
    /// Fails if the closing entry could not be written. The journal is then left for recovery.
    pub fn finish(mut self, time_us: u64, closing_json: &[u8]) -> Result<u64, WriteError> {
        let _ = self.flush(); // entries that found no room are a gap before the closing entry
        let record = encode_exit_record(self.last_seq + 1, time_us, closing_json)?;
        write_end(&self.file, &record, self.written_bytes).map_err(WriteError::Finish)
    }

    /// Number of the last entry that was pushed, or 0.
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// Length of the header and the entries in the file. Readers may read up to here.
    pub fn written_bytes(&self) -> u64 {
        self.written_bytes
    }

    /// The file, so that the caller can sync it.
    pub fn file(&self) -> &File {
        &self.file
    }
}

/// Drops all entries of the closed journal at `path` but the closing entry, which keeps its
/// number. The dropped entries become a gap. The journal is replaced by a new file: readers that
/// have the old file open go on reading it. The index is removed.
///
/// # Errors
/// Fails if the journal is not closed (`InvalidInput`), or if it cannot be read or replaced.
pub fn trim(path: &Path) -> io::Result<()> {
    let closing = closing_entry(path).map_err(io::Error::other)?.ok_or(io::ErrorKind::InvalidInput)?;
    let record = encode_exit_record(closing.seq, closing.time_us, &closing.data).map_err(io::Error::other)?;
    let temporary = TemporaryPath(path.with_extension("trimmed"));
    let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&temporary.0)?;
    write_end(&file, &record, HEADER_BYTES)?;
    file.sync_data()?;
    fs::rename(&temporary.0, path)?;
    let _ = fs::remove_file(index_path(path)); // an index of another file is not valid anyhow
    Ok(())
}

fn write_all_slices_at(file: &File, mut slices: &mut [IoSlice<'_>], mut at: u64) -> io::Result<()> {
    IoSlice::advance_slices(&mut slices, 0); // removes empty slices at the front
    while !slices.is_empty() {
        let batch = &slices[..slices.len().min(MAX_SLICES)];
        match retry_on_intr(|| rustix::io::pwritev(file, batch, at))? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => {
                at += written as u64;
                IoSlice::advance_slices(&mut slices, written);
            }
        }
    }
    Ok(())
}

/// The path of a file that is not complete yet. The path is removed on drop.
struct TemporaryPath(PathBuf);

impl Drop for TemporaryPath {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Frees the room that is allocated beyond the end of a closed journal.
///
/// # Errors
/// Returns the errors of ftruncate(2).
pub fn release_reserve(file: &File) -> io::Result<()> {
    file.set_len(file.metadata()?.len())
}

/// Writes the exit record at `end`, cuts off everything behind it, and only then marks the file as
/// closed in its header. Returns the length of the file.
pub(crate) fn write_end(file: &File, record: &[u8], end: u64) -> io::Result<u64> {
    file.write_all_at(record, end)?;
    let bytes = end + record.len() as u64;
    if file.metadata()?.len() != bytes {
        file.set_len(bytes)?;
    }
    file.write_all_at(&CLOSED_HEADER, 0)?;
    Ok(bytes)
}

/// Encodes the exit record, which always has [`EXIT_RECORD_BYTES`].
pub(crate) fn encode_exit_record(seq: u64, time_us: u64, closing_json: &[u8]) -> Result<Vec<u8>, WriteError> {
    let max_bytes = EXIT_RECORD_BYTES - RECORD_HEADER_BYTES;
    if closing_json.len() > max_bytes {
        return Err(WriteError::ClosingEntryTooLong(closing_json.len()));
    }
    let mut payload = closing_json.to_vec();
    payload.resize(max_bytes, b' ');
    let mut bytes = Vec::with_capacity(EXIT_RECORD_BYTES);
    record::encode(&mut bytes, seq, time_us, Kind::Exit, &payload);
    Ok(bytes)
}
