//! A warm sandbox that does not fit its session. It is torn down later, since the session's
//! program would wait for that: the kernel takes longer to end a sandbox than to write a session's
//! files.

use std::time::{Duration, Instant};

use livecode_sandbox::Sandbox;

/// How long after the request the sandbox is torn down, unless the session ends before. The
/// program of a small session has started by then.
const TEARDOWN_DELAY: Duration = Duration::from_millis(100);

/// The sandbox, if the session has one that does not fit. Dropping it tears the sandbox down.
pub(crate) struct UnfitSandbox {
    sandbox: Option<Sandbox>,
    teardown_at: Option<Instant>,
}

impl UnfitSandbox {
    pub fn new(sandbox: Option<Sandbox>, requested_at: Instant) -> Self {
        let teardown_at = sandbox.as_ref().map(|_| requested_at + TEARDOWN_DELAY);
        Self { sandbox, teardown_at }
    }

    /// Whether the session has such a sandbox now.
    pub fn exists(&self) -> bool {
        self.sandbox.is_some()
    }

    /// When [`Self::tear_down_if_due`] must be called, if ever.
    pub fn due(&self) -> Option<Instant> {
        self.teardown_at
    }

    /// Kills every process inside and waits until all are gone, if it is time to.
    pub fn tear_down_if_due(&mut self, now: Instant) {
        if self.teardown_at.is_some_and(|at| at <= now) {
            self.teardown_at = None;
            self.sandbox = None;
        }
    }
}
