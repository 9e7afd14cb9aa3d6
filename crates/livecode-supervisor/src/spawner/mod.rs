//! The spawner: a process with one thread that forks supervisors.
//!
//! It is started by the server, as `livecode spawner`, with a sequenced-packet socket. It says in one datagram ([`SpawnerReady`]) what
//! this machine can do. After that each datagram from the server is a [`SpawnerRequest`] with one end of a socket pair
//! attached: to start a supervisor, whose first connection that is, or to sweep up after a dead one. There is no answer; what
//! could not be forked, or is done, shows as that connection's end.
//!
//! As a rule it is not the spawner that receives a request, but a supervisor that is ahead of it, and has a sandbox ready
//! ([`Pool`]). Those sandboxes are made by a process of their own, the maker: a fork of this one, or a template, to which the
//! server sends a socket first.
//!
//! It ends when the server closes the socket. Supervisors run on: each has a session of its own (setsid), and the
//! kernel reaps them.

pub(crate) mod identity;
mod pool;
mod sweep;

use std::{
    io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::{fs::MetadataExt as _, net::UnixStream},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use livecode_protocol::{
    SessionId,
    control::{SpawnerReady, SpawnerRequest},
    warm::SpawnerSettings,
};
use livecode_sandbox::{Forked, Host, Sandbox, SetupError, ZygoteClient, ZygoteProgram, fd_passing, zygote};
use rustix::{
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, socketpair,
        sockopt::{Timeout, set_socket_timeout},
    },
    process::{PidfdFlags, Signal, getpid, pidfd_open, set_parent_process_death_signal},
};

use crate::{
    session::startup,
    spawner::{
        identity::Identity,
        pool::{MAX_SESSIONS_PER_WORKER, Pool, Worker},
    },
};

/// The longest request, in bytes.
const MAX_REQUEST_BYTES: usize = 256;

/// How long a template may take until it is one, from when its spawner is up.
const ZYGOTE_START_TIMEOUT: Duration = Duration::from_secs(20);

/// Runs until the server closes `server`; or, in what it forks, until that is done. The result is the status to exit with.
pub fn run(server: OwnedFd, settings: &SpawnerSettings) -> i32 {
    // Signals of the server's terminal are not for us; we end when the server does.
    let _ = rustix::process::setsid();
    let prepared = host(&settings.data_dir).and_then(|host| {
        let zygote = match &settings.template {
            None => {
                livecode_sandbox::try_sandbox(&host)?; // one tries for all
                None
            }
            Some(template) => {
                let (socket, process) = greet_interpreter_zygote(&server)?;
                Some(ZygoteClient::new(Some(template.clone()), socket, process))
            }
        };
        Ok((host, zygote))
    });
    let (host, zygote) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            say(&server, &SpawnerReady { degraded: vec![], error: Some(with_causes(&*error)) });
            return 1;
        }
    };
    if let (Some(zygote), Some(warm), Ok(own)) = (&zygote, &settings.warm, Identity::own())
        && let Err(error) = zygote.profile_working_set(&host, &own.group(), &warm.layout, &warm.limits)
    {
        eprintln!("livecode spawner: {error}: {}", error.source); // it is slower without
    }
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
    let zygote = match (zygote, &settings.warm) {
        (None, Some(_)) => match fork_zygote(&host) {
            Ok(zygote) => zygote,
            Err(error) => {
                eprintln!("livecode spawner: no sandbox can be made ahead: {error}");
                None
            }
        },
        (zygote, _) => zygote,
    };
    say(&server, &SpawnerReady { degraded: host.degraded(), error: None });
    let spawner = Spawner { host, settings, zygote };
    match Pool::new(&spawner, server) {
        Ok(pool) => pool.run(),
        Err(error) => {
            eprintln!("livecode spawner: {error}");
            1
        }
    }
}

/// Forks a maker, which ends with this process.
fn fork_zygote(host: &Host) -> io::Result<Option<ZygoteClient>> {
    let asker = pidfd_open(getpid(), PidfdFlags::empty())?;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    match livecode_sandbox::fork()? {
        Forked::Parent(pid) => Ok(Some(ZygoteClient::new(None, ours, pidfd_open(pid, PidfdFlags::empty())?))),
        Forked::Child => {
            drop(ours);
            // Also where it is stopped, and does not see that nobody asks it any more.
            let _ = set_parent_process_death_signal(Some(Signal::KILL));
            let _ = rustix::thread::set_name(c"livecode-maker");
            let ended = zygote::serve(host, None, asker.as_fd(), theirs.as_fd());
            livecode_sandbox::exit_now(i32::from(ended.is_err()))
        }
    }
}

/// Takes the socket to the template, and its process, from the server, and tells it whom it serves, and with whom it ends.
fn greet_interpreter_zygote(server: &OwnedFd) -> io::Result<(OwnedFd, OwnedFd)> {
    let (_, mut template) = fd_passing::receive(server, &mut [0], RecvFlags::empty())?;
    let (Some(process), Some(template)) = (template.pop(), template.pop()) else {
        return Err(io::Error::other("the server sent no template"));
    };
    let own = pidfd_open(getpid(), PidfdFlags::empty())?;
    fd_passing::send(&template, &[0], &[own.as_fd()], SendFlags::empty())?;
    set_socket_timeout(&template, Timeout::Recv, Some(ZYGOTE_START_TIMEOUT))?;
    match fd_passing::receive(&template, &mut [0], RecvFlags::empty())?.0 {
        0 => Err(io::Error::other("the template ended before it was one")),
        _ => Ok((template, process)),
    }
}

