//! The supervisor of one program, which writes its output to a journal, and the spawner that forks
//! supervisors.
//!
//! | module | content |
//! | --- | --- |
//! | [`spawner`] | the process that forks supervisors and sweeps up after dead ones |
//! | `session` | one session: start, main loop, connections to servers, closing entry |
//! | `io` | the program's pipes: output to entries, input queues, messages, read throttle |
//! | `limits` | what the supervisor samples: idle time, memory, CPU use |
//! | `journal` | the writer within the session's output limit, and syncing to disk |
//! | `compile_cache` | kept results of compile steps: looked up before, stored after compiling |
//! | `diagnostics` | the places of errors in what compilers and crashed programs write |
//! | `identity` | which process a supervisor is, and the name of its sandbox's cgroup |
//! | [`bench`] | what `benches/` measures |

/// Prints a line of the log to standard error, as the macro of the standard library does, but in
/// the form of the server's log and with every control character escaped. The macro has the same
/// name, so that no line of this crate is printed otherwise.
macro_rules! eprintln {
    ($($part:tt)*) => {
        livecode_sandbox::report::report(format_args!($($part)*))
    };
}

pub mod bench;
mod compile_cache;
mod diagnostics;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod identity;
mod io;
mod journal;
mod limits;
mod session;
pub mod spawner;

pub use livecode_sandbox::{ZygoteProgram, exit_now, fd_passing, report};
