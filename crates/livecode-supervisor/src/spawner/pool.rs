//! The pool of workers. Each idle worker has a warm sandbox, and waits beside the others for what
//! the server sends.
//!
//! The number of idle workers follows the demand. It doubles when a request was taken and no other
//! worker was ready, and falls by one when a worker's idle timeout passes and the worker ends.
//! If no warm sandbox can be made, or none is to be made, the spawner receives each request itself
//! and forks a worker for it.
//!
//! A worker whose session has ended parks itself for a short time, and makes the next warm sandbox
//! if one is needed. Forking another worker instead would cost about as much in page faults as all
//! else that a worker does for a session. Warm sandboxes are cloned by the zygote
//! (`livecode_sandbox::zygote`) if there is one. A worker may clone itself only before it has
//! served a session, since later its memory holds what earlier sessions were told.

use std::{
    io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::UnixStream,
    },
    time::{Duration, Instant},
};

use livecode_protocol::control::SpawnerRequest;
use livecode_sandbox::{Forked, ZygoteClient, fd_passing, timespec};
use rustix::{
    event::{PollFd, PollFlags, poll},
    net::{RecvFlags, SocketType},
};

use crate::spawner::{
    channels::{StatusUpdate, UnparkMessage, WorkerState, socket_pair},
    requests::receive_request,
    worker::{IDLE_WORKER_TIMEOUT, SpawnerContext, Worker},
};

/// Idle workers that are kept however long there was no request.
const MIN_IDLE_WORKERS: usize = 1;
/// Workers that may be parked at once. When one more parks, the one that was parked longest ends.
const MAX_PARKED_WORKERS: usize = 16;
/// How long no warm sandbox is made after one could not be made: at first, and at most. The time
/// doubles with each failure. Meanwhile each request makes its own sandbox.
const MIN_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(10);

/// The spawner's side of the pool.
pub(super) struct Pool<'a> {
    context: &'a SpawnerContext<'a>,
    /// The spawner's socket to the server, on which requests arrive. Workers inherit it.
    server: OwnedFd,
    idle: Vec<IdleWorker>,
    /// The status channels of parked workers, in the order in which they were parked. The one that
    /// was parked last is unparked first.
    parked: Vec<OwnedFd>,
    /// The end of the park channel that this process reads.
    park_receiver: OwnedFd,
    /// The end of the park channel that each worker inherits.
    park_sender: OwnedFd,
    /// The number of idle workers with a warm sandbox that the pool keeps now.
    target_idle: usize,
    /// The most that [`Self::target_idle`] may become.
    max_idle: usize,
    /// How long to back off after the next failure.
    backoff: Duration,
    /// When the pool may make warm sandboxes again, while it backs off.
    retry_at: Option<Instant>,
    /// The CPU on which the last request was taken.
    busy_cpu: Option<usize>,
    zygote_hangs: bool,
}

/// A worker that has not reported that it has a request, including one that was forked for a
/// request.
struct IdleWorker {
    status_channel: OwnedFd,
    /// Whether the worker makes a sandbox before it takes a request.
    prepares_sandbox: bool,
    /// Whether that sandbox is made, and the worker waits for a request.
    is_ready: bool,
}

/// What a spawner has to do next.
enum PoolEvent {
    Nothing,
    /// Fork a worker for this request.
    Request((SpawnerRequest, UnixStream)),
    /// End: the server is gone, or the zygote is gone or hangs.
    End,
}

impl<'a> Pool<'a> {
    /// # Errors
    /// If the park channel cannot be made.
    pub fn new(context: &'a SpawnerContext<'a>, server: OwnedFd) -> io::Result<Self> {
        let max_idle = context.settings.warm.as_ref().map_or(0, |warm| warm.sandboxes_max as usize);
        let (park_receiver, park_sender) = socket_pair(SocketType::SEQPACKET)?;
        Ok(Self {
            context,
            server,
            idle: vec![],
            parked: vec![],
            park_receiver,
            park_sender,
            target_idle: MIN_IDLE_WORKERS.min(max_idle),
            max_idle,
            backoff: MIN_BACKOFF,
            retry_at: None,
            busy_cpu: None,
            zygote_hangs: false,
        })
    }

