//! The error of a sandbox's setup. It names the setup step that failed and carries that step's
//! errno.

use std::io;

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
