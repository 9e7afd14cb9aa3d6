//! Forks that are ahead of their requests: each makes a sandbox and waits, beside the others, for what the server sends.
//!
//! How many wait follows the demand: twice as many where one was asked for and none was ready, one less whenever one has
//! waited long in vain, which then ends. Where none can be made ahead, or none is to be, a fork is made for each request
//! when it comes.

use std::{
    io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::UnixStream,
    },
    time::{Duration, Instant},
};

use livecode_protocol::control::SpawnerRequest;
use livecode_sandbox::{Cpus, Forked};
use rustix::{
    event::{PollFd, PollFlags, Timespec, epoll, poll},
    pipe::{PipeFlags, pipe_with},
};

use crate::{
    begin::Ready,
    spawner::{End, Spawner, receive},
};

/// How many wait where nobody has asked for long.
const FEWEST: usize = 1;
/// How long one waits in vain before it ends, unless it is one of the fewest.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long nothing is made ahead after that failed, at first and at most; each request makes its own meanwhile.
const PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(10);
/// What a member says: its sandbox is ready; it has taken a request, on the CPU that the next byte tells.
const READY: u8 = b'r';
const TAKEN: u8 = b't';

/// The spawner's side.
pub(crate) struct Pool<'a> {
    spawner: &'a Spawner<'a>,
    server: OwnedFd,
    waiting: Vec<Waiting>,
    wanted: usize,
    most: usize,
    pause: Duration,
    paused_until: Option<Instant>,
    /// The CPU on which the last request was taken.
    busy_cpu: Option<usize>,
}

/// A fork that has not taken a request.
struct Waiting {
    note: OwnedFd,
    is_ahead: bool,
    is_ready: bool,
}

/// A fork's side.
pub(crate) struct Member {
    /// Whether it makes a sandbox before it is asked to.
    pub is_ahead: bool,
    /// The CPU that it stays away from until then.
    pub avoids: Option<usize>,
    server: OwnedFd,
    note: OwnedFd,
    /// How long it waits; for ever where that is not said.
    patience: Option<Duration>,
    /// What it was forked for, where that is known.
    request: Option<(SpawnerRequest, UnixStream)>,
}

impl<'a> Pool<'a> {
    pub fn new(spawner: &'a Spawner<'a>, server: OwnedFd) -> Self {
        let most = spawner.settings.warm.as_ref().map_or(0, |warm| warm.sandboxes_max as usize);
        let wanted = FEWEST.min(most);
        Self {
            spawner,
            server,
            waiting: vec![],
            wanted,
            most,
            pause: PAUSE,
            paused_until: None,
            busy_cpu: None,
        }
    }

