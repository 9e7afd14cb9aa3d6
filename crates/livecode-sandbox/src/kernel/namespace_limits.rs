//! Limits of a user namespace on what its user may have in the kernel (namespaces(7),
//! `/proc/sys/user`).
//!
//! The kernel counts these objects for each user in each user namespace, and in those above it. A
//! session whose namespace has lower limits cannot use up what all sessions of the server's user
//! have in common.

use std::fs;

/// The limits of a session's user namespace. Seccomp refuses to make namespaces, too. Mount
/// namespaces have no limit here, since the setup that follows uses detached mounts, and the
/// kernel counts each of them as a mount namespace.
const LIMITS: [(&str, u32); 11] = [
    ("max_inotify_instances", 16),
    ("max_inotify_watches", 2048),
    ("max_fanotify_groups", 0),
    ("max_fanotify_marks", 0),
    ("max_user_namespaces", 0),
    ("max_pid_namespaces", 0),
    ("max_net_namespaces", 0),
    ("max_ipc_namespaces", 0),
    ("max_uts_namespaces", 0),
    ("max_time_namespaces", 0),
    ("max_cgroup_namespaces", 0),
];

/// Lowers the limits of the user namespace of this process, which must be privileged there. A
/// limit that cannot be set is left as it is: older kernels lack some of them, and a container may
/// have made /proc/sys read-only.
pub(crate) fn lower() {
    for (name, value) in LIMITS {
        let _ = fs::write(format!("/proc/sys/user/{name}"), value.to_string());
    }
}
