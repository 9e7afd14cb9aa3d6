//! The artefacts of one session's compile steps, kept for the other sandboxes of the same session.

use std::{
    fs::{self, File},
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use livecode_protocol::{
    SessionId,
    run_spec::{CompileCacheEntry, SessionLimits},
};

use crate::compile_cache::cached_result::{self, CachedResultWriter};

/// Name of the file, in the session's folder, for the moment until it is opened.
const FILE_NAME: &str = "artefacts";

/// Receives the artefacts of a session that needs them, whether or not they are cached.
pub(crate) struct PrivateArtefacts {
    slot: CompileCacheEntry,
    /// The file that is written; `None` before the first artefact, and after a failure.
    writer: Option<CachedResultWriter>,
}

impl PrivateArtefacts {
    /// Prepares to write into `folder`, which belongs to the session. No more bytes are taken than
    /// the session's working directory may have.
    pub fn new(folder: &Path, artefacts: Vec<PathBuf>, limits: &SessionLimits) -> Self {
        let slot = CompileCacheEntry {
            folder: folder.to_owned(),
            key: FILE_NAME.to_owned(),
            artefacts,
            entry_bytes: limits.disk_bytes,
            min_free_bytes: limits.disk_reserve_bytes.unwrap_or(0),
        };
        Self { slot, writer: None }
    }

    /// The place of the artefacts, as init must know it to send them.
    pub fn slot(&self) -> &CompileCacheEntry {
        &self.slot
    }

    /// Creates the file.
    ///
    /// # Errors
    /// As [`CachedResultWriter::create`].
    pub fn create(&mut self, id: SessionId) -> io::Result<()> {
        self.writer = Some(CachedResultWriter::create(&self.slot, id)?);
        Ok(())
    }

    /// Adds an artefact that init has sent. After a failure, the others are not needed any more.
    pub fn add(&mut self, name: &str, executable: bool, file: Option<OwnedFd>) {
        let Some(writer) = &mut self.writer else { return };
        let is_added = file.is_some_and(|file| writer.add(&self.slot, name, executable, file.into()).is_ok());
        if !is_added {
            self.writer = None;
        }
    }

    /// Completes the file, and returns it positioned at its first record, without a name.
    ///
    /// # Errors
    /// If an artefact could not be kept, or the file cannot be written.
    pub fn finish(self) -> io::Result<File> {
        let writer = self.writer.ok_or(io::ErrorKind::InvalidData)?;
        writer.finish(&self.slot, &[])?;
        let path = self.slot.folder.join(&self.slot.key);
        let opened = cached_result::open(&path);
        fs::remove_file(path)?;
        Ok(opened?.0)
    }
}
