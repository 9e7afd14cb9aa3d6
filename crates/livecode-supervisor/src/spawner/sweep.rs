//! Removes what killed supervisors left: the cgroups of their sandboxes, and with them every
//! process that still runs there.
//!
//! A cgroup is named after its supervisor, and is a leftover when that process is dead.
//! Supervisors of earlier builds named it after the session. Such a cgroup is a leftover when the
//! session's folder is gone, or nobody holds the lock of its journal.

use std::{fs, path::Path};

use livecode_protocol::{
    SessionId,
    control::SupervisorIdentity,
    session_folder::{self, IDENTITY_FILE, JOURNAL_FILE},
};
use livecode_sandbox::Host;

use crate::identity::{ProcessIdentity, boot_id};

/// Sweeps up after every dead supervisor of this data directory.
pub(super) fn sweep_all(host: &Host, data_dir: &Path) {
    let mut names = host.group_names();
    names.retain(|name| is_leftover(host, data_dir, name));
    remove_cgroups(host, &names);
}

/// Sweeps up after the dead supervisor of one session.
pub(super) fn sweep_session(host: &Host, data_dir: &Path, id: SessionId) {
    let mut names = vec![id.to_string()];
    names.extend(cgroups_of_dead_supervisor(&session_folder::path(data_dir, id)));
    remove_cgroups(host, &names);
}

fn is_leftover(host: &Host, data_dir: &Path, cgroup_name: &str) -> bool {
    if let Some(supervisor) = ProcessIdentity::from_cgroup_name(cgroup_name) {
        return supervisor.is_dead();
    }
    let Ok(id) = cgroup_name.parse::<SessionId>() else { return false };
    // The cgroup of the trial sandbox belongs to no session. Another spawner may be using it.
    !host.is_trial(id) && has_ended(&session_folder::path(data_dir, id))
}

/// The names of the cgroups of a session's supervisor, if that ran in this boot and is dead.
fn cgroups_of_dead_supervisor(folder: &Path) -> Vec<String> {
    let identity = fs::read(folder.join(IDENTITY_FILE)).ok();
    let identity = identity.and_then(|json| serde_json::from_slice::<SupervisorIdentity>(&json).ok());
    // A cgroup does not outlive the boot, and the pid may be that of any process by now.
    let Some(identity) = identity.filter(|identity| identity.boot_id == boot_id().unwrap_or_default()) else {
        return vec![];
    };
    // The supervisor is known to have released its journal's lock. It does that a moment before it
    // is dead.
    let supervisor = ProcessIdentity::from(&identity);
    let names = || vec![supervisor.cgroup_name(), supervisor.second_cgroup_name()];
    if supervisor.await_death() { names() } else { vec![] }
}

fn remove_cgroups(host: &Host, names: &[String]) {
    if !host.sweep_groups(names) {
        eprintln!(
            "livecode spawner: cannot remove all that dead supervisors left; the next spawner will try again"
        );
    }
}

fn has_ended(folder: &Path) -> bool {
    if !folder.exists() {
        return true;
    }
    // If the lock cannot be tested, the cgroup is left for the next sweep.
    !livecode_journal::is_locked(&folder.join(JOURNAL_FILE)).unwrap_or(true)
}
