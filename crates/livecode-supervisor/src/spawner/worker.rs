//! The life of a worker: it makes a warm sandbox, waits for a request, becomes the supervisor of
//! that session, and parks itself for reuse after the session's end.

use std::{
    io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::UnixStream,
    },
    time::{Duration, Instant},
};

use livecode_protocol::{
    control::{SpawnerRequest, SupervisorIdentity},
    run_spec::SandboxLayout,
    session_folder,
    warm::SpawnerSettings,
};
use livecode_sandbox::{Cpus, Host, MountSources, Sandbox, SetupError, ZygoteClient, fd_passing, timespec};
use rustix::{
    event::{PollFd, PollFlags, epoll, poll},
    io::retry_on_intr,
    net::{SendFlags, Shutdown, SocketType, shutdown},
};

use crate::{
    identity::{ProcessIdentity, own_identity},
    session::{
        startup::{WarmSandbox, supervise},
        supervisor::end::SupervisedEnd,
    },
    spawner::{
        channels::{UnparkMessage, WorkerStatus, socket_pair},
        requests::receive_request,
        sweep::sweep_session,
    },
};

/// Idle timeout of a warm worker. The pool gives none to the few workers that it always keeps.
pub(super) const IDLE_WORKER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a worker stays parked before it ends.
const PARK_TIMEOUT: Duration = Duration::from_secs(1);
/// Sessions that one worker serves. After that it ends, and another with fresh memory takes its
/// place.
const MAX_SESSIONS_PER_WORKER: u32 = 256;

/// [epoll data](epoll::EventData) of the socket on which requests come.
const REQUEST_EVENT: u64 = 0;
/// Epoll data of descriptors that become ready when the worker is to end.
const END_EVENT: u64 = 1;

/// What a spawner and all its workers share.
pub(super) struct SpawnerContext<'a> {
    pub host: Host,
    pub settings: &'a SpawnerSettings,
    /// The zygote; `None` without warm starts, or if it could not be forked. Then each sandbox is
    /// cloned from a worker that has served no session.
    pub zygote: Option<ZygoteClient>,
}

/// A worker's ends of its channels, and what its pool has told it to do.
pub(super) struct Worker {
    /// The layout of the sandbox that the worker makes before it takes a request; `None` if it
    /// makes none.
    pub prepared_layout: Option<SandboxLayout>,
    /// The CPU that init must not use while it sets up a sandbox: a session was just started on
    /// it.
    pub excluded_cpu: Option<usize>,
    /// The worker's copy of the spawner's socket to the server, on which requests arrive; `None` if
    /// the spawner sends the worker a request on its status channel. It is dropped once a request
    /// is taken: the server reads end-of-file when the spawner has died, so a supervisor must not
    /// hold the socket open.
    pub server: Option<OwnedFd>,
    pub status_channel: OwnedFd,
    pub park_channel: OwnedFd,
    /// How long the worker waits for a request; `None` for ever.
    pub idle_timeout: Option<Duration>,
    /// The request that the worker was forked for, if any.
    pub request: Option<(SpawnerRequest, UnixStream)>,
}

/// How a worker has dealt with one request.
enum Served {
    /// It supervised a session, which has ended well, and was released by the server.
    Session,
    /// The worker is to end with this status.
    End(i32),
}

impl Worker {
    /// Serves requests one after the other, until the worker is not needed any more or must not be
    /// reused. Returns the status for the process to exit with.
    pub fn run(mut self, context: &SpawnerContext<'_>) -> i32 {
        let _ = rustix::process::setsid();
        livecode_sandbox::reap_children_automatically(false);
        let _ = rustix::thread::set_name(c"livecode-super");
        let own = match own_identity() {
            Ok(own) => own,
            Err(error) => {
                eprintln!("livecode supervisor: cannot find its own identity: {error}");
                return 1;
            }
        };
        for served_count in 0..MAX_SESSIONS_PER_WORKER {
            match self.serve_once(context, &own, served_count > 0) {
                Served::Session if self.can_be_reused(context) => {}
                Served::Session => return 0,
                Served::End(status) => return status,
            }
            if !self.park() {
                return 0;
            }
        }
        0
    }