    /// Forks until the server is gone. Returns in the forks, too.
    pub fn run(mut self) -> End {
        loop {
            if self.paused_until.is_some_and(|until| until <= Instant::now()) {
                self.paused_until = None;
            }
            let is_ahead = self.paused_until.is_none() && self.ahead() < self.wanted;
            let request = match self.wait(is_ahead) {
                Ok(Next::Asked(request)) => request,
                Ok(Next::Nothing) if is_ahead => None,
                Ok(Next::Nothing) => continue,
                Ok(Next::Gone) => return End::Exit(0),
                Err(error) => {
                    eprintln!("livecode spawner: cannot wait: {error}");
                    return End::Exit(1);
                }
            };
            let is_ahead = is_ahead && request.is_none();
            match self.fork(is_ahead) {
                Ok(None) => {}
                // Where the request was taken already, so that nobody waits for one that hangs before it takes it, it is at hand.
                Ok(Some((note, patience))) => {
                    // Nobody waits for it while another is ready; who is being served does.
                    let has_time = is_ahead && self.waiting.iter().any(|waiting| waiting.is_ready);
                    let Self { spawner, server, waiting, busy_cpu, .. } = self;
                    drop(waiting); // what the others say is not for this one
                    let avoids = busy_cpu.filter(|_| has_time);
                    return spawner.serve(Member { is_ahead, avoids, server, note, patience, request });
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

    /// Forks a member. `Some` in the member.
    fn fork(&mut self, is_ahead: bool) -> io::Result<Option<(OwnedFd, Option<Duration>)>> {
        let patience = (self.ahead() >= FEWEST).then_some(PATIENCE);
        let (heard, note) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
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
        let takers = if self.spawner.settings.template.is_some() { self.waiting.len() } else { self.ahead() };
        let asked = if takers == 0 { PollFlags::IN } else { PollFlags::empty() };
        let mut ready = vec![PollFd::new(&self.server, asked)];
        ready.extend(self.waiting.iter().map(|waiting| PollFd::new(&waiting.note, PollFlags::IN)));
        let pause = self.paused_until.map(|until| until.saturating_duration_since(Instant::now()));
        let pause = if is_busy { Some(Duration::ZERO) } else { pause }.map(timespec);
        match poll(&mut ready, pause.as_ref()) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(Next::Nothing),
            Err(errno) => return Err(errno.into()),
        }
        let server = ready[0].revents();
        let noted: Vec<bool> = ready[1..].iter().map(|fd| !fd.revents().is_empty()).collect();
        for index in (0..noted.len()).rev().filter(|index| noted[*index]) {
            self.hear(index);
        }
        if !server.contains(PollFlags::IN) {
            return Ok(if server.is_empty() { Next::Nothing } else { Next::Gone });
        }
        // A template never receives one itself: what it was told would be in each copy of it.
        if self.spawner.settings.template.is_some() {
            return Ok(Next::Asked(None));
        }
        match receive(&self.server) {
            Ok(Some(request)) => Ok(Next::Asked(Some(request))),
            Ok(None) => Ok(Next::Gone),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Next::Nothing),
            Err(error) => Err(error),
        }
    }

    fn hear(&mut self, index: usize) {
        let mut said = [0; 4];
        let said = match rustix::io::read(&self.waiting[index].note, &mut said[..]) {
            Ok(length) => said[..length].to_vec(),
            Err(_) => return, // nothing yet
        };
        if said.contains(&READY) {
            self.waiting[index].is_ready = true;
            self.pause = PAUSE;
        }
        if !said.contains(&TAKEN) && !said.is_empty() {
            return;
        }
        let gone = self.waiting.swap_remove(index);
        if !gone.is_ahead {
            return;
        }
        if let Some(at) = said.iter().position(|word| *word == TAKEN) {
            self.busy_cpu = said.get(at + 1).map(|cpu| usize::from(*cpu));
            // None was left for the next.
            if !self.waiting.iter().any(|waiting| waiting.is_ready) {
                self.wanted = (self.wanted * 2).min(self.most);
            }
        } else if gone.is_ready {
            self.wanted = (self.wanted - 1).max(FEWEST).min(self.most); // it waited in vain
        } else {
            self.fail();
        }
    }
}

/// What a spawner has to do next.
enum Next {
    Nothing,
    /// To fork for a request: this one, or one that the fork is to receive.
    Asked(Option<(SpawnerRequest, UnixStream)>),
    /// To end.
    Gone,
}

impl Member {
    /// Waits for a request. `None` where the server or the spawner is gone, or the sandbox that is ready has died, or nobody
    /// has asked for too long.
    pub fn receive(&mut self, ready: Option<&Ready>) -> io::Result<Option<(SpawnerRequest, UnixStream)>> {
        if let Some(request) = self.request.take() {
            return Ok(Some(request));
        }
        self.say(&[READY]);
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        // Of all who wait, one is woken.
        let flags = epoll::EventFlags::IN | epoll::EventFlags::EXCLUSIVE;
        epoll::add(&epoll, &self.server, epoll::EventData::new_u64(0), flags)?;
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
            match receive(&self.server) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return other,
            }
            if events.iter().any(|event| event.data.u64() == 1) {
                return Ok(None);
            }
        }
    }

    /// A request was taken: another may be made ready. It hears of no further one.
    pub fn take(self) {
        // Where there are more CPUs than a byte can count, it matters little which.
        self.say(&[TAKEN, u8::try_from(Cpus::current()).unwrap_or(u8::MAX)]);
    }

    fn say(&self, words: &[u8]) {
        let _ = rustix::io::write(self.note.as_fd(), words); // a spawner that is gone needs to hear nothing
    }

    /// For a program, which has none of the descriptors any more.
    pub fn forget(self) {
        std::mem::forget(self);
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: duration.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}
