//! The cgroups of a server's sandboxes.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

/// The cgroups of this server's sessions. Their names begin with a prefix that is derived from the
/// data directory.
pub fn groups(data: &Path) -> Vec<String> {
    let mut groups = vec![];
    find_folders(Path::new("/sys/fs/cgroup"), &format!("livecode-{:016x}-", hash(data)), 0, &mut groups);
    groups.sort();
    groups
}

/// The same hash that the spawner uses for the names (FNV-1a of the directory's device and inode).
fn hash(data: &Path) -> u64 {
    let metadata = fs::metadata(data).expect("the data directory exists");
    [metadata.dev(), metadata.ino()]
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

fn find_folders(folder: &Path, prefix: &str, depth: usize, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) && depth <= 6 {
            if entry.file_name().to_string_lossy().starts_with(prefix) {
                found.push(entry.path().display().to_string());
            }
            find_folders(&entry.path(), prefix, depth + 1, found);
        }
    }
}
