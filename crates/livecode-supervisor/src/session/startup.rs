//! The start of a session: its folder, its journal, and a sandbox for its run spec.

use std::{fs::File, os::unix::net::UnixStream, path::PathBuf, time::Instant};

use livecode_protocol::{
    control::{StartKind, SupervisorIdentity},
    run_spec::{RunSpec, SandboxLayout},
    warm::InterpreterZygote,
};
use livecode_sandbox::{Host, MountSources, ProgramChannels, Sandbox, ZygoteClient};

use crate::{
    compile_cache::SessionCompileCache,
    diagnostics::Diagnostics,
    identity::ProcessIdentity,
    session::{
        cases::{Cases, SandboxOrder},
        connection::Connection,
        folder::{SessionFolder, StartError},
        supervisor::{StartedSession, Supervisor, cases::CaseSandboxes, end::SupervisedEnd},
    },
};

/// A sandbox that was made before its session.
pub(crate) struct WarmSandbox {
    pub layout: SandboxLayout,
    /// The files and folders that were mounted in it.
    pub mount_sources: MountSources,
    /// The interpreter that has started in it, if any.
    pub interpreter: Option<InterpreterZygote>,
    pub sandbox: Sandbox,
    pub pipes: ProgramChannels,
}

/// A sandbox for one session, its pipes, and how much of it was made before the session.
type SessionSandbox = (Sandbox, ProgramChannels, StartKind);

/// Supervises the session in the folder `path` until its end. Its first connection is `server`.
///
/// The program runs in the warm sandbox, which the server and the spawner have chosen so that it
/// fits. If it cannot be used all the same, or there is none, a sandbox is made, whose first
/// process is cloned from `zygote`, or from this process if there is no zygote. Those of cases
/// after the first are cloned from `case_zygote`.
pub(crate) fn supervise(
    host: &Host,
    own: &SupervisorIdentity,
    zygote: Option<&ZygoteClient>,
    case_zygote: Option<&ZygoteClient>,
    path: PathBuf,
    server: UnixStream,
    warm: Option<WarmSandbox>,
) -> SupervisedEnd {
    let requested_at = Instant::now();
    match start(host, own, zygote, path, warm, requested_at) {
        Ok(mut supervisor) => {
            supervisor.connect(server);
            supervisor.run_all(CaseSandboxes::new(own.into(), case_zygote));
            supervisor.finish()
        }
        Err(error) => {
            report_failure(server, &error);
            SupervisedEnd::Exit(1)
        }
    }
}

/// Tells the server why the program was not started. Nothing of the session's sandbox, its journal
/// or its lock is left by now.
fn report_failure(server: UnixStream, error: &StartError) {
    let Ok(mut connection) = Connection::accept(server) else { return };
    connection.send(&error.notice());
    connection.flush(); // a new socket has room for it
}

/// Starts the program.
///
/// The supervisor's identity is written before the journal is created. So a server that finds the
/// journal knows its writer, and can kill it wherever it hangs. All that may fail for want of a
/// resource comes before the journal, as far as possible.
///
/// # Errors
/// What failed. Then the session has no journal, unless it had one before.
fn start<'h>(
    host: &'h Host,
    own: &SupervisorIdentity,
    zygote: Option<&ZygoteClient>,
    path: PathBuf,
    warm: Option<WarmSandbox>,
    requested_at: Instant,
) -> Result<Supervisor<'h>, StartError> {
    let folder = SessionFolder::open(path)?;
    folder.lock()?;
    folder.write_identity(own)?;
    let (run_spec, run_spec_file) = folder.read_run_spec()?;
    let contents_file = folder.open_contents(&run_spec)?;
    let layout = run_spec.layout();
    let (sandbox, pipes, start_kind) = match warm.and_then(|warm| adapt(host, warm, &run_spec, &layout)) {
        Some(adapted) => adapted,
        None => {
            let cgroup_name = ProcessIdentity::from(own).cgroup_name();
            let made = Sandbox::create(host, &cgroup_name, &layout, zygote, None);
            let (sandbox, pipes) = made.map_err(StartError::MakeSandbox)?;
            (sandbox, pipes, StartKind::Cold)
        }
    };
    let mut order = SandboxOrder { run_spec, run_spec_file, contents_file };
    let (compile_cache, cached_result) = SessionCompileCache::find(&mut order.run_spec);
    let diagnostics = order.run_spec.diagnostics.then(|| Diagnostics::new(order.run_spec.file_names()));
    let cases = Cases::take_from(&mut order, cached_result.as_ref(), &folder, requested_at)?;
    let SandboxOrder { mut run_spec, run_spec_file, contents_file } = order;
    let stdin_file = contents_file.as_ref().map(File::try_clone).transpose();
    let stdin_file = stdin_file.map_err(StartError::DuplicateDescriptor)?;
    let journal = folder.create_journal(&run_spec.limits)?;
    run_spec.files = vec![]; // init reads them from the file
    let started = StartedSession {
        folder,
        run_spec,
        diagnostics,
        contents_file: stdin_file,
        compile_cache,
        cases,
        journal,
        sandbox,
        pipes,
        start_kind,
        requested_at,
    };
    let mut supervisor = Supervisor::new(host, started)?;
    match supervisor.begin(&run_spec_file, contents_file.as_ref(), cached_result.as_ref()) {
        Ok(()) => Ok(supervisor),
        Err(error) => {
            supervisor.discard();
            Err(StartError::MakeSandbox(error))
        }
    }
}

/// Makes the warm sandbox that of the session. If it cannot be, since it has died or shows programs
/// other files or those of an earlier version, it is torn down, and its cgroup, whose name the next
/// one has, is removed.
fn adapt(
    host: &Host,
    warm: WarmSandbox,
    run_spec: &RunSpec,
    layout: &SandboxLayout,
) -> Option<SessionSandbox> {
    let is_usable = warm.sandbox.is_alive()
        && warm.layout.has_same_files(layout)
        && warm.mount_sources == MountSources::find(host, layout);
    if !is_usable || warm.layout != *layout && warm.sandbox.resize(layout).is_err() {
        return None;
    }
    let has_interpreter = warm.interpreter.is_some_and(|interpreter| interpreter.fits(run_spec));
    let start_kind = if has_interpreter { StartKind::Interpreter } else { StartKind::Sandbox };
    Some((warm.sandbox, warm.pipes, start_kind))
}
