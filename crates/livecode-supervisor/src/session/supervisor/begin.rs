//! The begin of a supervisor's session.

use std::{fs::File, os::fd::AsFd as _};

use livecode_protocol::session::Outcome;
use livecode_sandbox::SetupError;

use crate::session::supervisor::Supervisor;

impl Supervisor<'_> {
    /// Gives init the run spec, and has it start the first step. If the sandbox holds more memory
    /// already than the program may, the program is killed instead.
    ///
    /// # Errors
    /// What failed. The caller then calls [`Self::discard`].
    pub fn begin(
        &mut self,
        run_spec_file: &File,
        contents_file: Option<&File>,
        cached_result: Option<&File>,
    ) -> Result<(), SetupError> {
        match self.sandbox.start(&self.run_spec, run_spec_file.as_fd(), contents_file, cached_result) {
            Err(error) if error.is_over_memory_limit() => self.kill_for(Outcome::Memory),
            other => other?,
        }
        Ok(())
    }
}
