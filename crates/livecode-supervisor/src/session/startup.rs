//! The start of a session: its folder, its journal, and a sandbox for its run spec.

use std::{os::fd::AsFd as _, os::unix::net::UnixStream, path::PathBuf, time::Instant};

use livecode_protocol::{
    control::{StartKind, SupervisorIdentity},
    run_spec::{RunSpec, SandboxLayout},
    warm::InterpreterZygote,
};
use livecode_sandbox::{Host, ProgramChannels, Sandbox, SetupError, ZygoteClient};

use crate::{
    compile_cache::{CompileResult, SessionCompileCache},
    identity::ProcessIdentity,
    journal::capped_journal::CappedJournal,
    session::{
        connection::Connection,
        folder::{SessionFolder, StartError},
        supervisor::{StartedSession, Supervisor},
        termination::Termination,
        unfit_sandbox::UnfitSandbox,
    },
};

/// A sandbox that was made before its session.
pub(crate) struct WarmSandbox {
    pub layout: SandboxLayout,
    /// The interpreter that has started in it, if any.
    pub interpreter: Option<InterpreterZygote>,
    pub sandbox: Sandbox,
    pub pipes: ProgramChannels,
}

/// A sandbox for one session, its pipes, and how much of it was made before the session.
type SessionSandbox = (Sandbox, ProgramChannels, StartKind);

/// Supervises the session in the folder `path` until its end. Its first connection is `server`.
///
/// The program runs in the warm sandbox if that fits the run spec. Otherwise a sandbox is made,
/// whose first process is cloned from `zygote`, or from this process if there is no zygote.
/// Returns the status for the process to exit with.
pub(crate) fn supervise(
    host: &Host,
    own: &SupervisorIdentity,
    zygote: Option<&ZygoteClient>,
    path: PathBuf,
    server: UnixStream,
    warm: Option<WarmSandbox>,
) -> i32 {
    let requested_at = Instant::now();
    match start(host, own, zygote, path, server, warm, requested_at) {
        Ok(None) => 0,
        Ok(Some(mut supervisor)) => {
            supervisor.run();
            supervisor.finish()
        }
        Err(error) => {
            let cause =
                std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            eprintln!("livecode supervisor: {error}{cause}");
            1
        }
    }
}

/// Starts the program.
///
/// The supervisor's identity is written before the journal is created. So a server that finds the
/// journal knows its writer, and can kill it wherever it hangs.
///
/// # Errors
/// What failed before the supervisor could run. A failure to make the sandbox is written to the
/// journal instead; then nothing is left to supervise, and `None` is returned.
fn start<'h>(
    host: &'h Host,
    own: &SupervisorIdentity,
    zygote: Option<&ZygoteClient>,
    path: PathBuf,
    server: UnixStream,
    warm: Option<WarmSandbox>,
    requested_at: Instant,
) -> Result<Option<Supervisor<'h>>, StartError> {
    let folder = SessionFolder::open(path)?;
    folder.lock()?;
    folder.write_identity(own)?;
    let (mut run_spec, run_spec_file) = folder.read_run_spec()?;
    let contents_file = folder.open_contents(&run_spec)?;
    let layout = run_spec.layout();
    let (warm, unfit) = usable_sandbox(warm, &run_spec, &layout);
    let unfit_sandbox = UnfitSandbox::new(unfit, requested_at);
    let own = ProcessIdentity::from(own);
    let cgroup_name = if unfit_sandbox.exists() { own.second_cgroup_name() } else { own.cgroup_name() };
    let made_sandbox = match (warm, zygote) {
        (Some(warm), _) => Some(warm),
        // This comes before the journal, so that the server can ask another supervisor if the
        // zygote fails.
        (None, Some(zygote)) => {
            let made = Sandbox::create(host, &cgroup_name, &layout, Some(zygote), None);
            let (sandbox, pipes) = made.map_err(StartError::MakeSandbox)?;
            Some((sandbox, pipes, StartKind::Cold))
        }
        (None, None) => None,
    };
    let writer = folder.create_journal()?;
    let (compile_cache, cached_result) = SessionCompileCache::find(&mut run_spec);
    let mut journal =
        CappedJournal::new(writer, run_spec.limits.output_bytes).map_err(StartError::DuplicateDescriptor)?;
    let start_program = || {
        let (mut sandbox, pipes, start_kind) = match made_sandbox {
            Some(made) => made,
            None => {
                let (sandbox, pipes) = Sandbox::create(host, &cgroup_name, &layout, None, None)?;
                (sandbox, pipes, StartKind::Cold)
            }
        };
        sandbox.start(&run_spec, run_spec_file.as_fd(), contents_file.as_ref(), cached_result.as_ref())?;
        Ok((sandbox, pipes, start_kind))
    };
    match start_program() {
        Ok((sandbox, pipes, start_kind)) => {
            let connections = Connection::accept(server).into_iter().collect();
            run_spec.files = vec![]; // init reads them from the file
            let started = StartedSession {
                folder,
                run_spec,
                contents_file,
                compile_cache,
                journal,
                connections,
                sandbox,
                pipes,
                unfit_sandbox,
                start_kind,
                requested_at,
            };
            Supervisor::new(host, started).map(Some)
        }
        Err(error @ SetupError { .. }) => {
            journal.write_note(&format!("{error}: {}", error.source));
            folder.remove_socket();
            folder.remove_contents();
            // If this fails too, the server finds a journal without a closing entry, and writes
            // one.
            let closing_entry = Termination::default().closing_entry(None, 0, None);
            let finished = journal.finish(&closing_entry, CompileResult::default());
            finished.map(|_| None).map_err(StartError::FinishJournal)
        }
    }
}

/// Returns the warm sandbox as the session's if it fits the run spec and still lives, and
/// otherwise as one that does not fit.
fn usable_sandbox(
    warm: Option<WarmSandbox>,
    run_spec: &RunSpec,
    layout: &SandboxLayout,
) -> (Option<SessionSandbox>, Option<Sandbox>) {
    let Some(warm) = warm else { return (None, None) };
    if warm.layout != *layout || !warm.sandbox.is_alive() {
        return (None, Some(warm.sandbox));
    }
    let has_interpreter = warm.interpreter.is_some_and(|interpreter| interpreter.fits(run_spec));
    let start_kind = if has_interpreter { StartKind::Interpreter } else { StartKind::Sandbox };
    (Some((warm.sandbox, warm.pipes, start_kind)), None)
}
