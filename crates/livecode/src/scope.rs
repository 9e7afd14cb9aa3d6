//! Gives a server that an ordinary user starts from a shell a cgroup of its own: systemd delegates
//! one to each scope that is started with `Delegate=yes`.
//!
//! The server executes itself again under `systemd-run --user --scope -p Delegate=yes`. The
//! process stays the same, so the parent sees no difference. The server does this only once, and
//! only after a trial run of `true` has succeeded, so that a server that can start without a scope
//! never fails to start because of systemd.

use std::{
    ffi::OsString,
    fs,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, Stdio},
};

/// Environment variable that tells the executed server that it has already been here. It is not a
/// setting.
const GUARD_VARIABLE: &str = "LIVECODE_IN_SCOPE";
/// Arguments of `systemd-run` before the program. `--collect` removes the scope even if it failed.
const SYSTEMD_RUN_ARGUMENTS: [&str; 7] =
    ["--user", "--scope", "--quiet", "--collect", "-p", "Delegate=yes", "--"];
/// The cgroup controllers that enforce a session's limits.
const REQUIRED_CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];

/// Executes this program again in a scope of its own if that is needed and possible. Otherwise the
/// function returns. The caller must call it while the process has a single thread.
pub fn enter_if_possible() {
    let has_entered = std::env::var_os(GUARD_VARIABLE).is_some();
    if has_entered || rustix::process::geteuid().is_root() || has_delegated_cgroup() || !has_user_manager() {
        return;
    }
    let Ok(executable) = std::env::current_exe() else { return };
    let in_scope = |program: &OsString| {
        let mut command = Command::new("systemd-run");
        command.args(SYSTEMD_RUN_ARGUMENTS).arg(program).env(GUARD_VARIABLE, "1");
        command
    };
    let run_silently = |mut command: Command| {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()
    };
    if !run_silently(in_scope(&"true".into())).is_ok_and(|status| status.success()) {
        tracing::info!("systemd-run cannot create a scope for this user; the server runs without one");
        return;
    }
    let error = in_scope(&executable.into()).args(std::env::args_os().skip(1)).exec();
    tracing::warn!(%error, "systemd-run could not be executed");
}

/// Whether a systemd manager of this user runs.
fn has_user_manager() -> bool {
    std::env::var_os("XDG_RUNTIME_DIR")
        .is_some_and(|folder| Path::new(&folder).join("systemd/private").exists())
}

/// Whether this process is already in a cgroup v2 that its user may change and that offers all
/// required controllers.
fn has_delegated_cgroup() -> bool {
    let memberships = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let Some(path) = memberships.lines().find_map(|line| line.strip_prefix("0::/")) else { return false };
    // On machines with cgroup v1 and v2 the v2 tree is mounted elsewhere and has no controllers.
    let folder = Path::new("/sys/fs/cgroup").join(path);
    let offered = fs::read_to_string(folder.join("cgroup.controllers")).unwrap_or_default();
    let is_writable =
        rustix::fs::access(folder.join("cgroup.subtree_control"), rustix::fs::Access::WRITE_OK).is_ok();
    is_writable
        && REQUIRED_CONTROLLERS.iter().all(|name| offered.split_whitespace().any(|offered| offered == *name))
}
