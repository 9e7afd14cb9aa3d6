//! The mounts of this process's mount namespace, read from /proc/self/mountinfo.

use std::{fs, path::PathBuf};

/// One mount, which is one line of proc_pid_mountinfo(5). The kernel writes some characters of a
/// path as octal escapes (a space is `\040`); they are not decoded here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MountInfo {
    /// The folder within the mounted file system that is the root of this mount.
    pub root: String,
    /// The path at which it is mounted.
    pub mount_point: PathBuf,
    /// For example `cgroup2`.
    pub filesystem_type: String,
    /// The options of the mounted file system (its superblock), separated by commas. For a v1
    /// cgroup hierarchy they include the names of its controllers.
    pub super_options: String,
}

impl MountInfo {
    /// Parses one line; `None` if a field is missing.
    pub fn parse(line: &str) -> Option<Self> {
        // ID, parent, device, root, mount point, options, optional fields; after the separator:
        // file system type, source, options of the superblock.
        let (mount, filesystem) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let (root, mount_point) = (mount.next()?, mount.next()?);
        let mut filesystem = filesystem.split(' ');
        let (filesystem_type, _source, super_options) =
            (filesystem.next()?, filesystem.next()?, filesystem.next()?);
        Some(Self {
            root: root.to_owned(),
            mount_point: mount_point.into(),
            filesystem_type: filesystem_type.to_owned(),
            super_options: super_options.to_owned(),
        })
    }

    /// Whether the superblock has this option.
    pub fn has_super_option(&self, name: &str) -> bool {
        self.super_options.split(',').any(|option| option == name)
    }
}

/// Lists the mounts that this process sees; none if /proc cannot be read.
pub(crate) fn mounts() -> Vec<MountInfo> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    text.lines().filter_map(MountInfo::parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_parsed_whatever_optional_fields_it_has() {
        for optional in ["", "shared:9 ", "shared:9 master:3 "] {
            let line = format!("35 24 0:30 /a /mnt/b rw,relatime {optional}- cgroup none rw,cpu,cpuacct");
            let mount = MountInfo::parse(&line).unwrap();
            assert_eq!((mount.root.as_str(), mount.filesystem_type.as_str()), ("/a", "cgroup"));
            assert_eq!(mount.mount_point, PathBuf::from("/mnt/b"));
            assert!(mount.has_super_option("cpu") && !mount.has_super_option("cpua"));
        }
        assert_eq!(MountInfo::parse("35 24 0:30 / /mnt rw"), None);
        assert_eq!(MountInfo::parse("35 24 0:30 / /mnt rw - tmpfs tmpfs"), None);
    }
}
