//! The machine that the server runs on, from which some defaults are derived.

use std::{fs, path::Path};

/// The memory that this process may use: that of the machine, or less if a cgroup limits it.
pub(crate) fn memory_bytes() -> u64 {
    let info = rustix::system::sysinfo();
    let machine_bytes = (info.totalram as u64).saturating_mul(u64::from(info.mem_unit));
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    limits_in(&groups, Path::new("/sys/fs/cgroup")).fold(machine_bytes, u64::min)
}

/// The limits of the cgroups that /proc/self/cgroup lists (cgroups(7)), and of those above them.
fn limits_in<'g>(groups: &'g str, root: &'g Path) -> impl Iterator<Item = u64> + 'g {
    let files = groups.lines().filter_map(move |line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let (mount, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            list if list.split(',').any(|name| name == "memory") => {
                (root.join("memory"), "memory.limit_in_bytes")
            }
            _ => return None,
        };
        Some((mount.join(path.trim_start_matches('/')), mount, file))
    });
    files.flat_map(|(group, mount, file)| {
        let folders = group.ancestors().take_while(move |folder| folder.starts_with(&mount));
        let limit = |folder: &Path| fs::read_to_string(folder.join(file)).ok()?.trim().parse::<u64>().ok();
        // A group without a limit says `max` in version 2, and a huge number in version 1.
        folders.filter_map(limit).collect::<Vec<_>>()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_limit_of_the_groups_above_counts() {
        let root = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("memory.max", "max\n");
        write("a/memory.max", "5000\n");
        write("a/b/memory.max", "max\n");
        write("memory/c/memory.limit_in_bytes", "7000\n");
        write("memory.limit_in_bytes", "1\n");
        let limits = |groups: &str| limits_in(groups, root.path()).min();
        assert_eq!(limits("0::/a/b\n"), Some(5000));
        assert_eq!(limits("4:cpu:/a\n3:memory:/c\n0::/\n"), Some(7000));
        assert_eq!(limits("0::/\n"), None);
    }
}