    /// Whether the worker may serve another session: the zygote makes that session's sandbox, and
    /// no thread of the last session is left.
    fn can_be_reused(&self, context: &SpawnerContext<'_>) -> bool {
        self.prepared_layout.is_some() && context.zygote.is_some() && livecode_sandbox::has_one_thread()
    }

    fn serve_once(
        &mut self,
        context: &SpawnerContext<'_>,
        own: &SupervisorIdentity,
        has_served: bool,
    ) -> Served {
        let warm = match self.make_warm_sandbox(context, own) {
            Ok(warm) => warm,
            Err(error) => {
                // The worker that is forked for the next request tries again, and reports to that
                // session why it fails. If the spawner has ended, its zygote has ended too, and
                // this failure means nothing.
                if self.is_spawner_alive() {
                    eprintln!("livecode spawner: cannot make a warm sandbox: {error}: {}", error.source);
                }
                if ZygoteClient::is_hang(&error) {
                    WorkerStatus::ZygoteHangs.send(&self.status_channel);
                }
                return Served::End(1);
            }
        };
        let (request, stream) = match self.receive(warm.as_ref()) {
            Ok(Some(request)) => request,
            Ok(None) => return Served::End(0),
            // The other end was closed with something unread in it: the server or the spawner has
            // ended.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Served::End(0),
            Err(error) => {
                eprintln!("livecode spawner: cannot receive a request: {error}");
                return Served::End(1);
            }
        };
        self.report_taken();
        match request {
            SpawnerRequest::StartSupervisor(id) => {
                let folder = session_folder::path(&context.settings.data_dir, id);
                // The memory of this process may hold what earlier sessions were told, and the ids
                // of sessions that the spawner was asked for. A zygote knows of no session. An
                // interpreter zygote is not needed by a worker that has served none: its spawner
                // receives few requests itself, most of them because the zygote hangs.
                let is_needed = |zygote: &&ZygoteClient| has_served || zygote.interpreter().is_none();
                let zygote = context.zygote.as_ref().filter(is_needed);
                let case_zygote = context.zygote.as_ref();
                match supervise(&context.host, own, zygote, case_zygote, folder, stream, warm) {
                    SupervisedEnd::Released => Served::Session,
                    SupervisedEnd::Exit(status) => Served::End(status),
                }
            }
            SpawnerRequest::Sweep(id) => {
                sweep_session(&context.host, &context.settings.data_dir, id);
                drop(stream); // The end of the connection tells the server that the sweep is done.
                Served::End(0)
            }
        }
    }

    /// Makes a sandbox before there is a session for it. Returns `None` if this worker is to make
    /// none.
    fn make_warm_sandbox(
        &self,
        context: &SpawnerContext<'_>,
        own: &SupervisorIdentity,
    ) -> Result<Option<WarmSandbox>, SetupError> {
        let (Some(layout), Some(warm)) = (&self.prepared_layout, &context.settings.warm) else {
            return Ok(None);
        };
        if let Some(cpu) = self.excluded_cpu {
            context.host.cpus.avoid(cpu);
        }
        let cgroup_name = ProcessIdentity::from(own).cgroup_name();
        let zygote = context.zygote.as_ref();
        let mount_sources = MountSources::find(&context.host, layout);
        let (mut sandbox, pipes) =
            Sandbox::create(&context.host, &cgroup_name, layout, zygote, self.excluded_cpu)?;
        sandbox.set_limits(&warm.limits, warm.cpu_millicores)?;
        sandbox.wait_ready()?;
        context.host.cpus.use_all();
        let interpreter = zygote.and_then(|zygote| zygote.interpreter().cloned());
        Ok(Some(WarmSandbox { layout: layout.clone(), mount_sources, interpreter, sandbox, pipes }))
    }

