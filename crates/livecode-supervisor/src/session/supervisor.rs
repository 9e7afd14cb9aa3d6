//! One supervisor: a single loop that waits for everything at once.
//!
//! ```text
//!   reads from                                   writes to
//!   ──────────                                   ─────────
//!   program's stdout, stderr, messages ────────▶ journal
//!   servers' sockets (input, event, signal) ───▶ program's stdin, messages; init (signals)
//!   init (reports), memory alarm, clocks ──────▶ the outcome
//!                                                servers' sockets (progress, answers)
//! ```
//!
//! Nothing here blocks on a server or on the program; what cannot be passed on at once waits in a bounded queue.

use std::{
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixListener,
    },
    time::{Duration, Instant},
};

use livecode_protocol::{
    DeliveryRefused, ErrorCode,
    control::{Delivery, StartKind, SupervisorNotice, SupervisorRequest},
    run_spec::{RunSpec, Step},
    session::Outcome,
    stream::{QUEUE_FULL, Signal},
};
use livecode_sandbox::{Host, InitEvent, SampleVerdict, Sandbox, StepStatus};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::Value;

use crate::{
    compile_cache::Cache,
    io::{
        input::{DeliveryCheck, DeliveryIds, EVENT_QUEUE_BYTES, INPUT_QUEUE_BYTES, InputQueue},
        outputs::{Outputs, PendingEntry, Readable},
    },
    journal::capped_journal::CappedJournal,
    limits::{
        cpu_deprioritizer::{self, CpuDeprioritizer},
        idle::IdleTimer,
        memory::MemorySampler,
    },
    session::{
        connection::{Connection, greet_late, send_final_progress},
        folder::{FolderError, SessionFolder},
        startup::StartedSession,
        termination::{Termination, now_us},
    },
};

/// Servers connected at once: the living one, one that takes over, and one whose end was not noticed yet.
const MAX_CONNECTIONS: usize = 4;
/// Signals that wait for the program to start; more are refused.
const MAX_WAITING_SIGNALS: usize = 64;
/// CPU time is looked at again after what is left could have been used, but not more often than this.
const MIN_CPU_CHECK: Duration = Duration::from_millis(10);
/// How long a session must last for its supervisor to listen for other servers, while the one that had it started is there: most
/// end before that, and a socket costs as much as a journal to make.
const LISTEN_AFTER: Duration = Duration::from_millis(100);
/// How long until that is tried again where it failed.
const LISTEN_PAUSE: Duration = Duration::from_secs(1);
/// How seldom it is looked at, at most, while a program that has almost used up its CPU time rests: what it can have used
/// beyond its limit by then.
const MAX_CPU_PAUSE: Duration = Duration::from_secs(1);
/// How long a server that could not be accepted waits, and all else with it.
const ACCEPT_PAUSE: Duration = Duration::from_millis(5);

pub(crate) struct Supervisor<'h> {
    host: &'h Host,
    folder: SessionFolder,
    order: RunSpec,
    cache: Cache,
    record: CappedJournal,
    /// Where other servers come in, once there is such a place; and when it is to be made.
    listener: Option<UnixListener>,
    listen_at: Option<Instant>,
    connections: Vec<Connection>,
    start: StartKind,
    sandbox: Sandbox,
    outputs: Outputs,
    stdin: InputQueue<OwnedFd>,
    events: InputQueue<OwnedFd>,
    ids: DeliveryIds,
    findings: Termination,
    /// The step that runs, if any.
    step: Option<usize>,
    /// Signals that came before the program started.
    waiting_signals: Vec<Signal>,
    started_us: Option<u64>,
    wall_deadline: Option<Instant>,
    idle: IdleTimer,
    cpu: CpuTimer,
    memory: MemorySampler,
    pace: CpuDeprioritizer,
}

/// When the CPU time of the running step must be looked at, and how much had been used when it began.
#[derive(Default)]
struct CpuTimer {
    base_ms: u64,
    /// What had been used at the last look, and how long was waited for it.
    last_ms: u64,
    pause: Duration,
    check_at: Option<Instant>,
}

/// What poll(2) found.
#[derive(Default)]
struct Woken {
    readable: Readable,
    sandbox: bool,
    memory: bool,
    listener: bool,
    connections: Vec<usize>,
}

