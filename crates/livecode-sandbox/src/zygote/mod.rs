//! The zygote: a process that is cloned, on request, into the first process of a sandbox.
//!
//! A zygote is sent descriptors and a sandbox layout, but nothing about a session, so no clone of
//! it holds the data of another session. A supervisor that serves one session after another could
//! not promise that of its own clones. The pipes, the cgroups and the session itself belong to
//! the process that sends the request. An interpreter zygote is a zygote inside a started
//! interpreter. Init, its clone, forks once, and that fork becomes the session's program. A
//! supervisor that needs several sandboxes has a zygote forked that is its own, since the others
//! end with the server.
//!
//! ```text
//!  supervisor                             zygote                    in the sandbox
//!  ──────────                             ──────                    ──────────────
//!  ZygoteClient::make ── descriptors ───▶ serve ── clone3: new ───▶ init, which in the clone
//!                     ◀── pid, pidfd ────   namespaces, cgroup        of an interpreter zygote
//!                                                                     forks a pre-forked program
//! ```

pub(crate) mod client;
mod server;
mod wire;

pub use client::ZygoteClient;
pub use server::serve;
