//! The failure of a command, and the exit codes that report one.

use std::io;

/// Exit code after any failure for which no other code is defined.
pub const EXIT_FAILURE: u8 = 1;
/// Exit code for a wrong command line or a wrong setting.
pub const EXIT_USAGE: u8 = 2;
/// Exit code if a program that tells its stages apart could not be compiled: the shell's code for
/// a command that cannot be executed.
pub const EXIT_NOT_COMPILED: u8 = 126;
/// Exit code if LiveCode itself could not run a program. It differs from the codes that programs
/// usually exit with.
pub const EXIT_NOT_RUN: u8 = 125;
/// Exit code if the reader of the command's output has closed it: the shell's code for a process
/// that was killed by `SIGPIPE` (128 + 13).
pub const EXIT_BROKEN_PIPE: u8 = 141;

/// Why a command failed, and the exit code that it reports.
pub struct CommandFailure {
    /// The error that is printed for the user.
    pub error: anyhow::Error,
    /// The exit code of the process.
    pub exit_code: u8,
}

impl CommandFailure {
    /// Whether the only failure is that the reader has closed our output, as in `livecode ls |
    /// head`.
    pub fn is_broken_pipe(&self) -> bool {
        self.error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl<E: Into<anyhow::Error>> From<E> for CommandFailure {
    fn from(error: E) -> Self {
        Self { error: error.into(), exit_code: EXIT_FAILURE }
    }
}