impl<'h> Supervisor<'h> {
    /// # Errors
    /// Where what came with the order cannot be passed in.
    pub fn new(host: &'h Host, begun: StartedSession) -> Result<Self, FolderError> {
        let StartedSession { folder, order, cache, record, connections, sandbox, pipes, how, began } = begun;
        let mut stdin = InputQueue::new("standard input", pipes.stdin, INPUT_QUEUE_BYTES);
        if let Some(contents) = order.stdin.clone() {
            stdin.fill_and_end(contents.into_bytes().map_err(|e| FolderError::Order(io::Error::other(e)))?);
        }
        let messages = pipes.messages.try_clone().map_err(FolderError::Socket)?;
        let wall_deadline = began.checked_add(Duration::from_millis(order.limits.wall_ms));
        let memory = MemorySampler::new(&sandbox, began);
        Ok(Self {
            host,
            folder,
            cache,
            record,
            listener: None,
            listen_at: Some(began + LISTEN_AFTER),
            connections,
            start: how,
            sandbox,
            outputs: Outputs::new(pipes.stdout, pipes.stderr, pipes.messages, order.limits.cpu_millicores),
            stdin,
            events: InputQueue::new("message channel", messages.into(), EVENT_QUEUE_BYTES),
            ids: DeliveryIds::default(),
            findings: Termination::default(),
            step: None,
            waiting_signals: vec![],
            started_us: None,
            wall_deadline,
            idle: IdleTimer::new(order.limits.idle_ms, began),
            cpu: CpuTimer::default(),
            memory,
            pace: CpuDeprioritizer::default(),
            order,
        })
    }

    /// Runs until init has ended, or all that it will have said is known.
    pub fn run(&mut self) {
        let said = self.cache.said_before();
        self.append(said);
        loop {
            let woken = self.wait();
            let now = Instant::now();
            self.serve_connections(&woken);
            self.listen(now);
            self.stdin.pump();
            self.events.pump();
            let found = self.outputs.take(woken.readable, now);
            self.append(found);
            let alive = !woken.sandbox || self.hear_reports();
            if woken.memory {
                self.decide(Outcome::Memory);
            }
            self.watch_clocks(now);
            self.publish();
            self.record.syncer.run(now);
            if !alive || self.is_over() {
                return;
            }
        }
    }

    /// Whether the program ended by itself and left nobody behind, and nothing to be read: then all that is told of it stands,
    /// and its init, which is on its way out too, is not waited for.
    fn is_over(&self) -> bool {
        let has_ended = self.findings.status.is_some() && self.step.is_none();
        has_ended && self.findings.decided.is_none() && self.outputs.are_closed() && self.sandbox.is_alone()
    }

