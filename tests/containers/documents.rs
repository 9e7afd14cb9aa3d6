//! The commands of docs/containers.md.

use super::machine::{Caller, Machine, printed};
use crate::{common::is_root, docs::document};

/// Has only cgroup v2 mounted, which has no controllers on a machine with v1.
const V2_ALONE: &str = "umount -R -l /sys/fs/cgroup 2>/dev/null; mount -t cgroup2 none /sys/fs/cgroup && ";

/// The limits that a server has without groups of its own, or with groups without controllers.
fn is_limit(name: &str) -> bool {
    ["memory", "processes", "processor share", "processor time", "limits of the user"].contains(&name)
}

/// The commands of the page: the heading above each, and the command.
fn commands(page: &str) -> Vec<(String, String)> {
    let mut commands = vec![];
    for section in page.split("\n## ").skip(1) {
        let heading = section.lines().next().unwrap_or_default();
        for block in section.split("```sh\n").skip(1) {
            let command = block.split("\n```").next().unwrap_or_default();
            commands.push((heading.to_owned(), command.to_owned()));
        }
    }
    commands
}

#[test]
fn documented_containers_run_programs() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    let commands = commands(&document("docs/containers.md"));
    assert_eq!(commands.len(), 6);
    let has_only_v2 = std::path::Path::new("/sys/fs/cgroup/cgroup.procs").exists();
    for (heading, command) in commands {
        let caller = if heading == "podman rootless" { Caller::User } else { Caller::Root };
        let is_for_v2 = command.contains("unmask=/sys/fs/cgroup");
        let prefix = if is_for_v2 && !has_only_v2 { V2_ALONE } else { "" };
        let report = machine.report(caller, &format!("{prefix}{command}").replace("doctor", "doctor --json"));
        let not_ok: Vec<_> = report.not_ok().into_iter().map(|(name, _)| name).collect();
        if caller == Caller::User {
            assert!(not_ok.iter().all(|name| is_limit(name)), "{command}: {report:?}");
        } else if prefix.is_empty() {
            assert_eq!(not_ok, [] as [&str; 0], "{command}: {report:?}");
        } else {
            // CPU time is counted by a group without controllers, if the container may make one.
            assert_eq!(not_ok, ["memory", "processes", "processor share"], "{command}: {report:?}");
        }
        let session = command.replace("livecode doctor", "sh -c \"$SESSION\"");
        let output = machine.run(caller, &format!("{prefix}{session}"));
        assert!(output.status.success(), "{command}: {}", printed(&output));
        assert!(printed(&output).contains("42\n"), "{command}: {}", printed(&output));
    }
}