    /// Keeps workers idle and forks them for requests, until the server or the zygote is gone. It
    /// also returns in each worker, once that is done. Returns the status for the process to exit
    /// with.
    pub fn run(mut self) -> i32 {
        loop {
            if self.retry_at.is_some_and(|at| at <= Instant::now()) {
                self.retry_at = None;
            }
            let needs_worker = self.retry_at.is_none() && self.warm_count() < self.target_idle;
            if needs_worker && self.unpark() {
                continue;
            }
            let request = match self.wait(needs_worker) {
                Ok(PoolEvent::Request(request)) => Some(request),
                Ok(PoolEvent::Nothing) if needs_worker => None,
                Ok(PoolEvent::Nothing) => continue,
                Ok(PoolEvent::End) => return 0,
                Err(error) => {
                    eprintln!("livecode spawner: cannot wait for requests: {error}");
                    return 1;
                }
            };
            // A worker for a request that is here already serves it without a warm sandbox.
            let prepares_sandbox = needs_worker && request.is_none();
            match self.fork(prepares_sandbox) {
                Ok(None) => {}
                Ok(Some((status_channel, idle_timeout))) => {
                    let excluded_cpu = self.excluded_cpu().filter(|_| prepares_sandbox);
                    let Self { context, server, park_sender, idle, parked, park_receiver, .. } = self;
                    // The channels of other workers belong to the spawner alone.
                    drop((idle, parked, park_receiver));
                    let worker = Worker {
                        prepares_sandbox,
                        excluded_cpu,
                        server: Some(server),
                        status_channel,
                        park_channel: park_sender,
                        idle_timeout,
                        request,
                    };
                    return worker.run(context);
                }
                Err(error) => {
                    eprintln!("livecode spawner: cannot fork: {error}");
                    self.back_off();
                }
            }
        }
    }

    /// Number of idle workers that have a warm sandbox or are making one.
    fn warm_count(&self) -> usize {
        self.idle.iter().filter(|worker| worker.prepares_sandbox).count()
    }

    /// The CPU that init must not use while it sets up the next sandbox: the one on which the last
    /// request is being served, unless no other worker is ready. In that case the next sandbox is
    /// needed as soon as possible.
    fn excluded_cpu(&self) -> Option<usize> {
        self.busy_cpu.filter(|_| self.idle.iter().any(|worker| worker.is_ready))
    }

    /// The idle timeout of the next worker; `None` if that is one of the [`MIN_IDLE_WORKERS`].
    fn idle_timeout(&self) -> Option<Duration> {
        (self.warm_count() >= MIN_IDLE_WORKERS).then_some(IDLE_WORKER_TIMEOUT)
    }

    /// Lets a parked worker make a warm sandbox. Returns `false` if no worker is parked.
    fn unpark(&mut self) -> bool {
        while let Some(status_channel) = self.parked.pop() {
            let message = UnparkMessage {
                excluded_cpu: self.excluded_cpu(),
                has_idle_timeout: self.idle_timeout().is_some(),
            };
            // The send fails if the worker has ended meanwhile.
            if message.send(&status_channel, &self.server).is_ok() {
                self.idle.push(IdleWorker { status_channel, prepares_sandbox: true, is_ready: false });
                return true;
            }
        }
        false
    }

    /// Forks a worker. Returns `None` in the spawner, and in the worker its end of the status
    /// channel and its idle timeout.
    fn fork(&mut self, prepares_sandbox: bool) -> io::Result<Option<(OwnedFd, Option<Duration>)>> {
        let idle_timeout = self.idle_timeout();
        let (ours, theirs) = socket_pair(SocketType::STREAM)?;
        match livecode_sandbox::fork()? {
            Forked::Child => Ok(Some((theirs, idle_timeout))),
            Forked::Parent(_) => {
                self.idle.push(IdleWorker { status_channel: ours, prepares_sandbox, is_ready: false });
                Ok(None)
            }
        }
    }

    /// Stops making warm sandboxes for a while, which doubles with each failure in a row.
    fn back_off(&mut self) {
        self.retry_at = Some(Instant::now() + self.backoff);
        self.backoff = (self.backoff * 2).min(MAX_BACKOFF);
    }

