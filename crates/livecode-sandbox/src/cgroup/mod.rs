//! Limits that the processes of a session share, by cgroup: v2, v1, and machines that mix both.
//!
//! A host finds out once in which folders it may make groups ([`CgroupHierarchies::find`]). Each
//! sandbox then has a [`SandboxCgroup`], which is a folder of the same name in each hierarchy and
//! is removed when it is dropped.
//!
//! The groups are siblings of the group of the server's own processes, without a common group
//! around them. So a deprioritised group yields the CPU to every other group and to the server,
//! and its CPU usage does not count against the other sessions.
//!
//! In v1 (cgroups(7), and the kernel's admin-guide/cgroup-v1) every controller may have a
//! hierarchy of its own. The v2 tree usually exists there too, without controllers; even so its
//! `cpu.stat` counts, and a process can be cloned into a group of it.

mod group;
mod sweep;
mod v2;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

pub(crate) use group::{SOCKET_SHARE, SandboxCgroup, join_v1_group};

use group::{CgroupFolder, SOCKET_LIMIT_FILE, can_create_in};
use v2::Delegation;

use crate::{
    kernel::{
        fault_switch::is_not_disabled_by_test,
        mountinfo::{self, MountInfo},
        rlimits::UnenforcedLimits,
    },
    setup_error::SetupError,
};

/// The v1 controllers that the group of a sandbox needs.
const V1_CONTROLLERS: [&str; 4] = ["memory", "pids", "cpu", "cpuacct"];

/// The folders that this host may make groups in.
#[derive(Debug, Default)]
pub(crate) struct CgroupHierarchies {
    /// The names of this host's groups begin with this prefix.
    prefix: String,
    /// A folder in the v2 tree, with or without controllers.
    unified: Option<PathBuf>,
    memory: Option<Controller>,
    pids: Option<Controller>,
    cpu: Option<Controller>,
    cpuacct: Option<PathBuf>,
    /// This process's own v2 group, if [`Self::find`] moved its processes into a new leaf.
    emptied_group: Option<PathBuf>,
}

/// Where a controller is available.
#[derive(Clone, Debug)]
enum Controller {
    /// In a v1 hierarchy: the folder that groups can be made in.
    V1(PathBuf),
    /// In the v2 tree.
    V2,
}

impl CgroupHierarchies {
    /// Finds out in which hierarchies groups can be made below this process's own group. The names
    /// of the groups will begin with `prefix`.
    pub fn find(prefix: String) -> Self {
        let mut found = Self { prefix, ..Self::default() };
        if !is_not_disabled_by_test("cgroups") {
            return found;
        }
        let own_groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        for mount in mountinfo::mounts() {
            let Some(own) = own_group(&own_groups, &mount) else { continue };
            if is_v2(&mount) {
                let Delegation { parent, emptied } = v2::delegate(&mount.mount_point, &own, &found.prefix);
                (found.unified, found.emptied_group) = (parent, emptied);
                continue;
            }
            let controllers = V1_CONTROLLERS.map(|name| (name, mount.has_super_option(name)));
            let controllers: Vec<_> =
                controllers.into_iter().filter(|(_, is_here)| *is_here).map(|(name, _)| name).collect();
            // A group in a hierarchy without any of the controllers would limit nothing.
            if controllers.is_empty() || !can_create_in(&own, &found.prefix) {
                continue;
            }
            for controller in controllers {
                match controller {
                    "memory" => found.memory = Some(Controller::V1(own.clone())),
                    "pids" => found.pids = Some(Controller::V1(own.clone())),
                    "cpu" => found.cpu = Some(Controller::V1(own.clone())),
                    _ => found.cpuacct = Some(own.clone()),
                }
            }
        }
        found.add_v2_controllers();
        for folder in found.folders() {
            // This fails while a session of an earlier build still runs in it.
            let _ = fs::remove_dir(found.earlier_parent(folder));
        }
        found
    }

    /// Uses the controllers of the v2 tree that no v1 hierarchy has.
    fn add_v2_controllers(&mut self) {
        let Some(folder) = &self.unified else { return };
        let enabled = fs::read_to_string(folder.join("cgroup.subtree_control")).unwrap_or_default();
        let is_in_v2 = |name| enabled.split_whitespace().any(|controller| controller == name);
        for (controller, name) in
            [(&mut self.memory, "memory"), (&mut self.pids, "pids"), (&mut self.cpu, "cpu")]
        {
            if controller.is_none() && is_in_v2(name) {
                *controller = Some(Controller::V2);
            }
        }
    }

