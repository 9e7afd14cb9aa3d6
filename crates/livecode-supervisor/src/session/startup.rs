//! How a session begins: its folder, its journal, and a sandbox for its order.

use std::{os::fd::AsFd as _, os::unix::net::UnixStream, path::PathBuf, time::Instant};

use livecode_protocol::{
    control::StartKind,
    run_spec::{RunSpec, SandboxLayout},
    warm::InterpreterZygote,
};
use livecode_sandbox::{Host, Pipes, Sandbox, SetupError, ZygoteClient};

use crate::{
    compile_cache::{Cache, CompileResult},
    journal::capped_journal::CappedJournal,
    session::{
        connection::Connection,
        folder::{FolderError, SessionFolder},
        supervisor::Supervisor,
        termination::Termination,
    },
    spawner::identity::Identity,
};

/// A sandbox that waits for its order.
pub(crate) struct WarmSandbox {
    pub layout: SandboxLayout,
    pub template: Option<InterpreterZygote>,
    pub sandbox: Sandbox,
    pub pipes: Pipes,
}

/// A session whose program is about to start.
pub(crate) struct StartedSession {
    pub folder: SessionFolder,
    pub order: RunSpec,
    pub cache: Cache,
    pub record: CappedJournal,
    pub connections: Vec<Connection>,
    pub sandbox: Sandbox,
    pub pipes: Pipes,
    /// How much of it was ready.
    pub how: StartKind,
    /// When it was asked for.
    pub began: Instant,
}

/// Supervises the session in the folder `path`, first of all for `server`, in the sandbox that is ready if it fits, or
/// else in one that `zygote` makes, or this process where there is none. The result is the process's exit status.
pub(crate) fn supervise(
    host: &Host,
    own: &Identity,
    zygote: Option<&ZygoteClient>,
    path: PathBuf,
    server: UnixStream,
    ready: Option<WarmSandbox>,
) -> i32 {
    let began = Instant::now();
    match begin(host, own, zygote, path, server, ready, began) {
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

/// Starts the program. Whoever finds the journal finds who writes it, and can have it killed wherever it hangs. Once the
/// journal exists, a failure is told there, and there is nothing left to supervise.
fn begin<'h>(
    host: &'h Host,
    own: &Identity,
    zygote: Option<&ZygoteClient>,
    path: PathBuf,
    server: UnixStream,
    ready: Option<WarmSandbox>,
    began: Instant,
) -> Result<Option<Supervisor<'h>>, FolderError> {
    let folder = SessionFolder::open(path)?;
    folder.lock()?;
    folder.write_state(own.state())?;
    let (mut order, file) = folder.order()?;
    let (layout, name) = (order.layout(), own.group());
    let made = match (ready.filter(|ready| ready.layout == layout && ready.sandbox.is_alive()), zygote) {
        (Some(WarmSandbox { sandbox, pipes, template, .. }), _) => {
            let is_up = template.is_some_and(|template| template.fits(&order));
            Some((sandbox, pipes, if is_up { StartKind::Interpreter } else { StartKind::Sandbox }))
        }
        // Before there is a journal: where the maker fails, another supervisor is asked.
        (None, Some(zygote)) => {
            let made = Sandbox::prepare(host, &name, &layout, Some(zygote), None);
            let (sandbox, pipes) = made.map_err(FolderError::Sandbox)?;
            Some((sandbox, pipes, StartKind::Cold))
        }
        (None, None) => None,
    };
    let journal = folder.journal()?;
    let (cache, entry) = Cache::find(&mut order);
    let mut record = CappedJournal::new(journal, order.limits.output_bytes).map_err(FolderError::State)?;
    let start = || {
        let (mut sandbox, pipes, how) = match made {
            Some(made) => made,
            None => {
                let (sandbox, pipes) = Sandbox::prepare(host, &name, &layout, None, None)?;
                (sandbox, pipes, StartKind::Cold)
            }
        };
        sandbox.begin(&order, file.as_fd(), entry.as_ref())?;
        Ok((sandbox, pipes, how))
    };
    match start() {
        Ok((sandbox, pipes, how)) => {
            let connections = Connection::accept(server).into_iter().collect();
            let begun =
                StartedSession { folder, order, cache, record, connections, sandbox, pipes, how, began };
            Supervisor::new(host, begun).map(Some)
        }
        Err(error @ SetupError { .. }) => {
            record.write_note(&format!("{error}: {}", error.source));
            folder.remove_socket();
            // Where this fails too, the server finds the journal without its end and closes it.
            let finished =
                record.finish(&Termination::default().ending(None, 0, None), CompileResult::default());
            finished.map(|_| None).map_err(FolderError::Journal)
        }
    }
}
