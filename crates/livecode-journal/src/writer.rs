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
    EXIT_RECORD_BYTES, HEADER_BYTES, Kind, RECORD_HEADER_BYTES, RESERVE_BYTES,
    record::{self, CLOSED_HEADER, HEADER},
};

/// Room allocated at once beyond what is needed, at least. A short session asks once, when it is created.
const ALLOCATE_AHEAD_BYTES: u64 = 256 * 1024;
/// As a journal grows, as much is allocated ahead as it has, up to this.
const MAX_ALLOCATE_AHEAD_BYTES: u64 = 8 * 1024 * 1024;
/// The most parts that the system takes at once (writev(2)).
const MAX_PARTS: usize = 1024;
/// A payload of so many bytes is written from where it is; a smaller one is sooner copied.
const SHARED_BYTES: usize = 4096;
/// Room for the first entries, besides the reserve.
const ALLOCATE_FIRST_BYTES: u64 = 64 * 1024;

/// Why a journal could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The file could not be made: there is one already, or no room for it and its reserve.
    #[error("cannot create the journal {0}")]
    Create(PathBuf, #[source] io::Error),
    /// Another process holds the lock of a file that this one just made.
    #[error("cannot lock the journal {0}")]
    Lock(PathBuf, #[source] io::Error),
    /// The closing entry could not be written, not even into the reserve.
    #[error("cannot close the journal")]
    Finish(#[source] io::Error),
    /// The closing entry is longer than its record.
    #[error("the closing entry has {0} bytes, more than its record holds")]
    LongEnding(usize),
}

/// What became of the entries of one [`Writer::flush`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Flushed {
    /// They are in the file.
    Written,
    /// There was no room. They are lost, but keep their numbers, so that readers see a gap.
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
    /// Whole records not written yet, but for the payloads that are shared.
    buffer: Vec<u8>,
    /// Payloads that belong between the bytes of `buffer`, each with how many of those come before it.
    shared: Vec<(usize, Bytes)>,
    /// Number of the first of them.
    buffer_from: u64,
    entries: u64,
    bytes: u64,
    /// How far room is allocated; `None` where the file system cannot allocate ahead.
    allocated: Option<u64>,
}

impl Writer {
    /// Makes a journal at `path` and takes its lock. It appears there whole and locked, or not at all: who finds one that is
    /// not locked knows that its writer is dead.
    ///
    /// # Errors
    /// Where there is a file already, or no room for the reserve (`ENOSPC`).
    pub fn create(path: &Path) -> Result<Self, WriteError> {
        let create = |error| WriteError::Create(path.to_owned(), error);
        let partial = Partial(path.with_extension(format!("new-{}", std::process::id())));
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(true).mode(0o600);
        let file = options.open(&partial.0).map_err(create)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|error| WriteError::Lock(path.to_owned(), error.into()))?;
        let mut writer = Self {
            file,
            buffer: vec![],
            shared: vec![],
            buffer_from: 1,
            entries: 0,
            bytes: HEADER_BYTES,
            allocated: Some(0),
        };
        writer.allocate(RESERVE_BYTES + ALLOCATE_FIRST_BYTES).map_err(create)?;
        writer.file.write_all_at(&HEADER, 0).map_err(create)?;
        // Unlike rename(2), link(2) never replaces what somebody else made meanwhile.
        fs::hard_link(&partial.0, path).map_err(create)?;
        Ok(writer)
    }

    /// Gives an entry its number and keeps it for the next [`Self::flush`]. The payload has at most
    /// [`crate::MAX_PAYLOAD_BYTES`]; the closing entry is written by [`Self::finish`] alone.
    pub fn push(&mut self, kind: Kind, time_us: u64, data: &[u8]) -> u64 {
        debug_assert!(kind != Kind::Exit && data.len() <= crate::MAX_PAYLOAD_BYTES);
        self.entries += 1;
        record::encode(&mut self.buffer, self.entries, time_us, kind, data);
        self.entries
    }

    /// As [`Self::push`], without a copy of what is large.
    pub fn push_shared(&mut self, kind: Kind, time_us: u64, data: Bytes) -> u64 {
        if data.len() < SHARED_BYTES {
            return self.push(kind, time_us, &data);
        }
        debug_assert!(kind != Kind::Exit && data.len() <= crate::MAX_PAYLOAD_BYTES);
        self.entries += 1;
        self.buffer.extend_from_slice(&record::encode_header(self.entries, time_us, kind, &data));
        self.shared.push((self.buffer.len(), data));
        self.entries
    }

    /// Writes what was pushed, with one call where the system takes it in one.
    pub fn flush(&mut self) -> Flushed {
        let from = std::mem::replace(&mut self.buffer_from, self.entries + 1);
        let buffer = std::mem::take(&mut self.buffer);
        let shared = std::mem::take(&mut self.shared);
        let written = match buffer.is_empty() {
            true => Ok(()),
            false => self.write(&buffer, &shared),
        };
        // Keep the memory of an ordinary batch for the next, but not that of an exceptional one.
        if buffer.capacity() <= ALLOCATE_AHEAD_BYTES as usize {
            self.buffer = buffer;
            self.buffer.clear();
        }
        match written {
            Ok(()) => Flushed::Written,
            Err(_) => Flushed::Dropped { from, to: self.entries },
        }
    }

    /// Writes whole records at the end, while the reserve stays. A write that fails half-way leaves a torn record beyond
    /// the end, which the next write covers: cutting it off would give back the reserve too.
    fn write(&mut self, buffer: &[u8], shared: &[(usize, Bytes)]) -> io::Result<()> {
        let bytes = buffer.len() + shared.iter().map(|(_, data)| data.len()).sum::<usize>();
        let end = self.bytes + bytes as u64;
        self.allocate(end + RESERVE_BYTES)?;
        let mut parts = Vec::with_capacity(2 * shared.len() + 1);
        let mut from = 0;
        for (at, data) in shared {
            parts.extend([IoSlice::new(&buffer[from..*at]), IoSlice::new(data)]);
            from = *at;
        }
        parts.push(IoSlice::new(&buffer[from..]));
        write_all_parts_at(&self.file, &mut parts, self.bytes)?;
        self.bytes = end;
        Ok(())
    }

    /// Has room up to `needed` bytes, with some ahead where there is plenty.
    fn allocate(&mut self, needed: u64) -> io::Result<()> {
        let Some(allocated) = self.allocated.filter(|allocated| *allocated < needed) else { return Ok(()) };
        let ahead = match allocated {
            0 => 0,
            _ => self.bytes.clamp(ALLOCATE_AHEAD_BYTES, MAX_ALLOCATE_AHEAD_BYTES),
        };
        for target in [needed + ahead, needed] {
            let more = target - allocated;
            match retry_on_intr(|| fallocate(&self.file, FallocateFlags::KEEP_SIZE, allocated, more)) {
                Ok(()) => {
                    self.allocated = Some(target);
                    return Ok(());
                }
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                    self.allocated = None;
                    return Ok(());
                }
                Err(error) if target == needed => return Err(error.into()),
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// Writes what was pushed and then the closing entry, and lets go of the lock. Returns the length of the file. The rest of
    /// the reserve is given back by [`release_reserve`], when nobody waits any more: the disk may take its time over it.
    ///
    /// # Errors
    /// Where the closing entry could not be written; the journal is then left for recovery.
    pub fn finish(mut self, time_us: u64, ending_json: &[u8]) -> Result<u64, WriteError> {
        let _ = self.flush(); // what found no room is a gap before the closing entry
        let record = exit_record(self.entries + 1, time_us, ending_json)?;
        close(&self.file, &record, self.bytes).map_err(WriteError::Finish)
    }

    /// Number of the last entry.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Length of what is written, in bytes: readers may read up to here.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The file, for somebody else to sync.
    pub fn file(&self) -> &File {
        &self.file
    }
}

/// Drops all entries of the closed journal at `path` but the closing one, which keeps its number: the others become a gap.
/// Who reads the journal already reads the old file on.
///
/// # Errors
/// Where the journal is not closed (`InvalidInput`), or cannot be read or replaced.
pub fn trim(path: &Path) -> io::Result<()> {
    let ending = crate::ending(path).map_err(io::Error::other)?.ok_or(io::ErrorKind::InvalidInput)?;
    let record = exit_record(ending.seq, ending.time_us, &ending.data).map_err(io::Error::other)?;
    let partial = Partial(path.with_extension("trimmed"));
    let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&partial.0)?;
    close(&file, &record, HEADER_BYTES)?;
    file.sync_data()?;
    fs::rename(&partial.0, path)
}

fn write_all_parts_at(file: &File, mut parts: &mut [IoSlice<'_>], mut at: u64) -> io::Result<()> {
    IoSlice::advance_slices(&mut parts, 0); // passes over those that are empty
    while !parts.is_empty() {
        let some = &parts[..parts.len().min(MAX_PARTS)];
        match retry_on_intr(|| rustix::io::pwritev(file, some, at))? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => {
                at += written as u64;
                IoSlice::advance_slices(&mut parts, written);
            }
        }
    }
    Ok(())
}

/// The name of a journal that is being made, removed on drop.
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Gives back what is set aside for a closed journal beyond its end.
///
/// # Errors
/// Those of ftruncate(2).
pub fn release_reserve(file: &File) -> io::Result<()> {
    file.set_len(file.metadata()?.len())
}

/// Puts the closing `record` at `end`, cuts off what lies behind it, and only then says in the header that the file ends
/// with it. Returns the length of the file.
pub(crate) fn close(file: &File, record: &[u8], end: u64) -> io::Result<u64> {
    file.write_all_at(record, end)?;
    let bytes = end + record.len() as u64;
    if file.metadata()?.len() != bytes {
        file.set_len(bytes)?;
    }
    file.write_all_at(&CLOSED_HEADER, 0)?;
    Ok(bytes)
}

/// The closing record, always of the same length.
pub(crate) fn exit_record(seq: u64, time_us: u64, ending_json: &[u8]) -> Result<Vec<u8>, WriteError> {
    let room = EXIT_RECORD_BYTES - RECORD_HEADER_BYTES;
    if ending_json.len() > room {
        return Err(WriteError::LongEnding(ending_json.len()));
    }
    let mut payload = ending_json.to_vec();
    payload.resize(room, b' ');
    let mut bytes = Vec::with_capacity(EXIT_RECORD_BYTES);
    record::encode(&mut bytes, seq, time_us, Kind::Exit, &payload);
    Ok(bytes)
}
