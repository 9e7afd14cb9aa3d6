//! Facilities of the kernel, one file for each. Nothing here knows of sessions.

pub(crate) mod bpf;
pub(crate) mod cpus;
pub(crate) mod errno;
pub(crate) mod fault_switch;
pub mod fd_passing;
pub(crate) mod landlock;
pub(crate) mod mountinfo;
pub(crate) mod namespace_limits;
pub(crate) mod privileges;
pub(crate) mod rlimits;
pub(crate) mod seccomp;
pub mod seccomp_listener;
pub(crate) mod sys;
pub(crate) mod time;
