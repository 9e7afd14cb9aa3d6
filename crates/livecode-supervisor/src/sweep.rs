//! Clears what supervisors left that were killed: the cgroups of their sandboxes, and with them whatever still runs there.
//!
//! A group is a dead session's when its folder is gone, or its journal's lock is free. A supervisor takes that lock before
//! it makes a group, so nobody who is just starting is taken for dead.

use std::path::Path;

use livecode_protocol::SessionId;
use livecode_sandbox::Host;

use crate::spawner::folder;

/// Sweeps up after every dead session of this data directory.
pub(crate) fn sweep_all(host: &Host, data_dir: &Path) {
    for name in host.group_names() {
        // The trial's group is no session's: another spawner may be in the middle of it.
        let Ok(id) = name.parse::<SessionId>() else { continue };
        if !host.is_trial(id) && is_dead(&folder(data_dir, id)) {
            host.sweep(&name);
        }
    }
}

fn is_dead(folder: &Path) -> bool {
    if !folder.exists() {
        return true;
    }
    // What cannot be found out now is left for the next time.
    !livecode_journal::is_locked(&folder.join("journal")).unwrap_or(true)
}
