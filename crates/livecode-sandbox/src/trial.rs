//! Trial runs: a small program of the server's own is run in a sandbox, to find out whether this
//! machine can make one.

use std::{
    fs::File,
    io,
    os::{fd::AsFd as _, unix::fs::FileExt as _},
};

use livecode_protocol::run_spec::{RunSpec, SessionLimits, Step, StepLimits};
use rustix::fs::{MemfdFlags, memfd_create};

use crate::{
    handle::sandbox::Sandbox,
    host::{Host, TRIAL_SLOT, trial_id},
    init_wire::{InitEvent, StepStatus},
    setup_error::{SetupContext as _, SetupError},
};

/// The most output that a trial run returns, in bytes: the capacity of a pipe.
const MAX_OUTPUT_BYTES: usize = 64 * 1024;

/// A trial run failed.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// The sandbox could not be set up.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The sandbox was set up, but its program did not exit with 0.
    #[error("a trial sandbox ended unexpectedly: {0}")]
    UnexpectedEnd(String),
}

/// Makes a sandbox and runs a program in it that does nothing.
///
/// # Errors
/// The setup step that failed, or the unexpected end of the program.
pub fn try_sandbox(host: &Host) -> Result<(), TrialError> {
    try_program(host, &["true"]).map(drop)
}

/// Makes a sandbox and runs a program in it, which must exit with 0. Returns its output, up to the
/// capacity of a pipe.
///
/// # Errors
/// As [`try_sandbox`].
pub(crate) fn try_program(host: &Host, argv: &[&str]) -> Result<Vec<u8>, TrialError> {
    let limits = StepLimits { cpu_ms: 10_000, memory_bytes: 64 * 1024 * 1024, processes: 8 };
    let argv = argv.iter().map(|argument| (*argument).to_owned()).collect();
    let mut run_spec = trial_run_spec(Step { argv, limits });
    run_spec.env = vec![("PATH".into(), "/usr/bin:/bin".into())];
    let (mut sandbox, pipes) =
        Sandbox::create(host, &run_spec.id.to_string(), &run_spec.layout(), None, None)?;
    // The failure of a step is known only once it was waited for.
    sandbox.wait_ready()?;
    host.note_seccomp_listener(sandbox.seccomp_listener().is_some());
    sandbox.start(&run_spec, run_spec_file(&run_spec)?.as_fd(), None, None)?;
    let ended = loop {
        match sandbox.wait_event() {
            Some(InitEvent::Ready | InitEvent::StepStarted(_)) => {}
            Some(InitEvent::Ended(_, StepStatus::Exited(0))) => break Ok(()),
            Some(InitEvent::SetupFailed(error)) => break Err(error.into()),
            Some(other) => break Err(TrialError::UnexpectedEnd(format!("{other:?}"))),
            None => break Err(TrialError::UnexpectedEnd("its first process died".into())),
        }
    };
    sandbox.reap();
    ended?;
    let mut output = vec![0; MAX_OUTPUT_BYTES];
    // An error means that the program printed nothing.
    let length = rustix::io::read(&pipes.stdout, &mut *output).unwrap_or(0);
    output.truncate(length);
    Ok(output)
}

/// The run spec of a trial run, whose program needs few resources.
pub(crate) fn trial_run_spec(run: Step) -> RunSpec {
    RunSpec {
        id: trial_id(),
        slot: TRIAL_SLOT,
        compile: vec![],
        run,
        env: vec![],
        files: vec![],
        stdin: None,
        stored: None,
        mounts: vec![],
        root: None,
        echo: false,
        diagnostics: false,
        cache: None,
        stages: false,
        collect: None,
        cases: None,
        limits: SessionLimits {
            wall_ms: 10_000,
            output_bytes: 4096,
            disk_bytes: 1024 * 1024,
            disk_files: 64,
            cpu_millicores: 1000,
            idle_ms: None,
            disk_reserve_bytes: None,
        },
    }
}

/// A file in memory with the content of a run spec, for [`Sandbox::start`].
pub(crate) fn run_spec_file(run_spec: &RunSpec) -> Result<File, SetupError> {
    let text = serde_json::to_vec(run_spec).map_err(io::Error::from).context("encode the run spec")?;
    let file = memfd_create("order", MemfdFlags::CLOEXEC).map(File::from);
    let file = file.context("make the file of the run spec")?;
    file.write_all_at(&text, 0).context("write the run spec")?;
    Ok(file)
}