/// The life of a template: makes sandboxes for the spawner at the other end of `socket`, whose programs are copies of this
/// process. `None` when that is gone; in each program it returns what that is.
///
/// # Errors
/// Where the machine or the socket is not as it should be.
pub fn serve_interpreter_zygote(
    socket: &OwnedFd,
    settings: &SpawnerSettings,
) -> Result<Option<ZygoteProgram>, Box<dyn std::error::Error>> {
    let _ = rustix::process::setsid();
    let Some(template) = &settings.template else {
        return Err("the settings are not those of a template".into());
    };
    let host = host(&settings.data_dir)?;
    let (_, mut askers) = fd_passing::receive(socket, &mut [0], RecvFlags::empty())?;
    let Some(asker) = askers.pop() else { return Ok(None) };
    livecode_sandbox::reap_children_automatically(true);
    fd_passing::send(socket, &[0], &[], SendFlags::empty())?;
    let program = zygote::serve(&host, Some(template), asker.as_fd(), socket.as_fd())?;
    if program.is_some() {
        std::mem::forget((host, asker)); // closed already
    }
    Ok(program)
}

/// What the forks of a spawner share.
pub(crate) struct Spawner<'a> {
    pub host: Host,
    pub settings: &'a SpawnerSettings,
    /// Who makes sandboxes ahead, if they are to be.
    pub zygote: Option<ZygoteClient>,
}

impl Spawner<'_> {
    /// The life of a supervisor: makes a sandbox if it is ahead of the request, serves one request, and again as long as it is
    /// wanted and fit for it.
    pub fn serve(&self, mut member: Worker) -> i32 {
        let _ = rustix::process::setsid();
        livecode_sandbox::reap_children_automatically(false);
        let _ = rustix::thread::set_name(c"livecode-super");
        let own = match Identity::own() {
            Ok(own) => own,
            Err(error) => {
                eprintln!("livecode supervisor: cannot find out who it is: {error}");
                return 1;
            }
        };
        for served in 0..MAX_SESSIONS_PER_WORKER {
            // Once it knows of a session, no sandbox is to be a copy of it.
            let zygote = self.zygote.as_ref().filter(|_| served > 0);
            match self.serve_once(&own, zygote, &mut member) {
                Served::Session
                    if member.is_ahead && self.zygote.is_some() && livecode_sandbox::has_one_thread() => {}
                Served::Session => return 0,
                Served::End(status) => return status,
            }
            if !member.rest() {
                return 0;
            }
        }
        0
    }

    fn serve_once(&self, own: &Identity, zygote: Option<&ZygoteClient>, member: &mut Worker) -> Served {
        let ready = match self.make_ready(own, member) {
            Ok(ready) => ready,
            // Whoever is asked next makes one of its own, and says why it cannot.
            Err(error) => {
                // Where the spawner has ended, so has the maker, maybe in the middle of it.
                if member.is_heard() {
                    eprintln!("livecode spawner: no sandbox can be made ahead: {error}: {}", error.source);
                }
                if ZygoteClient::is_to_blame(&error) {
                    member.report_zygote_hang();
                }
                return Served::End(1);
            }
        };
        let (request, stream) = match member.receive(ready.as_ref()) {
            Ok(Some(request)) => request,
            Ok(None) => return Served::End(0), // and its sandbox goes
            Err(error) => {
                eprintln!("livecode spawner: the server's socket failed: {error}");
                return Served::End(1);
            }
        };
        // Nobody waits for this one from here on.
        member.take();
        match request {
            SpawnerRequest::Start(id) => {
                let folder = folder(&self.settings.data_dir, id);
                match startup::supervise(&self.host, own, zygote, folder, stream, ready) {
                    0 => Served::Session,
                    status => Served::End(status),
                }
            }
            SpawnerRequest::Sweep(id) => {
                sweep::sweep(&self.host, &self.settings.data_dir, id);
                drop(stream); // which says that it is done
                Served::End(0)
            }
        }
    }

    /// A sandbox without an order, as the settings say; none where the member is not ahead.
    fn make_ready(
        &self,
        own: &Identity,
        member: &Worker,
    ) -> Result<Option<startup::WarmSandbox>, SetupError> {
        let Some(warm) = self.settings.warm.as_ref().filter(|_| member.is_ahead) else { return Ok(None) };
        if let Some(cpu) = member.excluded_cpu {
            self.host.cpus.avoid(cpu);
        }
        let (name, zygote) = (own.group(), self.zygote.as_ref());
        let (mut sandbox, pipes) =
            Sandbox::prepare(&self.host, &name, &warm.layout, zygote, member.excluded_cpu)?;
        sandbox.limit(&warm.limits, warm.cpu_millicores)?;
        sandbox.wait_ready()?;
        self.host.cpus.use_all();
        let template = zygote.and_then(|zygote| zygote.template().cloned());
        Ok(Some(startup::WarmSandbox { layout: warm.layout.clone(), template, sandbox, pipes }))
    }
}

/// How far a supervisor has come.
enum Served {
    /// Its session has ended well.
    Session,
    /// It is to end, with this status.
    End(i32),
}

/// Where a session lives.
pub(crate) fn folder(data_dir: &Path, id: SessionId) -> PathBuf {
    data_dir.join("sessions").join(id.to_string())
}

/// What sandboxes are made on.
fn host(data_dir: &Path) -> Result<Host, Box<dyn std::error::Error>> {
    let staging = data_dir.join("mnt");
    std::fs::create_dir_all(&staging)?;
    Ok(Host::new(staging.canonicalize()?, identity(data_dir)?))
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

fn say(server: &OwnedFd, ready: &SpawnerReady) {
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
        let (length, mut streams) = fd_passing::receive(server, &mut bytes, RecvFlags::DONTWAIT)?;
        if length == 0 {
            return Ok(None);
        }
        match (serde_json::from_slice(&bytes[..length]), streams.pop()) {
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
