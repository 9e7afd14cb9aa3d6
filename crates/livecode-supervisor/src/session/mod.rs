//! One session: from the request to the closing entry.

pub(crate) mod connection;
pub(crate) mod folder;
pub(crate) mod startup;
pub(crate) mod supervisor;
pub(crate) mod termination;
