//! The data directory: a folder for each session, complete or not there.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    net::SocketAddr,
    os::{
        fd::AsRawFd,
        unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
        unix::net::UnixStream,
    },
    path::{Path, PathBuf},
};

use livecode_journal::{Closed, close_lost};
use livecode_protocol::{
    SessionId,
    control::{self, Ending},
    order,
    session::Outcome,
};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::now_us;
use crate::access::Owner;

/// Why the data directory could not be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A folder or file could not be made.
    #[error("cannot make {0}")]
    Make(PathBuf, #[source] io::Error),
    /// Another server uses it.
    #[error("another server uses the data directory {path}: {holder}")]
    Taken {
        /// The directory.
        path: PathBuf,
        /// What the other says of itself.
        holder: String,
    },
    /// A folder or file could not be read.
    #[error("cannot read {0}")]
    Read(PathBuf, #[source] io::Error),
    /// A session's folder could not be written.
    #[error("cannot write the session")]
    Write(#[source] io::Error),
}

/// What the server remembers of a session, as `session.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    pub id: SessionId,
    pub owner: Owner,
    pub runtime: String,
    pub created_us: u64,
    /// Made by an endpoint of v0.1, for one answer.
    pub ephemeral: bool,
    /// The session's number among the living.
    pub slot: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency: Option<Idempotency>,
}

/// The key a session was created under, and a digest of what was asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Idempotency {
    pub key: String,
    pub body_sha256: String,
}

/// A data directory, locked.
pub struct Store {
    data_dir: PathBuf,
    /// Held while the server lives.
    _lock: File,
}

impl Store {
    /// Takes a data directory over, making it where it is missing.
    pub(super) fn open(data_dir: &Path, listen: SocketAddr) -> Result<Self, StoreError> {
        for folder in
            [data_dir.to_owned(), data_dir.join("sessions"), data_dir.join("trash"), data_dir.join("mnt")]
        {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
            made.map_err(|error| StoreError::Make(folder, error))?;
        }
        let path = data_dir.join("lock");
        let make = |error| StoreError::Make(path.clone(), error);
        let mut options = File::options();
        let mut lock = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(make)?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut holder = String::new();
            let _ = lock.read_to_string(&mut holder);
            return Err(StoreError::Taken { path: data_dir.to_owned(), holder: holder.trim().to_owned() });
        }
        lock.set_len(0).map_err(make)?;
        writeln!(lock, "process {} on {listen}", std::process::id()).map_err(make)?;
        let store = Self { data_dir: data_dir.to_owned(), _lock: lock };
        store.tidy();
        Ok(store)
    }

    /// Clears what was being made or forgotten when the last server died.
    fn tidy(&self) {
        let entries = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten();
        for entry in entries(self.data_dir.join("trash")) {
            let _ = fs::remove_dir_all(entry.path());
        }
        for entry in entries(self.data_dir.join("sessions")) {
            if entry.file_name().to_string_lossy().starts_with(".new-") {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    /// Where a session lives.
    pub(super) fn folder(&self, id: SessionId) -> PathBuf {
        self.data_dir.join("sessions").join(id.to_string())
    }

    /// A session's journal.
    pub(super) fn journal(&self, id: SessionId) -> PathBuf {
        self.folder(id).join("journal")
    }

    /// Whether a session ever had a supervisor: making the journal is the first thing each does.
    pub fn has_begun(&self, id: SessionId) -> bool {
        self.journal(id).exists()
    }

    /// Writes a new session. It is there whole when this returns, or not at all.
    pub(super) fn create(&self, record: &Record, order: &order::Order) -> Result<(), StoreError> {
        let partial = self.data_dir.join("sessions").join(format!(".new-{}", record.id));
        let write = || -> io::Result<()> {
            fs::DirBuilder::new().mode(0o700).create(&partial)?;
            write_json(&partial.join("session.json"), record)?;
            write_json(&partial.join(order::FILE), order)?;
            fs::rename(&partial, self.folder(record.id))
        };
        write().map_err(|error| {
            let _ = fs::remove_dir_all(&partial);
            StoreError::Write(error)
        })
    }

    /// The records of all sessions that are there. One that cannot be read is left alone, and told of.
    pub(super) fn scan(&self) -> Result<Vec<Record>, StoreError> {
        let folder = self.data_dir.join("sessions");
        let read = |error| StoreError::Read(folder.clone(), error);
        let mut records = vec![];
        for entry in fs::read_dir(&folder).map_err(read)? {
            let path = entry.map_err(read)?.path().join("session.json");
            let record =
                fs::read(&path).and_then(|bytes| serde_json::from_slice(&bytes).map_err(io::Error::other));
            match record {
                Ok(record) => records.push(record),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "a session cannot be read; it is left alone")
                }
            }
        }
        Ok(records)
    }

    /// How a session ended, if its journal is closed.
    pub(super) fn ending(&self, id: SessionId) -> Option<(u64, Ending)> {
        let entry = livecode_journal::ending(&self.journal(id)).ok()??;
        Some((entry.seq, serde_json::from_slice(&entry.data).ok()?))
    }

    /// Length of a session's journal, in bytes.
    pub(super) fn journal_bytes(&self, id: SessionId) -> u64 {
        fs::metadata(self.journal(id)).map_or(0, |metadata| metadata.len())
    }

    /// What a session takes on the disk, in bytes.
    pub(super) fn disk_bytes(&self, id: SessionId) -> u64 {
        let order = fs::metadata(self.folder(id).join(order::FILE)).map_or(0, |metadata| metadata.len());
        // Two small files and the folder take a block each.
        self.journal_bytes(id) + order + 3 * 4096
    }

    /// Closes a session's journal if its supervisor is dead. `false` where it lives.
    pub(super) fn close(&self, id: SessionId, outcome: Outcome) -> bool {
        let now = now_us();
        let exitstatus = outcome.exitstatus().unwrap_or(255);
        let ending = Ending { exitstatus, outcome, started_us: 0, ended_us: now, usage: None };
        let json = serde_json::to_vec(&ending).unwrap_or_default();
        match close_lost(&self.journal(id), now, &json) {
            Ok(closed) => closed != Closed::Alive,
            Err(error) => {
                tracing::error!(%id, %error, "a journal cannot be closed");
                true
            }
        }
    }

    /// Connects to a session's supervisor, by a path that is short however long the data directory's is.
    pub(super) fn connect(&self, id: SessionId) -> io::Result<UnixStream> {
        let folder = File::open(self.folder(id))?;
        let short = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(control::SOCKET);
        UnixStream::connect(short)
    }

    /// Takes a session away: first its name, so that it is gone whole, then its files.
    pub(super) fn remove(&self, id: SessionId) -> Result<(), StoreError> {
        let trash = self.data_dir.join("trash").join(id.to_string());
        fs::rename(self.folder(id), &trash).map_err(StoreError::Write)?;
        fs::remove_dir_all(&trash).map_err(StoreError::Write)
    }
}

fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(&serde_json::to_vec(value)?)
}
