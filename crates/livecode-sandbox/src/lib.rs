//! Runs one program, isolated and limited, and reports how it ended.
//!
//! # Theory of operation
//!
//! ```text
//!  supervisor (outside)                  init (process 1 inside)          steps (2, 3, … inside)
//!  ────────────────────                  ───────────────────────          ──────────────────────
//!  Sandbox::create ── clone3: new ────▶ sets the sandbox up from inside:
//!    namespaces, cgroup, pidfd           cgroups, root, filters;
//!    (or a zygote clones itself)         in the clone of an interpreter
//!                                        zygote it forks a ─────────────▶ pre-forked program
//!                                        Ready
//!  Sandbox::start ── run spec ─────────▶ becomes the session's user,
//!                                        writes the session's files,
//!                                        starts the first step (vfork) ─▶ fds, limits, exec
//!  Sandbox::try_next_event ◀── control socket ── StepStarted, Ended, SetupFailed, ExecFailed
//!  Sandbox::start_step ────────────────▶ starts the next step
//!  Sandbox::collect_artefacts ────────────▶ kills all others, opens the artefacts
//!  Sandbox::try_next_event ◀── descriptors ───── Artefact, …, ArtefactsSent
//!  Sandbox::signal ────────────────────▶ signals the step's process group
//!  Sandbox::kill ── SIGKILL by pidfd ──▶ dies, and the kernel kills all other processes inside
//! ```
//!
//! A sandbox ends when its init dies, since the kernel then kills every other process of the pid
//! namespace (pid_namespaces(7)). Init exits when a step has failed or the last step has ended,
//! and when the supervisor dies, which closes the control socket. [`Sandbox::kill`] kills it.
//!
//! The behaviour of a program, however bad, is data ([`InitEvent`]). Only a failure of the
//! platform is an error ([`SetupError`]), which names the setup step that failed and its errno.
//!
//! # Layers
//!
//! Files import only files that stand further up in this list:
//!
//! | file or folder | content |
//! | --- | --- |
//! | `report` | lines of the log |
//! | `setup_error` | the error that names a setup step |
//! | `kernel` | facilities of the kernel |
//! | `init_wire` | messages between init and the supervisor |
//! | `cgroup`, `rootfs` | the cgroups and the root file system of a sandbox |
//! | `host` | facts about the machine |
//! | `init` | process 1 of a sandbox |
//! | `clone` | clones a process into a new sandbox |
//! | `zygote` | the process that is cloned into each sandbox |
//! | `handle` | the supervisor's handle to a sandbox |
//! | `trial`, `working_set` | trial runs, and the pages that a small program touches |
//! | `doctor` | the check of a machine |

mod cgroup;
mod clone;
pub mod doctor;
mod handle;
mod host;
mod init;
mod init_wire;
mod kernel;
pub mod report;
mod rootfs;
mod setup_error;
mod trial;
mod working_set;
pub mod zygote;

pub use handle::{
    sample::SampleVerdict,
    sandbox::{ProgramChannels, Sandbox},
    stdin_probe::StdinProbe,
};
pub use host::Host;
pub use init::{artefacts, program::ZygoteProgram};
pub use init_wire::{InitEvent, StepStatus};
pub use kernel::{
    cpus::Cpus,
    errno::is_transient,
    fd_passing,
    seccomp_listener::{Notification, NotifiedCall, SeccompListener},
    sys::{
        Forked, exit_now, fork, has_one_thread, reap_children_automatically, return_free_pages,
        return_large_blocks,
    },
    time::timespec,
};
pub use rootfs::mount_sources::MountSources;
pub use setup_error::SetupError;
pub use trial::{TrialError, try_sandbox};
pub use zygote::ZygoteClient;

/// The working directory of programs, and their home directory.
pub const WORKING_DIRECTORY: &str = "/code";
/// The number of the message channel's descriptor in programs.
pub const MESSAGE_FD: i32 = 3;
