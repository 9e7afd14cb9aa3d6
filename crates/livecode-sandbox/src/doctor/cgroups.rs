//! What cgroups bound here, and who could make them bound the rest.

use std::{fs, path::Path};

use crate::cgroup::CgroupHierarchies;
use crate::doctor::{Finding, Verdict, read};

/// The way of an ordinary user with systemd.
const SCOPE: &str = "systemd-run --user --scope -p Delegate=yes livecode serve";
/// What systemd hands on to users' managers, with all that LiveCode needs.
const DELEGATE_TO_USERS: &str = "sudo mkdir -p /etc/systemd/system/user@.service.d && printf '[Service]\\nDelegate=cpu memory pids\\n' | sudo tee /etc/systemd/system/user@.service.d/delegate.conf && sudo systemctl daemon-reload";
/// Where there is no systemd to do it.
const BY_HAND: &str = "sudo sh -c 'cd /sys/fs/cgroup && echo +memory +pids +cpu > cgroup.subtree_control && mkdir -p livecode && chown -R '$(id -u)' livecode && echo '$$' > livecode/cgroup.procs'";

/// How cgroups are mounted, and who we are to them.
struct CgroupMounts {
    rootless: bool,
    /// Controllers that the v2 tree has.
    v2: Option<String>,
    /// Controllers that have hierarchies of their own.
    v1: Vec<String>,
    has_systemd: bool,
}

impl CgroupMounts {
    fn look(rootless: bool) -> Self {
        let mut layout =
            Self { rootless, v2: None, v1: vec![], has_systemd: Path::new("/run/systemd/system").exists() };
        for line in fs::read_to_string("/proc/self/mountinfo").unwrap_or_default().lines() {
            let Some((left, right)) = line.split_once(" - ") else { continue };
            let path = left.split(' ').nth(4).unwrap_or_default();
            let right: Vec<_> = right.split(' ').collect();
            match right[0] {
                "cgroup2" => {
                    layout.v2 = Some(read(&format!("{path}/cgroup.controllers")).unwrap_or_default())
                }
                "cgroup" => layout.v1.extend(right[right.len() - 1].split(',').map(str::to_owned)),
                _ => {}
            }
        }
        layout
    }

    /// Whether the v2 tree could bound it.
    fn is_on_v2(&self, controller: &str) -> bool {
        self.v2.as_ref().is_some_and(|all| all.split_whitespace().any(|name| name == controller))
    }

    fn finding(&self) -> Finding {
        let has_v1 = ["memory", "pids", "cpu"].iter().any(|name| self.v1.iter().any(|other| other == name));
        let found = match (&self.v2, has_v1) {
            (Some(_), true) => "hybrid: v2 without the controllers that v1 has",
            (Some(_), false) => "v2",
            (None, true) => "v1",
            (None, false) => {
                return Finding::new("cgroups", Verdict::Degraded, "none are mounted").or(
                    "mount them; in a container, with those of its host",
                    "sudo mount -t cgroup2 none /sys/fs/cgroup",
                );
            }
        };
        Finding::ok("cgroups", found)
    }

    /// What would make `controller` usable.
    fn remedy(&self, finding: Finding, controller: &str) -> Finding {
        let is_on_v1 = self.v1.iter().any(|name| name == controller);
        if !self.is_on_v2(controller) && !is_on_v1 {
            return finding
                .or(&format!("this kernel has no {controller} controller switched on; at boot, add cgroup_enable={controller} to its parameters"), "");
        }
        if !self.rootless {
            return finding.or(
                "root may make no group there, as in a container whose cgroups are read-only: give it writable ones",
                "docker run --cgroupns private --privileged …",
            );
        }
        if !self.is_on_v2(controller) {
            return finding.or(
                "no ordinary user can be given a v1 group. Run the server as root, or boot with v2 by the kernel's parameter systemd.unified_cgroup_hierarchy=1",
                "sudo livecode serve",
            );
        }
        if !self.has_systemd {
            return finding.or("have a group delegated to you", BY_HAND);
        }
        finding
            .or("have systemd delegate a group to the server, which it asks for itself where it can", SCOPE)
            .or(
                "or run it as the unit packaging/livecode.service, which has Delegate=yes",
                "sudo systemctl enable --now livecode",
            )
            .or("where that does not help, users' managers are not given the controller", DELEGATE_TO_USERS)
    }
}

/// One line each: how cgroups are there, and each limit that rests on them.
pub(crate) fn findings(cgroups: &CgroupHierarchies, rootless: bool) -> Vec<Finding> {
    let layout = CgroupMounts::look(rootless);
    let missing = cgroups.missing();
    let limits = [
        (
            "memory",
            "memory",
            missing.memory,
            "bounded for each session as a whole",
            "bounded for each process; the session as a whole is only looked at, forty times a second",
        ),
        (
            "processes",
            "pids",
            missing.processes,
            "bounded for each session",
            "bounded by the session's user namespace, not by cgroup",
        ),
        (
            "processor share",
            "cpu",
            missing.cpu_share,
            "bounded for each session",
            "not bounded: a session may take all processors that are idle, and its share of busy ones",
        ),
        (
            "processor time",
            "cpu",
            missing.cpu_time,
            "counted for each session as a whole",
            "bounded for each process; the session as a whole is only looked at",
        ),
    ];
    let mut findings = vec![layout.finding()];
    for (name, controller, is_missing, with, without) in limits {
        findings.push(if is_missing {
            // Without a user namespace nothing bounds processes but the user's own limit, and every session's uid is its own.
            layout.remedy(Finding::new(name, Verdict::Degraded, without), controller)
        } else {
            Finding::ok(name, with)
        });
    }
    let kill = if cgroups.has_kill() {
        "a whole group is killed at once"
    } else {
        "all ends with its pid namespace; nothing kills a whole cgroup at once"
    };
    findings.push(Finding::ok("killing", kill));
    findings
}
