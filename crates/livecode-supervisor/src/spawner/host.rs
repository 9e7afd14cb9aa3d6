//! The machine as a spawner and its interpreter zygote use it for one data directory.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use livecode_protocol::warm::SpawnerSettings;
use livecode_sandbox::Host;

/// Examines the machine that sandboxes of this data directory are made on.
///
/// # Errors
/// If the data directory cannot be used.
pub(super) fn open_host(settings: &SpawnerSettings) -> Result<Host, Box<dyn std::error::Error>> {
    let data_dir = &settings.data_dir;
    let mut host = Host::new(staging_folder(data_dir)?, data_dir_hash(data_dir)?);
    host.set_order_exact(settings.is_order_exact);
    Ok(host)
}

/// The folder on which the roots of sandboxes are mounted. The server has made it with the data
/// directory. It is not made here: a spawner may start while somebody removes the whole directory,
/// which would then stay.
fn staging_folder(data_dir: &Path) -> io::Result<PathBuf> {
    data_dir.join("mnt").canonicalize()
}

/// A hash of the device and inode numbers of a data directory. It names the cgroups of the
/// directory's sandboxes.
///
/// The path would not do: on two file systems, one of which is not mounted yet or belongs to
/// another container, the same path leads to two directories. The sandboxes of one of them must
/// not be swept up as leftovers of the other.
fn data_dir_hash(data_dir: &Path) -> io::Result<u64> {
    let metadata = fs::metadata(data_dir)?;
    let numbers = [metadata.dev().to_le_bytes(), metadata.ino().to_le_bytes()];
    Ok(fnv1a(numbers.as_flattened()))
}

/// The 64-bit FNV-1a hash, which is the same in every version of Rust and of LiveCode.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_made_in_a_data_directory_that_is_being_removed() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().join("data");
        assert!(staging_folder(&data_dir).is_err());
        fs::create_dir(&data_dir).unwrap();
        assert!(staging_folder(&data_dir).is_err());
        assert_eq!(fs::read_dir(&data_dir).unwrap().count(), 0);
    }

    #[test]
    fn another_data_directory_at_the_same_path_has_another_hash() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("a"), folder.path().join("b"));
        fs::create_dir(&path).unwrap();
        fs::create_dir(&other).unwrap();
        let first = data_dir_hash(&path).unwrap();
        assert_eq!(data_dir_hash(&other.join("../a")).unwrap(), first);
        fs::rename(&path, folder.path().join("c")).unwrap();
        fs::rename(&other, &path).unwrap();
        assert_ne!(data_dir_hash(&path).unwrap(), first);
    }
}
