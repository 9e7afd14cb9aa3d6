//! The pool of workers. Each idle worker has a warm sandbox, and waits beside the others for what
//! the server sends.
//!
//! The number of idle workers follows the demand. It doubles when a request was taken and no other
//! worker was ready, and falls by one when a worker's idle timeout passes and the worker ends.
//! If no warm sandbox can be made, or none is to be made, the spawner receives each request itself
//! and forks a worker for it.
//!
//! So it is with the usual layout, which most sessions have. The spawner always receives requests
//! for sessions of another layout itself: it passes each to an idle worker whose sandbox has this
//! layout, or forks a worker for it. [`LayoutPools`] decides how many such workers there are. They
//! have no idle timeout of their own. The spawner ends them, so that it never passes a request to
//! a worker that is about to end.
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

use livecode_protocol::{
    control::{LayoutRequest, SpawnerRequest},
    run_spec::SandboxLayout,
};
use livecode_sandbox::{Forked, ZygoteClient, fd_passing, timespec};
use rustix::{
    event::{PollFd, PollFlags, poll},
    net::{RecvFlags, SocketType},
};

use crate::spawner::{
    channels::{StatusUpdate, UnparkMessage, WorkerState, socket_pair},
    layout_pools::{LayoutPools, PoolId, PoolStep, WorkerCount},
    requests::{receive_layout_request, receive_request, send_request},
    retry::RetryPause,
    worker::{IDLE_WORKER_TIMEOUT, SpawnerContext, Worker},
};

/// Idle workers that are kept however long there was no request.
const MIN_IDLE_WORKERS: usize = 1;
/// Workers that may be parked at once. When one more parks, the one that was parked longest ends.
const MAX_PARKED_WORKERS: usize = 16;
/// Requests of other layouts that are passed to workers before the reports of workers are read
/// again.
const MAX_REQUESTS_AT_ONCE: usize = 16;

/// The spawner's side of the pool.
pub(super) struct Pool<'a> {
    context: &'a SpawnerContext<'a>,
    /// The spawner's socket to the server, on which requests arrive. Workers inherit it.
    server: OwnedFd,
    /// The socket on which requests for sessions of other layouts than the usual one arrive.
    layout_socket: OwnedFd,
    idle: Vec<IdleWorker>,
    /// The pools of other layouts than the usual one.
    layouts: LayoutPools,
    /// The status channels of parked workers, in the order in which they were parked. The one that
    /// was parked last is unparked first.
    parked: Vec<OwnedFd>,
    /// The end of the park channel that this process reads.
    park_receiver: OwnedFd,
    /// The end of the park channel that each worker inherits.
    park_sender: OwnedFd,
    /// The number of idle workers with a warm sandbox of the usual layout that the pool keeps now.
    target_idle: usize,
    /// The most that [`Self::target_idle`] may become.
    max_idle: usize,
    /// When no warm sandboxes of the usual layout are made, since they cannot be.
    pause: RetryPause,
    /// The CPU on which the last request was taken.
    busy_cpu: Option<usize>,
    zygote_hangs: bool,
}

/// A worker that has not reported that it has a request, including one that was forked for a
/// request.
struct IdleWorker {
    status_channel: OwnedFd,
    duty: Duty,
    phase: Phase,
}

/// The purpose of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Duty {
    /// To serve a request that is here already. It makes no sandbox ahead.
    Request,
    /// To make a sandbox of the usual layout, and to receive a request itself.
    Usual,
    /// To make a sandbox of this pool's layout, and to be sent a request.
    Layout(PoolId),
}

impl Duty {
    /// Whether the worker receives a request from the server itself. A worker that has a request
    /// already holds the server's socket, too, until it has reported that.
    fn receives_requests(self) -> bool {
        !matches!(self, Self::Layout(_))
    }
}

/// How far an idle worker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It makes its sandbox, or is about to report that it has a request.
    Preparing,
    /// Its sandbox is made, and it waits for a request since then.
    Ready(Instant),
    /// It was sent a request.
    Assigned,
}

impl IdleWorker {
    fn new(status_channel: OwnedFd, duty: Duty) -> Self {
        Self { status_channel, duty, phase: Phase::Preparing }
    }

    fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Ready(_))
    }
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
    pub fn new(context: &'a SpawnerContext<'a>, server: OwnedFd, layout_socket: OwnedFd) -> io::Result<Self> {
        let max_idle = context.settings.warm.as_ref().map_or(0, |warm| warm.sandboxes_max as usize);
        let (park_receiver, park_sender) = socket_pair(SocketType::SEQPACKET)?;
        Ok(Self {
            context,
            server,
            layout_socket,
            idle: vec![],
            layouts: LayoutPools::new(context.settings.warm.as_ref()),
            parked: vec![],
            park_receiver,
            park_sender,
            target_idle: MIN_IDLE_WORKERS.min(max_idle),
            max_idle,
            pause: RetryPause::default(),
            busy_cpu: None,
            zygote_hangs: false,
        })
    }

    /// Keeps workers idle and forks them for requests, until the server or the zygote is gone. It
    /// also returns in each worker, once that is done. Returns the status for the process to exit
    /// with.
    pub fn run(mut self) -> i32 {
        loop {
            let now = Instant::now();
            self.end_unwanted(now);
            let needed = self.needed_worker(now);
            if needed.is_some_and(|duty| self.unpark(duty)) {
                continue;
            }
            let request = match self.wait(needed.is_some()) {
                Ok(PoolEvent::Request(request)) => Some(request),
                Ok(PoolEvent::Nothing) if needed.is_some() => None,
                Ok(PoolEvent::Nothing) => continue,
                Ok(PoolEvent::End) => return 0,
                Err(error) => {
                    eprintln!("livecode spawner: cannot wait for requests: {error}");
                    return 1;
                }
            };
            // A worker for a request that is here already serves it without a warm sandbox.
            let duty = needed.filter(|_| request.is_none()).unwrap_or(Duty::Request);
            match self.fork(duty) {
                Ok(None) => {}
                Ok(Some((status_channel, idle_timeout))) => {
                    let prepared_layout = self.layout(duty).cloned();
                    let excluded_cpu = self.excluded_cpu(duty);
                    let Self { context, server, park_sender, .. } = self;
                    // The channels of other workers belong to the spawner alone.
                    drop((self.idle, self.parked, self.park_receiver, self.layout_socket));
                    let worker = Worker {
                        prepared_layout,
                        excluded_cpu,
                        server: duty.receives_requests().then_some(server),
                        status_channel,
                        park_channel: park_sender,
                        idle_timeout,
                        request,
                    };
                    return worker.run(context);
                }
                Err(error) => {
                    eprintln!("livecode spawner: cannot fork: {error}");
                    match duty {
                        Duty::Request | Duty::Usual => drop(self.pause.fail(now)),
                        Duty::Layout(pool) => self.layouts.fail(pool, true, now),
                    }
                }
            }
        }
    }

    /// The purpose of the next worker, if one is needed. A worker of another layout ends to
    /// make room for it if it must.
    fn needed_worker(&mut self, now: Instant) -> Option<Duty> {
        if self.warm_count() < self.target_idle && self.pause.until(now).is_none() {
            return Some(Duty::Usual);
        }
        loop {
            match self.layouts.next_step(now, |pool| worker_count(&self.idle, pool))? {
                PoolStep::Make(pool) => return Some(Duty::Layout(pool)),
                PoolStep::End(pool) => self.end_one(pool),
            }
        }
    }

    /// Number of idle workers that have a warm sandbox of the usual layout or are making one.
    fn warm_count(&self) -> usize {
        self.idle.iter().filter(|worker| worker.duty == Duty::Usual).count()
    }

    fn has_ready(&self, duty: Duty) -> bool {
        self.idle.iter().any(|worker| worker.duty == duty && worker.is_ready())
    }

    /// The layout of the sandbox that a worker makes ahead, if it makes one.
    fn layout(&self, duty: Duty) -> Option<&SandboxLayout> {
        match duty {
            Duty::Request => None,
            Duty::Usual => self.context.settings.warm.as_ref().map(|warm| &warm.layout),
            Duty::Layout(pool) => self.layouts.layout(pool),
        }
    }

    /// The CPU that init must not use while it sets up the next sandbox: the one on which the last
    /// request is being served, unless no other worker is ready. In that case the next sandbox is
    /// needed as soon as possible.
    fn excluded_cpu(&self, duty: Duty) -> Option<usize> {
        self.busy_cpu.filter(|_| duty != Duty::Request && self.has_ready(duty))
    }

    /// The idle timeout of the next worker; `None` if that is one of the [`MIN_IDLE_WORKERS`], or
    /// if the spawner ends it.
    fn idle_timeout(&self, duty: Duty) -> Option<Duration> {
        let may_end = duty == Duty::Usual && self.warm_count() >= MIN_IDLE_WORKERS;
        may_end.then_some(IDLE_WORKER_TIMEOUT)
    }

    /// Lets a parked worker make a warm sandbox. Returns `false` if no worker is parked.
    fn unpark(&mut self, duty: Duty) -> bool {
        let Some(layout) = self.layout(duty).cloned() else { return false };
        let (excluded_cpu, idle_timeout) = (self.excluded_cpu(duty), self.idle_timeout(duty));
        let message = UnparkMessage { excluded_cpu, has_idle_timeout: idle_timeout.is_some(), layout };
        while let Some(status_channel) = self.parked.pop() {
            let server = duty.receives_requests().then_some(&self.server);
            // The send fails if the worker has ended meanwhile.
            if message.send(&status_channel, server).is_ok() {
                self.idle.push(IdleWorker::new(status_channel, duty));
                return true;
            }
        }
        false
    }

    /// Ends one worker of a pool, the one that has waited longest.
    fn end_one(&mut self, pool: PoolId) {
        let duty = Duty::Layout(pool);
        let waits = |worker: &IdleWorker| worker.duty == duty && worker.phase != Phase::Assigned;
        if let Some(index) = self.idle.iter().position(waits) {
            // The worker ends when its status channel is closed.
            self.idle.remove(index);
        }
        let WorkerCount { waiting, assigned } = worker_count(&self.idle, pool);
        self.layouts.shrink_to(pool, waiting + assigned);
    }

    /// Ends the workers of layouts that nobody wants any more, and of each pool those that have
    /// waited in vain, except for the last.
    fn end_unwanted(&mut self, now: Instant) {
        self.layouts.forget_unwanted(now);
        let layouts = &self.layouts;
        self.idle.retain(|worker| match worker.duty {
            Duty::Layout(pool) => worker.phase == Phase::Assigned || layouts.layout(pool).is_some(),
            Duty::Request | Duty::Usual => true,
        });
        loop {
            let timeout = self.idle_timeouts().find(|(due, _)| *due <= now);
            let Some((_, pool)) = timeout else { return };
            self.end_one(pool);
        }
    }

    /// When a worker of a pool has waited long enough in vain, and a worker of that pool is to end.
    fn idle_timeouts(&self) -> impl Iterator<Item = (Instant, PoolId)> {
        self.idle.iter().filter_map(|worker| match (worker.duty, worker.phase) {
            (Duty::Layout(pool), Phase::Ready(since)) if worker_count(&self.idle, pool).waiting > 1 => {
                Some((since + IDLE_WORKER_TIMEOUT, pool))
            }
            _ => None,
        })
    }

    /// Passes a request to a worker whose warm sandbox has the layout. Returns the request if there
    /// is none: then a worker is to be forked for it.
    fn assign(
        &mut self,
        LayoutRequest { id, layout }: LayoutRequest,
        stream: UnixStream,
    ) -> Option<(SpawnerRequest, UnixStream)> {
        let pool = self.layouts.want(layout, Instant::now());
        let request = SpawnerRequest::StartSupervisor(id);
        let is_fit = |worker: &IdleWorker| worker.duty == Duty::Layout(pool) && worker.is_ready();
        while let Some(index) = self.idle.iter().rposition(is_fit) {
            if send_request(&self.idle[index].status_channel, &request, &stream).is_ok() {
                self.idle[index].phase = Phase::Assigned;
                return None;
            }
            self.idle.remove(index); // the worker has ended
        }
        self.layouts.grow(pool);
        Some((request, stream))
    }

    /// Forks a worker. Returns `None` in the spawner, and in the worker its end of the status
    /// channel and its idle timeout.
    fn fork(&mut self, duty: Duty) -> io::Result<Option<(OwnedFd, Option<Duration>)>> {
        let idle_timeout = self.idle_timeout(duty);
        let (ours, theirs) = socket_pair(SocketType::STREAM)?;
        match livecode_sandbox::fork()? {
            Forked::Child => Ok(Some((theirs, idle_timeout))),
            Forked::Parent(_) => {
                self.idle.push(IdleWorker::new(ours, duty));
                Ok(None)
            }
        }
    }

    /// Waits until a worker reports, or until a request comes that no idle worker will take.
    /// Returns at once if `needs_worker`: then a worker is to be forked if nothing else is to
    /// be done.
    fn wait(&mut self, needs_worker: bool) -> io::Result<PoolEvent> {
        // Idle workers with a warm sandbox receive requests themselves.
        let server_events = if self.warm_count() == 0 { PollFlags::IN } else { PollFlags::empty() };
        // Without a zygote the server's socket takes its place, so that the indices below are
        // fixed.
        let zygote = self.context.zygote.as_ref().map_or(self.server.as_fd(), |zygote| zygote.socket());
        let mut fds = vec![
            PollFd::new(&self.server, server_events),
            PollFd::from_borrowed_fd(zygote, PollFlags::empty()),
            PollFd::new(&self.park_receiver, PollFlags::IN),
            PollFd::new(&self.layout_socket, PollFlags::IN),
        ];
        let first_worker = fds.len();
        fds.extend(self.idle.iter().map(|worker| PollFd::new(&worker.status_channel, PollFlags::IN)));
        let idle_timeouts = self.idle_timeouts().map(|(due, _)| due);
        let now = Instant::now();
        let due = idle_timeouts.chain(self.pause.until(now)).chain(self.layouts.due(now)).min();
        let until_due = due.map(|due| due.saturating_duration_since(now));
        let timeout = if needs_worker { Some(Duration::ZERO) } else { until_due }.map(timespec);
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(PoolEvent::Nothing),
            Err(errno) => return Err(errno.into()),
        }
        let [server, zygote, park_receiver, layout_socket] = [0, 1, 2, 3].map(|index| fds[index].revents());
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
        // Without its zygote the spawner is of no use, and requests that keep coming must not hide
        // that. The server starts another, and requests that nobody has received are sent again.
        if self.context.zygote.is_some() && !zygote.is_empty() {
            if server.is_empty() {
                eprintln!("livecode spawner: its zygote has ended");
            }
            return Ok(PoolEvent::End);
        }
        if server.contains(PollFlags::IN) {
            // The spawner has received this request itself before it forks a worker for it. So no
            // request waits for a worker that hangs before it receives one.
            match receive_request(&self.server) {
                Ok(Some(request)) => return Ok(PoolEvent::Request(request)),
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        // Requests that a server has sent on this socket before it let go of the spawner are served
        // first.
        if layout_socket.contains(PollFlags::IN)
            && let Some(event) = self.assign_requests()?
        {
            return Ok(event);
        }
        let is_server_gone = !server.difference(PollFlags::IN).is_empty();
        Ok(if is_server_gone { PoolEvent::End } else { PoolEvent::Nothing })
    }

    /// Passes the requests that have come on the layout socket to idle workers. Returns a request
    /// that no worker can take, or `Nothing` if there may be more; `None` if there is none left.
    fn assign_requests(&mut self) -> io::Result<Option<PoolEvent>> {
        for _ in 0..MAX_REQUESTS_AT_ONCE {
            match receive_layout_request(&self.layout_socket) {
                Ok(Some((request, stream))) => {
                    if let Some(unassigned) = self.assign(request, stream) {
                        return Ok(Some(PoolEvent::Request(unassigned)));
                    }
                }
                Ok(None) => return Ok(Some(PoolEvent::End)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(Some(PoolEvent::Nothing))
    }

    /// Reads what an idle worker has reported, and adapts the pool to it.
    fn read_status(&mut self, index: usize) {
        let Some(update) = StatusUpdate::receive(&self.idle[index].status_channel) else { return };
        if update.is_ready {
            self.idle[index].phase = Phase::Ready(Instant::now());
            if self.idle[index].duty == Duty::Usual {
                self.pause.succeed();
            }
        }
        let taken_on_cpu = match update.state {
            WorkerState::Idle => return,
            WorkerState::ZygoteHangs => return self.zygote_hangs = true,
            WorkerState::Taken { cpu } => Some(cpu),
            WorkerState::Ended => None,
        };
        let worker = self.idle.remove(index);
        if let Some(cpu) = taken_on_cpu.filter(|_| worker.duty != Duty::Request) {
            self.busy_cpu = cpu;
        }
        let has_taken = taken_on_cpu.is_some();
        let is_another_ready = self.has_ready(worker.duty);
        match worker.duty {
            Duty::Request => {}
            Duty::Usual if has_taken && !is_another_ready => {
                self.target_idle = (self.target_idle * 2).min(self.max_idle);
            }
            Duty::Usual if has_taken => {}
            // Its idle timeout has passed, or its sandbox has died.
            Duty::Usual if worker.is_ready() => {
                self.target_idle = (self.target_idle - 1).max(MIN_IDLE_WORKERS).min(self.max_idle);
            }
            // It could not make its sandbox.
            Duty::Usual => drop(self.pause.fail(Instant::now())),
            Duty::Layout(pool) if has_taken => {
                self.layouts.succeed(pool);
                if !is_another_ready {
                    self.layouts.grow(pool);
                }
            }
            // It could not make its sandbox, or its sandbox has died.
            Duty::Layout(pool) => {
                let was_made = worker.phase != Phase::Preparing;
                self.layouts.fail(pool, was_made, Instant::now());
            }
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

/// How many workers of a pool there are among the idle ones.
fn worker_count(idle: &[IdleWorker], pool: PoolId) -> WorkerCount {
    let of_pool = || idle.iter().filter(|worker| worker.duty == Duty::Layout(pool));
    let assigned = of_pool().filter(|worker| worker.phase == Phase::Assigned).count();
    WorkerCount { waiting: of_pool().count() - assigned, assigned }
}