    /// Returns the limits that no cgroup of this host can enforce.
    pub fn unenforced(&self) -> UnenforcedLimits {
        UnenforcedLimits {
            memory: self.memory.is_none(),
            processes: self.pids.is_none(),
            cpu_share: self.cpu.is_none(),
            cpu_time: self.unified.is_none() && self.cpuacct.is_none(),
        }
    }

    /// Whether the memory limit of a group covers the buffers of its sockets. v1 has a limit of
    /// their own; v2 charges them unless the kernel was started with `cgroup.memory=nosocket`.
    pub fn are_socket_buffers_limited(&self) -> bool {
        match &self.memory {
            Some(Controller::V1(folder)) => folder.join(SOCKET_LIMIT_FILE).exists(),
            Some(Controller::V2) => {
                let parameters = fs::read_to_string("/proc/cmdline").unwrap_or_default();
                let mut values =
                    parameters.split_whitespace().filter_map(|word| word.strip_prefix("cgroup.memory="));
                !values.any(|value| value.split(',').any(|part| part == "nosocket"))
            }
            None => false,
        }
    }

    /// Undoes the changes that [`Self::find`] made in the v2 tree.
    pub fn undo_delegation(self) {
        if let Some(own) = &self.emptied_group {
            v2::undo(own);
        }
    }

    /// Whether the kernel can kill a whole group at once (`cgroup.kill`: v2, Linux 5.14).
    pub fn has_group_kill(&self) -> bool {
        self.unified.as_ref().is_some_and(|folder| folder.join("cgroup.kill").exists())
    }

    /// Every folder that contains groups of sandboxes, the one in the v2 tree first.
    fn folders(&self) -> Vec<&Path> {
        let v1_folder = |controller| match controller {
            &Some(Controller::V1(ref folder)) => Some(folder.as_path()),
            _ => None,
        };
        let folders =
            [v1_folder(&self.memory), v1_folder(&self.pids), v1_folder(&self.cpu), self.cpuacct.as_deref()];
        let mut folders: Vec<_> = folders.into_iter().flatten().collect();
        // The controllers cpu and cpuacct usually share a hierarchy.
        folders.sort_unstable();
        folders.dedup();
        folders.splice(0..0, self.unified.as_deref());
        folders
    }

    /// Lists the groups of sandboxes that exist, by their names without the prefix.
    pub fn group_names(&self) -> Vec<String> {
        let without_prefix = |entry: &str| entry.strip_prefix(&self.prefix).map(str::to_owned);
        let mut names = BTreeSet::new();
        for folder in self.folders() {
            names.extend(entry_names(folder).iter().filter_map(|entry| without_prefix(entry)));
            let earlier = self.earlier_parent(folder);
            names.extend(entry_names(&earlier).into_iter().filter(|entry| earlier.join(entry).is_dir()));
        }
        names.into_iter().collect()
    }

    /// Kills all processes of the groups with these names and removes the groups, in every
    /// hierarchy. Returns whether all of them are gone before the timeout.
    pub fn sweep(&self, names: &[String]) -> bool {
        let group_folders = |folder: &Path, name: &String| {
            [folder.join(self.prefix.clone() + name), self.earlier_parent(folder).join(name)]
        };
        let folders = self.folders().into_iter();
        let groups =
            folders.flat_map(|folder| names.iter().flat_map(move |name| group_folders(folder, name)));
        sweep::sweep(groups.collect())
    }

    /// The group in `folder` in which supervisors of earlier builds made the groups of sandboxes.
    fn earlier_parent(&self, folder: &Path) -> PathBuf {
        folder.join(self.prefix.trim_end_matches('-'))
    }

    /// Makes the group of one sandbox, without limits.
    ///
    /// # Errors
    /// The folder that could not be made.
    pub fn create(&self, name: &str) -> Result<SandboxCgroup, SetupError> {
        let name = self.prefix.clone() + name;
        let mut group = SandboxCgroup::default();
        if let Some(folder) = &self.unified {
            group.unified = Some(CgroupFolder::create(folder, &name)?);
        }
        let create_v1 = |controller: &Option<Controller>| match controller {
            Some(Controller::V1(folder)) => CgroupFolder::create(folder, &name).map(Some),
            Some(Controller::V2) | None => Ok(None),
        };
        group.memory = create_v1(&self.memory)?;
        group.pids = create_v1(&self.pids)?;
        group.cpu = create_v1(&self.cpu)?;
        // The v2 tree counts CPU time if there is one; cpuacct is needed only otherwise.
        group.cpuacct = match (&self.cpuacct, &group.unified) {
            (Some(folder), None) => Some(CgroupFolder::create(folder, &name)?),
            _ => None,
        };
        group.has_v2_memory = matches!(self.memory, Some(Controller::V2));
        group.has_v2_pids = matches!(self.pids, Some(Controller::V2));
        group.has_v2_cpu = matches!(self.cpu, Some(Controller::V2));
        Ok(group)
    }
}

