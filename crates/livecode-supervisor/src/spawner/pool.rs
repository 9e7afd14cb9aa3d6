//! Supervisors that are ahead of their requests: each makes a sandbox and waits, beside the others, for what the server sends.
//!
//! How many wait follows the demand: twice as many where one was asked for and none was ready, one less whenever one has
//! waited long in vain, which then ends. Where none can be made ahead, or none is to be, one is forked for each request
//! when it comes.
//!
//! One whose session has ended soon rests, and makes the next sandbox where one is wanted: to fork another and have that
//! find its memory would cost as much as all that it does for a session. It makes none itself, since it knows what it
//! was told; the maker does (`livecode_sandbox::zygote`).

use std::{
    io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::UnixStream,
    },
    time::{Duration, Instant},
};

use livecode_protocol::control::SpawnerRequest;
use livecode_sandbox::{Cpus, Forked, ZygoteClient, fd_passing};
use rustix::{
    event::{PollFd, PollFlags, Timespec, epoll, poll},
    io::retry_on_intr,
    net::{
        AddressFamily, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType, recv, send, shutdown,
        socketpair,
    },
};

use crate::{
    session::startup::WarmSandbox,
    spawner::{Spawner, receive},
};

/// How many wait where nobody has asked for long.
const MIN_IDLE_WORKERS: usize = 1;
/// How long one waits in vain before it ends, unless it is one of the fewest.
const IDLE_WORKER_TIMEOUT: Duration = Duration::from_secs(10);
/// How many may rest.
const MAX_PARKED_WORKERS: usize = 16;
/// How long one rests before it ends.
const PARK_TIMEOUT: Duration = Duration::from_secs(1);
/// How many sessions one serves before another takes its place, with fresh memory.
pub(crate) const MAX_SESSIONS_PER_WORKER: u32 = 256;
/// How long nothing is made ahead after that failed, at first and at most; each request makes its own meanwhile.
const PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(10);
/// What a member says: its sandbox is ready; it has taken a request, on the CPU that the next byte tells; the maker is gone, or
/// hangs.
const READY: u8 = b'r';
const TAKEN: u8 = b't';
const HANGS: u8 = b'h';
/// Stands for no CPU, where one that is to make a sandbox is told which it is to stay away from.
const ANY_CPU: u8 = u8::MAX;

/// The spawner's side.
pub(crate) struct Pool<'a> {
    spawner: &'a Spawner<'a>,
    server: OwnedFd,
    waiting: Vec<Waiting>,
    /// Who rests, the last first to be woken; and where one says that it does, and where they have that from.
    resting: Vec<OwnedFd>,
    rests: OwnedFd,
    place: OwnedFd,
    wanted: usize,
    most: usize,
    pause: Duration,
    paused_until: Option<Instant>,
    /// The CPU on which the last request was taken.
    busy_cpu: Option<usize>,
    zygote_hangs: bool,
}

/// A member that has not taken a request.
struct Waiting {
    note: OwnedFd,
    is_ahead: bool,
    is_ready: bool,
}

/// A member's side.
pub(crate) struct Worker {
    /// Whether it makes a sandbox before it is asked to.
    pub is_ahead: bool,
    /// The CPU that it stays away from until then.
    pub excluded_cpu: Option<usize>,
    /// Where requests come from, until it has one: who serves a session does not keep a spawner's place when that has died.
    server: Option<OwnedFd>,
    place: OwnedFd,
    note: OwnedFd,
    /// How long it waits; for ever where that is not said.
    patience: Option<Duration>,
    /// What it was forked for, where that is known.
    request: Option<(SpawnerRequest, UnixStream)>,
}

