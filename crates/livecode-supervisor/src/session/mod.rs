//! One session, from the request that starts it to its closing entry.

pub(crate) mod cases;
pub(crate) mod compile_stage;
pub(crate) mod connection;
pub(crate) mod cpu_timer;
pub(crate) mod folder;
pub(crate) mod poll_set;
pub(crate) mod result_files;
pub(crate) mod startup;
pub(crate) mod supervisor;
pub(crate) mod termination;
