//! The artefacts of compile steps: taken out of one sandbox, and written into a later one.
//!
//! **Out**, between the last compile step and the program: init kills every other process inside,
//! so that no process can still write. It opens the requested files without following a link, and
//! sends the supervisor a descriptor of each. Each must be a regular file with one name in the
//! session's own file system; otherwise nothing is taken at all.
//!
//! **In**, before the first step: init writes fresh files with the same contents. No session ever
//! has a descriptor or a mapping of a cache entry, so an entry cannot be changed from inside.
//!
//! The files of a cache entry are a sequence of records. A record is a byte `1`, a byte that
//! tells whether the file is executable (`0` or `1`), the length of the name (2 bytes), the
//! length of the contents (8 bytes), the name, and the contents. Numbers are little-endian. A
//! byte `0` follows the last record.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::OpenOptionsExt as _,
    },
    path::{Path, PathBuf},
};

use livecode_protocol::FileName;
use rustix::{
    fs::{CWD, Dir, FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2},
    net::SendFlags,
    process::{WaitOptions, getpid, wait},
};

use crate::{
    init_wire::{InitEvent, MAX_EVENT_BYTES},
    kernel::{fd_passing, sys},
};

/// The most files of one cache entry.
pub const MAX_FILES: usize = 1000;
/// The first byte of a record.
const FILE: u8 = 1;
/// The byte that follows the last record.
const END: u8 = 0;

/// The part of a record before the file's contents, of which there are `bytes` bytes.
pub fn record_header(name: &FileName, executable: bool, bytes: u64) -> Vec<u8> {
    let name = name.as_str().as_bytes();
    let mut head = vec![FILE, u8::from(executable)];
    head.extend((name.len() as u16).to_le_bytes()); // at most FileName::MAX_BYTES
    head.extend(bytes.to_le_bytes());
    head.extend(name);
    head
}

/// The bytes that follow the last record.
pub const END_RECORD: [u8; 1] = [END];

/// Writes the files of a cache entry below `/`. The entry is positioned at its first record.
pub(crate) fn unpack(mut entry: &File) -> io::Result<()> {
    loop {
        let mut kind = [0];
        entry.read_exact(&mut kind)?;
        if kind[0] == END {
            return Ok(());
        }
        let mut head = [0; 11];
        entry.read_exact(&mut head)?;
        let [executable, n0, n1, bytes @ ..] = head;
        let mut name = vec![0; usize::from(u16::from_le_bytes([n0, n1]))];
        entry.read_exact(&mut name)?;
        let name = String::from_utf8(name).map_err(io::Error::other)?;
        let name: FileName = name.parse().map_err(io::Error::other)?;
        let bytes = u64::from_le_bytes(bytes);
        let mode = if executable == 0 { 0o644 } else { 0o755 };
        write_file(&name, mode, entry.take(bytes), bytes)?;
    }
}

