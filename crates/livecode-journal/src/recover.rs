//! What is done about a journal whose writer died.

use std::{
    fs::File,
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use crate::{
    HEADER_BYTES, Kind, ReadError, Reader, WriteError, ending,
    record::{CLOSED_HEADER, HEADER},
    writer::{close, exit_record, release_reserve},
};

/// Why a journal could not be recovered.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The file could not be opened, made or locked.
    #[error("cannot open the journal {0} to recover it")]
    Open(PathBuf, #[source] io::Error),
    /// It could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The closing entry could not be written.
    #[error("cannot close the journal {0}")]
    Write(PathBuf, #[source] io::Error),
    /// The closing entry is too long.
    #[error(transparent)]
    Ending(#[from] WriteError),
}

impl RecoverError {
    /// What the system said, where it did.
    pub fn cause(&self) -> Option<&io::Error> {
        match self {
            Self::Open(_, cause) | Self::Write(_, cause) | Self::Read(ReadError::Io(_, cause)) => Some(cause),
            Self::Read(ReadError::Corrupt { .. }) | Self::Ending(_) => None,
        }
    }
}

/// What [`close_abandoned`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// A living writer holds the lock; nothing was touched.
    Alive,
    /// The journal was closed already.
    Already,
    /// It was cut after its last whole record, and closed.
    Now,
}

/// Whether a living writer holds the journal at `path`.
///
/// # Errors
/// Where the file is not there, or cannot be opened.
pub fn is_locked(path: &Path) -> io::Result<bool> {
    match flock(File::open(path)?, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// The longest prefix of whole records of a journal that nobody writes to: its length in bytes, and the number of its
/// last entry. A file that is no journal has an empty prefix.
///
/// # Errors
/// Where the file cannot be read.
pub fn whole_bytes(path: &Path) -> Result<(u64, u64), ReadError> {
    let (bytes, seq, _) = scan(path)?;
    Ok((bytes, seq))
}

fn scan(path: &Path) -> Result<(u64, u64, bool), ReadError> {
    let mut reader = match Reader::open(path) {
        Err(ReadError::Corrupt { .. }) => return Ok((0, 0, false)),
        other => other?,
    };
    let length = std::fs::metadata(path).map_err(|error| ReadError::Io(path.to_owned(), error))?.len();
    let mut closed = false;
    while !closed {
        match reader.read(length, 1) {
            Ok(entries) if entries.is_empty() => break,
            Ok(entries) => closed = entries.iter().any(|entry| entry.kind == Kind::Exit),
            Err(ReadError::Corrupt { .. }) => break,
            Err(error) => return Err(error),
        }
    }
    Ok((reader.offset(), reader.last_seq(), closed))
}

/// Closes the journal at `path` if its writer is dead, with `ending_json` as how the session ended. A missing file is
/// made, so that the session can say how it ended.
///
/// # Errors
/// Where the file cannot be opened, read or written.
pub fn close_abandoned(path: &Path, time_us: u64, ending_json: &[u8]) -> Result<Closed, RecoverError> {
    let open = |error: io::Error| RecoverError::Open(path.to_owned(), error);
    let mut options = File::options();
    let file =
        options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path).map_err(open)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(Closed::Alive),
        Err(error) => return Err(open(error.into())),
    }
    // What says how the session ended stays, though something before it may be damaged.
    if ending(path)?.is_some() {
        return Ok(Closed::Already);
    }
    let (bytes, last_seq, closed) = scan(path)?;
    let write = |error| RecoverError::Write(path.to_owned(), error);
    if closed {
        file.set_len(bytes).and_then(|()| file.write_all_at(&CLOSED_HEADER, 0)).map_err(write)?;
        return Ok(Closed::Already);
    }
    let record = exit_record(last_seq + 1, time_us, ending_json)?;
    let end = bytes.max(HEADER_BYTES);
    // Into the room that the dead writer had set aside; only then is the rest given back.
    file.write_all_at(&HEADER, 0).map_err(write)?;
    close(&file, &record, end).and_then(|_| release_reserve(&file)).map_err(write)?;
    Ok(Closed::Now)
}
