//! The data directory: a folder for each session, complete or not there.

use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, Write as _},
    net::SocketAddr,
    os::{
        fd::AsRawFd,
        unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use livecode_journal::{CloseResult, ReadError, RecoverError, close_abandoned};
use livecode_protocol::{
    SessionId,
    control::{self, ClosingEntry, SupervisorIdentity},
    run_spec,
    session::Outcome,
};
use rustix::fs::{FlockOperation, IFlags, flock, ioctl_getflags, ioctl_setflags};
use serde::{Deserialize, Serialize};
use tokio::net::UnixStream;

use crate::sessions::now_us;
use crate::{auth::Owner, compile_cache::CompileCache};

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
pub(crate) struct SessionRecord {
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
pub(crate) struct Idempotency {
    pub key: String,
    pub body_sha256: String,
}

fn make_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(path)
}

/// Tells the file system that what is in a folder has nothing to do with one another, so that each is put in a place of its
/// own (chattr(1), attribute T). On ext4 without a journal a new file is looked for beyond all that were deleted in the same
/// block group within the last minutes; where sessions come and go there are thousands, and each file takes 0.4 ms instead
/// of 0.01 ms. File systems without such places refuse, and lose nothing.
fn spread(folder: &Path) {
    let Ok(folder) = File::open(folder) else { return };
    if let Ok(flags) = ioctl_getflags(&folder) {
        let _ = ioctl_setflags(&folder, flags | IFlags::TOPDIR);
    }
}

/// Where folders of sessions are made: in it they are not whole yet.
const NEW: &str = "new";
/// How many empty folders are kept for sessions to come. Making one takes as long as all else that is written when a session
/// is created.
const FOLDERS_AHEAD_MAX: usize = 8;

/// A data directory, locked.
pub struct Store {
    data_dir: PathBuf,
    ahead: Mutex<Vec<PathBuf>>,
    compile_cache: Option<Arc<CompileCache>>,
    /// Held while the server lives.
    _lock: File,
}

impl Store {
    /// Takes a data directory over, making it where it is missing.
    pub(crate) fn open(data_dir: &Path, listen: SocketAddr) -> Result<Self, StoreError> {
        let folders = ["sessions", NEW, "trash", "mnt"].map(|name| data_dir.join(name));
        for folder in std::iter::once(data_dir.to_owned()).chain(folders) {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
            made.map_err(|error| StoreError::Make(folder, error))?;
        }
        spread(&data_dir.join(NEW));
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
        // Over what the last holder wrote, whose room is there on a full disk too: just then a server must be had.
        let holder = format!("process {} on {listen}\n", std::process::id());
        let written = lock.rewind().and_then(|()| lock.write_all(holder.as_bytes()));
        if let Err(error) = written.and_then(|()| lock.set_len(holder.len() as u64)) {
            tracing::warn!(%error, path = %path.display(), "who holds the data directory cannot be written down");
        }
        let store =
            Self { data_dir: data_dir.to_owned(), ahead: Mutex::default(), compile_cache: None, _lock: lock };
        store.tidy();
        Ok(store)
    }

    /// With what was compiled before.
    pub(crate) fn with_compile_cache(self, cache: Option<Arc<CompileCache>>) -> Self {
        Self { compile_cache: cache, ..self }
    }

    /// What was compiled before, unless it is not kept.
    pub(crate) fn compile_cache(&self) -> Option<&Arc<CompileCache>> {
        self.compile_cache.as_ref()
    }

    /// Clears what was being made or forgotten when the last server died.
    fn tidy(&self) {
        self.clear_trash();
        for entry in fs::read_dir(self.data_dir.join(NEW)).into_iter().flatten().flatten() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }

    /// Room left on the disk for whoever this server runs as, in bytes.
    ///
    /// # Errors
    /// Where the data directory cannot be asked.
    pub(crate) fn free_bytes(&self) -> Result<u64, StoreError> {
        let disk = rustix::fs::statvfs(&self.data_dir);
        let disk = disk.map_err(|error| StoreError::Read(self.data_dir.clone(), error.into()))?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// Where a session lives.
    pub(crate) fn folder(&self, id: SessionId) -> PathBuf {
        self.data_dir.join("sessions").join(id.to_string())
    }

    /// A session's journal.
    pub(crate) fn journal(&self, id: SessionId) -> PathBuf {
        self.folder(id).join("journal")
    }

    /// Whether a session ever had a supervisor: making the journal is the first thing each does.
    pub fn has_begun(&self, id: SessionId) -> bool {
        self.journal(id).exists()
    }

    /// Writes a new session. It is there whole when this returns, or not at all.
    pub(crate) fn create(&self, record: &SessionRecord, order: &run_spec::RunSpec) -> Result<(), StoreError> {
        let ahead = self.ahead().pop().filter(|folder| folder.is_dir()); // or somebody has tidied up
        let is_made = ahead.is_some();
        let partial = ahead.unwrap_or_else(|| self.partial(record.id));
        let write = || -> io::Result<()> {
            if !is_made {
                make_folder(&partial)?;
            }
            write_json(&partial.join("session.json"), record)?;
            write_json(&partial.join(run_spec::RUN_SPEC_FILE), order)?;
            fs::rename(&partial, self.folder(record.id))
        };
        write().map_err(|error| {
            let _ = fs::remove_dir_all(&partial);
            StoreError::Write(error)
        })
    }

    /// Makes a folder for a session to come, where there are not enough.
    pub(crate) fn make_ahead(&self) {
        let mut random = [0; 16];
        if self.ahead().len() < FOLDERS_AHEAD_MAX && getrandom::fill(&mut random).is_ok() {
            let folder = self.partial(SessionId::from_random(random));
            // Where it cannot be made now, the session makes its own, and says why it cannot.
            if make_folder(&folder).is_ok() {
                self.ahead().push(folder);
            }
        }
    }

    fn ahead(&self) -> MutexGuard<'_, Vec<PathBuf>> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a session's folder is until it is whole.
    fn partial(&self, id: SessionId) -> PathBuf {
        self.data_dir.join(NEW).join(id.to_string())
    }

    /// The records of all sessions that are there. One that cannot be read is left alone, and told of.
    pub(crate) fn scan(&self) -> Result<Vec<SessionRecord>, StoreError> {
        let folder = self.data_dir.join("sessions");
        let read = |error| StoreError::Read(folder.clone(), error);
        let mut records = vec![];
        for entry in fs::read_dir(&folder).map_err(read)? {
            let path = entry.map_err(read)?.path();
            match read_record(&path) {
                Ok(record) => records.push(record),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "a session cannot be read; it is left alone")
                }
            }
        }
        Ok(records)
    }

    /// How a session ended; `None` where its journal is not closed, or not there yet.
    ///
    /// # Errors
    /// Where the journal cannot be opened or read now.
    pub(crate) fn ending(&self, id: SessionId) -> io::Result<Option<(u64, ClosingEntry)>> {
        let entry = match livecode_journal::closing_entry(&self.journal(id)) {
            Ok(entry) => entry,
            Err(ReadError::Io(_, error)) if error.kind() == io::ErrorKind::NotFound => None,
            Err(ReadError::Io(_, error)) => return Err(error),
            Err(ReadError::Corrupt { .. }) => None,
        };
        Ok(entry.and_then(|entry| Some((entry.seq, serde_json::from_slice(&entry.data).ok()?))))
    }

    /// Which process supervises a session, or did.
    pub(crate) fn state(&self, id: SessionId) -> Option<SupervisorIdentity> {
        let bytes = fs::read(self.folder(id).join(control::STATE_FILE)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Removes what a supervisor leaves in its folder only when it is killed: its socket, and files it was writing.
    pub(crate) fn clear_leftovers(&self, id: SessionId) {
        let keep = ["session.json", run_spec::RUN_SPEC_FILE, control::STATE_FILE, "journal"];
        for entry in fs::read_dir(self.folder(id)).into_iter().flatten().flatten() {
            if !keep.iter().any(|name| entry.file_name() == *name) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Length of a session's journal, in bytes.
    pub(crate) fn journal_bytes(&self, id: SessionId) -> u64 {
        fs::metadata(self.journal(id)).map_or(0, |metadata| metadata.len())
    }

    /// What a session takes on the disk, in bytes.
    pub(crate) fn disk_bytes(&self, id: SessionId) -> u64 {
        let order =
            fs::metadata(self.folder(id).join(run_spec::RUN_SPEC_FILE)).map_or(0, |metadata| metadata.len());
        // Two small files and the folder take a block each.
        self.journal_bytes(id) + order + 3 * 4096
    }

    /// Closes a session's journal if its supervisor is dead. `false` where it lives.
    ///
    /// # Errors
    /// Where the journal cannot be opened, read or written.
    pub(crate) fn close(&self, id: SessionId, outcome: Outcome) -> Result<bool, RecoverError> {
        let now = now_us();
        let exitstatus = outcome.exitstatus().unwrap_or(255);
        let ending =
            ClosingEntry { exitstatus, outcome, started_us: 0, ended_us: now, usage: None, compiled: None };
        let json = serde_json::to_vec(&ending).unwrap_or_default();
        Ok(close_abandoned(&self.journal(id), now, &json)? != CloseResult::WriterAlive)
    }

    /// Drops the output of an ended session, but for how it ended.
    pub(crate) fn trim(&self, id: SessionId) -> Result<(), StoreError> {
        livecode_journal::trim(&self.journal(id)).map_err(StoreError::Write)
    }

    /// Connects to a session's supervisor, by a path that is short however long the data directory's is. One that does not
    /// listen at the moment is not waited for.
    pub(crate) async fn connect(&self, id: SessionId) -> io::Result<UnixStream> {
        let folder = File::open(self.folder(id))?;
        let short = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(control::SOCKET);
        UnixStream::connect(short).await
    }

    /// Takes a session's folder away whole: it is no session from then on. [`Self::clear`] is to follow.
    pub(crate) fn discard(&self, id: SessionId) -> Result<(), StoreError> {
        match fs::rename(self.folder(id), self.trash().join(id.to_string())) {
            // Somebody else took it away, be it by hand.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.folder(id).exists() => Ok(()),
            moved => moved.map_err(StoreError::Write),
        }
    }

    /// Removes the files of a session that was discarded.
    pub(crate) fn clear(&self, id: SessionId) -> io::Result<()> {
        match fs::remove_dir_all(self.trash().join(id.to_string())) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            cleared => cleared,
        }
    }

    /// Removes all that was discarded and not cleared: what that failed for may be over.
    pub(crate) fn clear_trash(&self) {
        for entry in fs::read_dir(self.trash()).into_iter().flatten().flatten() {
            let _ = fs::remove_dir_all(entry.path()); // the next time, then
        }
    }

    fn trash(&self) -> PathBuf {
        self.data_dir.join("trash")
    }
}

/// Whether something failed because this process, or the machine, has no more of a resource: it may go well later.
pub(crate) fn is_exhausted(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    errno.is_some_and(|errno| {
        [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS, Errno::AGAIN].contains(&errno)
    })
}

/// The record in a session's folder. One that names another folder is not taken for that folder's.
fn read_record(folder: &Path) -> io::Result<SessionRecord> {
    let record: SessionRecord = serde_json::from_slice(&fs::read(folder.join("session.json"))?)?;
    match folder.ends_with(record.id.to_string()) {
        true => Ok(record),
        false => Err(io::Error::other(format!("its session.json is that of session {}", record.id))),
    }
}

fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(&serde_json::to_vec(value)?)
}
