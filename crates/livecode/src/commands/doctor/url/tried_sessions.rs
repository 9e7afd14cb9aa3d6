//! The sessions that the examination creates. All are deleted at its end, also when a signal ends
//! it.

use std::{
    io,
    process::exit,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use anyhow::bail;
use livecode_protocol::{
    SessionId,
    session::{CreateSession, SessionDocument},
};

use crate::client::{ServerClient, SignalListener, print_status};

/// Creates sessions, and deletes all of them.
pub struct TriedSessions {
    server: ServerClient,
    state: Mutex<State>,
    /// Whether a signal has ended the examination.
    is_ended: AtomicBool,
}

#[derive(Default)]
struct State {
    ids: Vec<SessionId>,
    /// Whether the examination is over, so that no session may be created any more.
    is_closed: bool,
}

impl TriedSessions {
    /// No session yet.
    pub fn new(server: ServerClient) -> Self {
        Self { server, state: Mutex::default(), is_ended: AtomicBool::new(false) }
    }

    /// Creates a session.
    pub fn create(&self, request: &CreateSession) -> anyhow::Result<SessionDocument> {
        // The lock is held during the request, so that a deletion waits for what is being created.
        let mut state = self.lock();
        if state.is_closed {
            bail!("the examination is over");
        }
        let document = self.server.create(request)?;
        state.ids.push(document.id);
        Ok(document)
    }

    /// Deletes all sessions. None can be created after that.
    pub fn delete_all(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        for id in state.ids.drain(..) {
            if let Err(error) = self.server.delete_session(id) {
                print_status(format_args!("session {id} could not be deleted: {error:#}"));
            }
        }
    }

    /// Starts a thread that deletes the sessions and ends this process on SIGINT (Ctrl-C), SIGTERM
    /// or SIGHUP. A second signal ends the process at once.
    pub fn delete_on_signals(self: &Arc<Self>) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut signals = {
            let _context = runtime.enter();
            SignalListener::new()?
        };
        let sessions = Arc::clone(self);
        let wait = async move {
            let received = signals.next().await;
            sessions.is_ended.store(true, Ordering::Release);
            let deletion = tokio::task::spawn_blocking(move || sessions.delete_all());
            tokio::select! {
                _ = deletion => {}
                _ = signals.next() => {}
            }
            exit(received.exit_code.into())
        };
        thread::Builder::new().name("signals".into()).spawn(move || runtime.block_on(wait)).map(drop)
    }

    /// Returns at once, unless a signal has ended the examination: then the process ends here. What
    /// the checks see of deleted sessions is no finding.
    pub fn yield_to_signal(&self) {
        while self.is_ended.load(Ordering::Acquire) {
            thread::park();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
