//! The result files of a session: taken out of its sandbox when its program has ended.
//!
//! Init kills every other process inside first, so that no process can still write, rename or link.
//! It resolves each path beneath the working directory without following a link, looks at what it
//! has found before it opens it, and sends the supervisor a descriptor of each regular file.

use std::{
    collections::BTreeSet,
    ffi::CStr,
    io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
};

use livecode_protocol::{
    FileName,
    results::{CollectSpec, MAX_REFUSED_FILES, RefusalReason, has_wildcard, part_matches},
};
use rustix::{
    fs::{CWD, Dir, FileType, Mode, OFlags, ResolveFlags, fstat, openat2},
    io::Errno,
    net::SendFlags,
    process::getpid,
};

use crate::{
    WORKING_DIRECTORY,
    init::artefacts::kill_and_reap_others,
    init_wire::{InitEvent, MAX_EVENT_BYTES},
    kernel::fd_passing,
};

/// The most entries of folders that are compared with the patterns, each time that they are.
const MAX_EXAMINED_ENTRIES: usize = 100_000;
/// How every path is resolved.
const RESOLVE_FLAGS: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

/// Kills every process inside but this one, and sends the supervisor the files that `wanted`
/// names. Returns whether every file with a name that matches was sent or refused.
pub(super) fn send_all(control: BorrowedFd<'_>, wanted: &CollectSpec) -> bool {
    // Without a pid namespace of its own, this process would kill processes outside the sandbox.
    if !getpid().is_init() || kill_and_reap_others().is_err() {
        return false;
    }
    let Ok(folder) =
        open(CWD, WORKING_DIRECTORY, OFlags::PATH | OFlags::DIRECTORY, ResolveFlags::NO_SYMLINKS)
    else {
        return false;
    };
    let mut search = Search {
        control,
        paths: BTreeSet::new(),
        files_left: wanted.files_max,
        refused_files: 0,
        examined_entries: 0,
        has_seen_all: true,
    };
    let searched = wanted.patterns.iter().try_for_each(|pattern| {
        let parts: Vec<_> = pattern.parts().collect();
        search.find(folder.as_fd(), &parts, b"")
    });
    searched.is_ok() && search.has_seen_all
}

/// The search ends before every file was looked at: there are too many, or the supervisor is dead.
struct Stopped;

struct Search<'a> {
    control: BorrowedFd<'a>,
    /// The paths that were sent or refused, so that none is twice.
    paths: BTreeSet<Vec<u8>>,
    files_left: u64,
    refused_files: usize,
    examined_entries: usize,
    /// Whether every folder could be listed.
    has_seen_all: bool,
}

impl Search<'_> {
    /// Finds the files beneath `folder` that the parts of a pattern stand for. `path` is the path of
    /// the folder: empty, or with a slash at its end.
    fn find(&mut self, folder: BorrowedFd<'_>, parts: &[&str], path: &[u8]) -> Result<(), Stopped> {
        let [part, rest @ ..] = parts else { return Ok(()) };
        if !has_wildcard(part) {
            let name = format!("{part}\0");
            return match CStr::from_bytes_with_nul(name.as_bytes()) {
                Ok(name) => self.take(folder, name, rest, path),
                Err(_) => Ok(()), // a file name has no NUL
            };
        }
        // Of a folder that the program has made unreadable nothing is known.
        let listed = open(folder, ".", OFlags::RDONLY | OFlags::DIRECTORY, RESOLVE_FLAGS);
        let Ok(entries) = listed.and_then(Dir::read_from) else {
            self.has_seen_all = false;
            return Ok(());
        };
        for entry in entries {
            let Ok(entry) = entry else { return Err(Stopped) };
            self.examined_entries += 1;
            if self.examined_entries > MAX_EXAMINED_ENTRIES {
                return Err(Stopped);
            }
            let name = entry.file_name();
            let is_own = matches!(name.to_bytes(), b"." | b"..");
            if !is_own && part_matches(part, &name.to_string_lossy()) {
                self.take(folder, name, rest, path)?;
            }
        }
        Ok(())
    }

    /// Takes the file `name` of `folder`, or searches it if further parts of the pattern follow.
    fn take(
        &mut self,
        folder: BorrowedFd<'_>,
        name: &CStr,
        rest: &[&str],
        path: &[u8],
    ) -> Result<(), Stopped> {
        let full_path = [path, name.to_bytes()].concat();
        // This descriptor is of no use but to look at the file: a device or a named pipe is not
        // opened by it.
        let found = open(folder, name, OFlags::PATH, RESOLVE_FLAGS);
        if !rest.is_empty() {
            let is_folder = |found: &OwnedFd| {
                fstat(found).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
            };
            return match found {
                Ok(found) if is_folder(&found) => {
                    self.find(found.as_fd(), rest, &[&*full_path, b"/"].concat())
                }
                _ => Ok(()),
            };
        }
        if self.paths.contains(&full_path) {
            return Ok(());
        }
        let judged = match found.map_err(io::Error::from).and_then(|found| Ok(fstat(found)?)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
                Err(RefusalReason::NotAFile)
            }
            Err(_) => Err(RefusalReason::Unreadable),
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile => {
                Err(RefusalReason::NotAFile)
            }
            Ok(stat) if stat.st_nlink != 1 => Err(RefusalReason::HasTwoNames),
            Ok(_) => Ok(()),
        };
        let file = judged.and_then(|()| {
            let full_name = std::str::from_utf8(&full_path).map_err(|_| RefusalReason::InvalidName)?;
            full_name.parse::<FileName>().map_err(|_| RefusalReason::InvalidName)?;
            if self.files_left == 0 {
                return Err(RefusalReason::TooMany);
            }
            let flags = OFlags::RDONLY | OFlags::NONBLOCK;
            open(folder, name, flags, RESOLVE_FLAGS).map_err(|_| RefusalReason::Unreadable)
        });
        match file {
            Ok(file) => self.send(full_path, &file),
            Err(reason) => self.refuse(full_path, reason),
        }
    }

    fn send(&mut self, path: Vec<u8>, file: &OwnedFd) -> Result<(), Stopped> {
        let name = String::from_utf8_lossy(&path).into_owned();
        let event = InitEvent::ResultFile { name, file: None };
        self.files_left -= 1;
        self.paths.insert(path);
        debug_assert!(event.encode().len() < MAX_EVENT_BYTES, "a file name fits into an event");
        fd_passing::send(self.control, &event.encode(), &[file.as_fd()], SendFlags::empty())
            .map_err(|_| Stopped)
    }

    fn refuse(&mut self, path: Vec<u8>, reason: RefusalReason) -> Result<(), Stopped> {
        if self.refused_files == MAX_REFUSED_FILES {
            return Err(Stopped);
        }
        self.refused_files += 1;
        let name = String::from_utf8_lossy(&path).into_owned();
        let event = InitEvent::ResultRefused { name, reason };
        self.paths.insert(path);
        rustix::net::send(self.control, &event.encode(), SendFlags::NOSIGNAL).map(drop).map_err(|_| Stopped)
    }
}

/// Opens a path beneath `folder`, without following a link.
fn open(
    folder: BorrowedFd<'_>,
    path: impl rustix::path::Arg,
    flags: OFlags,
    resolve_flags: ResolveFlags,
) -> rustix::io::Result<OwnedFd> {
    openat2(folder, path, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty(), resolve_flags)
}
