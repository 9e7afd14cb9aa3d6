//! Clears what supervisors left that were killed: the cgroups of their sandboxes, and with them whatever still runs there.
//!
//! A group is named after its supervisor, and left over when that is dead. Supervisors of before version 0.3 named it after the
//! session: it is left over when the session's folder is gone, or its journal's lock is free.

use std::{fs, path::Path};

use livecode_protocol::{
    SessionId,
    control::{STATE_FILE, SupervisorIdentity},
};
use livecode_sandbox::Host;

use crate::spawner::{folder, identity};

/// Sweeps up after every dead supervisor of this data directory.
pub(crate) fn sweep_all(host: &Host, data_dir: &Path) {
    let mut names = host.group_names();
    names.retain(|name| {
        identity::is_dead(name).unwrap_or_else(|| {
            // The trial's group is no session's: another spawner may be in the middle of it.
            let id = name.parse::<SessionId>().ok().filter(|id| !host.is_trial(*id));
            id.is_some_and(|id| is_ended(&folder(data_dir, id)))
        })
    });
    clear(host, &names);
}

/// Sweeps up after the dead supervisor of one session.
pub(crate) fn sweep(host: &Host, data_dir: &Path, id: SessionId) {
    let mut names = vec![id.to_string()];
    let state = fs::read(folder(data_dir, id).join(STATE_FILE)).unwrap_or_default();
    let boot = identity::boot_id().unwrap_or_default();
    // Groups do not outlive the machine, and the number may be anybody's by now.
    if let Ok(SupervisorIdentity { boot_id, pid, pid_start_ticks, .. }) = serde_json::from_slice(&state)
        && boot_id == boot
    {
        let name = identity::name(pid, pid_start_ticks);
        // It is known to have let go of its journal, which it does a moment before it is dead.
        if identity::await_death(pid, &name) {
            names.push(name);
        }
    }
    clear(host, &names);
}

fn clear(host: &Host, names: &[String]) {
    if !host.sweep(names) {
        eprintln!("livecode spawner: what dead supervisors left does not end; the next spawner will try");
    }
}

fn is_ended(folder: &Path) -> bool {
    if !folder.exists() {
        return true;
    }
    // What cannot be found out now is left for the next time.
    !livecode_journal::is_locked(&folder.join("journal")).unwrap_or(true)
}
