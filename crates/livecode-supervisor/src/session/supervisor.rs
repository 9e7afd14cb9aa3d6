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

use bytes::Bytes;
use livecode_journal::Kind;
use livecode_protocol::{
    DeliveryRefused,
    control::{CpuWeight, StartKind, SupervisorNotice, SupervisorRequest},
    run_spec::{RunSpec, Step},
    session::{LimitName, Outcome},
    stream::Signal,
};
use livecode_sandbox::{Host, ProgramChannels, Sandbox, SeccompListener, StdinProbe};
use rustix::event::PollFlags;

mod begin;
pub(crate) mod cases;
mod deliveries;
pub(crate) mod end;
mod kill;
mod steps;
mod timers;

use crate::{
    compile_cache::SessionCompileCache,
    diagnostics::Diagnostics,
    io::{
        echo::Echo,
        input::{DeliveryIds, EVENT_QUEUE_BYTES, InputQueue},
        input_wait::InputWait,
        outputs::{Callers, InputRequests, Outputs, PendingEntry, Readable},
    },
    journal::capped_journal::CappedJournal,
    limits::{
        cpu_deprioritizer::CpuDeprioritizer, cpu_time, idle::IdleTimer, memory::MemorySampler,
        output_cost::OutputCost,
    },
    session::{
        cases::Cases,
        compile_stage::CompileStage,
        connection::Connection,
        cpu_timer::CpuTimer,
        folder::{SessionFolder, StartError},
        poll_set::{PollSet, ReadySources, Source},
        result_files::ResultFiles,
        termination::Termination,
    },
};

/// Connections at once. One server has one connection; the others are of servers that were
/// replaced and whose end was not noticed yet.
const MAX_CONNECTIONS: usize = 4;
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
    /// Present if the session asks for diagnostics.
    pub diagnostics: Option<Diagnostics>,
    /// The contents file, if the run spec has stored contents.
    pub contents_file: Option<File>,
    pub compile_cache: SessionCompileCache,
    /// Present if the session has cases. The run spec is then that of its first sandbox.
    pub cases: Option<Cases>,
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
    compile_stage: CompileStage,
    cases: Option<Cases>,
    result_files: ResultFiles,
    journal: CappedJournal,
    diagnostics: Option<Diagnostics>,
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
    echo: Echo,
    input_wait: InputWait,
    termination: Termination,
    /// Index of the step that runs, if any. The compile steps come first, then the program.
    step_index: Option<usize>,
    /// Index of the step that was started last.
    last_step_index: usize,
    /// Signals that came before the program started.
    early_signals: Vec<Signal>,
    /// When the first step started, in microseconds since the epoch.
    started_us: Option<u64>,
    /// Why the sandbox could not be set up, if its first step has not started.
    start_error: Option<StartError>,
    wall_deadline: Option<Instant>,
    idle_timer: IdleTimer,
    cpu_timer: CpuTimer,
    output_cost: OutputCost,
    memory_sampler: MemorySampler,
    cpu_deprioritizer: CpuDeprioritizer,
    /// The weight of the session's sandbox, or of the next one of its cases.
    cpu_weight: CpuWeight,
    /// CPU time of the sandboxes of cases that have ended, in milliseconds, for the deprioritiser.
    ended_cpu_ms: u64,
}