/// Names of the entries of a folder; none if it cannot be read.
fn entry_names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn is_v2(mount: &MountInfo) -> bool {
    mount.filesystem_type == "cgroup2"
}

/// The folder of this process's own group below `mount`, if that is a mount of a cgroup hierarchy.
/// `own_groups` is the text of /proc/self/cgroup, whose lines are `ID:controllers:path`
/// (cgroups(7)).
fn own_group(own_groups: &str, mount: &MountInfo) -> Option<PathBuf> {
    let is_v2 = is_v2(mount);
    if !is_v2 && mount.filesystem_type != "cgroup" {
        return None;
    }
    let path = own_groups.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let is_hierarchy_of_mount = if is_v2 {
            controllers.is_empty()
        } else {
            !controllers.is_empty() && controllers.split(',').all(|name| mount.has_super_option(name))
        };
        is_hierarchy_of_mount.then_some(path)
    })?;
    if mount.root.starts_with("/..") {
        let levels = |path: &str| path.split('/').filter(|name| !name.is_empty()).count();
        return find_group_of(std::process::id(), &mount.mount_point, levels(&mount.root) + levels(path));
    }
    let below_root = path.strip_prefix(&*mount.root).unwrap_or(path);
    Some(mount.mount_point.join(below_root.trim_start_matches('/')))
}

/// Finds the group of the process `pid` by its members, `levels` below `folder`. This is needed
/// where a mount shows more than the cgroup namespace of this process: the names of the groups
/// above the namespace's root are then not told anywhere.
fn find_group_of(pid: u32, folder: &Path, levels: usize) -> Option<PathBuf> {
    if levels > 0 {
        let names = entry_names(folder).into_iter().map(|name| folder.join(name));
        return names.filter(|path| path.is_dir()).find_map(|path| find_group_of(pid, &path, levels - 1));
    }
    let members = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    members.lines().any(|line| line.parse() == Ok(pid)).then(|| folder.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_groups_are_found() {
        let v1 = "35 24 0:30 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct";
        let mount = MountInfo::parse(v1).unwrap();
        let own = "4:memory:/a/b\n1:cpu,cpuacct:/x\n0::/init.scope\n";
        assert_eq!(own_group(own, &mount).unwrap(), Path::new("/sys/fs/cgroup/cpu/x"));

        let v2 = "36 24 0:31 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate";
        let mount = MountInfo::parse(v2).unwrap();
        assert_eq!(own_group(own, &mount).unwrap(), Path::new("/sys/fs/cgroup/init.scope"));

        // Inside a container only a part of the hierarchy is mounted.
        let part = "35 24 0:30 /docker/1 /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory";
        let mount = MountInfo::parse(part).unwrap();
        assert_eq!(own_group("4:memory:/docker/1/a", &mount).unwrap(), Path::new("/sys/fs/cgroup/memory/a"));

        // The mount shows groups above the root of this process's cgroup namespace.
        let host = tempfile::tempdir().unwrap();
        let own_folder = host.path().join("machine/container");
        fs::create_dir_all(&own_folder).unwrap();
        fs::create_dir_all(host.path().join("other/container")).unwrap();
        fs::write(own_folder.join("cgroup.procs"), format!("1\n{}\n", std::process::id())).unwrap();
        let line = format!("35 24 0:30 /../.. {} rw - cgroup cgroup rw,memory", host.path().display());
        let mount = MountInfo::parse(&line).unwrap();
        assert_eq!(own_group("4:memory:/", &mount), Some(own_folder));
        assert_eq!(own_group("4:memory:/deeper", &mount), None);

        let tmpfs = MountInfo::parse("37 24 0:32 / /tmp rw - tmpfs tmpfs rw").unwrap();
        assert_eq!(own_group(own, &tmpfs), None);
    }
}
