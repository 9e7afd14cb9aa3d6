//! The data directory. A session's folder appears in it complete, or not at all.
//!
//! | folder or file | content |
//! | --- | --- |
//! | `sessions/<id>/` | one session ([`livecode_protocol::session_folder`]) |
//! | `new/` | folders of sessions that are being created, and spare folders |
//! | `trash/` | folders of deleted sessions, until their files are removed |
//! | `lock` | locked by the server that uses the directory |

use std::{
    fs::{self, File},
    io::{self, BufWriter, Read as _, Seek as _, Write as _},
    os::{
        fd::AsRawFd,
        unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use livecode_journal::{
    CloseResult, Kind, ReadError, RecoverError, WriteError, Writer, close_abandoned, close_existing,
    release_reserve,
};
use livecode_protocol::{
    FileName, SessionId,
    control::{ClosingEntry, SupervisorIdentity},
    now_us,
    results::ResultManifest,
    run_spec::{RunSpec, SandboxLayout},
    session::Outcome,
    session_folder::{
        self, CONTENTS_FILE, IDENTITY_FILE, JOURNAL_FILE, JOURNAL_INDEX_FILE, RESULT_CONTENTS_FILE,
        RESULT_MANIFEST_FILE, RUN_SPEC_FILE, SESSION_FILE, SOCKET_FILE,
    },
};
use rustix::fs::{FlockOperation, flock};
use serde::Serialize;
use tokio::net::UnixStream;

use crate::compile_cache::CompileCache;
use crate::sessions::record::SessionRecord;

/// The folder of all sessions.
const SESSIONS_FOLDER: &str = "sessions";
/// The file that a server locks while it uses the data directory.
const LOCK_FILE: &str = "lock";
/// The folder in which folders of sessions are incomplete.
const NEW_FOLDER: &str = "new";
/// The folder of what is to be removed.
const TRASH_FOLDER: &str = "trash";
/// Empty folders kept for sessions to come. Creating a folder takes as long as writing everything
/// else of a new session.
const MAX_SPARE_FOLDERS: usize = 8;
/// The mode of a session's record once the end of the session is in the log.
const RECORD_MODE_AFTER_END: u32 = 0o400;
/// The block size that estimates of disk use assume.
const BLOCK_BYTES: u64 = 4096;

/// Why the data directory could not be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A folder or file could not be created.
    #[error("cannot create {0}")]
    Make(PathBuf, #[source] io::Error),
    /// Another server uses the data directory.
    #[error("another server uses the data directory {path}: {holder}")]
    Taken {
        /// The data directory.
        path: PathBuf,
        /// The other server, as it describes itself in the lock file.
        holder: String,
    },
    /// A folder or file could not be read.
    #[error("cannot read {0}")]
    Read(PathBuf, #[source] io::Error),
    /// A session's folder could not be written.
    #[error("cannot write the session")]
    Write(#[source] io::Error),
}

/// A data directory, locked for this server.
pub struct Store {
    data_dir: PathBuf,
    /// Empty folders in `new`, for sessions to come.
    spare_folders: Mutex<Vec<PathBuf>>,
    compile_cache: Option<Arc<CompileCache>>,
    /// Holds the lock (flock(2)) while the server lives.
    _lock: File,
}

/// Space on a disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DiskSpace {
    pub total_bytes: u64,
    /// Space left for the user of this process.
    pub free_bytes: u64,
}

impl Store {
    /// Locks a data directory for the server that listens on `listen`, and creates the directory
    /// if it is missing.
    ///
    /// # Errors
    /// If the directory cannot be created or locked, or if another server uses it.
    pub fn open(data_dir: &Path, listen: &str) -> Result<Self, StoreError> {
        let folders = [SESSIONS_FOLDER, NEW_FOLDER, TRASH_FOLDER, "mnt"].map(|name| data_dir.join(name));
        for folder in std::iter::once(data_dir.to_owned()).chain(folders) {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
            made.map_err(|error| StoreError::Make(folder, error))?;
        }
        let path = data_dir.join(LOCK_FILE);
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
        // The old content is overwritten before the file is truncated: its block exists on a full
        // disk too, and a server must be able to start there.
        let holder = format!("process {} on {listen}\n", std::process::id());
        let written = lock.rewind().and_then(|()| lock.write_all(holder.as_bytes()));
        if let Err(error) = written.and_then(|()| lock.set_len(holder.len() as u64)) {
            tracing::warn!(%error, path = %path.display(), "cannot write the lock file");
        }
        let store = Self {
            data_dir: data_dir.to_owned(),
            spare_folders: Mutex::default(),
            compile_cache: None,
            _lock: lock,
        };
        store.remove_unfinished();
        Ok(store)
    }

    /// The same store with a compile cache.
    pub(crate) fn with_compile_cache(self, cache: Option<Arc<CompileCache>>) -> Self {
        Self { compile_cache: cache, ..self }
    }

    /// The compile cache; `None` if nothing that is compiled is kept.
    pub(crate) fn compile_cache(&self) -> Option<&Arc<CompileCache>> {
        self.compile_cache.as_ref()
    }

    /// Removes sessions that were being created or deleted when the last server died, and its
    /// spare folders.
    fn remove_unfinished(&self) {
        self.empty_trash();
        for entry in fs::read_dir(self.data_dir.join(NEW_FOLDER)).into_iter().flatten().flatten() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }

    /// Space on the disk of the sessions.
    ///
    /// # Errors
    /// If statvfs(3) fails for the data directory.
    pub(crate) fn disk_space(&self) -> Result<DiskSpace, StoreError> {
        let disk = rustix::fs::statvfs(&self.data_dir);
        let disk = disk.map_err(|error| StoreError::Read(self.data_dir.clone(), error.into()))?;
        let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
        Ok(DiskSpace { total_bytes: bytes(disk.f_blocks), free_bytes: bytes(disk.f_bavail) })
    }

    /// The folder of a session.
    pub(crate) fn folder(&self, id: SessionId) -> PathBuf {
        session_folder::path(&self.data_dir, id)
    }

    /// The path of a session's journal.
    pub(crate) fn journal(&self, id: SessionId) -> PathBuf {
        self.folder(id).join(JOURNAL_FILE)
    }

    /// Whether a session has a journal. A supervisor creates the journal after it has locked the
    /// session's folder and written its identity, and before it starts the first step.
    pub(crate) fn has_journal(&self, id: SessionId) -> bool {
        self.journal(id).exists()
    }

    /// Writes a new session. Its folder appears in `sessions` by a rename(2), so that the folder
    /// is complete or missing whenever the server dies. Large contents of files are written as
    /// they are, without another copy of them in memory.
    pub(crate) fn create(&self, record: &SessionRecord, mut run_spec: RunSpec) -> Result<(), StoreError> {
        // A spare folder may be gone if somebody has cleaned up the data directory by hand.
        let spare = self.spare_folders().pop().filter(|folder| folder.is_dir());
        let is_made = spare.is_some();
        let folder = spare.unwrap_or_else(|| self.unfinished_folder(record.id));
        let mut write = || -> io::Result<()> {
            if !is_made {
                make_folder(&folder)?;
            }
            if let Some(pieces) = run_spec.detach_contents().map_err(io::Error::other)? {
                write_pieces(&folder.join(CONTENTS_FILE), pieces)?;
            }
            write_json(&folder.join(SESSION_FILE), record)?;
            write_json(&folder.join(RUN_SPEC_FILE), &run_spec)?;
            fs::rename(&folder, self.folder(record.id))
        };
        write().map_err(|error| {
            let _ = fs::remove_dir_all(&folder);
            StoreError::Write(error)
        })
    }

    /// The layout of a session's sandbox.
    pub(crate) fn layout(&self, id: SessionId) -> io::Result<SandboxLayout> {
        let run_spec: RunSpec = serde_json::from_slice(&fs::read(self.folder(id).join(RUN_SPEC_FILE))?)?;
        Ok(run_spec.layout())
    }

    /// Remembers that the end of a session is in the log: its record is made read-only. That costs
    /// one system call. If it fails, the next server logs the end again.
    pub(crate) fn mark_end_logged(&self, id: SessionId) {
        let record = self.folder(id).join(SESSION_FILE);
        let _ = fs::set_permissions(record, fs::Permissions::from_mode(RECORD_MODE_AFTER_END));
    }

    /// Whether [`Self::mark_end_logged`] was called for the session.
    pub(crate) fn is_end_logged(&self, id: SessionId) -> bool {
        let record = fs::metadata(self.folder(id).join(SESSION_FILE));
        record.is_ok_and(|record| record.permissions().mode() & 0o777 == RECORD_MODE_AFTER_END)
    }

    /// Creates one spare folder for a session to come, unless there are enough.
    pub(crate) fn make_spare_folder(&self) {
        let mut random = [0; 16];
        if self.spare_folders().len() < MAX_SPARE_FOLDERS && getrandom::fill(&mut random).is_ok() {
            let folder = self.unfinished_folder(SessionId::from_random(random));
            // An error is ignored here: a session without a spare folder creates its own folder
            // and reports the error.
            if make_folder(&folder).is_ok() {
                self.spare_folders().push(folder);
            }
        }
    }

    fn spare_folders(&self) -> MutexGuard<'_, Vec<PathBuf>> {
        self.spare_folders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The path of a session's folder until the folder is complete.
    fn unfinished_folder(&self, id: SessionId) -> PathBuf {
        self.data_dir.join(NEW_FOLDER).join(id.to_string())
    }

    /// The records of all sessions in the data directory. A session whose record cannot be read is
    /// logged and left untouched.
    pub(crate) fn scan(&self) -> Result<Vec<SessionRecord>, StoreError> {
        let folder = self.data_dir.join(SESSIONS_FOLDER);
        let read = |error| StoreError::Read(folder.clone(), error);
        let mut records = vec![];
        for entry in fs::read_dir(&folder).map_err(read)? {
            let path = entry.map_err(read)?.path();
            match read_record(&path) {
                Ok(record) => records.push(record),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "a session cannot be read; it is ignored");
                }
            }
        }
        Ok(records)
    }

    /// The closing entry of a session's journal and its number; `None` if the journal is missing,
    /// damaged or not closed, or if the entry's payload cannot be parsed.
    ///
    /// # Errors
    /// If the journal exists but cannot be opened or read now.
    pub(crate) fn closing_entry(&self, id: SessionId) -> io::Result<Option<(u64, ClosingEntry)>> {
        let entry = match livecode_journal::closing_entry(&self.journal(id)) {
            Ok(entry) => entry,
            Err(ReadError::Io(_, error)) if error.kind() == io::ErrorKind::NotFound => None,
            Err(ReadError::Io(_, error)) => return Err(error),
            Err(ReadError::Corrupt { .. }) => None,
        };
        Ok(entry.and_then(|entry| Some((entry.seq, serde_json::from_slice(&entry.data).ok()?))))
    }

    /// Which process supervises a session, or did.
    pub(crate) fn supervisor_identity(&self, id: SessionId) -> Option<SupervisorIdentity> {
        let bytes = fs::read(self.folder(id).join(IDENTITY_FILE)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Removes what only a killed supervisor leaves in the session's folder: its socket, files
    /// that it was writing, and the contents file. Result files stay if they are complete.
    pub(crate) fn remove_leftovers(&self, id: SessionId) {
        let mut kept = vec![SESSION_FILE, RUN_SPEC_FILE, IDENTITY_FILE, JOURNAL_FILE, JOURNAL_INDEX_FILE];
        if self.folder(id).join(RESULT_MANIFEST_FILE).exists() {
            kept.extend([RESULT_MANIFEST_FILE, RESULT_CONTENTS_FILE]);
        }
        for entry in fs::read_dir(self.folder(id)).into_iter().flatten().flatten() {
            if !kept.iter().any(|name| entry.file_name() == *name) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Length of a session's journal in bytes; 0 if there is none.
    pub(crate) fn journal_bytes(&self, id: SessionId) -> u64 {
        file_bytes(&self.journal(id))
    }

    /// Disk space that a session takes, in bytes. This is an estimate: `session.json`,
    /// `state.json` and the folder itself are counted as one block each.
    pub(crate) fn disk_bytes(&self, id: SessionId) -> u64 {
        let names = [RUN_SPEC_FILE, CONTENTS_FILE, RESULT_CONTENTS_FILE, RESULT_MANIFEST_FILE];
        let files = names.map(|name| file_bytes(&self.folder(id).join(name)));
        self.journal_bytes(id) + files.iter().sum::<u64>() + 3 * BLOCK_BYTES
    }

    /// The list of the files that a session has left; `None` if it has left none.
    ///
    /// # Errors
    /// If the list cannot be read.
    pub(crate) fn result_manifest(&self, id: SessionId) -> io::Result<Option<ResultManifest>> {
        match fs::read(self.folder(id).join(RESULT_MANIFEST_FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => Ok(Some(serde_json::from_slice(&read?)?)),
        }
    }

    /// Whether a session was to leave files.
    pub(crate) fn wants_results(&self, id: SessionId) -> bool {
        let run_spec = fs::read(self.folder(id).join(RUN_SPEC_FILE));
        let run_spec = run_spec.ok().and_then(|bytes| serde_json::from_slice::<RunSpec>(&bytes).ok());
        run_spec.is_some_and(|run_spec| run_spec.collect.is_some())
    }

    /// Where the contents of the file `name` begin among those that a session has left, and how
    /// many bytes they have; `None` if there is no such file.
    ///
    /// # Errors
    /// If the contents cannot be read, or are shorter than they were.
    pub(crate) fn find_result(&self, id: SessionId, name: &FileName) -> io::Result<Option<(u64, u64)>> {
        let manifest = self.result_manifest(id)?.unwrap_or_default();
        let mut offset = 0_u64;
        for file in manifest.files {
            let end = offset.saturating_add(file.bytes);
            if file.name == *name {
                let is_whole = self.open_results(id)?.metadata()?.len() >= end;
                let found = (offset, file.bytes);
                return if is_whole { Ok(Some(found)) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
            offset = end;
        }
        Ok(None)
    }

    /// Opens the contents of the files that a session has left.
    ///
    /// # Errors
    /// `NotFound` if it has left none, or does not exist any more.
    pub(crate) fn open_results(&self, id: SessionId) -> io::Result<File> {
        File::open(self.folder(id).join(RESULT_CONTENTS_FILE))
    }

    /// Closes a session's journal with `outcome` if the supervisor is dead, and creates the
    /// journal if it is missing. `false` if the supervisor lives, or if the journal is missing and
    /// the outcome is `lost`: without a journal, nothing of the program has run, and nothing is
    /// lost.
    ///
    /// # Errors
    /// If the journal cannot be opened, read or written.
    pub(crate) fn close_journal(&self, id: SessionId, outcome: Outcome) -> Result<bool, RecoverError> {
        let (ended_us, json) = closing_json(outcome);
        let path = self.journal(id);
        let closed = match outcome {
            Outcome::Lost => close_existing(&path, ended_us, &json)?,
            _ => close_abandoned(&path, ended_us, &json)?,
        };
        Ok(!matches!(closed, CloseResult::WriterAlive | CloseResult::Missing))
    }

    /// Creates the closed journal of a session whose program was not started, with a note of the
    /// reason on standard error.
    ///
    /// # Errors
    /// If the journal exists (`AlreadyExists`), or cannot be written.
    pub(crate) fn close_unstarted(&self, id: SessionId, outcome: Outcome, note: &str) -> io::Result<()> {
        let (path, (ended_us, json)) = (self.journal(id), closing_json(outcome));
        let mut writer = Writer::create(&path).map_err(WriteError::into_io)?;
        writer.push(Kind::Stderr, ended_us, note.as_bytes());
        writer.finish(ended_us, &json).map_err(WriteError::into_io)?;
        let _ = File::options().write(true).open(path).and_then(|file| release_reserve(&file));
        Ok(())
    }

    /// Removes all entries of an ended session's journal except the closing entry.
    pub(crate) fn trim_journal(&self, id: SessionId) -> Result<(), StoreError> {
        livecode_journal::trim(&self.journal(id)).map_err(StoreError::Write)
    }

    /// Connects to a session's supervisor. The path goes through `/proc/self/fd` because a
    /// socket's path is limited to 108 bytes (unix(7)) and the data directory's may be longer.
    ///
    /// # Errors
    /// At once if the supervisor does not listen now.
    pub(crate) async fn connect(&self, id: SessionId) -> io::Result<UnixStream> {
        let folder = File::open(self.folder(id))?;
        let short_path = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(SOCKET_FILE);
        UnixStream::connect(short_path).await
    }

    /// Moves a session's folder to the trash by a rename(2). From then on the session does not
    /// exist. The caller then calls [`Self::remove_from_trash`].
    pub(crate) fn move_to_trash(&self, id: SessionId) -> Result<(), StoreError> {
        match fs::rename(self.folder(id), self.trash().join(id.to_string())) {
            // Somebody else has removed the folder, perhaps by hand.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.folder(id).exists() => Ok(()),
            moved => moved.map_err(StoreError::Write),
        }
    }

    /// Removes the files of a session that was moved to the trash.
    pub(crate) fn remove_from_trash(&self, id: SessionId) -> io::Result<()> {
        match fs::remove_dir_all(self.trash().join(id.to_string())) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    /// Removes everything from the trash. This retries what [`Self::remove_from_trash`] could not
    /// remove; errors are ignored until the next call.
    pub(crate) fn empty_trash(&self) {
        for entry in fs::read_dir(self.trash()).into_iter().flatten().flatten() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }

    fn trash(&self) -> PathBuf {
        self.data_dir.join(TRASH_FOLDER)
    }
}

/// Whether a server uses a data directory now.
pub fn is_data_dir_taken(data_dir: &Path) -> bool {
    let lock = File::open(data_dir.join(LOCK_FILE));
    lock.is_ok_and(|lock| flock(&lock, FlockOperation::NonBlockingLockShared).is_err())
}

/// The closing entry, as of now, of a session that the server ends, with the time in it.
fn closing_json(outcome: Outcome) -> (u64, Vec<u8>) {
    let (ended_us, exitstatus) = (now_us(), outcome.exitstatus().unwrap_or(255));
    let closing_entry = ClosingEntry::without_program(outcome, exitstatus, ended_us);
    (ended_us, serde_json::to_vec(&closing_entry).unwrap_or_default())
}

fn make_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(path)
}

/// Reads the record in a session's folder.
///
/// # Errors
/// If the record cannot be read, or belongs to a session other than the folder's.
pub(crate) fn read_record(folder: &Path) -> io::Result<SessionRecord> {
    let record: SessionRecord = serde_json::from_slice(&fs::read(folder.join(SESSION_FILE))?)?;
    match folder.ends_with(record.id.to_string()) {
        true => Ok(record),
        false => Err(io::Error::other(format!("its {SESSION_FILE} belongs to session {}", record.id))),
    }
}

fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    new_file(path)?.write_all(&serde_json::to_vec(value)?)
}

/// Writes pieces one after the other into a new file. Each is freed once it is written.
fn write_pieces(path: &Path, pieces: Vec<Vec<u8>>) -> io::Result<()> {
    let mut file = BufWriter::new(new_file(path)?);
    pieces.into_iter().try_for_each(|piece| file.write_all(&piece))?;
    file.flush()
}

fn new_file(path: &Path) -> io::Result<File> {
    File::options().write(true).create_new(true).mode(0o600).open(path)
}

/// Length of a file in bytes; 0 if it cannot be found.
fn file_bytes(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}