impl<'h> Supervisor<'h> {
    /// # Errors
    /// If the standard input of the run spec cannot be decoded, or a descriptor cannot be
    /// duplicated. Then the journal is discarded.
    pub fn new(host: &'h Host, session: StartedSession) -> Result<Self, StartError> {
        let StartedSession { mut run_spec, contents_file, sandbox, pipes, requested_at, .. } = session;
        let probe = StdinProbe::new(host, run_spec.slot, &pipes.stdin);
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
            compile_stage: CompileStage::new(&run_spec, &session.compile_cache),
            compile_cache: session.compile_cache,
            cases: session.cases,
            result_files: ResultFiles::new(run_spec.collect.take(), limits.disk_reserve_bytes),
            journal: session.journal,
            diagnostics: session.diagnostics,
            listener: None,
            listen_at: Some(requested_at + LISTEN_DELAY),
            connections: vec![],
            start_kind: session.start_kind,
            outputs: Outputs::new(pipes.stdout, pipes.stderr, pipes.messages, limits.cpu_millicores),
            stdin,
            events: InputQueue::new("message channel", messages.into(), EVENT_QUEUE_BYTES),
            delivery_ids: DeliveryIds::default(),
            echo: Echo::new(run_spec.echo),
            input_wait: InputWait::new(probe, requested_at),
            termination: Termination::default(),
            step_index: None,
            last_step_index: 0,
            early_signals: vec![],
            started_us: None,
            start_error: None,
            wall_deadline: requested_at.checked_add(Duration::from_millis(limits.wall_ms)),
            idle_timer: IdleTimer::new(limits.idle_ms, requested_at),
            cpu_timer: CpuTimer::default(),
            output_cost: OutputCost::new(cpu_time::own_cpu_time()),
            memory_sampler: MemorySampler::new(&sandbox, requested_at),
            cpu_deprioritizer: CpuDeprioritizer::default(),
            cpu_weight: CpuWeight::default(),
            ended_cpu_ms: 0,
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
            let unread = self.journal_echo(ready.outputs, now);
            self.stdin.pump();
            self.events.pump();
            self.read_outputs(unread, now);
            if ready.has_no_callers {
                self.sandbox.close_seccomp_listener(); // it stays ready until then
            }
            let is_init_alive = !ready.init || self.handle_init_events();
            if ready.oom_notifier && self.sandbox.is_out_of_memory() {
                self.kill_at(LimitName::MemoryBytes);
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

    /// Reads the channels that are ready, serves notified calls, and follows what the program asks
    /// about its input.
    fn read_outputs(&mut self, readable: Readable, now: Instant) {
        let Self { sandbox, stdin, input_wait, outputs, .. } = self;
        let callers = sandbox.seccomp_listener().map(|listener| Callers { listener, stdin, input_wait });
        let entries = outputs.read_ready(readable, callers, now);
        self.append(entries);
        let InputRequests { echo, wait } = self.outputs.take_requests();
        if let Some(request) = echo {
            self.echo.follow(request);
        }
        // Without a listener only some languages would tell it.
        if let Some(request) = wait.filter(|_| self.sandbox.seccomp_listener().is_some()) {
            self.input_wait.follow_request(&request, self.stdin.is_starved());
        }
    }

    /// Whether the program has ended by itself, no other process is left, and all output is read.
    /// Then everything that the closing entry needs is known. Init, which is about to exit, is not
    /// waited for.
    fn is_over(&self) -> bool {
        let has_ended = self.termination.status.is_some() && self.step_index.is_none();
        has_ended
            && self.termination.kill_reason.is_none()
            && !self.result_files.is_receiving()
            && self.outputs.are_closed()
            && self.sandbox.is_only_init_left()
    }

    /// Waits until a descriptor is ready or a timer is due.
    fn wait(&self) -> ReadySources {
        let is_ending = self.is_ending();
        let limit_timers = [
            self.wall_deadline,
            self.cpu_timer.due(),
            self.idle_timer.due(),
            self.memory_sampler.due(),
            self.cpu_deprioritizer.due(),
            self.cases.as_ref().and_then(Cases::due),
        ];
        let limit_timers = if is_ending { [None; 6] } else { limit_timers };
        let other_timers = [
            self.outputs.due(),
            self.input_wait.due(),
            self.journal.syncer.due(),
            self.listen_at,
            self.result_files.due(),
        ];
        let due = limit_timers.into_iter().chain(other_timers).flatten().min();
        let timeout = due.map(|due| due.saturating_duration_since(Instant::now()));

        let mut set = PollSet::new();
        set.add(Source::Init, Some(self.sandbox.control_fd()), PollFlags::IN);
        let oom_notifier = self.sandbox.oom_notifier().filter(|_| !is_ending);
        set.add(Source::OomNotifier, oom_notifier, PollFlags::IN);
        let listener = self.sandbox.seccomp_listener().map(SeccompListener::poll_fd);
        set.add(Source::Notifications, listener, PollFlags::IN);
        let [stdout, stderr, messages] = self.outputs.poll_fds();
        set.add(Source::Stdout, stdout, PollFlags::IN);
        set.add(Source::Stderr, stderr, PollFlags::IN);
        set.add(Source::Messages, messages, PollFlags::IN);
        set.add(Source::ProgramInputWritable, self.stdin.poll_fd(), PollFlags::OUT);
        set.add(Source::ProgramInputWritable, self.events.poll_fd(), PollFlags::OUT);
        self.watch_servers(&mut set);
        set.wait(timeout)
    }

    /// Adds what servers use to reach this supervisor.
    fn watch_servers<'s>(&'s self, set: &mut PollSet<'s>) {
        let listener = self.listener.as_ref().filter(|_| self.connections.len() < MAX_CONNECTIONS);
        set.add(Source::Listener, listener.map(AsFd::as_fd), PollFlags::IN);
        for (index, connection) in self.connections.iter().enumerate() {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, connection.may_read());
            flags.set(PollFlags::OUT, connection.has_unsent());
            set.add(Source::Connection(index), Some(connection.stream()), flags);
        }
    }

