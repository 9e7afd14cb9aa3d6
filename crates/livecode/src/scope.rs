//! A group of its own for a server that an ordinary user starts from a shell: systemd delegates one to whoever asks.
//!
//! The server executes itself again under `systemd-run --user --scope -p Delegate=yes`, in the same process, so that whoever
//! started it notices nothing. It does so once, and only where a first try with `true` shows that it works: in no case
//! does a server that could have started without fail to start.

use std::{
    ffi::OsString,
    fs,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, Stdio},
};

/// Says to the server that it has been here; no setting.
const GUARD: &str = "LIVECODE_IN_SCOPE";
/// What is asked of systemd. `--collect`: a scope that failed is not kept for anybody to look at.
const ARGUMENTS: [&str; 7] = ["--user", "--scope", "--quiet", "--collect", "-p", "Delegate=yes", "--"];
/// The controllers that a session's limits rest on.
const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];

/// Goes on in a scope of its own, where that helps and can be had; else comes back. To be called before there is a second
/// thread.
pub fn enter() {
    let was_here = std::env::var_os(GUARD).is_some();
    if was_here || rustix::process::geteuid().is_root() || has_delegated_group() || !has_user_manager() {
        return;
    }
    let Ok(own) = std::env::current_exe() else { return };
    let run = |program: &OsString| {
        let mut command = Command::new("systemd-run");
        command.args(ARGUMENTS).arg(program).env(GUARD, "1");
        command
    };
    let quiet = |mut command: Command| {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()
    };
    if !quiet(run(&"true".into())).is_ok_and(|status| status.success()) {
        tracing::info!("systemd-run gives this user no group of its own; going on without");
        return;
    }
    let error = run(&own.into()).args(std::env::args_os().skip(1)).exec();
    tracing::warn!(%error, "systemd-run could not be executed");
}

/// Whether a user's manager runs that could be asked.
fn has_user_manager() -> bool {
    std::env::var_os("XDG_RUNTIME_DIR")
        .is_some_and(|folder| Path::new(&folder).join("systemd/private").exists())
}

/// Whether this process is in a v2 group already that is its user's, with all that is wanted.
fn has_delegated_group() -> bool {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let Some(own) = own.lines().find_map(|line| line.strip_prefix("0::/")) else { return false };
    // On hybrid machines the tree is elsewhere, and has no controllers.
    let folder = Path::new("/sys/fs/cgroup").join(own);
    let offered = fs::read_to_string(folder.join("cgroup.controllers")).unwrap_or_default();
    let is_ours =
        rustix::fs::access(folder.join("cgroup.subtree_control"), rustix::fs::Access::WRITE_OK).is_ok();
    is_ours && CONTROLLERS.iter().all(|name| offered.split_whitespace().any(|offered| offered == *name))
}