impl<'a> Pool<'a> {
    pub fn new(spawner: &'a Spawner<'a>, server: OwnedFd) -> io::Result<Self> {
        let most = spawner.settings.warm.as_ref().map_or(0, |warm| warm.sandboxes_max as usize);
        let wanted = MIN_IDLE_WORKERS.min(most);
        let (rests, place) = pair(SocketType::SEQPACKET)?;
        Ok(Self {
            spawner,
            server,
            waiting: vec![],
            resting: vec![],
            rests,
            place,
            wanted,
            most,
            pause: PAUSE,
            paused_until: None,
            busy_cpu: None,
            zygote_hangs: false,
        })
    }

    /// Has sandboxes made ahead, and forks, until the server or the maker is gone. Returns in the forks, too, with the status to
    /// exit with.
    pub fn run(mut self) -> i32 {
        loop {
            if self.paused_until.is_some_and(|until| until <= Instant::now()) {
                self.paused_until = None;
            }
            let is_ahead = self.paused_until.is_none() && self.ahead() < self.wanted;
            if is_ahead && self.wake() {
                continue;
            }
            let request = match self.wait(is_ahead) {
                Ok(Next::Asked(request)) => Some(request),
                Ok(Next::Nothing) if is_ahead => None,
                Ok(Next::Nothing) => continue,
                Ok(Next::Gone) => return 0,
                Err(error) => {
                    eprintln!("livecode spawner: cannot wait: {error}");
                    return 1;
                }
            };
            let is_ahead = is_ahead && request.is_none();
            match self.fork(is_ahead) {
                Ok(None) => {}
                // The request was taken already, so that nobody waits for one that hangs before it takes it.
                Ok(Some((note, patience))) => {
                    let excluded_cpu = self.excluded_cpu().filter(|_| is_ahead);
                    let Self { spawner, server, place, waiting, resting, rests, .. } = self;
                    drop((waiting, resting, rests)); // what others say is not for this one
                    return spawner.serve(Worker {
                        is_ahead,
                        excluded_cpu,
                        server: Some(server),
                        place,
                        note,
                        patience,
                        request,
                    });
                }
                Err(error) => {
                    eprintln!("livecode spawner: cannot fork: {error}");
                    self.fail();
                }
            }
        }
    }

    fn ahead(&self) -> usize {
        self.waiting.iter().filter(|waiting| waiting.is_ahead).count()
    }

    /// The CPU that the next sandbox is not made on: that where somebody is being served, unless another waits for it.
    fn excluded_cpu(&self) -> Option<usize> {
        self.busy_cpu.filter(|_| self.waiting.iter().any(|waiting| waiting.is_ready))
    }

    fn patience(&self) -> Option<Duration> {
        (self.ahead() >= MIN_IDLE_WORKERS).then_some(IDLE_WORKER_TIMEOUT)
    }

    /// Has one that rests make a sandbox. `false` where none does.
    fn wake(&mut self) -> bool {
        while let Some(note) = self.resting.pop() {
            let excluded_cpu = self.excluded_cpu().and_then(|cpu| u8::try_from(cpu).ok()).unwrap_or(ANY_CPU);
            let words = [excluded_cpu, u8::from(self.patience().is_some())];
            // One that has ended meanwhile hears nothing.
            if fd_passing::send(&note, &words, &[self.server.as_fd()], SendFlags::empty()).is_ok() {
                self.waiting.push(Waiting { note, is_ahead: true, is_ready: false });
                return true;
            }
        }
        false
    }

    /// Forks a member. `Some` in the member.
    fn fork(&mut self, is_ahead: bool) -> io::Result<Option<(OwnedFd, Option<Duration>)>> {
        let patience = self.patience();
        let (heard, note) = pair(SocketType::STREAM)?;
        match livecode_sandbox::fork()? {
            Forked::Child => Ok(Some((note, patience))),
            Forked::Parent(_) => {
                self.waiting.push(Waiting { note: heard, is_ahead, is_ready: false });
                Ok(None)
            }
        }
    }

    /// Nothing is made ahead for a while.
    fn fail(&mut self) {
        self.paused_until = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(MAX_PAUSE);
    }

