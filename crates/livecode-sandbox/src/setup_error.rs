//! The error of a sandbox's setup. It names the setup step that failed and carries that step's
//! errno.

use std::io;

use rustix::io::Errno;

use crate::kernel::errno::is_transient;

/// The setup step that fails if a zygote is dead, hangs, or cannot clone itself.
pub(crate) const CLONE_STEP: &str = "have the zygote clone itself";
/// The setup step that limits the memory of a sandbox.
pub(crate) const MEMORY_LIMIT_STEP: &str = "limit memory";

/// The setup of a sandbox failed. This is always a failure of the platform, never of the program.
#[derive(Debug, thiserror::Error)]
#[error("the sandbox could not be set up: {step}")]
pub struct SetupError {
    /// The setup step that failed, e.g. `mount /proc`.
    pub step: String,
    /// The error that the kernel returned for this step.
    #[source]
    pub source: io::Error,
}

impl SetupError {
    /// Whether the step failed for want of a resource, such as processes, memory or descriptors,
    /// and may succeed later. A zygote that fails is replaced, so that counts, too.
    pub fn is_transient(&self) -> bool {
        self.step == CLONE_STEP || is_transient(&self.source)
    }

    /// Whether the memory limit could not be set because the sandbox holds more than that already.
    pub fn is_over_memory_limit(&self) -> bool {
        self.step == MEMORY_LIMIT_STEP && self.source.raw_os_error() == Some(Errno::BUSY.raw_os_error())
    }
}

/// Adds the name of a setup step to a result of the kernel.
pub(crate) trait SetupContext<T> {
    /// Turns an error into a [`SetupError`] of the step with this name.
    fn context(self, step: impl Into<String>) -> Result<T, SetupError>;
}

impl<T, E: Into<io::Error>> SetupContext<T> for Result<T, E> {
    fn context(self, step: impl Into<String>) -> Result<T, SetupError> {
        self.map_err(|source| SetupError { step: step.into(), source: source.into() })
    }
}
