//! Looks for unix sockets in the folders of the machine that every sandbox sees. A program can
//! connect to such a socket, if its mode lets the program's user write to it: a read-only mount
//! does not prevent that, nor does a network namespace.

use std::{
    fs,
    os::unix::fs::FileTypeExt as _,
    path::{Path, PathBuf},
};

use crate::doctor::finding::{Finding, Verdict};

/// The most files and folders that are looked at. What is beyond them is not examined, and the
/// finding says so.
const MAX_ENTRIES: usize = 1_000_000;
/// The most sockets that a finding names. The walk ends when there are more.
const MAX_NAMED: usize = 5;

/// The result of a walk.
#[derive(Debug, Default)]
struct Found {
    sockets: Vec<PathBuf>,
    entries: usize,
}

/// Reports the sockets in `folders` and below.
pub(super) fn finding(folders: &[PathBuf]) -> Finding {
    let mut found = Found::default();
    let is_below_other =
        |folder: &PathBuf| folders.iter().any(|other| folder != other && folder.starts_with(other));
    for folder in folders.iter().filter(|folder| !is_below_other(folder)) {
        walk(folder, MAX_ENTRIES, &mut found);
    }
    let Found { sockets, entries } = found;
    let is_partial = entries >= MAX_ENTRIES;
    let extent = if is_partial { format!("of the first {MAX_ENTRIES} files there, ") } else { String::new() };
    if sockets.is_empty() {
        return Finding::ok("unix sockets", format!("{extent}none is in a folder that programs see"));
    }
    let names: Vec<_> = sockets.iter().take(MAX_NAMED).map(|path| path.display().to_string()).collect();
    let more = if sockets.len() > MAX_NAMED { " and more" } else { "" };
    let found = format!("{extent}programs may connect to {}{more}", names.join(", "));
    Finding::new("unix sockets", Verdict::Degraded, found).with_remedy(
        "programs see /usr, the toolchains and the roots of runtimes, and may connect to a socket there if its mode permits it; have the service that listens keep its socket in /run",
        "",
    )
}

/// Adds the sockets in `start` and below, without following links, until `max_entries` were looked
/// at. Folders that cannot be read are left out: the server has at least the rights of a program.
fn walk(start: &Path, max_entries: usize, found: &mut Found) {
    let mut folders = vec![start.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if found.entries >= max_entries || found.sockets.len() > MAX_NAMED {
                return;
            }
            found.entries += 1;
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_socket() => found.sockets.push(entry.path()),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn sockets_are_found_up_to_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("a/b");
        fs::create_dir_all(&below).unwrap();
        let _listener = UnixListener::bind(below.join("socket")).unwrap();
        let report = finding(&[folder.path().to_owned(), below.clone()]);
        assert_eq!(report.verdict, Verdict::Degraded);
        assert_eq!(report.found.matches("a/b/socket").count(), 1, "{report:?}");

        let mut found = Found::default();
        walk(folder.path(), 2, &mut found);
        assert!(found.sockets.is_empty() && found.entries == 2, "{found:?}");
        fs::remove_file(below.join("socket")).unwrap();
        assert_eq!(finding(&[folder.path().to_owned()]).verdict, Verdict::Ok);
    }
}
