//! The handlers of the routes, in one file or folder for each group.

pub(crate) mod assets;
pub(crate) mod embed;
pub(crate) mod exercises;
pub(crate) mod files;
pub(crate) mod health;
pub(crate) mod info;
pub(crate) mod metrics;
pub(super) mod quota;
pub(crate) mod session_list;
pub(crate) mod sessions;
pub(crate) mod shares;
pub(crate) mod stream;
pub(crate) mod tickets;
pub(crate) mod tokens;
pub(crate) mod users;
pub(crate) mod v01;
