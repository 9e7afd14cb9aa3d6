//! A session's folder, as a supervisor uses it.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::{fd::AsRawFd, unix::net::UnixListener},
    path::{Path, PathBuf},
};

use livecode_journal::Writer;
use livecode_protocol::{
    control::{self, SupervisorIdentity},
    run_spec,
};
use livecode_sandbox::SetupError;
use rustix::fs::{FlockOperation, flock};

/// Why a supervisor cannot begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FolderError {
    #[error("cannot open the session's folder {0}")]
    Open(PathBuf, #[source] io::Error),
    #[error("cannot lock the session's folder, which another supervisor may have begun in")]
    Lock(#[source] io::Error),
    #[error("cannot make the journal")]
    Journal(#[source] livecode_journal::WriteError),
    #[error("cannot read the order")]
    Order(#[source] io::Error),
    #[error("the order is not one that this version understands")]
    BadOrder(#[source] serde_json::Error),
    #[error(transparent)]
    Sandbox(SetupError),
    #[error("cannot write the state file")]
    State(#[source] io::Error),
    #[error("cannot listen on the session's socket")]
    Socket(#[source] io::Error),
}

pub(crate) struct SessionFolder {
    path: PathBuf,
    folder: File,
}

impl SessionFolder {
    pub fn open(path: PathBuf) -> Result<Self, FolderError> {
        let folder = File::open(&path).map_err(|e| FolderError::Open(path.clone(), e))?;
        Ok(Self { path, folder })
    }

    /// Keeps any other supervisor of this session from beginning while this one does.
    pub fn lock(&self) -> Result<(), FolderError> {
        flock(&self.folder, FlockOperation::NonBlockingLockExclusive)
            .map_err(|error| FolderError::Lock(error.into()))
    }

    /// Makes the journal and takes its lock, which says that this session has a supervisor; so that is to be written down
    /// before.
    pub fn journal(&self) -> Result<Writer, FolderError> {
        Writer::create(&self.path.join("journal")).map_err(FolderError::Journal)
    }

    /// The order, and its file, for who is to read it too.
    pub fn order(&self) -> Result<(run_spec::RunSpec, File), FolderError> {
        let mut file = File::open(self.path.join(run_spec::RUN_SPEC_FILE)).map_err(FolderError::Order)?;
        let mut bytes = vec![];
        file.read_to_end(&mut bytes).map_err(FolderError::Order)?;
        Ok((serde_json::from_slice(&bytes).map_err(FolderError::BadOrder)?, file))
    }

    pub fn write_state(&self, state: &SupervisorIdentity) -> Result<(), FolderError> {
        let write = || -> io::Result<()> {
            let partial = self.path.join(".state.json");
            fs::write(&partial, serde_json::to_vec(state)?)?;
            fs::rename(partial, self.path.join(control::STATE_FILE))
        };
        write().map_err(FolderError::State)
    }

    /// Listens in the folder, by a path that is short however long the folder's own is (unix(7): 108 bytes).
    pub fn listen(&self) -> Result<UnixListener, FolderError> {
        let short =
            Path::new("/proc/self/fd").join(self.folder.as_raw_fd().to_string()).join(control::SOCKET);
        let listener = UnixListener::bind(short).map_err(FolderError::Socket)?;
        listener.set_nonblocking(true).map_err(FolderError::Socket)?;
        Ok(listener)
    }

    /// Takes the socket away: nobody is to find a supervisor that is about to end.
    pub fn remove_socket(&self) {
        let _ = fs::remove_file(self.path.join(control::SOCKET));
    }
}