    /// Appends entries to the journal. What the compile steps printed when their result was cached
    /// comes before the program's first entry, and not before the program has started: until then
    /// the journal stays empty, since another supervisor may have to start the session.
    fn append(&mut self, entries: Vec<PendingEntry>) {
        if entries.is_empty() {
            return;
        }
        if self.cases.as_ref().is_some_and(Cases::has_current) {
            return self.capture(entries);
        }
        self.append_cached_output();
        for PendingEntry { kind, data } in entries {
            self.compile_cache.record_output(kind, &data);
            self.append_output(self.compile_stage.kind_of(kind), data);
        }
    }

    /// Keeps output of the case that runs. Kills its program when that reaches the output limit.
    fn capture(&mut self, entries: Vec<PendingEntry>) {
        self.idle_timer.record_activity();
        for PendingEntry { kind, data } in entries {
            let is_within_limit = self.cases.as_mut().and_then(|cases| cases.capture(kind, &data));
            if is_within_limit == Some(false) {
                self.kill_at(LimitName::OutputBytes);
            }
        }
    }

    /// Appends what the compile steps printed when their result was cached, unless that was done.
    fn append_cached_output(&mut self) {
        if let Some(data) = self.compile_cache.take_cached_output() {
            self.append_output(self.compile_stage.compiler_output_kind(), data);
        }
    }

    /// Appends an entry of output, and after it the diagnostics that were found in it.
    fn append_output(&mut self, kind: Kind, data: Bytes) {
        let is_read = matches!(kind, Kind::Stderr | Kind::CompilerOutput);
        let diagnostics = self.diagnostics.as_mut().filter(|_| is_read);
        let diagnostics = diagnostics.map(|diagnostics| diagnostics.read(&data)).unwrap_or_default();
        self.append_entry(kind, data);
        self.append_messages(diagnostics);
    }

    /// Appends messages that are not the program's own. They are not recorded with the output of the
    /// compile steps.
    fn append_messages(&mut self, messages: Vec<Bytes>) {
        for message in messages {
            self.append_entry(Kind::Message, message);
        }
    }

    /// Appends an entry to the journal. Kills the program when that reaches the output limit.
    /// Nothing is appended any more after that.
    fn append_entry(&mut self, kind: Kind, data: Bytes) {
        self.idle_timer.record_activity();
        let is_over_limit = self.termination.kill_reason == Some(Outcome::Output);
        if !is_over_limit && !self.journal.append(kind, data) {
            self.kill_at(LimitName::OutputBytes);
        }
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
            SupervisorRequest::Cancel => return self.end_for(Outcome::Cancelled),
            SupervisorRequest::SetCpuWeight(weight) => {
                self.cpu_weight = weight;
                return self.sandbox.set_cpu_weight(weight);
            }
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

    /// Writes appended entries to the journal file and sends progress to the servers.
    fn publish(&mut self) {
        let has_written = self.journal.flush();
        if has_written && !self.is_ending() && self.journal.exceeds_disk_share() {
            self.end_at(LimitName::DiskShareBytes);
        }
        let active_us = self.idle_timer.active_us();
        let has_changed = self.input_wait.end_turn(Instant::now()) || has_written;
        let wait = self.input_wait.published();
        let result = self.compile_cache.result;
        let progress = self.journal.progress(self.started_us, active_us, result, wait);
        self.connections.retain_mut(|connection| {
            connection.has_unsent_progress |= has_changed;
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
