//! Which paths exist in a root, as a program in it would see it: links of the root lead to places
//! in root, never to files of the machine (`RESOLVE_IN_ROOT` of openat2(2)).

use std::{
    fs::File,
    io::{self, Read as _},
    os::fd::OwnedFd,
    path::Path,
};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2};

/// Places of the C library in a root.
const C_LIBRARIES: [&str; 8] = [
    "/lib/x86_64-linux-gnu/libc.so.6",
    "/usr/lib/x86_64-linux-gnu/libc.so.6",
    "/lib/aarch64-linux-gnu/libc.so.6",
    "/usr/lib/aarch64-linux-gnu/libc.so.6",
    "/lib64/libc.so.6",
    "/usr/lib64/libc.so.6",
    "/lib/libc.so.6",
    "/usr/lib/libc.so.6",
];
/// Most of a C library that is read, in bytes.
const MAX_LIBRARY_BYTES: u64 = 16 << 20;
/// The prefix of the names of versions of glibc's symbols.
const GLIBC_VERSION: &[u8] = b"GLIBC_2.";

/// Opens the folder of a root. The path itself is the operator's or ours, and may lead through
/// links.
fn open_root(root: &Path) -> io::Result<OwnedFd> {
    Ok(openat(CWD, root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

fn open_in(root: &Path, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let resolve_flags = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    Ok(openat2(open_root(root)?, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve_flags)?)
}

/// Whether a path exists in a root.
pub fn exists(root: &Path, path: &Path) -> bool {
    open_in(root, path, OFlags::PATH).is_ok()
}

/// Whether a sandbox can mount something at a path in a root. It makes the place where the root has
/// nothing at its top with that name, and goes through no link.
pub fn has_place(root: &Path, path: &Path) -> bool {
    let inside = path.strip_prefix("/").unwrap_or(path);
    let Some(top) = inside.components().next() else { return false };
    if !exists_itself(root, Path::new(top.as_os_str())) {
        return true;
    }
    let resolve_flags = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let place = open_root(root).and_then(|root| {
        Ok(openat2(root, inside, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve_flags)?)
    });
    place.is_ok()
}

/// Whether a root has a name at its top, be it that of a link.
fn exists_itself(root: &Path, name: &Path) -> bool {
    open_in(root, name, OFlags::PATH | OFlags::NOFOLLOW).is_ok()
}

/// The state of the file at a path in a root: device, inode, size, and the times of its last
/// changes.
pub fn state(root: &Path, path: &Path) -> io::Result<[u64; 7]> {
    let stat = fstat(open_in(root, path, OFlags::PATH)?)?;
    let numbers = [stat.st_dev, stat.st_ino, stat.st_size.unsigned_abs()];
    let times = [stat.st_mtime as u64, stat.st_mtime_nsec, stat.st_ctime as u64, stat.st_ctime_nsec];
    let mut all = [0; 7];
    all[..3].copy_from_slice(&numbers);
    all[3..].copy_from_slice(&times);
    Ok(all)
}

/// Whether the C library of a root is a glibc that has the versions of symbols which `object`, a
/// shared object, needs.
pub fn can_load(root: &Path, object: &[u8]) -> bool {
    let Some(needed) = highest_glibc_version(object) else { return true };
    let has = C_LIBRARIES.iter().find_map(|path| {
        let file = open_in(root, Path::new(path), OFlags::RDONLY | OFlags::NONBLOCK).ok()?;
        if FileType::from_raw_mode(fstat(&file).ok()?.st_mode) != FileType::RegularFile {
            return None;
        }
        let mut bytes = vec![];
        File::from(file).take(MAX_LIBRARY_BYTES).read_to_end(&mut bytes).ok()?;
        highest_glibc_version(&bytes)
    });
    has.is_some_and(|has| has >= needed)
}

/// The highest `n` of the versions `GLIBC_2.n` that an object names.
fn highest_glibc_version(object: &[u8]) -> Option<u32> {
    let starts = object.windows(GLIBC_VERSION.len()).enumerate();
    let starts =
        starts.filter(|(_, window)| *window == GLIBC_VERSION).map(|(at, _)| at + GLIBC_VERSION.len());
    starts
        .filter_map(|at| {
            let digits: Vec<u8> =
                object[at..].iter().copied().take(3).take_while(u8::is_ascii_digit).collect();
            std::str::from_utf8(&digits).ok()?.parse().ok()
        })
        .max()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_lead_to_places_in_the_root() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        std::fs::create_dir_all(root.join("etc")).unwrap();
        std::fs::write(root.join("etc/own"), "").unwrap();
        symlink("/etc/own", root.join("absolute")).unwrap();
        symlink("../../../etc/own", root.join("etc/up")).unwrap();
        symlink("/proc/self/exe", root.join("proc")).unwrap();
        symlink("/etc/passwd", root.join("machine")).unwrap(); // which this machine has
        for (path, is_there) in [
            ("/absolute", true),
            ("/etc/up", true),
            ("/../etc/own", true),
            ("/machine", false),
            ("/proc", false),
        ] {
            assert_eq!(exists(&root, Path::new(path)), is_there, "{path}");
        }
    }

    #[test]
    fn versions_of_the_c_library_are_compared_as_numbers() {
        assert_eq!(highest_glibc_version(b"\0GLIBC_2.9\0GLIBC_2.34\0GLIBC_2.2.5\0GLIBC_PRIVATE"), Some(34));
        assert_eq!(highest_glibc_version(b"musl"), None);
        let root = tempfile::tempdir().unwrap();
        assert!(!can_load(root.path(), b"GLIBC_2.2.5\0") && can_load(root.path(), b"static"));
    }
}
