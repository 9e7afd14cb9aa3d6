//! The request that gives a sandbox its run spec. Init receives it from the supervisor, and a
//! pre-forked program receives it from init.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _},
    os::fd::BorrowedFd,
};

use livecode_protocol::run_spec::RunSpec;
use rustix::net::RecvFlags;

use crate::{
    init_wire::{InitRequest, MAX_REQUEST_BYTES},
    kernel::fd_passing,
    setup_error::{SetupContext, SetupError},
};

/// The content of an [`InitRequest::Begin`].
pub(super) struct BeginRequest {
    pub run_spec: RunSpec,
    /// The file that `run_spec` was read from.
    pub run_spec_file: File,
    /// The contents file, if the run spec has stored contents.
    pub contents_file: Option<File>,
    /// The cache entry with the artefacts of an earlier session, positioned at its first record.
    /// If there is one, the compile steps were removed from `run_spec`.
    pub cache_entry: Option<File>,
}

/// Waits for the request on a socket. Returns `None` if the other end was closed.
pub(super) fn wait_for_begin(socket: BorrowedFd<'_>) -> Result<Option<BeginRequest>, SetupError> {
    let mut bytes = [0; MAX_REQUEST_BYTES];
    let (length, descriptors) =
        fd_passing::receive(socket, &mut bytes, RecvFlags::empty()).context("wait for the run spec")?;
    let mut files = descriptors.into_iter().map(File::from);
    match (InitRequest::decode(&bytes[..length]), files.next()) {
        (Some(InitRequest::Begin { has_contents }), Some(mut run_spec_file)) => {
            let contents_file = if has_contents { files.next() } else { None };
            let cache_entry = files.next();
            let mut text = vec![];
            // The sender shares the file offset and may have read the file before.
            run_spec_file.rewind().context("read the run spec")?;
            run_spec_file.read_to_end(&mut text).context("read the run spec")?;
            let run_spec = serde_json::from_slice(&text).map_err(io::Error::from);
            let mut run_spec: RunSpec = run_spec.context("read the run spec")?;
            if cache_entry.is_some() {
                run_spec.compile.clear();
            }
            Ok(Some(BeginRequest { run_spec, run_spec_file, contents_file, cache_entry }))
        }
        _ => Ok(None),
    }
}
