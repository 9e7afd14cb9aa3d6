//! The supervisor of one session: a single loop that waits for everything at once.
//!
//! ```text
//!   reads from                                   writes to
//!   ──────────                                   ─────────
//!   program's stdout, stderr, messages ────────▶ journal
//!   servers' sockets (input, event, signal) ───▶ program's stdin, messages; init (signals)
//!   init (events), memory alarm, timers ───────▶ the outcome
//!                                                servers' sockets (progress, answers)
//! ```
//!
//! The loop blocks neither on a server nor on the program. What cannot be written at once waits in
//! a bounded queue. Only at the session's end the supervisor waits for servers, up to a timeout.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    time::{Duration, Instant},
};

use livecode_protocol::{
    DeliveryRefused, ErrorCode,
    control::{Delivery, StartKind, SupervisorNotice, SupervisorRequest},
    now_us,
    run_spec::{RunSpec, Step},
    session::Outcome,
    stream::{QUEUE_FULL, Signal},
};
use livecode_sandbox::{Host, InitEvent, ProgramChannels, Sandbox, SeccompListener, StepStatus};
use rustix::event::PollFlags;
use serde_json::Value;

mod begin;
pub(crate) mod end;
mod timers;

use crate::{
    compile_cache::SessionCompileCache,
    io::{
        input::{DeliveryCheck, DeliveryIds, EVENT_QUEUE_BYTES, InputQueue},
        outputs::{Outputs, PendingEntry},
    },
    journal::capped_journal::CappedJournal,
    limits::{
        cpu_deprioritizer::CpuDeprioritizer, cpu_time, idle::IdleTimer, memory::MemorySampler,
        output_cost::OutputCost,
    },
    session::{
        connection::Connection,
        cpu_timer::CpuTimer,
        folder::{SessionFolder, StartError},
        poll_set::{PollSet, ReadySources, Source},
        termination::Termination,
    },
};

/// Connections at once. One server has one connection; the others are of servers that were
/// replaced and whose end was not noticed yet.
const MAX_CONNECTIONS: usize = 4;
/// Signals that wait for the program to start. When more come, they are refused.
const MAX_EARLY_SIGNALS: usize = 64;
/// How long a session must last before its supervisor listens on the session's socket, while the
/// server that started it is connected. A server connects there after it has lost its connection
/// or was restarted. Most sessions end before that, and making a socket costs as much as making a
/// journal.
const LISTEN_DELAY: Duration = Duration::from_millis(100);
/// How long until the supervisor tries to listen again, if that has failed.
const LISTEN_RETRY_DELAY: Duration = Duration::from_secs(1);
/// How long the whole loop sleeps after a connection could not be accepted.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(5);

/// A session whose program is about to start.
pub(crate) struct StartedSession {
    pub folder: SessionFolder,
    pub run_spec: RunSpec,
    /// The contents file, if the run spec has stored contents.
    pub contents_file: Option<File>,
    pub compile_cache: SessionCompileCache,
    pub journal: CappedJournal,
    pub sandbox: Sandbox,
    pub pipes: ProgramChannels,
    /// How much of the sandbox was made before the session.
    pub start_kind: StartKind,
    /// When this process received the request. The wall clock limit counts from here.
    pub requested_at: Instant,
}

pub(crate) struct Supervisor<'h> {
    host: &'h Host,
    folder: SessionFolder,
    run_spec: RunSpec,
    compile_cache: SessionCompileCache,
    journal: CappedJournal,
    /// The socket on which a server connects again, or a restarted server connects; `None` before
    /// it is made.
    listener: Option<UnixListener>,
    /// When to make the listener; `None` once it is made.
    listen_at: Option<Instant>,
    connections: Vec<Connection>,
    start_kind: StartKind,
    sandbox: Sandbox,
    outputs: Outputs,
    stdin: InputQueue<OwnedFd>,
    events: InputQueue<OwnedFd>,
    delivery_ids: DeliveryIds,
    termination: Termination,
    /// Index of the step that runs, if any. The compile steps come first, then the program.
    step_index: Option<usize>,
    /// Signals that came before the program started.
    early_signals: Vec<Signal>,
    /// When the first step started, in microseconds since the epoch.
    started_us: Option<u64>,
    /// Why the sandbox could not be set up, if the first step has not started.
    start_error: Option<StartError>,
    wall_deadline: Option<Instant>,
    idle_timer: IdleTimer,
    cpu_timer: CpuTimer,
    output_cost: OutputCost,
    memory_sampler: MemorySampler,
    cpu_deprioritizer: CpuDeprioritizer,
}

