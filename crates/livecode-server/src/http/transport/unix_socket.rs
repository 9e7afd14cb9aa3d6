//! Binds the unix socket on which the server listens.
//!
//! A lock beside the socket is held as long as the server lives, so that a socket whose server has
//! died is told from one that is in use. The socket appears under its name at once with its mode:
//! it is made under another name, and renamed over what a dead server left.

use std::{
    fs::{self, File},
    io,
    os::{
        fd::OwnedFd,
        unix::{
            fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FlockOperation, OFlags, flock},
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with},
};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// Why the server cannot listen on a unix socket.
#[derive(Debug, thiserror::Error)]
pub enum UnixSocketError {
    /// Another server or another program uses the socket.
    #[error("cannot listen on unix:{0}: another program listens there; stop it or choose another path")]
    InUse(PathBuf),
    /// The path names something else.
    #[error("cannot listen on unix:{0}: this file is not a socket; remove it or choose another path")]
    NotASocket(PathBuf),
    /// The lock cannot be made.
    #[error("cannot listen on unix:{0}: cannot lock {lock}", lock = lock_path(.0).display())]
    Lock(PathBuf, #[source] io::Error),
    /// The socket cannot be made, or what is there cannot be examined.
    #[error("cannot listen on unix:{0}")]
    Bind(PathBuf, #[source] io::Error),
}

/// The file of a socket. It is removed when this is dropped, unless it was replaced.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
    _lock: File,
}

/// Listens on the socket at `path`, whose file gets `mode`.
///
/// # Errors
/// See [`UnixSocketError`].
pub(super) fn bind_socket(path: &Path, mode: u32) -> Result<(UnixListener, SocketFile), UnixSocketError> {
    let lock = take_lock(path)?;
    let cannot_bind = |error: io::Error| UnixSocketError::Bind(path.to_owned(), error);
    check_is_free(path)?;
    let new_path = with_suffix(path, ".new");
    check_is_free(&new_path)?;
    match fs::remove_file(&new_path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(cannot_bind(error)),
        _ => {}
    }
    let listener = listen_at(&new_path, mode).map_err(cannot_bind)?;
    let metadata = fs::symlink_metadata(&new_path).map_err(cannot_bind)?;
    fs::rename(&new_path, path).map_err(cannot_bind)?;
    let identity = (metadata.dev(), metadata.ino());
    Ok((listener, SocketFile { path: path.to_owned(), identity, _lock: lock }))
}

fn take_lock(path: &Path) -> Result<File, UnixSocketError> {
    let cannot_lock = |error| UnixSocketError::Lock(path.to_owned(), error);
    let mut options = File::options();
    options.write(true).create(true).truncate(false).mode(0o600);
    // A link that another user put there must not be followed, and a FIFO not be waited for.
    options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32);
    let lock = options.open(lock_path(path)).map_err(cannot_lock)?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(UnixSocketError::InUse(path.to_owned())),
        Err(error) => Err(cannot_lock(error.into())),
    }
}

/// Checks that there is nothing at `path`, or a socket whose program has died.
fn check_is_free(path: &Path) -> Result<(), UnixSocketError> {
    let cannot_bind = |error| UnixSocketError::Bind(path.to_owned(), error);
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(cannot_bind(error)),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(UnixSocketError::NotASocket(path.to_owned()));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(UnixSocketError::InUse(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(cannot_bind(error)),
    }
}

/// Nobody can connect before the file has its mode, because the socket listens only then.
fn listen_at(path: &Path, mode: u32) -> io::Result<UnixListener> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket: OwnedFd = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

fn lock_path(path: &Path) -> PathBuf {
    with_suffix(path, ".lock")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let found = fs::symlink_metadata(&self.path);
        if found.is_ok_and(|found| (found.dev(), found.ino()) == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}
