//! Findings about cgroups: which limits they enforce here, and how to let them enforce the rest.

use std::{fs, path::Path};

use rustix::fs::{StatVfsMountFlags, statvfs};

use crate::{
    cgroup::CgroupHierarchies,
    doctor::{
        container::Container,
        finding::{Finding, Verdict},
    },
    kernel::mountinfo,
};

/// Command for an ordinary user where systemd runs.
const START_IN_SCOPE: &str = "systemd-run --user --scope -p Delegate=yes livecode serve";
/// Command that has systemd delegate all controllers that LiveCode needs to the managers of users.
const DELEGATE_TO_USERS: &str = "sudo mkdir -p /etc/systemd/system/user@.service.d && printf '[Service]\\nDelegate=cpu memory pids\\n' | sudo tee /etc/systemd/system/user@.service.d/delegate.conf && sudo systemctl daemon-reload";
/// Command that delegates a group where there is no systemd.
const DELEGATE_BY_HAND: &str = "sudo sh -c 'cd /sys/fs/cgroup && echo +memory +pids +cpu > cgroup.subtree_control && mkdir -p livecode && chown -R '$(id -u)' livecode && echo '$$' > livecode/cgroup.procs'";

/// The controllers that limits rest on.
const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];

/// How cgroups are mounted on this machine, and the facts about this user on which remedies
/// depend.
struct CgroupSetup {
    container: Container,
    rootless: bool,
    /// The controllers of the v2 tree, separated by spaces; `None` if no v2 tree is mounted.
    v2_controllers: Option<String>,
    /// The mount options of the v1 hierarchies, which include the names of their controllers.
    v1_options: Vec<String>,
    /// Whether a hierarchy is mounted read-only, as containers have it.
    is_read_only: bool,
    has_systemd: bool,
}

impl CgroupSetup {
    fn find(container: Container, rootless: bool) -> Self {
        let mut setup = Self {
            container,
            rootless,
            v2_controllers: None,
            v1_options: vec![],
            is_read_only: false,
            has_systemd: Path::new("/run/systemd/system").exists(),
        };
        for mount in mountinfo::mounts() {
            if ["cgroup", "cgroup2"].contains(&mount.filesystem_type.as_str()) {
                let status = statvfs(&mount.mount_point);
                setup.is_read_only |=
                    status.is_ok_and(|status| status.f_flag.contains(StatVfsMountFlags::RDONLY));
            }
            match mount.filesystem_type.as_str() {
                "cgroup2" => {
                    let controllers = fs::read_to_string(mount.mount_point.join("cgroup.controllers"));
                    setup.v2_controllers = Some(controllers.unwrap_or_default().trim().to_owned());
                }
                "cgroup" => setup.v1_options.extend(mount.super_options.split(',').map(str::to_owned)),
                _ => {}
            }
        }
        setup
    }

    fn is_on_v2(&self, controller: &str) -> bool {
        self.v2_controllers.as_ref().is_some_and(|all| all.split_whitespace().any(|name| name == controller))
    }

    fn is_on_v1(&self, controller: &str) -> bool {
        self.v1_options.iter().any(|name| name == controller)
    }

    /// Whether no hierarchy with a controller that LiveCode needs is mounted.
    fn is_empty(&self) -> bool {
        let has_v1 = CONTROLLERS.iter().any(|name| self.is_on_v1(name));
        self.v2_controllers.is_none() && !has_v1
    }

    /// Reports which versions of cgroups are mounted.
    fn finding(&self) -> Finding {
        let has_v1 = CONTROLLERS.iter().any(|name| self.is_on_v1(name));
        let found = match (&self.v2_controllers, has_v1) {
            (Some(_), true) => "hybrid: v1, and v2 without the controllers that v1 has",
            (Some(_), false) => "v2",
            (None, true) => "v1",
            (None, false) => {
                return self.with_mounts(Finding::new("cgroups", Verdict::Degraded, "none are mounted"));
            }
        };
        Finding::ok("cgroups", found)
    }

    /// Adds the remedies for cgroups that are not mounted.
    fn with_mounts(&self, finding: Finding) -> Finding {
        if self.container != Container::Unknown {
            let command = self.container.with_cgroups(false);
            return finding.with_remedy("give the container those of its host", &command);
        }
        finding
            .with_remedy(
                "mount those of the machine, in a chroot before the change of its root",
                "mount --rbind /sys/fs/cgroup FOLDER/sys/fs/cgroup",
            )
            .with_remedy(
                "or, if the machine itself has mounted none, mount them",
                "sudo mount -t cgroup2 none /sys/fs/cgroup",
            )
    }

