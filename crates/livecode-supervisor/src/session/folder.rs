//! A session's folder, as a supervisor uses it.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    os::{
        fd::AsRawFd,
        unix::{fs::OpenOptionsExt as _, net::UnixListener},
    },
    path::{Path, PathBuf},
};

use livecode_journal::{WriteError, Writer};
use livecode_protocol::{
    control::{SupervisorIdentity, SupervisorNotice},
    results::ResultManifest,
    run_spec::{RunSpec, SessionLimits},
    session_folder::{
        CONTENTS_FILE, IDENTITY_FILE, JOURNAL_FILE, RESULT_CONTENTS_FILE, RESULT_MANIFEST_FILE,
        RUN_SPEC_FILE, SOCKET_FILE,
    },
};
use livecode_sandbox::{SetupError, is_transient};
use rustix::fs::{FlockOperation, flock};

use crate::journal::{capped_journal::CappedJournal, sync::Syncer};

/// Why a supervisor cannot start its session.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("cannot open the session's folder {0}")]
    OpenFolder(PathBuf, #[source] io::Error),
    #[error("cannot lock the session's folder, in which another supervisor may have started")]
    LockFolder(#[source] io::Error),
    #[error("cannot write {IDENTITY_FILE}")]
    WriteIdentity(#[source] io::Error),
    #[error("cannot read {RUN_SPEC_FILE}")]
    ReadRunSpec(#[source] io::Error),
    #[error("{RUN_SPEC_FILE} is not in a form that this version understands")]
    ParseRunSpec(#[source] serde_json::Error),
    #[error("cannot open {CONTENTS_FILE}")]
    OpenContents(#[source] io::Error),
    #[error(transparent)]
    MakeSandbox(SetupError),
    #[error("cannot create the journal")]
    CreateJournal(#[source] WriteError),
    #[error("the sandbox has ended before the program began")]
    InitDied,
    #[error("cannot prepare the cases")]
    PrepareCases(#[source] io::Error),
    #[error("cannot duplicate a descriptor")]
    DuplicateDescriptor(#[source] io::Error),
}

impl StartError {
    /// The notice that tells a server why the session was not started.
    pub fn notice(&self) -> SupervisorNotice {
        let text = self.chain();
        eprintln!("livecode supervisor: {text}");
        SupervisorNotice::StartFailed { error: text, is_transient: self.is_transient() }
    }

    /// The error and its causes, as a text.
    pub fn chain(&self) -> String {
        let (mut text, mut cause) = (self.to_string(), std::error::Error::source(self));
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    }

    /// Whether the start failed for want of a resource, and may succeed later. Another supervisor
    /// that holds the folder is about to end.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::MakeSandbox(error) => error.is_transient(),
            Self::LockFolder(_) | Self::InitDied => true,
            Self::CreateJournal(WriteError::Create(_, error) | WriteError::Lock(_, error))
            | Self::OpenFolder(_, error)
            | Self::WriteIdentity(error)
            | Self::ReadRunSpec(error)
            | Self::OpenContents(error)
            | Self::PrepareCases(error)
            | Self::DuplicateDescriptor(error) => is_transient(error),
            Self::CreateJournal(_) | Self::ParseRunSpec(_) => false,
        }
    }
}

pub(crate) struct SessionFolder {
    path: PathBuf,
    folder: File,
}

impl SessionFolder {
    pub fn open(path: PathBuf) -> Result<Self, StartError> {
        let folder = File::open(&path).map_err(|error| StartError::OpenFolder(path.clone(), error))?;
        Ok(Self { path, folder })
    }

    /// The path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Creates a file that exists as long as it is open. It is on the disk, since it may be as
    /// large as the files of a session.
    pub fn create_nameless(&self) -> io::Result<File> {
        let path = self.path.join(".nameless");
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        fs::remove_file(path)?;
        Ok(file)
    }

    /// Locks the folder, so that no other supervisor of this session starts while this one does.
    pub fn lock(&self) -> Result<(), StartError> {
        flock(&self.folder, FlockOperation::NonBlockingLockExclusive)
            .map_err(|error| StartError::LockFolder(error.into()))
    }

    /// Writes the identity of the session's supervisor.
    pub fn write_identity(&self, identity: &SupervisorIdentity) -> Result<(), StartError> {
        let write = || -> io::Result<()> {
            let partial = self.path.join(format!(".{IDENTITY_FILE}"));
            fs::write(&partial, serde_json::to_vec(identity)?)?;
            fs::rename(partial, self.path.join(IDENTITY_FILE))
        };
        write().map_err(StartError::WriteIdentity)
    }

    /// Reads the run spec. Also returns its file, which init is to read, too.
    pub fn read_run_spec(&self) -> Result<(RunSpec, File), StartError> {
        let mut file = File::open(self.path.join(RUN_SPEC_FILE)).map_err(StartError::ReadRunSpec)?;
        let mut bytes = vec![];
        file.read_to_end(&mut bytes).map_err(StartError::ReadRunSpec)?;
        Ok((serde_json::from_slice(&bytes).map_err(StartError::ParseRunSpec)?, file))
    }

    /// Opens the contents file, if the run spec has stored contents.
    pub fn open_contents(&self, run_spec: &RunSpec) -> Result<Option<File>, StartError> {
        let open = |_| File::open(self.path.join(CONTENTS_FILE)).map_err(StartError::OpenContents);
        run_spec.stored.as_ref().map(open).transpose()
    }

    /// Removes the contents file. To be called when no other supervisor can start the session.
    pub fn remove_contents(&self) {
        let _ = fs::remove_file(self.path.join(CONTENTS_FILE));
    }

    /// Creates the journal and takes its lock. The lock shows that the session has a supervisor,
    /// so [`Self::write_identity`] must come first. If the program does not start after all,
    /// [`Self::discard_journal`] must be called.
    pub fn create_journal(&self, limits: &SessionLimits) -> Result<CappedJournal, StartError> {
        let path = self.path.join(JOURNAL_FILE);
        let writer = Writer::create(&path).map_err(StartError::CreateJournal)?;
        match Syncer::new(writer.file()) {
            Ok(syncer) => Ok(CappedJournal::new(writer, syncer, limits)),
            Err(error) => {
                let _ = fs::remove_file(path); // `writer` still holds the lock
                Err(StartError::DuplicateDescriptor(error))
            }
        }
    }

    /// Removes the journal of a session whose program has not begun, so that another supervisor
    /// can start it. The caller still holds `journal`, whose lock shows until now that the session
    /// has a living supervisor: no server ever finds an empty journal that nobody holds.
    pub fn discard_journal(&self, journal: CappedJournal) {
        debug_assert!(journal.is_empty());
        let _ = fs::remove_file(self.path.join(JOURNAL_FILE));
    }

    /// Listens on the session's socket. The path that is bound leads through /proc/self/fd, since
    /// the folder's own path may be longer than an address can be (unix(7): 108 bytes).
    pub fn listen(&self) -> io::Result<UnixListener> {
        let short_path =
            Path::new("/proc/self/fd").join(self.folder.as_raw_fd().to_string()).join(SOCKET_FILE);
        let listener = UnixListener::bind(short_path)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    }

    /// Creates the file with the contents of the session's result files.
    pub fn create_result_contents(&self) -> io::Result<File> {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(true).mode(0o600);
        options.open(self.path.join(RESULT_CONTENTS_FILE))
    }

    /// Writes the list of the session's result files, which appears complete or not at all.
    pub fn write_result_manifest(&self, manifest: &ResultManifest) -> io::Result<()> {
        let partial = self.path.join(format!(".{RESULT_MANIFEST_FILE}"));
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
        let written = file.write_all(&serde_json::to_vec(manifest)?).and_then(|()| file.sync_data());
        written.and_then(|()| fs::rename(&partial, self.path.join(RESULT_MANIFEST_FILE)))
    }

    /// Removes all that was written of the session's result files.
    pub fn remove_results(&self) {
        let partial = format!(".{RESULT_MANIFEST_FILE}");
        for name in [RESULT_MANIFEST_FILE, &partial, RESULT_CONTENTS_FILE] {
            let _ = fs::remove_file(self.path.join(name));
        }
    }

    /// Removes the socket, so that no server connects to a supervisor that is about to end.
    pub fn remove_socket(&self) {
        let _ = fs::remove_file(self.path.join(SOCKET_FILE));
    }
}