/// Creates a file with the `bytes` bytes of `contents`. No program has run in these folders, so
/// they hold no links, and the name was checked: the path cannot lead elsewhere.
fn write_file(name: &FileName, mode: u32, mut contents: io::Take<&File>, bytes: u64) -> io::Result<()> {
    let root = Path::new("/");
    for parent in name.parents() {
        match fs::create_dir(root.join(parent)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    let path = root.join(name.as_str());
    let _ = fs::remove_file(&path); // a compile step may have replaced a source file
    let mut file = File::options().write(true).create_new(true).mode(mode).open(path)?;
    let written_bytes = io::copy(&mut contents, &mut file)?;
    if written_bytes == bytes { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// Kills every process inside but this one, and sends the supervisor each file of `wanted`.
/// Returns whether all of them were sent.
pub(crate) fn send_all(control: BorrowedFd<'_>, wanted: &[PathBuf]) -> bool {
    // Without a pid namespace of its own, this process would kill processes outside the sandbox.
    if !getpid().is_init() || kill_and_reap_others().is_err() {
        return false;
    }
    let mut count = 0;
    wanted.iter().all(|path| send_artefact(control, path, &mut count).is_ok())
}

/// Kills every process inside but this one, and waits until all are gone. Every orphan inside is a
/// child of this process, so no other process is left when this process has no child.
pub(super) fn kill_and_reap_others() -> io::Result<()> {
    sys::kill_all_others()?;
    loop {
        match wait(WaitOptions::empty()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::CHILD) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Sends the file, or all files of the folder, at an absolute path. `count` is the number of files
/// sent so far.
fn send_artefact(control: BorrowedFd<'_>, path: &Path, count: &mut usize) -> io::Result<()> {
    // The first component is one of the writable mounts. The rest is resolved beneath it.
    let relative = path.strip_prefix("/").map_err(io::Error::other)?;
    let mut components = relative.components();
    let mount = Path::new("/").join(components.next().ok_or(io::ErrorKind::InvalidInput)?);
    let mount = openat(
        CWD,
        &mount,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let name = relative.to_str().ok_or(io::ErrorKind::InvalidInput)?;
    send_beneath(control, mount.as_fd(), components.as_path(), name, count)
}

/// Sends the file, or all files of the folder, at `path` beneath `folder`, under `name`.
fn send_beneath(
    control: BorrowedFd<'_>,
    folder: BorrowedFd<'_>,
    path: &Path,
    name: &str,
    count: &mut usize,
) -> io::Result<()> {
    let resolve_flags = ResolveFlags::BENEATH
        | ResolveFlags::NO_SYMLINKS
        | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_XDEV;
    // Opening a named pipe that has no writer would block without NONBLOCK.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = openat2(folder, path, flags, Mode::empty(), resolve_flags)?;
    let stat = fstat(&file)?;
    // Other sessions will see this name, so it must be valid for the supervisor too.
    let checked_name: FileName = name.parse().map_err(io::Error::other)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile if stat.st_nlink == 1 && *count < MAX_FILES => {
            *count += 1;
            let executable = stat.st_mode & 0o100 != 0;
            send_file(control, checked_name, executable, &file)
        }
        FileType::Directory => {
            for entry in Dir::read_from(&file)? {
                let entry = entry?;
                let part = entry.file_name().to_str().map_err(io::Error::other)?;
                if part != "." && part != ".." {
                    send_beneath(control, file.as_fd(), Path::new(part), &format!("{name}/{part}"), count)?;
                }
            }
            Ok(())
        }
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

fn send_file(control: BorrowedFd<'_>, name: FileName, executable: bool, file: &OwnedFd) -> io::Result<()> {
    let event = InitEvent::Artefact { name: name.to_string(), executable, file: None };
    let bytes = event.encode();
    if bytes.len() >= MAX_EVENT_BYTES {
        return Err(io::ErrorKind::InvalidFilename.into()); // the name would be truncated
    }
    fd_passing::send(control, &bytes, &[file.as_fd()], SendFlags::empty())
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, Write as _};

    use super::*;

    #[test]
    fn a_record_holds_the_lengths_of_name_and_contents() {
        let name: FileName = "tmp/a".parse().unwrap();
        assert_eq!(record_header(&name, true, 3), *b"\x01\x01\x05\0\x03\0\0\0\0\0\0\0tmp/a");
    }

    #[test]
    fn a_truncated_entry_or_one_with_an_invalid_name_is_refused() {
        let good = record_header(&"tmp/x".parse().unwrap(), false, 9);
        for bytes in [
            &b""[..],
            b"\x01\0",
            &good,
            b"\x01\0\x02\0\0\0\0\0\0\0\0\0..\0",
            b"\x01\0\x02\0\0\0\0\0\0\0\0\0/x\0",
        ] {
            let mut entry = tempfile::tempfile().unwrap();
            entry.write_all(bytes).unwrap();
            entry.rewind().unwrap();
            if bytes == good {
                continue; // this entry would write a file on the machine that runs the test
            }
            assert!(unpack(&entry).is_err(), "{bytes:?}");
        }
    }
}
