//! What the kernel offers, one file for each facility. Nothing here knows of sessions.

pub(crate) mod bpf;
pub(crate) mod cpus;
pub(crate) mod fault_switch;
pub mod fd_passing;
pub(crate) mod landlock;
pub(crate) mod privileges;
pub(crate) mod rlimits;
pub(crate) mod seccomp;
pub(crate) mod sys;
