//! How a session begins: its folder, its journal, and a sandbox for its order.

use std::{os::fd::AsFd as _, os::unix::net::UnixStream, path::PathBuf, time::Instant};

use livecode_protocol::{
    control::Start,
    order::{Layout, Order},
    warm::Template,
};
use livecode_sandbox::{Host, Maker, Pipes, Sandbox, SetupError};

use crate::{
    cache::{Cache, Kept},
    connection::Connection,
    ending::Findings,
    folder::{Folder, FolderError},
    group::Identity,
    record::Record,
    supervisor::Supervisor,
};

/// A sandbox that waits for its order.
pub(crate) struct Ready {
    pub layout: Layout,
    pub template: Option<Template>,
    pub sandbox: Sandbox,
    pub pipes: Pipes,
}

/// A session whose program is about to start.
pub(crate) struct Begun {
    pub folder: Folder,
    pub order: Order,
    pub cache: Cache,
    pub record: Record,
    pub connections: Vec<Connection>,
    pub sandbox: Sandbox,
    pub pipes: Pipes,
    /// How much of it was ready.
    pub how: Start,
    /// When it was asked for.
    pub began: Instant,
}

/// Supervises the session in the folder `path`, first of all for `server`, in the sandbox that is ready if it fits, or
/// else in one that `maker` makes, or this process where there is none. The result is the process's exit status.
pub(crate) fn supervise(
    host: &Host,
    own: &Identity,
    maker: Option<&Maker>,
    path: PathBuf,
    server: UnixStream,
    ready: Option<Ready>,
) -> i32 {
    let began = Instant::now();
    match begin(host, own, maker, path, server, ready, began) {
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
    maker: Option<&Maker>,
    path: PathBuf,
    server: UnixStream,
    ready: Option<Ready>,
    began: Instant,
) -> Result<Option<Supervisor<'h>>, FolderError> {
    let folder = Folder::open(path)?;
    folder.lock()?;
    folder.write_state(own.state())?;
    let journal = folder.journal()?;
    let (mut order, file) = folder.order()?;
    let (cache, entry) = Cache::find(&mut order);
    let mut record = Record::new(journal, order.limits.output_bytes).map_err(FolderError::State)?;
    let start = || {
        let begun = sandbox_for(host, own, maker, &order, ready).and_then(|(mut sandbox, pipes, start)| {
            sandbox.begin(&order, file.as_fd(), entry.as_ref())?;
            Ok((sandbox, pipes, start))
        });
        begun.map_err(|error: SetupError| format!("{error}: {}", error.source))
    };
    match start() {
        Ok((sandbox, pipes, how)) => {
            let connections = Connection::accept(server).into_iter().collect();
            let begun = Begun { folder, order, cache, record, connections, sandbox, pipes, how, began };
            Supervisor::new(host, begun).map(Some)
        }
        Err(why) => {
            record.say(&why);
            folder.remove_socket();
            // Where this fails too, the server finds the journal without its end and closes it.
            let _ = record.finish(&Findings::default().ending(None, 0, None), Kept::default());
            Ok(None)
        }
    }
}

/// The sandbox that is ready, or another where it does not fit the order or has died.
fn sandbox_for(
    host: &Host,
    own: &Identity,
    maker: Option<&Maker>,
    order: &Order,
    ready: Option<Ready>,
) -> Result<(Sandbox, Pipes, Start), SetupError> {
    let layout = order.layout();
    if let Some(Ready { sandbox, pipes, template, .. }) =
        ready.filter(|ready| ready.layout == layout && ready.sandbox.is_alive())
    {
        let is_up = template.is_some_and(|template| template.fits(order));
        return Ok((sandbox, pipes, if is_up { Start::Interpreter } else { Start::Sandbox }));
    }
    let (sandbox, pipes) = Sandbox::prepare(host, &own.group(), &layout, maker, None)?;
    Ok((sandbox, pipes, Start::Cold))
}
