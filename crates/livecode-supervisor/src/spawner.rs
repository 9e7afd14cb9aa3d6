//! The spawner: a process with one thread that forks a supervisor for each session.
//!
//! It is started by the server, as `livecode spawner` or within an interpreter that is a template, with a sequenced-packet
//! socket. It says in one datagram ([`Ready`]) what this machine can do. After that each datagram from the server is a
//! [`SpawnerRequest`] with one end of a socket pair attached: to start a supervisor, whose first connection that is, or to
//! sweep up after a dead one. There is no answer; what could not be forked, or is done, shows as that connection's end.
//!
//! As a rule it is not the spawner that receives a request, but one of its forks. So a fork can be ahead of the request,
//! and make a sandbox meanwhile ([`Pool`]). A template never receives one, so that no copy of its memory holds what another
//! session was told.
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
    warm::SpawnerSettings,
};
use livecode_sandbox::{Forked, Host, Made, Program, Purpose, Sandbox, SetupError};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, recvmsg};

use crate::{
    begin, group,
    pool::{Member, Pool},
    sweep,
};

/// The longest request, in bytes.
const MAX_REQUEST_BYTES: usize = 256;

/// How [`run`] returns.
#[derive(Debug)]
pub enum End {
    /// The spawner, or what it forked, is done, and is to exit with this status.
    Exit(i32),
    /// This process is a session's program.
    Program(Program),
}

/// Runs until the server closes `server`. Within a template it returns a second time in each program.
pub fn run(server: OwnedFd, settings: &SpawnerSettings) -> End {
    // Signals of the server's terminal are not for us; we end when the server does.
    let _ = rustix::process::setsid();
    let host = match prepare(settings) {
        Ok(host) => host,
        Err(error) => {
            say(&server, &Ready { degraded: vec![], error: Some(with_causes(&*error)) });
            return End::Exit(1);
        }
    };
    say(&server, &Ready { degraded: host.degraded(), error: None });
    // Forgotten children are reaped by the kernel (signal(7)).
    livecode_sandbox::reap_children_automatically(true);
    // One sweeps for all. What is done in a fork is done while supervisors are started already.
    if settings.template.is_none() {
        match livecode_sandbox::fork() {
            Ok(Forked::Parent(_)) => {}
            Ok(Forked::Child) => {
                sweep::sweep_all(&host, &settings.data_dir);
                livecode_sandbox::exit_now(0);
            }
            Err(error) => eprintln!("livecode spawner: cannot fork to sweep: {error}"),
        }
    }
    let spawner = Spawner { host, settings };
    Pool::new(&spawner, server).run()
}

/// What the forks of a spawner share.
pub(crate) struct Spawner<'a> {
    pub host: Host,
    pub settings: &'a SpawnerSettings,
}

impl Spawner<'_> {
    /// The life of a fork: makes a sandbox if it is `ahead` of the request, and serves one request. `note` hears how far it is.
    pub fn serve(&self, mut member: Member) -> End {
        let _ = rustix::process::setsid();
        livecode_sandbox::reap_children_automatically(false);
        let _ = rustix::thread::set_name(c"livecode-super");
        let ready = match self.make_ready(&member) {
            Ok(ready) => ready,
            Err(NotReady::Program(program)) => {
                member.forget();
                return End::Program(program);
            }
            // Whoever is asked next makes one of its own, and says why it cannot.
            Err(NotReady::Failed(error)) => {
                eprintln!("livecode spawner: no sandbox can be made ahead: {error}: {}", error.source);
                return End::Exit(1);
            }
        };
        loop {
            let (request, stream) = match member.receive(ready.as_ref()) {
                Ok(Some(request)) => request,
                Ok(None) => {
                    drop(ready); // and its cgroups
                    return End::Exit(0);
                }
                Err(error) => {
                    eprintln!("livecode spawner: the server's socket failed: {error}");
                    return End::Exit(1);
                }
            };
            match request {
                SpawnerRequest::Start(id) => {
                    member.take();
                    let folder = folder(&self.settings.data_dir, id);
                    return End::Exit(begin::supervise(&self.host, folder, stream, ready));
                }
                SpawnerRequest::Sweep(id) => {
                    sweep::sweep(&self.host, &self.settings.data_dir, id);
                    if !member.is_ahead {
                        return End::Exit(0);
                    }
                }
            }
        }
    }

    /// A sandbox without an order, as the settings say; none where the member is not ahead.
    fn make_ready(&self, member: &Member) -> Result<Option<begin::Ready>, NotReady> {
        let Some(warm) = self.settings.warm.as_ref().filter(|_| member.is_ahead) else { return Ok(None) };
        let template = self.settings.template.as_ref();
        if let Some(cpu) = member.avoids {
            self.host.cpus.avoid(cpu);
        }
        match Sandbox::prepare(&self.host, &group::own_name(), &warm.layout, Purpose::Later(template))? {
            Made::Inside(program) => Err(NotReady::Program(program)),
            Made::Outside(mut sandbox, pipes) => {
                sandbox.limit(&warm.limits, warm.cpu_millicores)?;
                sandbox.wait_ready()?;
                self.host.cpus.use_all();
                Ok(Some(begin::Ready {
                    layout: warm.layout.clone(),
                    template: template.cloned(),
                    sandbox,
                    pipes,
                }))
            }
        }
    }
}

/// Why there is no sandbox.
enum NotReady {
    /// This process is in one.
    Program(Program),
    Failed(SetupError),
}

impl From<SetupError> for NotReady {
    fn from(error: SetupError) -> Self {
        Self::Failed(error)
    }
}

/// Where a session lives.
pub(crate) fn folder(data_dir: &Path, id: SessionId) -> PathBuf {
    data_dir.join("sessions").join(id.to_string())
}

fn prepare(settings: &SpawnerSettings) -> Result<Host, Box<dyn std::error::Error>> {
    let data_dir = &settings.data_dir;
    let staging = data_dir.join("mnt");
    std::fs::create_dir_all(&staging)?;
    let host = Host::new(staging.canonicalize()?, identity(data_dir)?);
    // One tries for all.
    if settings.template.is_none() {
        host.try_sandbox()?;
    }
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

/// The next request that is there; `None` when the server has gone.
///
/// # Errors
/// `WouldBlock` where none is there.
pub(crate) fn receive(server: &OwnedFd) -> io::Result<Option<(SpawnerRequest, UnixStream)>> {
    loop {
        let mut bytes = [0; MAX_REQUEST_BYTES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut buffers = [IoSliceMut::new(&mut bytes)];
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let received = match recvmsg(server.as_fd(), &mut buffers, &mut ancillary, flags) {
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
