//! Closes a journal whose writer has died.

use std::{
    fs::File,
    io,
    os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use crate::{
    format::{HEADER, HEADER_BYTES},
    reader::{ReadError, Reader, closing_entry},
    record::Kind,
    writer::{WriteError, encode_exit_record, release_reserve, write_end},
};

/// Why a journal could not be recovered.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The file could not be opened, created or locked.
    #[error("cannot open the journal {0} to recover it")]
    Open(PathBuf, #[source] io::Error),
    /// The file could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The closing entry could not be written.
    #[error("cannot close the journal {0}")]
    Write(PathBuf, #[source] io::Error),
    /// The closing entry is too long.
    #[error(transparent)]
    ClosingEntry(#[from] WriteError),
}

impl RecoverError {
    /// The error of the operating system, if there was one.
    pub fn cause(&self) -> Option<&io::Error> {
        match self {
            Self::Open(_, cause) | Self::Write(_, cause) | Self::Read(ReadError::Io(_, cause)) => Some(cause),
            Self::Read(ReadError::Corrupt { .. }) | Self::ClosingEntry(_) => None,
        }
    }
}

/// The result of [`close_abandoned`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseResult {
    /// A living writer holds the lock. The journal was not touched.
    WriterAlive,
    /// There is no journal, and none was to be created.
    Missing,
    /// The journal had its closing entry already. At most there were other bytes behind it, which
    /// have been cut off.
    AlreadyClosed,
    /// The journal was cut after its last whole record and got the given closing entry.
    ClosedNow,
}

/// Whether a living writer holds the lock of the journal at `path`.
///
/// # Errors
/// Fails if the file does not exist or cannot be opened.
pub fn is_locked(path: &Path) -> io::Result<bool> {
    match flock(File::open(path)?, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Finds the longest prefix of a journal that consists of whole records. Returns its length in
/// bytes and the number of its last entry. The prefix of a file that is not a journal is empty,
/// and an exit record belongs to it only if the header says that the journal is closed. No process
/// may be writing to the journal.
///
/// # Errors
/// Fails if the file cannot be read.
pub fn intact_prefix(path: &Path) -> Result<(u64, u64), ReadError> {
    let Prefix { bytes, last_seq, .. } = scan(path)?;
    Ok((bytes, last_seq))
}

/// The intact prefix of a journal.
#[derive(Default)]
struct Prefix {
    bytes: u64,
    last_seq: u64,
    /// Whether the prefix ends with an exit record.
    has_exit_record: bool,
}

/// Reads whole records from the start on. In a file whose header does not say `DONE`, the scan
/// stops before an exit record: on a file system that cannot allocate ahead, a write that failed
/// half-way leaves bytes of the program behind the last record, and they may look like an exit
/// record.
fn scan(path: &Path) -> Result<Prefix, ReadError> {
    let mut reader = match Reader::open(path) {
        Err(ReadError::Corrupt { .. }) => return Ok(Prefix::default()),
        other => other?,
    };
    let length = std::fs::metadata(path).map_err(|error| ReadError::Io(path.to_owned(), error))?.len();
    let is_closed = reader.closed_bytes()?.is_some();
    let mut prefix = Prefix { bytes: reader.offset(), ..Prefix::default() };
    while !prefix.has_exit_record {
        match reader.read(length, 1) {
            Ok(entries) if entries.is_empty() => break,
            Ok(entries) => {
                let is_exit = entries.iter().any(|entry| entry.kind == Kind::Exit);
                if is_exit && !is_closed {
                    break;
                }
                let (bytes, last_seq) = (reader.offset(), reader.last_seq());
                prefix = Prefix { bytes, last_seq, has_exit_record: is_exit };
            }
            Err(ReadError::Corrupt { .. }) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(prefix)
}

/// Closes the journal at `path` if its writer is dead, with `closing_json` as the payload of the
/// closing entry. Creates the file if it is missing, so that every session gets a closing entry.
///
/// # Errors
/// Fails if the file cannot be opened, read or written.
pub fn close_abandoned(path: &Path, time_us: u64, closing_json: &[u8]) -> Result<CloseResult, RecoverError> {
    close(path, time_us, closing_json, true)
}

/// As [`close_abandoned`], but leaves a missing file missing. A writer may remove a journal to
/// which it has written nothing, while it holds the lock.
///
/// # Errors
/// Fails if the file cannot be opened, read or written.
pub fn close_existing(path: &Path, time_us: u64, closing_json: &[u8]) -> Result<CloseResult, RecoverError> {
    close(path, time_us, closing_json, false)
}

fn close(
    path: &Path,
    time_us: u64,
    closing_json: &[u8],
    may_create: bool,
) -> Result<CloseResult, RecoverError> {
    let open = |error: io::Error| RecoverError::Open(path.to_owned(), error);
    let mut options = File::options();
    options.read(true).write(true).create(may_create).truncate(false).mode(0o600);
    let file = match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !may_create => {
            return Ok(CloseResult::Missing);
        }
        opened => opened.map_err(open)?,
    };
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(CloseResult::WriterAlive),
        Err(error) => return Err(open(error.into())),
    }
    // The writer has removed the file after it was opened here.
    if file.metadata().map_err(open)?.nlink() == 0 {
        return Ok(CloseResult::Missing);
    }
    // A valid closing entry stays, even if an entry before it may be damaged.
    if closing_entry(path)?.is_some() {
        return Ok(CloseResult::AlreadyClosed);
    }
    let Prefix { bytes, last_seq, has_exit_record } = scan(path)?;
    let write = |error| RecoverError::Write(path.to_owned(), error);
    if has_exit_record {
        file.set_len(bytes).map_err(write)?;
        return Ok(CloseResult::AlreadyClosed);
    }
    let record = encode_exit_record(last_seq + 1, time_us, closing_json)?;
    let end = bytes.max(HEADER_BYTES);
    // The exit record goes into the reserve of the dead writer. The rest of the reserve is
    // released only after that.
    file.write_all_at(&HEADER, 0).map_err(write)?;
    write_end(&file, &record, end).and_then(|_| release_reserve(&file)).map_err(write)?;
    Ok(CloseResult::ClosedNow)
}
