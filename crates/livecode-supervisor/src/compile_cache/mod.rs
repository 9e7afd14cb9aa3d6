//! The compile cache, as one session uses it: looks up what was compiled before, and stores what
//! is compiled now.
//!
//! A cached result is a file of the folder that the run spec names. The file's name is a digest of
//! all that the compile steps see. The file appears whole or not at all, and is never changed. No
//! process of a session has a descriptor of it but init, and that only before anything of the
//! session runs. A failure in this module is never an error of the session: the compile steps run
//! again.

mod cached_result;
mod private_artefacts;

use std::{
    fs::{self, File},
    io,
    os::fd::OwnedFd,
};

use bytes::Bytes;
use livecode_journal::Kind;
use livecode_protocol::{
    SessionId,
    run_spec::{CompileCacheEntry, RunSpec},
    session::Compiled,
};

pub(crate) use private_artefacts::PrivateArtefacts;

use crate::compile_cache::cached_result::{CachedResultWriter, MAX_COMPILER_OUTPUT_BYTES};

/// What a server is told of a session's compile steps.
#[derive(Clone, Copy, Default)]
pub(crate) struct CompileResult {
    pub compiled: Option<Compiled>,
    /// Size of the cached result that this session has stored, in bytes.
    pub stored_bytes: Option<u64>,
}

/// The compile cache of one session.
pub(crate) struct SessionCompileCache {
    stage: Stage,
    /// What the compile steps have printed: read from the cache, or recorded to be stored there.
    compiler_output: Vec<u8>,
    has_compile_steps: bool,
    pub result: CompileResult,
}

enum Stage {
    /// Nothing is to be stored, or nothing any more.
    Idle,
    /// The compile steps run.
    Compiling(CompileCacheEntry),
    /// The artefacts of the compile steps are being received from init.
    Collecting(CompileCacheEntry, CachedResultWriter),
}

impl SessionCompileCache {
    /// Looks for a cached result. If there is one, removes the compile steps from the run spec,
    /// and returns the file, positioned at its first artefact record.
    pub fn find(run_spec: &mut RunSpec) -> (Self, Option<File>) {
        let mut cache = Self {
            stage: Stage::Idle,
            compiler_output: vec![],
            has_compile_steps: !run_spec.compile.is_empty(),
            result: CompileResult::default(),
        };
        let Some(slot) = run_spec.cache.as_ref().filter(|_| cache.has_compile_steps) else {
            return (cache, None);
        };
        let path = slot.folder.join(&slot.key);
        match cached_result::open(&path) {
            Ok((file, compiler_output)) => {
                cache.compiler_output = compiler_output;
                cache.result.compiled = Some(Compiled::Cached);
                run_spec.compile.clear();
                (cache, Some(file))
            }
            Err(error) => {
                // A machine that lost power may have kept the file's name but lost its contents.
                if error.kind() == io::ErrorKind::InvalidData {
                    let _ = fs::remove_file(path);
                }
                cache.stage = Stage::Compiling(slot.clone());
                (cache, None)
            }
        }
    }

    /// Takes what the compile steps printed when the cached result was made, for the journal. What
    /// they print now is not taken.
    pub fn take_cached_output(&mut self) -> Option<Bytes> {
        let is_cached = self.result.compiled == Some(Compiled::Cached) && !self.compiler_output.is_empty();
        is_cached.then(|| std::mem::take(&mut self.compiler_output).into())
    }

    /// Records an entry of the journal while there is something to store. If compile steps
    /// print too much, or anything but standard error, nothing is stored.
    pub fn record_output(&mut self, kind: Kind, data: &[u8]) {
        if matches!(self.stage, Stage::Idle) {
            return;
        }
        let has_room = self.compiler_output.len() + data.len() <= MAX_COMPILER_OUTPUT_BYTES;
        if kind == Kind::Stderr && has_room {
            self.compiler_output.extend(data);
        } else {
            self.discard();
        }
    }

    /// Prepares to receive artefacts. Returns whether init is to be asked for them.
    pub fn start_collecting(&mut self, id: SessionId) -> bool {
        let Stage::Compiling(slot) = std::mem::replace(&mut self.stage, Stage::Idle) else { return false };
        if let Ok(writer) = CachedResultWriter::create(&slot, id) {
            self.stage = Stage::Collecting(slot, writer);
        }
        matches!(self.stage, Stage::Collecting(..))
    }

    /// Adds an artefact that init has sent.
    pub fn add_artefact(&mut self, name: &str, executable: bool, file: Option<OwnedFd>) {
        let Stage::Collecting(slot, writer) = &mut self.stage else { return };
        let is_added = file.is_some_and(|file| writer.add(slot, name, executable, file.into()).is_ok());
        if !is_added {
            self.discard();
        }
    }

    /// Stores the cached result, if the artefacts received are complete.
    pub fn store(&mut self, is_complete: bool) {
        let Stage::Collecting(slot, writer) = std::mem::replace(&mut self.stage, Stage::Idle) else { return };
        if is_complete {
            self.result.stored_bytes = writer.finish(&slot, &self.compiler_output).ok();
        }
        self.compiler_output = vec![];
    }

    /// Notes that all compile steps have succeeded, in this session or in the one that stored the
    /// cached result.
    pub fn mark_compiled(&mut self) {
        if self.has_compile_steps {
            self.result.compiled.get_or_insert(Compiled::Fresh);
        }
    }

    /// Gives up storing a result. An unfinished file is removed.
    fn discard(&mut self) {
        self.stage = Stage::Idle;
        self.compiler_output = vec![];
    }
}