impl<'h> Supervisor<'h> {
    /// # Errors
    /// If the standard input of the run spec cannot be decoded, or a descriptor cannot be
    /// duplicated. Then the journal is discarded.
    pub fn new(host: &'h Host, session: StartedSession) -> Result<Self, StartError> {
        let StartedSession { mut run_spec, contents_file, sandbox, pipes, requested_at, .. } = session;
        let stdin = InputQueue::standard_input(pipes.stdin, &mut run_spec, contents_file);
        let messages = pipes.messages.try_clone();
        let (stdin, messages) = match (stdin, messages) {
            (Ok(stdin), Ok(messages)) => (stdin, messages),
            (stdin, messages) => {
                session.folder.discard_journal(session.journal);
                let error = stdin.err().map(StartError::ReadRunSpec);
                let error = error.or_else(|| messages.err().map(StartError::DuplicateDescriptor));
                return Err(error.unwrap_or(StartError::InitDied));
            }
        };
        let limits = run_spec.limits;
        Ok(Self {
            host,
            folder: session.folder,
            compile_cache: session.compile_cache,
            journal: session.journal,
            listener: None,
            listen_at: Some(requested_at + LISTEN_DELAY),
            connections: vec![],
            start_kind: session.start_kind,
            outputs: Outputs::new(pipes.stdout, pipes.stderr, pipes.messages, limits.cpu_millicores),
            stdin,
            events: InputQueue::new("message channel", messages.into(), EVENT_QUEUE_BYTES),
            delivery_ids: DeliveryIds::default(),
            termination: Termination::default(),
            step_index: None,
            early_signals: vec![],
            started_us: None,
            start_error: None,
            wall_deadline: requested_at.checked_add(Duration::from_millis(limits.wall_ms)),
            idle_timer: IdleTimer::new(limits.idle_ms, requested_at),
            cpu_timer: CpuTimer::default(),
            output_cost: OutputCost::new(cpu_time::own_cpu_time()),
            memory_sampler: MemorySampler::new(&sandbox, requested_at),
            cpu_deprioritizer: CpuDeprioritizer::default(),
            sandbox,
            run_spec,
        })
    }

    /// Runs until init has ended, or until the program has ended, its output is read and only init
    /// is left.
    pub fn run(&mut self) {
        loop {
            let ready = self.wait();
            let now = Instant::now();
            if let Some(listener) = self.sandbox.seccomp_listener().filter(|_| ready.outputs.notifications) {
                self.outputs.receive_notification(listener);
            }
            self.serve_connections(&ready);
            self.listen_if_due(now);
            self.stdin.pump();
            self.events.pump();
            let entries = self.outputs.read_ready(ready.outputs, self.sandbox.seccomp_listener(), now);
            self.append(entries);
            if ready.has_no_callers {
                self.sandbox.close_seccomp_listener(); // it stays ready until then
            }
            let is_init_alive = !ready.init || self.handle_init_events();
            if ready.oom_notifier && self.sandbox.is_out_of_memory() {
                self.kill_for(Outcome::Memory);
            }
            self.check_timers(now);
            self.publish();
            self.journal.syncer.sync_if_due(now);
            let has_read_output = ready.outputs.any() || self.outputs.has_resumed_calls();
            self.output_cost.end_turn(has_read_output, cpu_time::own_cpu_time());
            if !is_init_alive || self.is_over() {
                return;
            }
        }
    }

    /// Whether the program has ended by itself, no other process is left, and all output is read.
    /// Then everything that the closing entry needs is known. Init, which is about to exit, is not
    /// waited for.
    fn is_over(&self) -> bool {
        let has_ended = self.termination.status.is_some() && self.step_index.is_none();
        let is_killed = self.termination.kill_reason.is_some();
        has_ended && !is_killed && self.outputs.are_closed() && self.sandbox.is_only_init_left()
    }