    /// Waits until something happens or is due.
    fn wait(&self) -> Woken {
        let clocks =
            [self.wall_deadline, self.cpu.check_at, self.idle.due(), self.memory.due(), self.pace.due()];
        let clocks = if self.findings.decided.is_none() { clocks } else { [None; 5] };
        let dues = clocks.into_iter().chain([self.outputs.due(), self.record.syncer.due(), self.listen_at]);
        let due = dues.flatten().min();
        let timeout = due.map(|due| timespec(due.saturating_duration_since(Instant::now())));

        #[derive(Clone, Copy)]
        enum Source {
            Sandbox,
            Memory,
            Stdout,
            Stderr,
            Messages,
            Way,
            Listener,
            Connection(usize),
        }
        let control = self.sandbox.control();
        let mut watched = Vec::with_capacity(12);
        let mut watch = |source, fd: Option<_>, flags| watched.extend(fd.map(|fd| (source, fd, flags)));
        watch(Source::Sandbox, Some(control), PollFlags::IN);
        watch(
            Source::Memory,
            self.sandbox.memory_alarm().filter(|_| self.findings.decided.is_none()),
            PollFlags::IN,
        );
        let outputs =
            [Source::Stdout, Source::Stderr, Source::Messages].into_iter().zip(self.outputs.watched());
        outputs.for_each(|(source, output)| watch(source, output, PollFlags::IN));
        watch(Source::Way, self.stdin.waits_for(), PollFlags::OUT);
        watch(Source::Way, self.events.waits_for(), PollFlags::OUT);
        let listener = self.listener.as_ref().filter(|_| self.connections.len() < MAX_CONNECTIONS);
        watch(Source::Listener, listener.map(AsFd::as_fd), PollFlags::IN);
        for (index, connection) in self.connections.iter().enumerate() {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, connection.may_read());
            flags.set(PollFlags::OUT, connection.is_waiting());
            watch(Source::Connection(index), Some(connection.stream()), flags);
        }
        let mut ready: Vec<_> = watched.iter().map(|(_, fd, flags)| PollFd::new(fd, *flags)).collect();
        let mut woken = Woken::default();
        if poll(&mut ready, timeout.as_ref()).is_err() {
            return woken; // interrupted: look at the clocks and come again
        }
        for ((source, ..), fd) in watched.iter().zip(&ready) {
            if fd.revents().is_empty() {
                continue;
            }
            match *source {
                Source::Sandbox => woken.sandbox = true,
                Source::Memory => woken.memory = true,
                Source::Stdout => woken.readable.stdout = true,
                Source::Stderr => woken.readable.stderr = true,
                Source::Messages => woken.readable.messages = true,
                Source::Way => {}
                Source::Listener => woken.listener = true,
                Source::Connection(index) => woken.connections.push(index),
            }
        }
        woken
    }

    fn append(&mut self, found: Vec<PendingEntry>) {
        if !found.is_empty() {
            self.idle.note();
        }
        for PendingEntry { kind, data } in found {
            self.cache.hears(kind, &data);
            if self.findings.decided == Some(Outcome::Output) {
                return;
            }
            if !self.record.append(kind, data) {
                self.decide(Outcome::Output);
            }
        }
    }

    /// The first reason to end the program stands.
    fn decide(&mut self, outcome: Outcome) {
        self.findings.decided.get_or_insert(outcome);
        self.sandbox.kill();
    }

    fn watch_clocks(&mut self, now: Instant) {
        if self.wall_deadline.is_some_and(|deadline| deadline <= now) {
            self.wall_deadline = None;
            self.decide(Outcome::Timeout);
        }
        if self.cpu.check_at.is_some_and(|at| at <= now) {
            self.check_cpu(now);
        }
        if self.idle.is_over(now, || self.sandbox.cpu_ms()) {
            self.decide(Outcome::Timeout);
        }
        // Who dies, or is about to, gives way to nobody any more.
        let ends = self.findings.decided.is_some() || self.findings.status.is_some();
        if let Some(gives_way) =
            self.pace.look(now, || cpu_deprioritizer::used_ms(&self.sandbox)).filter(|_| !ends)
        {
            self.sandbox.give_way(gives_way);
        }
        let limits = self.running_step().map(|step| step.limits);
        match self.memory.look(&mut self.sandbox, limits, now) {
            Some(SampleVerdict::HoldsTooMuch) => self.decide(Outcome::Memory),
            Some(SampleVerdict::Works(ms)) => self.idle.works(ms),
            Some(SampleVerdict::Rests) | None => {}
        }
    }

    fn running_step(&self) -> Option<&Step> {
        self.step.map(|index| self.order.compile.get(index).unwrap_or(&self.order.run))
    }

    /// Looks at the CPU time, and says when to look again: no sooner than all that is left can have been used, and ever more
    /// seldom while nothing is.
    fn check_cpu(&mut self, now: Instant) {
        let (Some(step), Some(total_ms)) = (self.running_step(), self.sandbox.cpu_ms()) else {
            self.cpu.check_at = None; // counted by rlimit, if at all
            return;
        };
        let left_ms = step.limits.cpu_ms.saturating_sub(total_ms.saturating_sub(self.cpu.base_ms));
        if left_ms == 0 {
            self.cpu.check_at = None;
            return self.decide(Outcome::Cpu);
        }
        let cores = u64::from(self.order.limits.cpu_millicores).div_ceil(1000).max(1);
        let rests = total_ms == std::mem::replace(&mut self.cpu.last_ms, total_ms);
        let least = if rests { (self.cpu.pause * 2).min(MAX_CPU_PAUSE) } else { MIN_CPU_CHECK };
        self.cpu.pause = Duration::from_millis(left_ms / cores).max(least);
        self.cpu.check_at = now.checked_add(self.cpu.pause);
    }

    /// Takes in what init reports. `false` once it is gone.
    fn hear_reports(&mut self) -> bool {
        loop {
            match self.sandbox.report() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Ok(None) | Err(_) => return false,
                Ok(Some(report)) => self.hear(report),
            }
        }
    }

    fn hear(&mut self, report: InitEvent) {
        match report {
            InitEvent::Ready | InitEvent::Used { .. } => {}
            InitEvent::Started(index) => {
                self.step = Some(index);
                self.idle.begin();
                self.started_us.get_or_insert_with(now_us);
                self.cpu.base_ms = if index == 0 { 0 } else { self.sandbox.cpu_ms().unwrap_or(0) };
                let now = Instant::now();
                self.check_cpu(now);
                if self
                    .pace
                    .begin(now, self.cpu.last_ms + cpu_deprioritizer::own_cpu_time().as_millis() as u64)
                {
                    self.sandbox.give_way(false);
                }
                if index == self.order.compile.len() {
                    for signal in std::mem::take(&mut self.waiting_signals) {
                        self.sandbox.signal(number(signal));
                    }
                }
                for connection in &mut self.connections {
                    connection.owes_progress = true;
                }
            }
            InitEvent::Ended(index, status) => {
                self.step = None;
                self.cpu.check_at = None;
                self.findings.status = Some(status);
                let next = index + 1;
                if status == StepStatus::Exited(0) && next <= self.order.compile.len() {
                    self.findings.status = None;
                    if next == self.order.compile.len() && self.cache.begins(self.order.id) {
                        self.sandbox.take_artefacts();
                    } else {
                        self.start_step(next);
                    }
                } else {
                    self.sandbox.give_way(false);
                }
            }
            InitEvent::Artefact { name, executable, file } => self.cache.add(&name, executable, file),
            InitEvent::Taken(is_whole) => {
                let said = self.outputs.take_said();
                self.append(said);
                self.cache.keep(is_whole);
                self.start_step(self.order.compile.len());
            }
            InitEvent::CannotRun(index, error) => {
                let step = self.order.compile.get(index).unwrap_or(&self.order.run);
                let text = format!("cannot run {}: {error}", step.argv[0]);
                self.record.say(&text);
            }
            InitEvent::SetupFailed(error) => self.fail(&format!("{error}: {}", error.source)),
        }
    }

    /// Starts the step after one that has ended well.
    fn start_step(&mut self, index: usize) {
        if index == self.order.compile.len() {
            self.cache.is_compiled();
        }
        let limits = self.order.compile.get(index).unwrap_or(&self.order.run).limits;
        if let Err(error) = self.sandbox.start_step(index, &limits) {
            self.fail(&format!("{error}: {}", error.source));
        }
    }

    /// The platform failed, not the program.
    fn fail(&mut self, why: &str) {
        self.record.say(why);
        self.decide(Outcome::Lost);
    }

    fn serve_connections(&mut self, woken: &Woken) {
        let mut gone = vec![];
        for &index in &woken.connections {
            match self.connections[index].read() {
                Some(requests) => requests.into_iter().for_each(|request| self.answer(index, request)),
                None => gone.push(index),
            }
        }
        for index in gone.into_iter().rev() {
            self.connections.remove(index);
        }
        if let Some(listener) = self.listener.as_ref().filter(|_| woken.listener) {
            match listener.accept() {
                Ok((stream, _)) => self.connections.extend(Connection::accept(stream)),
                // Without descriptors for it the listener stays readable, and the loop would turn for nothing.
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => std::thread::sleep(ACCEPT_PAUSE),
                Err(_) => {}
            }
        }
    }

    /// Lets other servers in where it is time to, or there is none left. What does not work is tried again.
    fn listen(&mut self, now: Instant) {
        let is_time = self.connections.is_empty() || self.listen_at.is_some_and(|at| at <= now);
        if self.listener.is_some() || self.listen_at.is_none() || !is_time {
            return;
        }
        match self.folder.listen() {
            Ok(listener) => (self.listener, self.listen_at) = (Some(listener), None),
            Err(error) => {
                let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
                eprintln!("livecode supervisor: {error}{}", cause.unwrap_or_default());
                self.listen_at = Some(now + LISTEN_PAUSE);
            }
        }
    }

    fn answer(&mut self, index: usize, request: SupervisorRequest) {
        let notice = match request {
            SupervisorRequest::Hello { version } => {
                return self.connections[index].greet(version, self.host.degraded(), self.start);
            }
            SupervisorRequest::Cancel => return self.decide(Outcome::Cancelled),
            SupervisorRequest::Deliver { tag, id, item } => match self.deliver(id, item) {
                Ok(()) => SupervisorNotice::Delivered { tag },
                Err(DeliveryRefused { code, error }) => {
                    SupervisorNotice::Refused { tag, error, code: Some(code) }
                }
            },
        };
        self.connections[index].send(&notice);
    }

    /// Passes something in, once.
    fn deliver(&mut self, id: Option<Value>, item: Delivery) -> Result<(), DeliveryRefused> {
        if let Some(id) = &id {
            match self.ids.look(id, &item) {
                DeliveryCheck::New => {}
                DeliveryCheck::Before => return Ok(()),
                DeliveryCheck::Another => {
                    let error = "another message was delivered under this id";
                    return Err(DeliveryRefused::new(ErrorCode::DeliveryIdConflict, error));
                }
            }
        }
        match &item {
            Delivery::Input { data, eof } => {
                let bytes = data
                    .clone()
                    .into_bytes()
                    .map_err(|error| DeliveryRefused::new(ErrorCode::InvalidMessage, error.to_string()))?;
                self.stdin.push(&bytes, *eof)?;
            }
            Delivery::Event { line } => {
                self.events.push(format!("{line}\n").as_bytes(), false)?;
            }
            Delivery::Signal { signal } => self.pass_signal(*signal)?,
        }
        self.idle.note();
        self.outputs.hurry();
        if let Some(id) = &id {
            self.ids.remember(id, &item);
        }
        Ok(())
    }

    /// Signals are for the program: what comes while it is being compiled waits for it.
    fn pass_signal(&mut self, signal: Signal) -> Result<(), DeliveryRefused> {
        let program = self.order.compile.len();
        match self.step {
            Some(step) if step == program => self.sandbox.signal(number(signal)),
            None if self.findings.status.is_some() => {
                return Err(DeliveryRefused::new(ErrorCode::ProgramEnded, "the program has ended"));
            }
            _ if self.waiting_signals.len() >= MAX_WAITING_SIGNALS => {
                let error = format!(
                    "the queue is full: {MAX_WAITING_SIGNALS} signals wait for the program; {QUEUE_FULL}"
                );
                return Err(DeliveryRefused::new(ErrorCode::QueueFull, error));
            }
            _ => self.waiting_signals.push(signal),
        }
        Ok(())
    }

    /// Writes what was appended and tells the servers.
    fn publish(&mut self) {
        let is_news = self.record.flush();
        let progress = self.record.progress(self.started_us, self.idle.active_us(), self.cache.kept);
        self.connections.retain_mut(|connection| {
            connection.owes_progress |= is_news;
            // Answers first; progress only where there is room, since a later one says all that an earlier did.
            if !connection.flush() {
                return false;
            }
            if connection.greeted && connection.owes_progress && !connection.is_waiting() {
                connection.send(&progress);
                connection.owes_progress = false;
            }
            connection.flush()
        });
    }

    /// Waits until everybody has ended who could say anything, writes the closing entry, tells everybody, and tidies up.
    pub fn finish(mut self) -> i32 {
        if !self.is_over() {
            self.sandbox.reap();
        }
        let found = self.outputs.take_rest();
        self.append(found);
        self.findings.out_of_memory = self.sandbox.out_of_memory();
        let ending =
            self.findings.ending(Some(&self.sandbox), self.started_us.unwrap_or(0), self.cache.kept.compiled);
        self.folder.remove_socket();
        let finished = self.record.finish(&ending, self.cache.kept);
        greet_late(&mut self.connections, || self.host.degraded(), self.start);
        if let Ok((progress, _)) = &finished {
            send_final_progress(&mut self.connections, progress);
        }
        drop(self.sandbox); // all of it, and its cgroups
        drop(self.connections);
        match finished {
            Ok((_, syncer)) => {
                syncer.finish();
                0
            }
            Err(error) => {
                eprintln!("livecode supervisor: {error}");
                1
            }
        }
    }
}

pub(crate) fn timespec(duration: Duration) -> Timespec {
    // Rounded up by the kernel's own resolution; never negative.
    Timespec {
        tv_sec: duration.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}

fn number(signal: Signal) -> i32 {
    match signal {
        Signal::Interrupt => 2,
        Signal::Terminate => 15,
        Signal::Kill => 9,
    }
}
