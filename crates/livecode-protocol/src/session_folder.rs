//! The folder of one session below the data directory, and the names of the files in it.

use std::path::{Path, PathBuf};

use crate::SessionId;

/// The session's journal.
pub const JOURNAL_FILE: &str = "journal";
/// The socket on which the session's supervisor accepts connections from the server.
pub const SOCKET_FILE: &str = "socket";
/// The server's own record of the session.
pub const SESSION_FILE: &str = "session.json";
/// What the supervisor is to run ([`crate::run_spec::RunSpec`]).
pub const RUN_SPEC_FILE: &str = "order.json";
/// Which process supervises the session ([`crate::control::SupervisorIdentity`]).
pub const IDENTITY_FILE: &str = "state.json";

/// The folder of session `id` below `data_dir`.
pub fn path(data_dir: &Path, id: SessionId) -> PathBuf {
    data_dir.join("sessions").join(id.to_string())
}
