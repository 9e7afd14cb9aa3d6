//! Delegation in the v2 tree (the kernel's admin-guide/cgroup-v2). A group can enable controllers
//! for its children only while it contains no process itself, so the processes of this process's
//! own group are moved into a leaf below it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::group::can_create_in;

const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];
/// The leaf below this process's own group that its processes are moved into.
const LEAF: &str = "livecode-main";
/// The maximum of `cpu.weight`; a new group has 100.
const MAX_CPU_WEIGHT: &str = "10000";

/// The result of [`delegate`].
#[derive(Debug, Default)]
pub(super) struct Delegation {
    /// The folder that groups of sandboxes can be made in, if there is any.
    pub parent: Option<PathBuf>,
    /// This process's own group, if its processes were moved into a new leaf.
    pub emptied: Option<PathBuf>,
}

/// Chooses the parent of the sandboxes' groups: this process's own group `own` or the root of the
/// tree `top`, which root may use. The one that enables more controllers for its children is
/// chosen, if groups whose names begin with `prefix` can be made there.
pub(super) fn delegate(top: &Path, own: &Path, prefix: &str) -> Delegation {
    // A process that was moved into the leaf before, or whose parent was, belongs to the group
    // above.
    let own = if own.ends_with(LEAF) { own.parent().unwrap_or(own) } else { own };
    let leaf = own.join(LEAF);
    let is_new_leaf = !leaf.exists();
    // The root of the whole tree may have processes and children with controllers; it alone has no
    // type. The root that a container sees is a group like any other.
    let is_emptied = own.join("cgroup.type").exists()
        && controller_count(own, "cgroup.controllers") > 0
        && move_processes(own, &leaf).is_ok();
    let mut best: Option<(usize, &Path)> = None;
    for folder in [own, top] {
        enable_controllers(folder);
        if !can_create_in(folder, prefix) {
            continue;
        }
        let count = controller_count(folder, "cgroup.subtree_control");
        if best.is_none_or(|(best_count, _)| count > best_count) {
            best = Some((count, folder));
        }
    }
    if is_emptied {
        // The server and its helpers serve all sessions, so they take precedence over each of
        // them.
        let _ = fs::write(leaf.join("cpu.weight"), MAX_CPU_WEIGHT);
    }
    Delegation {
        parent: best.map(|(_, folder)| folder.to_owned()),
        emptied: (is_emptied && is_new_leaf).then(|| own.to_owned()),
    }
}

/// Undoes [`delegate`]: disables the controllers for the children of `own`, moves the processes
/// back from the leaf, and removes it.
pub(super) fn undo(own: &Path) {
    for name in CONTROLLERS {
        let _ = fs::write(own.join("cgroup.subtree_control"), format!("-{name}"));
    }
    let leaf = own.join(LEAF);
    for pid in fs::read_to_string(leaf.join("cgroup.procs")).unwrap_or_default().lines() {
        let _ = fs::write(own.join("cgroup.procs"), pid);
    }
    let _ = fs::remove_dir(leaf);
}

/// Counts how many of [`CONTROLLERS`] a file of a group lists.
fn controller_count(folder: &Path, file: &str) -> usize {
    let listed = fs::read_to_string(folder.join(file)).unwrap_or_default();
    CONTROLLERS.iter().filter(|name| listed.split_whitespace().any(|other| other == **name)).count()
}

/// Makes the leaf and moves all processes of `own` into it.
fn move_processes(own: &Path, leaf: &Path) -> io::Result<()> {
    match fs::create_dir(leaf) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    for pid in fs::read_to_string(own.join("cgroup.procs"))?.lines() {
        fs::write(leaf.join("cgroup.procs"), pid)?;
    }
    Ok(())
}

/// Enables each controller for the children of a group.
fn enable_controllers(folder: &Path) {
    for name in CONTROLLERS {
        // A controller that the group itself does not have cannot be enabled. The caller reads
        // which of them are, so errors are ignored.
        let _ = fs::write(folder.join("cgroup.subtree_control"), format!("+{name}"));
    }
}
