//! What compile steps make, out of a sandbox and into a later one.
//!
//! **Out**, between the last compile step and the program: init kills whatever else runs inside, so that nothing is left that
//! could still write, opens what was asked for without following a link, and sends the supervisor a descriptor of each
//! file. It is a regular file with one name, inside the session's own file system, or nothing is taken at all.
//!
//! **In**, before the first step: init writes fresh files with the same contents. No session ever has a descriptor of
//! an entry, or a mapping of it: an entry cannot be changed from inside.
//!
//! An entry's files are a row of records: `1`, whether it is executable (`0` or `1`), length of the name (2 bytes), length of
//! the contents (8 bytes), name, contents; little-endian; after the last a `0`.

use std::{
    fs::{self, File},
    io::{self, IoSlice, Read as _},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::OpenOptionsExt as _,
    },
    path::{Path, PathBuf},
};

use livecode_protocol::FileName;
use rustix::{
    fs::{CWD, Dir, FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2},
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg},
    process::{WaitOptions, getpid, wait},
};

use crate::{
    init_wire::{InitEvent, MAX_BYTES},
    kernel::sys,
};

/// Files of one entry.
pub const MAX_FILES: usize = 1000;
/// What the row of records begins each file with, and what ends it.
const FILE: u8 = 1;
const END: u8 = 0;

/// What stands before a file's contents in an entry.
pub fn record(name: &FileName, executable: bool, bytes: u64) -> Vec<u8> {
    let name = name.as_str().as_bytes();
    let mut head = vec![FILE, u8::from(executable)];
    head.extend((name.len() as u16).to_le_bytes()); // at most FileName::MAX_BYTES
    head.extend(bytes.to_le_bytes());
    head.extend(name);
    head
}

/// What stands after the last file.
pub const END_RECORD: [u8; 1] = [END];

/// Writes the files of an entry, which stands at its first record, below `/`.
pub(crate) fn put(mut entry: &File) -> io::Result<()> {
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
        write(&name, mode, entry.take(bytes), bytes)?;
    }
}

/// The folders are fresh and no program has run in them, so the name, which is checked, leads nowhere else.
fn write(name: &FileName, mode: u32, mut from: io::Take<&File>, bytes: u64) -> io::Result<()> {
    let root = Path::new("/");
    for parent in name.parents() {
        match fs::create_dir(root.join(parent)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    let path = root.join(name.as_str());
    let _ = fs::remove_file(&path); // a compile step may have replaced a source
    let mut file = File::options().write(true).create_new(true).mode(mode).open(path)?;
    if io::copy(&mut from, &mut file)? == bytes { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// Ends everything inside but this process, and sends the supervisor each file of `wanted`. Whether that was all of it.
pub(crate) fn take(control: BorrowedFd<'_>, wanted: &[PathBuf]) -> bool {
    // Without a pid namespace of our own "everybody" would be everybody.
    if !getpid().is_init() || sys::kill_all_others().is_err() || !reap_all() {
        return false;
    }
    let mut count = 0;
    wanted.iter().all(|path| take_one(control, path, &mut count).is_ok())
}

/// Waits until this process is alone: whoever is orphaned inside becomes its child.
fn reap_all() -> bool {
    loop {
        match wait(WaitOptions::empty()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::CHILD) => return true,
            Err(_) => return false,
        }
    }
}

fn take_one(control: BorrowedFd<'_>, path: &Path, count: &mut usize) -> io::Result<()> {
    // The first part is one of the writable mounts; from there on nothing leads out of it.
    let inside = path.strip_prefix("/").map_err(io::Error::other)?;
    let mut parts = inside.components();
    let mount = Path::new("/").join(parts.next().ok_or(io::ErrorKind::InvalidInput)?);
    let mount = openat(
        CWD,
        &mount,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let name = inside.to_str().ok_or(io::ErrorKind::InvalidInput)?;
    send_below(control, mount.as_fd(), parts.as_path(), name, count)
}

/// Sends the file, or all files of the folder, that is `path` below `folder`, under `name`.
fn send_below(
    control: BorrowedFd<'_>,
    folder: BorrowedFd<'_>,
    path: &Path,
    name: &str,
    count: &mut usize,
) -> io::Result<()> {
    let strictly = ResolveFlags::BENEATH
        | ResolveFlags::NO_SYMLINKS
        | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_XDEV;
    // A pipe without a writer would be waited for.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = openat2(folder, path, flags, Mode::empty(), strictly)?;
    let stat = fstat(&file)?;
    // What other sessions see is a name that the supervisor believes too.
    let checked: FileName = name.parse().map_err(io::Error::other)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile if stat.st_nlink == 1 && *count < MAX_FILES => {
            *count += 1;
            let executable = stat.st_mode & 0o100 != 0;
            send_file(control, checked, executable, &file)
        }
        FileType::Directory => {
            for entry in Dir::read_from(&file)? {
                let entry = entry?;
                let part = entry.file_name().to_str().map_err(io::Error::other)?;
                if part != "." && part != ".." {
                    send_below(control, file.as_fd(), Path::new(part), &format!("{name}/{part}"), count)?;
                }
            }
            Ok(())
        }
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

fn send_file(control: BorrowedFd<'_>, name: FileName, executable: bool, file: &OwnedFd) -> io::Result<()> {
    let report = InitEvent::Artefact { name: name.to_string(), executable, file: None };
    let bytes = report.encode();
    if bytes.len() >= MAX_BYTES {
        return Err(io::ErrorKind::InvalidFilename.into()); // it would be cut
    }
    let files = [file.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&files));
    sendmsg(control, &[IoSlice::new(&bytes)], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, Write as _};

    use super::*;

    #[test]
    fn a_record_says_what_follows() {
        let name: FileName = "tmp/a".parse().unwrap();
        assert_eq!(record(&name, true, 3), *b"\x01\x01\x05\0\x03\0\0\0\0\0\0\0tmp/a");
    }

    #[test]
    fn an_entry_that_ends_too_soon_or_leads_elsewhere_is_none() {
        let good = record(&"tmp/x".parse().unwrap(), false, 9);
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
                continue; // it would be written, where it says
            }
            assert!(put(&entry).is_err(), "{bytes:?}");
        }
    }
}
