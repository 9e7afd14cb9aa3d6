//! The classes of ends.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The program exited by itself.
    Exited,
    /// A signal killed the program; it raised the signal itself or was sent it.
    Signalled,
    /// A compile step failed, in a session that was created with `stages`. Without `stages` the
    /// outcome is that of the compile step: exited or signalled.
    #[serde(rename = "compile_failed")]
    CompileFailed,
    /// The program exceeded its wall-clock limit.
    Timeout,
    /// The program exceeded its limit of CPU time.
    Cpu,
    /// The program exceeded its limit of memory.
    Memory,
    /// The program exceeded its limit of output.
    Output,
    /// The session was deleted or cancelled while it ran.
    Cancelled,
    /// The program could not be started, or its supervisor or the machine died.
    Lost,
}

impl Outcome {
    /// The outcome as it is written in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exited => "exited",
            Self::Signalled => "signalled",
            Self::CompileFailed => "compile_failed",
            Self::Timeout => "timeout",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Output => "output",
            Self::Cancelled => "cancelled",
            Self::Lost => "lost",
        }
    }

    /// The exit status that belongs to an outcome. `Exited`, `Signalled` and `CompileFailed` have
    /// none of their own: their exit status follows from an exit code or a signal.
    pub fn exitstatus(self) -> Option<i32> {
        match self {
            Self::Exited | Self::Signalled | Self::CompileFailed => None,
            Self::Timeout => Some(124),
            Self::Cpu => Some(152),
            Self::Memory | Self::Output | Self::Cancelled => Some(137),
            Self::Lost => Some(255),
        }
    }
}
