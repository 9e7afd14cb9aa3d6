//! The working-set profile of an interpreter zygote: which of its pages a small program touches.
//!
//! A clone of the zygote would otherwise take a page fault at the first access to each of these
//! pages. Instead, each pre-forked program prefaults them ahead of its session.

use std::{io, os::fd::AsFd as _};

use livecode_protocol::{
    FileName,
    run_spec::{Contents, RunFile, SandboxLayout, Step, StepLimits},
};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::retry_on_intr,
};

use crate::{
    handle::sandbox::Sandbox,
    host::Host,
    kernel::time::timespec,
    setup_error::{SetupContext as _, SetupError},
    trial,
    zygote::client::{REPLY_TIMEOUT, ZygoteClient},
};

/// A small program. When it is about to end it prints a line, and then it waits on its standard
/// input.
const PROFILED_PROGRAM: &str = "import atexit, sys\natexit.register(sys.stdin.read)\nprint()\n";

impl ZygoteClient {
    /// Runs a small program in a clone of an interpreter zygote, and tells the zygote which of
    /// its pages the program touched. From then on, each pre-forked program prefaults these pages
    /// and no others. Does nothing for a zygote without an interpreter.
    ///
    /// # Errors
    /// The setup step that failed. No page is prefaulted then: each is copied or mapped at its
    /// first access.
    pub fn profile_working_set(
        &self,
        host: &Host,
        name: &str,
        layout: &SandboxLayout,
        limits: &StepLimits,
    ) -> Result<(), SetupError> {
        let Some(interpreter) = self.interpreter() else { return Ok(()) };
        let (mut sandbox, pipes) = Sandbox::create(host, name, layout, Some(self), None)?;
        sandbox.wait_ready()?;
        // Nobody serves its notifications here: a call that notifies is to fail and not to wait.
        sandbox.close_seccomp_listener();
        let mut run_spec = trial::trial_run_spec(Step { argv: interpreter.argv.clone(), limits: *limits });
        run_spec.env.clone_from(&interpreter.env);
        let file_name =
            interpreter.source.parse::<FileName>().map_err(io::Error::other).context("name the program")?;
        let contents = Contents::new(PROFILED_PROGRAM.into());
        run_spec.files = vec![RunFile { name: file_name, contents }];
        sandbox.start(&run_spec, trial::run_spec_file(&run_spec)?.as_fd(), None, None)?;
        // The program's output shows that it is about to end and waits.
        let timeout = timespec(REPLY_TIMEOUT);
        let mut fds = [PollFd::new(&pipes.stdout, PollFlags::IN)];
        match retry_on_intr(|| poll(&mut fds, Some(&timeout))).context("wait for a program")? {
            0 => Err(io::Error::from(io::ErrorKind::TimedOut)).context("wait for a program"),
            _ => self.send_working_set(&sandbox.touched_pages()).context("send the working set"),
        }
    }
}
