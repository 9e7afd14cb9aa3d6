//! Starts one program isolated and limited, and says how it ended.
//!
//! # Theory of operation
//!
//! ```text
//!  supervisor (outside)                    init (process 1 inside)            steps (2, 3, … inside)
//!  ────────────────────                    ───────────────────────            ──────────────────────
//!  Sandbox::prepare ── clone3: new ──────▶ builds the sandbox from inside:
//!    namespaces, cgroup, pidfd             cgroups, root, filters;
//!    (or a [`maker`] does)                 of a template, it forks the ─────▶ understudy: waits to be the program
//!                                          Ready
//!  Sandbox::begin ── the order ──────────▶ becomes the session's user, writes its files,
//!                                          starts the first step (vfork) ───▶ descriptors, limits, exec
//!  Sandbox::report ◀── control socket ──── Started, Ended, SetupFailed, CannotRun
//!  Sandbox::start_step ───────────────────▶ starts the next
//!  Sandbox::take_artefacts ───────────────▶ kills all else, opens what the compile steps made
//!  Sandbox::report ◀── descriptors ─────── Artefact, …, Taken
//!  Sandbox::signal ───────────────────────▶ kills the step's process group
//!  Sandbox::kill ── SIGKILL by pidfd ─────▶ ✝ and the kernel kills all the rest
//! ```
//!
//! Three things end a sandbox, all through the death of its init, which takes every other process of its pid
//! namespace along (pid_namespaces(7)): a step that failed or was the last one; [`Sandbox::kill`]; and the death of the
//! supervisor, which closes the control socket that init watches.
//!
//! A program's misbehaviour is data ([`InitEvent`]); only what the platform failed at is an error ([`SetupError`]), which
//! names the step that failed, with its errno.

mod cgroup;
pub mod doctor;
mod handle;
mod host;
mod init;
mod init_wire;
mod kernel;
mod rootfs;
pub mod zygote;

pub use handle::{
    sample::SampleVerdict,
    sandbox::{Pipes, Sandbox},
};
pub use host::{Host, HostError};
pub use init::{artefacts, program::ZygoteProgram};
pub use init_wire::{InitEvent, SetupError, StepStatus};
pub use kernel::{
    cpus::Cpus,
    fd_passing,
    sys::{Forked, exit_now, fork, has_one_thread, reap_children_automatically},
    time::timespec,
};
pub use zygote::ZygoteClient;

/// The program's working directory, and its home.
pub const WORKING_DIRECTORY: &str = "/code";
/// The number of the program's message channel.
pub const MESSAGE_FD: i32 = 3;
