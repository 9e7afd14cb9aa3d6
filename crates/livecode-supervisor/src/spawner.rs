//! The spawner: a process with one thread that forks a supervisor whenever the server asks for one.
//!
//! It is started by the server, as `livecode spawner`, with a sequenced-packet socket as standard input. It first makes a
//! sandbox to try, and says in one datagram ([`Ready`]) what this machine can do. After that each datagram from the server
//! is a [`SpawnerRequest`] with one end of a socket pair attached: to start a supervisor, whose first connection that is, or to
//! sweep up after a dead one. There is no answer; what could not be forked, or is done, shows as that connection's end.
//!
//! It ends when the server closes the socket. Supervisors run on: each has a session of its own (setsid), and the
//! kernel reaps them.

use std::{
    io,
    io::IoSliceMut,
    mem::MaybeUninit,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{fs::MetadataExt as _, net::UnixStream},
    },
    path::{Path, PathBuf},
};

use livecode_protocol::{
    SessionId,
    control::{Ready, SpawnerRequest},
};
use livecode_sandbox::{Forked, Host};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, recvmsg};

use crate::{supervisor, sweep};

/// The longest request, in bytes.
const MAX_REQUEST_BYTES: usize = 256;

/// Runs until the server closes `server`. The result is the process's exit status.
pub fn run(server: OwnedFd, data_dir: &Path) -> i32 {
    // Signals of the server's terminal are not for us; we end when the server does.
    let _ = rustix::process::setsid();
    let host = match prepare(data_dir) {
        Ok(host) => host,
        Err(error) => {
            say(&server, &Ready { degraded: vec![], error: Some(with_causes(&*error)) });
            return 1;
        }
    };
    say(&server, &Ready { degraded: host.degraded(), error: None });
    // Forgotten children are reaped by the kernel (signal(7)).
    livecode_sandbox::reap_children_automatically(true);
    // What is done in a fork is done while supervisors are started already.
    match livecode_sandbox::fork() {
        Ok(Forked::Parent(_)) => {}
        Ok(Forked::Child) => {
            drop(server);
            sweep::sweep_all(&host, data_dir);
            std::process::exit(0);
        }
        Err(error) => eprintln!("livecode spawner: cannot fork to sweep: {error}"),
    }
    loop {
        match receive(&server) {
            Ok(Some((request, stream))) => match livecode_sandbox::fork() {
                Ok(Forked::Parent(_)) => {}
                Ok(Forked::Child) => {
                    drop(server);
                    std::process::exit(serve(&host, data_dir, &request, stream));
                }
                Err(error) => eprintln!("livecode spawner: cannot fork for {request:?}: {error}"),
            },
            Ok(None) => break,
            Err(error) => {
                eprintln!("livecode spawner: the server's socket failed: {error}");
                break;
            }
        }
    }
    host.tidy();
    0
}

/// What the forked process does; the result is its exit status.
fn serve(host: &Host, data_dir: &Path, request: &SpawnerRequest, stream: UnixStream) -> i32 {
    let _ = rustix::process::setsid();
    match request {
        SpawnerRequest::Start(id) => {
            livecode_sandbox::reap_children_automatically(false);
            let _ = rustix::thread::set_name(c"livecode-super");
            supervisor::supervise(host, folder(data_dir, *id), stream)
        }
        SpawnerRequest::Sweep(id) => {
            host.sweep(&id.to_string());
            drop(stream);
            0
        }
    }
}

/// Where a session lives.
pub(crate) fn folder(data_dir: &Path, id: SessionId) -> PathBuf {
    data_dir.join("sessions").join(id.to_string())
}

fn prepare(data_dir: &Path) -> Result<Host, Box<dyn std::error::Error>> {
    let staging = data_dir.join("mnt");
    std::fs::create_dir_all(&staging)?;
    let host = Host::new(staging.canonicalize()?, identity(data_dir)?)?;
    host.try_sandbox()?;
    Ok(host)
}

/// Tells data directories apart by what they are, not by their paths: on two file systems, one of which is not mounted
/// yet or belongs to another container, the same path is two directories, and what runs for one is no leftover of the other.
fn identity(data_dir: &Path) -> io::Result<u64> {
    let metadata = std::fs::metadata(data_dir)?;
    let numbers = [metadata.dev().to_le_bytes(), metadata.ino().to_le_bytes()];
    Ok(fnv1a(numbers.as_flattened()))
}

/// The same in every version (FNV-1a, 64 bits).
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

fn say(server: &OwnedFd, ready: &Ready) {
    // A server that is gone will be noticed at the next receive.
    let _ = rustix::net::send(server, &serde_json::to_vec(ready).unwrap_or_default(), SendFlags::NOSIGNAL);
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// The next request; `None` when the server has gone.
fn receive(server: &OwnedFd) -> io::Result<Option<(SpawnerRequest, UnixStream)>> {
    loop {
        let mut bytes = [0; MAX_REQUEST_BYTES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut buffers = [IoSliceMut::new(&mut bytes)];
        let received = match recvmsg(server.as_fd(), &mut buffers, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => continue,
            other => other?,
        };
        if received.bytes == 0 {
            return Ok(None);
        }
        let stream = ancillary.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        match (serde_json::from_slice(&bytes[..received.bytes]), stream) {
            (Ok(request), Some(stream)) => return Ok(Some((request, stream.into()))),
            _ => eprintln!("livecode spawner: a datagram that is not a request with a socket"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_directory_is_not_taken_for_another_at_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("a"), folder.path().join("b"));
        std::fs::create_dir(&path).unwrap();
        std::fs::create_dir(&other).unwrap();
        let first = identity(&path).unwrap();
        assert_eq!(identity(&other.join("../a")).unwrap(), first);
        std::fs::rename(&path, folder.path().join("c")).unwrap();
        std::fs::rename(&other, &path).unwrap();
        assert_ne!(identity(&path).unwrap(), first);
    }
}