    /// Waits for a request. Returns `None` if the worker is to end instead: the server or the
    /// spawner is gone, the warm sandbox has died, or the idle timeout has passed.
    ///
    /// # Errors
    /// If the server's socket fails.
    fn receive(&mut self, warm: Option<&WarmSandbox>) -> io::Result<Option<(SpawnerRequest, UnixStream)>> {
        if let Some(request) = self.request.take() {
            return Ok(Some(request));
        }
        // The worker waits on the one socket, and on the other for the end of the spawner.
        let requests = self.server.as_ref().unwrap_or(&self.status_channel);
        WorkerStatus::Ready.send(&self.status_channel);
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        // EPOLLEXCLUSIVE: a request does not wake all workers that wait for one (epoll_ctl(2)).
        let flags = epoll::EventFlags::IN | epoll::EventFlags::EXCLUSIVE;
        epoll::add(&epoll, requests, epoll::EventData::new_u64(REQUEST_EVENT), flags)?;
        let end = epoll::EventData::new_u64(END_EVENT);
        if self.server.is_some() {
            // EPOLLHUP, which needs no flag, reports that the spawner is gone (epoll_ctl(2)).
            epoll::add(&epoll, &self.status_channel, end, epoll::EventFlags::empty())?;
        }
        if let Some(warm) = warm {
            epoll::add(&epoll, warm.sandbox.control_fd(), end, epoll::EventFlags::IN)?;
        }
        let deadline = self.idle_timeout.map(|timeout| Instant::now() + timeout);
        loop {
            let left = deadline.map(|deadline| timespec(deadline.saturating_duration_since(Instant::now())));
            let mut events = Vec::with_capacity(2);
            match epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut events), left.as_ref()) {
                Ok(0) => return Ok(None),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            match receive_request(requests) {
                // Another worker has received the request, or there was none.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return other,
            }
            if events.iter().any(|event| event.data.u64() == END_EVENT) {
                return Ok(None);
            }
        }
    }

    /// Reports that a request is taken, so that the pool prepares another worker. This worker
    /// receives no further requests.
    fn report_taken(&mut self) {
        self.server = None;
        WorkerStatus::Taken { cpu: Cpus::current() }.send(&self.status_channel);
    }

    fn is_spawner_alive(&self) -> bool {
        let mut status_channel = [PollFd::new(&self.status_channel, PollFlags::empty())];
        poll(&mut status_channel, Some(&timespec(Duration::ZERO))) == Ok(0)
    }

    /// Waits until the pool needs another warm sandbox. Returns `false` if it needs none, and
    /// the worker is to end.
    fn park(&mut self) -> bool {
        let Ok((ours, theirs)) = socket_pair(SocketType::STREAM) else { return false };
        // The send fails if the spawner is gone. If it hangs and the channel is full, the
        // worker does not wait for it.
        if fd_passing::send(&self.park_channel, &[0], &[theirs.as_fd()], SendFlags::DONTWAIT).is_err() {
            return false;
        }
        drop(theirs);
        let mut unparked = [PollFd::new(&ours, PollFlags::IN)];
        let _ = retry_on_intr(|| poll(&mut unparked, Some(&timespec(PARK_TIMEOUT))));
        let (message, server) = match UnparkMessage::receive(&ours) {
            Some(unparked) => unparked,
            None => {
                // From here on, a send of the pool fails. A message that was sent before can still
                // be read, but a worker without the server's socket could be sent no request.
                let _ = shutdown(&ours, Shutdown::Read);
                let Some((message, Some(server))) = UnparkMessage::receive(&ours) else { return false };
                (message, Some(server))
            }
        };
        let UnparkMessage { excluded_cpu, has_idle_timeout, layout } = message;
        self.server = server;
        self.prepared_layout = Some(layout);
        self.excluded_cpu = excluded_cpu;
        self.idle_timeout = has_idle_timeout.then_some(IDLE_WORKER_TIMEOUT);
        self.status_channel = ours;
        true
    }
}
