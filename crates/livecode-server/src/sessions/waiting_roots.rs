//! The roots that sessions will see which wait to run. A sandbox locks the root of its runtime, but
//! these sessions have no sandbox yet, and perhaps no server either.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use livecode_protocol::session_folder::{JOURNAL_FILE, RUN_SPEC_FILE, SESSIONS_FOLDER};
use serde::Deserialize;

/// The part of a run spec that is read here.
#[derive(Deserialize)]
struct RootOfRunSpec {
    #[serde(default)]
    root: Option<PathBuf>,
}

/// The root of each session in a data directory that has one of its runtime's own, and that was not
/// started yet: its supervisor would have made its journal.
///
/// # Errors
/// If a folder or file cannot be read.
pub fn roots_of_waiting_sessions(data_dir: &Path) -> io::Result<Vec<PathBuf>> {
    let sessions = match fs::read_dir(data_dir.join(SESSIONS_FOLDER)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]), // no server was here
        other => other?,
    };
    let mut roots = vec![];
    for session in sessions {
        let folder = session?.path();
        match folder.join(JOURNAL_FILE).try_exists() {
            Ok(false) => {}
            Ok(true) => continue,
            // It is a file that is no session.
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => continue,
            Err(error) => return Err(error),
        }
        let bytes = match fs::read(folder.join(RUN_SPEC_FILE)) {
            // The session was deleted meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        // A supervisor could not read a malformed one either, so that such a session never runs.
        let run_spec = serde_json::from_slice(&bytes).unwrap_or(RootOfRunSpec { root: None });
        roots.extend(run_spec.root);
    }
    Ok(roots)
}