    /// Waits until a member says something, or a request comes that no member waits for; or only looks, where there is
    /// something to do.
    fn wait(&mut self, is_busy: bool) -> io::Result<Next> {
        // Who waits takes requests by itself.
        let asked = if self.ahead() == 0 { PollFlags::IN } else { PollFlags::empty() };
        let zygote = self.spawner.zygote.as_ref().map_or(self.server.as_fd(), |zygote| zygote.socket());
        let mut ready = vec![
            PollFd::new(&self.server, asked),
            PollFd::from_borrowed_fd(zygote, PollFlags::empty()),
            PollFd::new(&self.rests, PollFlags::IN),
        ];
        let first = ready.len();
        ready.extend(self.waiting.iter().map(|waiting| PollFd::new(&waiting.note, PollFlags::IN)));
        let pause = self.paused_until.map(|until| until.saturating_duration_since(Instant::now()));
        let pause = if is_busy { Some(Duration::ZERO) } else { pause }.map(timespec);
        match poll(&mut ready, pause.as_ref()) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(Next::Nothing),
            Err(errno) => return Err(errno.into()),
        }
        let [server, zygote, rests] = [0, 1, 2].map(|index| ready[index].revents());
        let noted: Vec<bool> = ready[first..].iter().map(|fd| !fd.revents().is_empty()).collect();
        for index in (0..noted.len()).rev().filter(|index| noted[*index]) {
            self.hear(index);
        }
        if self.zygote_hangs {
            eprintln!("livecode spawner: its maker hangs");
            self.spawner.zygote.iter().for_each(ZygoteClient::kill);
            return Ok(Next::Gone);
        }
        if rests.contains(PollFlags::IN) {
            self.let_rest();
        }
        if !server.contains(PollFlags::IN) {
            // Without its maker it is of no use; the server starts another.
            if server.is_empty() && !zygote.is_empty() {
                eprintln!("livecode spawner: its maker has ended");
            }
            return Ok(if server.is_empty() && zygote.is_empty() { Next::Nothing } else { Next::Gone });
        }
        match receive(&self.server) {
            Ok(Some(request)) => Ok(Next::Asked(request)),
            Ok(None) => Ok(Next::Gone),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Next::Nothing),
            Err(error) => Err(error),
        }
    }

    fn hear(&mut self, index: usize) {
        let mut said = [0; 4];
        let said = match recv(&self.waiting[index].note, &mut said[..], RecvFlags::DONTWAIT) {
            Ok((length, _)) => said[..length].to_vec(),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return, // nothing yet
            Err(_) => vec![],                                                  // it is gone
        };
        // What it has said since the last look: ready as a rule, and then what became of it.
        let (is_ready, rest) = match said.split_first() {
            Some((&READY, rest)) => (true, rest),
            _ => (false, &*said),
        };
        let taken = rest.split_first().filter(|(word, _)| **word == TAKEN);
        self.zygote_hangs |= rest.first() == Some(&HANGS);
        if is_ready {
            self.waiting[index].is_ready = true;
            self.pause = PAUSE;
        }
        if taken.is_none() && !said.is_empty() {
            return;
        }
        let gone = self.waiting.swap_remove(index);
        if !gone.is_ahead {
            return;
        }
        if let Some((_, cpu)) = taken {
            self.busy_cpu = cpu.first().map(|cpu| usize::from(*cpu));
            // None was left for the next.
            if !self.waiting.iter().any(|waiting| waiting.is_ready) {
                self.wanted = (self.wanted * 2).min(self.most);
            }
        } else if gone.is_ready {
            self.wanted = (self.wanted - 1).max(MIN_IDLE_WORKERS).min(self.most); // it waited in vain
        } else {
            self.fail();
        }
    }

    /// Takes in who rests. Where enough do, the one that has for longest ends by that.
    fn let_rest(&mut self) {
        let (_, notes) = fd_passing::receive(&self.rests, &mut [0], RecvFlags::DONTWAIT).unwrap_or_default();
        self.resting.extend(notes);
        if self.resting.len() > MAX_PARKED_WORKERS {
            self.resting.remove(0);
        }
    }
}