    /// Adds the remedies that make `controller` usable.
    fn with_remedies(&self, finding: Finding, controller: &str) -> Finding {
        if self.is_empty() {
            return self.with_mounts(finding);
        }
        if !self.is_on_v2(controller) && !self.is_on_v1(controller) {
            if has_controller(controller) {
                let what = format!(
                    "the kernel has the controller {controller}, but not in the groups that are mounted here; have it delegated to the group of this container or service"
                );
                return finding.with_remedy(&what, "");
            }
            let what = format!(
                "this kernel has no {controller} controller enabled; add cgroup_enable={controller} to its boot parameters"
            );
            return finding.with_remedy(&what, "");
        }
        let is_v2 = self.is_on_v2(controller);
        if self.is_read_only && (is_v2 || !self.rootless) {
            let command = self.container.with_cgroups(is_v2);
            return finding.with_remedy("the cgroups are mounted read-only; mount them writable", &command);
        }
        if !self.rootless {
            return finding.with_remedy(
                "root may not make a group here; give the container writable cgroups",
                &self.container.with_cgroups(is_v2),
            );
        }
        if !is_v2 && rustix::process::geteuid().is_root() {
            return finding.with_remedy(
                "a v1 group cannot be delegated to a container in a user namespace; have root of the machine run the container, without a user namespace",
                &self.container.as_root(),
            );
        }
        if !self.is_on_v2(controller) {
            return finding.with_remedy(
                "a v1 group cannot be delegated to an ordinary user; run the server as root, or boot with v2 by the kernel parameter systemd.unified_cgroup_hierarchy=1",
                &self.container.as_inner_root(),
            );
        }
        if !self.has_systemd {
            return finding.with_remedy("have a group delegated to this user", DELEGATE_BY_HAND);
        }
        finding
            .with_remedy(
                "have systemd delegate a group to the server; the server requests it by itself where it can",
                START_IN_SCOPE,
            )
            .with_remedy(
                "or run the server as the unit packaging/livecode.service, which has Delegate=yes",
                "sudo systemctl enable --now livecode",
            )
            .with_remedy(
                "if that does not help, systemd does not delegate the controller to the managers of users; have it do so",
                DELEGATE_TO_USERS,
            )
    }
}

/// Whether the kernel has this controller enabled. The lines of /proc/cgroups are `name hierarchy
/// groups enabled` (cgroups(7)).
fn has_controller(name: &str) -> bool {
    let lines = fs::read_to_string("/proc/cgroups").unwrap_or_default();
    lines.lines().any(|line| {
        let mut fields = line.split_whitespace();
        fields.next() == Some(name) && fields.next_back() == Some("1")
    })
}

/// A limit that depends on a cgroup controller.
struct DependentLimit {
    name: &'static str,
    controller: &'static str,
    is_missing: bool,
    /// The finding if the limit is enforced.
    with_cgroup: &'static str,
    /// The finding if it is not.
    without_cgroup: &'static str,
}

/// Reports how cgroups are mounted, and on each limit that depends on them.
pub(super) fn findings(cgroups: &CgroupHierarchies, container: Container, rootless: bool) -> Vec<Finding> {
    let setup = CgroupSetup::find(container, rootless);
    let missing = cgroups.unenforced();
    let limits = [
        DependentLimit {
            name: "memory",
            controller: "memory",
            is_missing: missing.memory,
            with_cgroup: "limited for each session as a whole",
            without_cgroup: "limited for each process; that of the whole session is only sampled, up to 40 times a second",
        },
        DependentLimit {
            name: "processes",
            controller: "pids",
            is_missing: missing.processes,
            with_cgroup: "limited for each session",
            without_cgroup: "limited by the user or the user namespace that each session has of its own, not by a cgroup",
        },
        DependentLimit {
            name: "processor share",
            controller: "cpu",
            is_missing: missing.cpu_share,
            with_cgroup: "limited for each session",
            without_cgroup: "not limited: a session may use all idle CPUs, and its share of busy ones",
        },
        DependentLimit {
            name: "processor time",
            controller: "cpu",
            is_missing: missing.cpu_time,
            with_cgroup: "counted for each session as a whole",
            without_cgroup: "limited for each process; that of the whole session is only sampled",
        },
    ];
    let mut findings = vec![setup.finding()];
    for DependentLimit { name, controller, is_missing, with_cgroup, without_cgroup } in limits {
        findings.push(if is_missing {
            setup.with_remedies(Finding::new(name, Verdict::Degraded, without_cgroup), controller)
        } else {
            Finding::ok(name, with_cgroup)
        });
    }
    if !missing.memory {
        findings.push(socket_buffers(cgroups.are_socket_buffers_limited()));
    }
    let kill = if cgroups.has_group_kill() {
        "the kernel kills a whole group at once"
    } else {
        "all processes die with their pid namespace; the kernel cannot kill a whole cgroup at once"
    };
    findings.push(Finding::ok("killing", kill));
    findings
}

/// Reports on the memory that data in the buffers of sockets takes.
fn socket_buffers(are_limited: bool) -> Finding {
    const NAME: &str = "socket buffers";
    if are_limited {
        return Finding::ok(NAME, "limited for each session as a whole");
    }
    Finding::new(NAME, Verdict::Degraded, "data in TCP and UDP sockets does not count as memory of a session")
        .with_remedy(
            "remove cgroup.memory=nosocket from the kernel's boot parameters; if it is not there, boot with cgroup v2",
            "cat /proc/cmdline",
        )
}