    /// Waits until a worker reports, or until a request comes that no idle worker will take.
    /// Returns at once if `needs_worker`: then a worker is to be forked if nothing else is to
    /// be done.
    fn wait(&mut self, needs_worker: bool) -> io::Result<PoolEvent> {
        // Idle workers with a warm sandbox receive requests themselves.
        let server_events = if self.warm_count() == 0 { PollFlags::IN } else { PollFlags::empty() };
        // Without a zygote the server's socket takes its place, so that the indices below are fixed.
        let zygote = self.context.zygote.as_ref().map_or(self.server.as_fd(), |zygote| zygote.socket());
        let mut fds = vec![
            PollFd::new(&self.server, server_events),
            PollFd::from_borrowed_fd(zygote, PollFlags::empty()),
            PollFd::new(&self.park_receiver, PollFlags::IN),
        ];
        let first_worker = fds.len();
        fds.extend(self.idle.iter().map(|worker| PollFd::new(&worker.status_channel, PollFlags::IN)));
        let until_retry = self.retry_at.map(|at| at.saturating_duration_since(Instant::now()));
        let timeout = if needs_worker { Some(Duration::ZERO) } else { until_retry }.map(timespec);
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(PoolEvent::Nothing),
            Err(errno) => return Err(errno.into()),
        }
        let [server, zygote, park_receiver] = [0, 1, 2].map(|index| fds[index].revents());
        let has_reported: Vec<bool> = fds[first_worker..].iter().map(|fd| !fd.revents().is_empty()).collect();
        // The last index comes first, since reading a status may remove the worker from the list.
        for index in (0..has_reported.len()).rev().filter(|index| has_reported[*index]) {
            self.read_status(index);
        }
        if self.zygote_hangs {
            eprintln!("livecode spawner: its zygote hangs");
            self.context.zygote.iter().for_each(ZygoteClient::kill);
            return Ok(PoolEvent::End);
        }
        if park_receiver.contains(PollFlags::IN) {
            self.accept_parked();
        }
        if !server.contains(PollFlags::IN) {
            // Without its zygote the spawner is of no use. The server starts another.
            if server.is_empty() && !zygote.is_empty() {
                eprintln!("livecode spawner: its zygote has ended");
            }
            let is_alive = server.is_empty() && zygote.is_empty();
            return Ok(if is_alive { PoolEvent::Nothing } else { PoolEvent::End });
        }
        // The spawner has received this request itself before it forks a worker for it. So no
        // request waits for a worker that hangs before it receives one.
        match receive_request(&self.server) {
            Ok(Some(request)) => Ok(PoolEvent::Request(request)),
            Ok(None) => Ok(PoolEvent::End),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(PoolEvent::Nothing),
            Err(error) => Err(error),
        }
    }

    /// Reads what an idle worker has reported, and adapts the pool to it.
    fn read_status(&mut self, index: usize) {
        let Some(update) = StatusUpdate::receive(&self.idle[index].status_channel) else { return };
        if update.is_ready {
            self.idle[index].is_ready = true;
            self.backoff = MIN_BACKOFF;
        }
        let taken_on_cpu = match update.state {
            WorkerState::Idle => return,
            WorkerState::ZygoteHangs => return self.zygote_hangs = true,
            WorkerState::Taken { cpu } => Some(cpu),
            WorkerState::Ended => None,
        };
        let worker = self.idle.swap_remove(index);
        if !worker.prepares_sandbox {
            return;
        }
        if let Some(cpu) = taken_on_cpu {
            self.busy_cpu = cpu;
            let is_another_ready = self.idle.iter().any(|worker| worker.is_ready);
            if !is_another_ready {
                self.target_idle = (self.target_idle * 2).min(self.max_idle);
            }
        } else if worker.is_ready {
            // Its idle timeout has passed, or its sandbox has died.
            self.target_idle = (self.target_idle - 1).max(MIN_IDLE_WORKERS).min(self.max_idle);
        } else {
            // It could not make its sandbox.
            self.back_off();
        }
    }

    /// Receives the status channel of a worker that has parked itself.
    fn accept_parked(&mut self) {
        let received = fd_passing::receive(&self.park_receiver, &mut [0], RecvFlags::DONTWAIT);
        let (_, status_channels) = received.unwrap_or_default();
        self.parked.extend(status_channels);
        if self.parked.len() > MAX_PARKED_WORKERS {
            // The worker ends when its status channel is closed.
            self.parked.remove(0);
        }
    }
}