/// What a spawner has to do next.
enum Next {
    Nothing,
    /// To fork for this request.
    Asked((SpawnerRequest, UnixStream)),
    /// To end.
    Gone,
}

impl Worker {
    /// Waits for a request. `None` where the server or the spawner is gone, or the sandbox that is ready has died, or nobody
    /// has asked for too long.
    pub fn receive(
        &mut self,
        ready: Option<&WarmSandbox>,
    ) -> io::Result<Option<(SpawnerRequest, UnixStream)>> {
        if let Some(request) = self.request.take() {
            return Ok(Some(request));
        }
        let Some(server) = &self.server else { return Ok(None) };
        self.say(&[READY]);
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        // Of all who wait, one is woken.
        let flags = epoll::EventFlags::IN | epoll::EventFlags::EXCLUSIVE;
        epoll::add(&epoll, server, epoll::EventData::new_u64(0), flags)?;
        // Says of itself when nobody listens to it any more.
        epoll::add(&epoll, &self.note, epoll::EventData::new_u64(1), epoll::EventFlags::empty())?;
        if let Some(ready) = ready {
            let control = ready.sandbox.control();
            epoll::add(&epoll, control, epoll::EventData::new_u64(1), epoll::EventFlags::IN)?;
        }
        let until = self.patience.map(|patience| Instant::now() + patience);
        loop {
            let left = until.map(|until| timespec(until.saturating_duration_since(Instant::now())));
            let mut events = Vec::with_capacity(2);
            match epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut events), left.as_ref()) {
                Ok(0) => return Ok(None),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            match receive(server) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return other,
            }
            if events.iter().any(|event| event.data.u64() == 1) {
                return Ok(None);
            }
        }
    }

    /// A request was taken: another may be made ready. It hears of no further one.
    pub fn take(&mut self) {
        self.server = None;
        // Where there are more CPUs than a byte can count, it matters little which.
        self.say(&[TAKEN, u8::try_from(Cpus::current()).unwrap_or(u8::MAX)]);
    }

    /// Whether the spawner still lives.
    pub fn is_heard(&self) -> bool {
        let mut gone = [PollFd::new(&self.note, PollFlags::empty())];
        poll(&mut gone, Some(&timespec(Duration::ZERO))) == Ok(0)
    }

    /// The maker is gone, or hangs: another is needed.
    pub fn report_zygote_hang(&self) {
        self.say(&[HANGS]);
    }

    /// Rests until a sandbox is wanted. `false` where none is, and it is to end.
    pub fn rest(&mut self) -> bool {
        let Ok((ours, theirs)) = pair(SocketType::STREAM) else { return false };
        // Where the spawner is gone, or hangs, nobody waits for it.
        if fd_passing::send(&self.place, &[0], &[theirs.as_fd()], SendFlags::DONTWAIT).is_err() {
            return false;
        }
        drop(theirs);
        let mut asked = [PollFd::new(&ours, PollFlags::IN)];
        let _ = retry_on_intr(|| poll(&mut asked, Some(&timespec(PARK_TIMEOUT))));
        let _ = shutdown(&ours, Shutdown::Read); // from here on it cannot be asked any more; it may have been
        let mut words = [0; 2];
        let Ok((2, mut server)) = fd_passing::receive(&ours, &mut words, RecvFlags::DONTWAIT) else {
            return false;
        };
        let [excluded_cpu, has_patience] = words;
        self.server = server.pop();
        self.is_ahead = true;
        self.excluded_cpu = (excluded_cpu != ANY_CPU).then_some(usize::from(excluded_cpu));
        self.patience = (has_patience != 0).then_some(IDLE_WORKER_TIMEOUT);
        self.note = ours;
        true
    }

    fn say(&self, words: &[u8]) {
        let _ = send(&self.note, words, SendFlags::NOSIGNAL); // a spawner that is gone needs to hear nothing
    }
}

fn pair(kind: SocketType) -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?)
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: duration.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}
