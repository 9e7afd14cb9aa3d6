//! The names of the files in a session's folder, and where that folder is.
//!
//! The server makes the folder with [`SESSION_FILE`] and [`RUN_SPEC_FILE`] in it, and with
//! [`CONTENTS_FILE`] if the request is large. The supervisor adds [`IDENTITY_FILE`], then
//! [`JOURNAL_FILE`], and [`SOCKET_FILE`] when it listens. At the end it adds
//! [`RESULT_CONTENTS_FILE`] and [`RESULT_MANIFEST_FILE`] if the request asks for files. The names
//! `order.json` and `state.json` are older than the terms of the code, and stay for the data
//! directories that exist.

use std::path::{Path, PathBuf};

use crate::SessionId;

/// Name of the folder of all sessions, in the data directory.
pub const SESSIONS_FOLDER: &str = "sessions";

/// The journal: the numbered entries of the session.
pub const JOURNAL_FILE: &str = "journal";
/// The index of the journal: where in it some of the entries are. Only long journals have one.
pub const JOURNAL_INDEX_FILE: &str = "journal.index";
/// The Unix socket on which the supervisor accepts servers.
pub const SOCKET_FILE: &str = "socket";
/// The server's record of the session: its owner, runtime and time of creation.
pub const SESSION_FILE: &str = "session.json";
/// The [run spec](crate::run_spec::RunSpec): what the supervisor is to run.
pub const RUN_SPEC_FILE: &str = "order.json";
/// The contents of the session's files and its standard input, if they are too large for the run
/// spec ([`StoredContents`](crate::run_spec::StoredContents)). The supervisor removes it when the
/// sandbox has its copy.
pub const CONTENTS_FILE: &str = "contents";
/// The list of the session's [result files](crate::results::ResultManifest). The supervisor writes
/// it when the contents are complete.
pub const RESULT_MANIFEST_FILE: &str = "results.json";
/// The contents of the session's result files, one after the other.
pub const RESULT_CONTENTS_FILE: &str = "results";
/// The [identity](crate::control::SupervisorIdentity) of the session's supervisor.
pub const IDENTITY_FILE: &str = "state.json";

/// The folder of the session `id` in the data directory `data_dir`.
pub fn path(data_dir: &Path, id: SessionId) -> PathBuf {
    data_dir.join(SESSIONS_FOLDER).join(id.to_string())
}