    /// Waits until a descriptor is ready or a timer is due.
    fn wait(&self) -> ReadySources {
        let is_killed = self.termination.kill_reason.is_some();
        let limit_timers = [
            self.wall_deadline,
            self.cpu_timer.due(),
            self.idle_timer.due(),
            self.memory_sampler.due(),
            self.cpu_deprioritizer.due(),
        ];
        let limit_timers = if is_killed { [None; 5] } else { limit_timers };
        let other_timers = [self.outputs.due(), self.journal.syncer.due(), self.listen_at];
        let due = limit_timers.into_iter().chain(other_timers).flatten().min();
        let timeout = due.map(|due| due.saturating_duration_since(Instant::now()));

        let mut set = PollSet::new();
        set.add(Source::Init, Some(self.sandbox.control_fd()), PollFlags::IN);
        let oom_notifier = self.sandbox.oom_notifier().filter(|_| !is_killed);
        set.add(Source::OomNotifier, oom_notifier, PollFlags::IN);
        let listener = self.sandbox.seccomp_listener().map(SeccompListener::poll_fd);
        set.add(Source::Notifications, listener, PollFlags::IN);
        let [stdout, stderr, messages] = self.outputs.poll_fds();
        set.add(Source::Stdout, stdout, PollFlags::IN);
        set.add(Source::Stderr, stderr, PollFlags::IN);
        set.add(Source::Messages, messages, PollFlags::IN);
        set.add(Source::ProgramInputWritable, self.stdin.poll_fd(), PollFlags::OUT);
        set.add(Source::ProgramInputWritable, self.events.poll_fd(), PollFlags::OUT);
        let listener = self.listener.as_ref().filter(|_| self.connections.len() < MAX_CONNECTIONS);
        set.add(Source::Listener, listener.map(AsFd::as_fd), PollFlags::IN);
        for (index, connection) in self.connections.iter().enumerate() {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, connection.may_read());
            flags.set(PollFlags::OUT, connection.has_unsent());
            set.add(Source::Connection(index), Some(connection.stream()), flags);
        }
        set.wait(timeout)
    }

    /// Appends entries to the journal. Kills the program when that reaches the output limit. What
    /// the compile steps printed when their result was cached comes before the program's first
    /// entry, and not before the program has started: until then the journal stays empty, since
    /// another supervisor may have to start the session.
    fn append(&mut self, entries: Vec<PendingEntry>) {
        if entries.is_empty() {
            return;
        }
        self.idle_timer.record_activity();
        let cached_output = self.compile_cache.take_cached_output();
        for PendingEntry { kind, data } in cached_output.into_iter().chain(entries) {
            self.compile_cache.record_output(kind, &data);
            if self.termination.kill_reason == Some(Outcome::Output) {
                return;
            }
            if !self.journal.append(kind, data) {
                self.kill_for(Outcome::Output);
            }
        }
    }

    /// Kills everything in the sandbox. The first of several reasons stands.
    fn kill_for(&mut self, reason: Outcome) {
        self.termination.kill_reason.get_or_insert(reason);
        self.sandbox.kill();
    }

    fn step(&self, index: usize) -> &Step {
        self.run_spec.compile.get(index).unwrap_or(&self.run_spec.run)
    }

    fn running_step(&self) -> Option<&Step> {
        self.step_index.map(|index| self.step(index))
    }

    /// The index of the program among the steps: it comes after all compile steps.
    fn program_index(&self) -> usize {
        self.run_spec.compile.len()
    }

    /// Handles the events that init has reported. Returns `false` once init is gone.
    fn handle_init_events(&mut self) -> bool {
        loop {
            match self.sandbox.try_next_event() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Ok(None) | Err(_) => return false,
                Ok(Some(event)) => self.handle_init_event(event),
            }
        }
    }

    fn handle_init_event(&mut self, event: InitEvent) {
        match event {
            InitEvent::Ready
            | InitEvent::Usage { .. }
            | InitEvent::KernelMemoryProbe
            | InitEvent::DiskSize
            | InitEvent::SeccompListener => {}
            InitEvent::StepStarted(index) => self.step_started(index),
            InitEvent::Ended(index, status) => self.step_ended(index, status),
            InitEvent::Artefact { name, executable, file } => {
                self.compile_cache.add_artefact(&name, executable, file);
            }
            InitEvent::ArtefactsSent(is_complete) => {
                let compiler_output = self.outputs.drain_compiler_output();
                self.append(compiler_output);
                self.compile_cache.store(is_complete);
                self.start_step(self.program_index());
            }
            InitEvent::ExecFailed(index, error) => {
                let text = format!("cannot run {}: {error}", self.step(index).argv[0]);
                self.journal.write_note(&text);
            }
            InitEvent::SetupFailed(error) if self.started_us.is_none() => {
                self.start_error.get_or_insert(StartError::MakeSandbox(error));
                self.sandbox.kill();
            }
            InitEvent::SetupFailed(error) => self.fail(&format!("{error}: {}", error.source)),
        }
    }

    fn step_started(&mut self, index: usize) {
        self.step_index = Some(index);
        self.idle_timer.start_step();
        if self.started_us.is_none() {
            self.started_us = Some(now_us());
            // The sandbox has its own copy of the files by now.
            if self.run_spec.stored.is_some() {
                self.folder.remove_contents();
            }
            let cached_output = self.compile_cache.take_cached_output();
            self.append(cached_output);
        }
        let base_ms = if index == 0 { 0 } else { self.charged_cpu_ms().unwrap_or(0) };
        self.cpu_timer.set_base(base_ms);
        let now = Instant::now();
        self.check_cpu(now);
        let own_ms = cpu_time::own_cpu_time().as_millis() as u64;
        let used_ms = self.cpu_timer.last_ms().saturating_sub(self.output_cost.charged_ms()) + own_ms;
        let was_deprioritized = self.cpu_deprioritizer.start_step(now, used_ms);
        if was_deprioritized {
            self.sandbox.set_deprioritized(false);
        }
        if index == self.program_index() {
            for signal in std::mem::take(&mut self.early_signals) {
                self.sandbox.signal(signal.number());
            }
        }
        for connection in &mut self.connections {
            connection.has_unsent_progress = true;
        }
    }

    /// Starts the next step if this one has succeeded and is not the program. Before the
    /// program, the artefacts of the compile steps are collected if they are to be kept.
    fn step_ended(&mut self, index: usize, status: StepStatus) {
        self.step_index = None;
        self.cpu_timer.stop();
        let next = index + 1;
        if status != StepStatus::Exited(0) || next > self.program_index() {
            self.termination.status = Some(status);
            self.sandbox.set_deprioritized(false);
            return;
        }
        self.termination.status = None;
        if next == self.program_index() && self.compile_cache.start_collecting(self.run_spec.id) {
            self.sandbox.collect_artefacts();
        } else {
            self.start_step(next);
        }
    }

    /// Starts a step that comes after one that has succeeded.
    fn start_step(&mut self, index: usize) {
        if index == self.program_index() {
            self.compile_cache.mark_compiled();
        }
        let limits = self.step(index).limits;
        if let Err(error) = self.sandbox.start_step(index, &limits) {
            // The steps before have left more in memory than this step may have.
            if error.is_over_memory_limit() {
                return self.kill_for(Outcome::Memory);
            }
            self.fail(&format!("{error}: {}", error.source));
        }
    }

    /// Ends the session because the platform, not the program, has failed.
    fn fail(&mut self, error: &str) {
        self.journal.write_note(error);
        self.kill_for(Outcome::Lost);
    }

    fn serve_connections(&mut self, ready: &ReadySources) {
        let mut closed = vec![];
        for &index in &ready.connections {
            match self.connections[index].read() {
                Some(requests) => {
                    requests.into_iter().for_each(|request| self.handle_request(index, request));
                }
                None => closed.push(index),
            }
        }
        for index in closed.into_iter().rev() {
            self.connections.remove(index);
        }
        if let Some(listener) = self.listener.as_ref().filter(|_| ready.listener) {
            match listener.accept() {
                Ok((stream, _)) => self.connect(stream),
                // If the process has no descriptor left for the connection, the listener stays
                // readable. Without a pause the loop would spin.
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => std::thread::sleep(ACCEPT_BACKOFF),
                Err(_) => {}
            }
        }
    }

    /// Listens on the session's socket when it is time to, or when no server is connected. After a
    /// failure it is time again after [`LISTEN_RETRY_DELAY`].
    fn listen_if_due(&mut self, now: Instant) {
        let is_due = self.connections.is_empty() || self.listen_at.is_some_and(|at| at <= now);
        if self.listener.is_some() || self.listen_at.is_none() || !is_due {
            return;
        }
        match self.folder.listen() {
            Ok(listener) => (self.listener, self.listen_at) = (Some(listener), None),
            Err(error) => {
                eprintln!("livecode supervisor: cannot listen on the session's socket: {error}");
                self.listen_at = Some(now + LISTEN_RETRY_DELAY);
            }
        }
    }

    /// Adds a server's connection.
    pub fn connect(&mut self, stream: UnixStream) {
        self.connections.extend(Connection::accept(stream));
    }

    fn handle_request(&mut self, index: usize, request: SupervisorRequest) {
        let notice = match request {
            SupervisorRequest::Hello { version } => {
                return self.connections[index].greet(version, self.host.unenforced(), self.start_kind);
            }
            SupervisorRequest::Cancel => return self.kill_for(Outcome::Cancelled),
            SupervisorRequest::SetCpuWeight(weight) => return self.sandbox.set_cpu_weight(weight),
            SupervisorRequest::Release => return, // only the end of the session is followed by it
            SupervisorRequest::Deliver { tag, id, item } => match self.deliver(id, item) {
                Ok(()) => SupervisorNotice::Delivered { tag },
                Err(DeliveryRefused { code, error }) => {
                    SupervisorNotice::Refused { tag, error, code: Some(code) }
                }
            },
        };
        self.connections[index].send(&notice);
    }

    /// Delivers input, an event or a signal to the program. A delivery with an id that was
    /// delivered before is not repeated.
    ///
    /// # Errors
    /// Why nothing was delivered, for the client.
    fn deliver(&mut self, id: Option<Value>, item: Delivery) -> Result<(), DeliveryRefused> {
        if let Some(id) = &id {
            match self.delivery_ids.check(id, &item) {
                DeliveryCheck::New => {}
                DeliveryCheck::Duplicate => return Ok(()),
                DeliveryCheck::Conflict => {
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
            Delivery::Signal { signal } => self.deliver_signal(*signal)?,
        }
        self.idle_timer.record_activity();
        self.outputs.refill_throttle(); // the client waits for the program's reply
        if let Some(id) = &id {
            self.delivery_ids.remember(id, &item);
        }
        Ok(())
    }

    /// Sends a signal to the program. A signal that comes before the program starts waits for
    /// that.
    fn deliver_signal(&mut self, signal: Signal) -> Result<(), DeliveryRefused> {
        match self.step_index {
            Some(index) if index == self.program_index() => self.sandbox.signal(signal.number()),
            None if self.termination.status.is_some() => {
                return Err(DeliveryRefused::new(ErrorCode::ProgramEnded, "the program has ended"));
            }
            _ if self.early_signals.len() >= MAX_EARLY_SIGNALS => {
                let error = format!(
                    "the queue is full: {MAX_EARLY_SIGNALS} signals wait for the program; {QUEUE_FULL}"
                );
                return Err(DeliveryRefused::new(ErrorCode::QueueFull, error));
            }
            _ => self.early_signals.push(signal),
        }
        Ok(())
    }

    /// Writes appended entries to the journal file and sends progress to the servers.
    fn publish(&mut self) {
        let has_written = self.journal.flush();
        let is_killed = self.termination.kill_reason.is_some();
        if has_written && !is_killed && self.journal.exceeds_disk_share() {
            self.kill_for(Outcome::Output);
        }
        let active_us = self.idle_timer.active_us();
        let progress = self.journal.progress(self.started_us, active_us, self.compile_cache.result);
        self.connections.retain_mut(|connection| {
            connection.has_unsent_progress |= has_written;
            // Answers go first. Progress is sent only if nothing else waits, since a later
            // progress contains all that an earlier one did.
            if !connection.flush() {
                return false;
            }
            if connection.has_greeted && connection.has_unsent_progress && !connection.has_unsent() {
                connection.send(&progress);
                connection.has_unsent_progress = false;
            }
            connection.flush()
        });
    }
}
