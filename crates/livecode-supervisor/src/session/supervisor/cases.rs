//! A session with cases, from the end of its first sandbox to the end of its last.

use std::{
    fs::File,
    time::{Duration, Instant},
};

use livecode_journal::Kind;
use livecode_protocol::{
    run_spec::SandboxLayout,
    session::{LimitName, Outcome},
};
use livecode_sandbox::{Host, ProgramChannels, Sandbox, SetupError, StepStatus, ZygoteClient};

use crate::{
    identity::ProcessIdentity,
    io::{
        input::{EVENT_QUEUE_BYTES, InputQueue},
        outputs::Outputs,
    },
    limits::{cpu_time, memory::MemorySampler},
    session::{
        cases::{CaseEnd, Cases, SandboxOrder, SessionEnd},
        cpu_timer::CpuTimer,
        folder::StartError,
        poll_set::PollSet,
        supervisor::Supervisor,
        termination::Termination,
    },
};

/// How often a case is tried to be started again before the session ends as `lost`, if it is not
/// for want of a resource that it cannot be started.
const MAX_PERMANENT_FAILURES: u32 = 3;
/// The pause before a case is tried to be started again: at first, and at most. It doubles with
/// each failure in a row. Meanwhile the session can be cancelled.
const MIN_RETRY_DELAY: Duration = Duration::from_millis(50);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(1);

/// The failed starts of one case.
#[derive(Default)]
struct StartFailures {
    all: u32,
    /// Those that were not for want of a resource.
    permanent: u32,
}

impl StartFailures {
    /// How long to wait before the next start.
    fn pause(&self) -> Duration {
        match self.all.checked_sub(1) {
            Some(others) => MIN_RETRY_DELAY.saturating_mul(1 << others.min(16)).min(MAX_RETRY_DELAY),
            None => Duration::ZERO,
        }
    }
}

/// Makes the sandboxes of the cases. Its cgroups have two names in turn, since the next sandbox is
/// made while the program of the last one runs.
pub(crate) struct CaseSandboxes<'a> {
    process: ProcessIdentity,
    /// The spawner's zygote; `None` without warm starts. Then this process is cloned.
    shared_zygote: Option<&'a ZygoteClient>,
    /// A zygote of this process alone, which outlives the server and its spawner.
    own_zygote: Option<ZygoteClient>,
    /// Whether the last sandbox has the second name.
    is_second: bool,
    /// A sandbox that was made ahead, with its layout.
    prepared: Option<(SandboxLayout, (Sandbox, ProgramChannels))>,
    /// The failed starts of the case that is to be started next.
    failures: StartFailures,
}

impl<'a> CaseSandboxes<'a> {
    /// The first sandbox of the session has the first name of this process.
    pub fn new(process: ProcessIdentity, shared_zygote: Option<&'a ZygoteClient>) -> Self {
        Self {
            process,
            shared_zygote,
            own_zygote: None,
            is_second: false,
            prepared: None,
            failures: StartFailures::default(),
        }
    }

    /// Has a zygote made for this process. If that fails, the spawner's serves as long as it
    /// lives.
    fn fork_zygote(&mut self) {
        match self.shared_zygote.map(ZygoteClient::fork) {
            Some(Ok(zygote)) => self.own_zygote = Some(zygote),
            Some(Err(error)) => eprintln!("livecode supervisor: cannot have a zygote of its own: {error}"),
            None => {}
        }
    }

    /// Replaces the zygote of this process, which may be what fails, if the spawner's still lives.
    fn replace_zygote(&mut self) {
        if let Some(Ok(zygote)) = self.shared_zygote.map(ZygoteClient::fork) {
            self.own_zygote = Some(zygote);
        }
    }

    /// Makes a sandbox ahead. If that fails, it is made when it is needed.
    fn prepare(&mut self, host: &Host, layout: &SandboxLayout) {
        self.prepared = self.make(host, layout).ok().map(|made| (layout.clone(), made));
    }

    /// Takes the sandbox that was made ahead, or makes one.
    fn take(
        &mut self,
        host: &Host,
        layout: &SandboxLayout,
    ) -> Result<(Sandbox, ProgramChannels), SetupError> {
        if let Some((made_with, made)) = self.prepared.take() {
            if made_with == *layout && made.0.is_alive() {
                return Ok(made);
            }
            // It has died, or the checker is not needed for which it was made.
            drop(made);
            self.release_name();
        }
        self.make(host, layout)
    }

    /// Notes that the sandbox that was made last is removed without having replaced the one before
    /// it. So its name is free.
    fn release_name(&mut self) {
        self.is_second = !self.is_second;
    }

    fn make(
        &mut self,
        host: &Host,
        layout: &SandboxLayout,
    ) -> Result<(Sandbox, ProgramChannels), SetupError> {
        let is_second = !self.is_second;
        let process = self.process;
        let name = if is_second { process.second_cgroup_name() } else { process.cgroup_name() };
        let zygote = self.own_zygote.as_ref().or(self.shared_zygote);
        let made = Sandbox::create(host, &name, layout, zygote, None)?;
        self.is_second = is_second;
        Ok(made)
    }
}

impl Supervisor<'_> {
    /// Runs the session to the end of its program, or of all its cases.
    pub fn run_all(&mut self, mut sandboxes: CaseSandboxes<'_>) {
        if self.cases.as_ref().and_then(Cases::following_layout).is_some() {
            sandboxes.fork_zygote();
            if sandboxes.shared_zygote.is_none() {
                // A process is cloned only while it has no other thread.
                self.journal.syncer.use_no_thread();
            }
        }
        self.prepare_sandbox(&mut sandboxes);
        if self.cases.as_ref().is_some_and(Cases::has_current) {
            self.wall_deadline = None; // as in `use_sandbox`
        }
        loop {
            self.run();
            if self.cases.is_none() {
                return;
            }
            self.end_sandbox();
            if self.is_to_be_started_again() {
                return;
            }
            if !self.record_end(&mut sandboxes) || !self.start_case(&mut sandboxes) {
                break;
            }
        }
        self.conclude_cases();
    }

    /// Ends the sandbox of the compile steps or of a case: reads what is left of its output, and
    /// counts what it has used.
    fn end_sandbox(&mut self) {
        if !self.is_over() {
            self.sandbox.reap();
        }
        let entries = self.outputs.drain_all();
        self.append(entries);
        self.termination.is_out_of_memory = self.sandbox.has_oom_kills();
        let output_cost_ms = self.output_cost.charged_ms();
        self.ended_cpu_ms += self.sandbox.cgroup_cpu_ms().unwrap_or(0);
        if let Some(cases) = &mut self.cases {
            cases.note_end();
            cases.add_usage(&self.sandbox, output_cost_ms);
        }
    }

    /// Records the end of a case, or of the compile steps. Returns whether another case is to be
    /// run.
    fn record_end(&mut self, sandboxes: &mut CaseSandboxes<'_>) -> bool {
        let Some(cases) = &mut self.cases else { return false };
        let (outcome, exitstatus) = self.termination.outcome();
        let is_lost = outcome == Outcome::Lost;
        if cases.is_compiling() {
            if !is_lost && cases.session_end().is_none() {
                cases.fail_all();
            }
            return false;
        }
        if is_lost && cases.is_current_unstarted() {
            let error = self.start_error.take().unwrap_or(StartError::InitDied);
            match cases.session_end() {
                Some(_) => cases.postpone_current(),
                None => self.note_start_failure(&error, &mut sandboxes.failures),
            }
        } else {
            sandboxes.failures = StartFailures::default();
            if is_lost && cases.has_current() {
                cases.end_session(Outcome::Lost, None);
            }
            let memory_peak_bytes = self.sandbox.memory_peak_bytes();
            let is_from_outside = cases.session_end().is_some();
            let end = match cases.session_end().filter(|_| cases.is_checking()) {
                Some(end) => CaseEnd::of_session(end.outcome),
                None => CaseEnd { outcome, exitstatus, memory_peak_bytes, is_from_outside },
            };
            if !cases.begin_check(&end) {
                for entry in cases.finish_current(&end) {
                    self.journal.append_unlimited(Kind::Message, entry);
                }
            }
        }
        // A reason that comes from now on is one of the session, or of the next sandbox.
        self.termination = Termination::default();
        self.publish();
        !self.are_cases_over()
    }

    /// Records how the session ends, after its last case or its compile steps. If these have
    /// failed, that is known already.
    fn conclude_cases(&mut self) {
        let Some(cases) = &mut self.cases else { return };
        if !cases.is_compiling() {
            self.termination = match cases.session_end() {
                Some(SessionEnd { outcome, limit }) => {
                    Termination { kill_reason: Some(outcome), limit, ..Termination::default() }
                }
                None => Termination {
                    status: Some(StepStatus::Exited(cases.exitstatus())),
                    ..Termination::default()
                },
            };
        }
        // The session has ended before the checker, or its sandbox could not be made.
        let mut entries = match cases.session_end().filter(|_| cases.is_checking()) {
            Some(end) => cases.finish_current(&CaseEnd::of_session(end.outcome)),
            None => vec![],
        };
        entries.extend(cases.take_held_entries());
        for entry in entries.into_iter().chain(cases.summary()) {
            self.journal.append_unlimited(Kind::Message, entry);
        }
    }

    fn are_cases_over(&self) -> bool {
        self.cases.as_ref().is_none_or(Cases::are_over)
    }

    /// Starts the checker of this case, or the next case, in a fresh sandbox. For want of a
    /// resource, that is tried again until the time of all cases is up. Returns `false` if the
    /// session ends before that.
    fn start_case(&mut self, sandboxes: &mut CaseSandboxes<'_>) -> bool {
        loop {
            self.serve_servers_for(sandboxes.failures.pause());
            if self.cases.as_ref().and_then(Cases::due).is_some_and(|due| due <= Instant::now()) {
                self.end_total_time();
            }
            if self.are_cases_over() {
                return false;
            }
            if sandboxes.failures.all > 1 {
                sandboxes.replace_zygote();
            }
            match self.try_start_case(sandboxes) {
                Ok(()) => return true,
                Err(error) => self.note_start_failure(&error, &mut sandboxes.failures),
            }
        }
    }

    /// Serves the connections to servers for a time in which no program runs. Ends earlier if the
    /// session does.
    fn serve_servers_for(&mut self, time: Duration) {
        let until = Instant::now() + time;
        let until = self.cases.as_ref().and_then(Cases::due).map_or(until, |due| due.min(until));
        loop {
            let now = Instant::now();
            if now >= until || self.are_cases_over() {
                return;
            }
            let mut set = PollSet::new();
            self.watch_servers(&mut set);
            let ready = set.wait(Some(until.duration_since(now)));
            self.serve_connections(&ready);
            let now = Instant::now();
            self.listen_if_due(now);
            self.publish();
            self.journal.syncer.sync_if_due(now);
        }
    }

    /// Notes that the current case could not be started. If it never will, ends the session.
    fn note_start_failure(&mut self, error: &StartError, failures: &mut StartFailures) {
        failures.all = failures.all.saturating_add(1);
        failures.permanent += u32::from(!error.is_transient());
        let text = format!("a case could not be started: {}", error.chain());
        if failures.permanent >= MAX_PERMANENT_FAILURES {
            self.fail(&text);
        } else if failures.all == 1 {
            eprintln!("livecode supervisor: {text}; it is tried again");
        }
        if let Some(cases) = &mut self.cases {
            cases.postpone_current();
        }
    }

    fn try_start_case(&mut self, sandboxes: &mut CaseSandboxes<'_>) -> Result<(), StartError> {
        let Some(cases) = &mut self.cases else { return Ok(()) };
        let check_order = cases.check_order(&self.folder).map_err(StartError::PrepareCases)?;
        let (order, artefacts) = match check_order {
            Some(order) => (order, None),
            None => {
                let order = cases.next_order(&self.folder).map_err(StartError::PrepareCases)?;
                (order, cases.artefacts().map_err(StartError::PrepareCases)?)
            }
        };
        let SandboxOrder { run_spec, run_spec_file, contents_file } = order;
        let taken = sandboxes.take(self.host, &run_spec.layout());
        let (sandbox, pipes) = taken.map_err(StartError::MakeSandbox)?;
        self.run_spec = run_spec;
        self.use_sandbox(sandbox, pipes, contents_file.as_ref()).inspect_err(|_| sandboxes.release_name())?;
        self.prepare_sandbox(sandboxes);
        let begun = self.begin(&run_spec_file, contents_file.as_ref(), artefacts.as_ref());
        begun.map_err(|error| {
            // A sandbox that is dead by now may have said why.
            self.handle_init_events();
            self.start_error.take().unwrap_or(StartError::MakeSandbox(error))
        })
    }

    /// Makes the sandbox that is needed next, if there is one, before the program of this one is
    /// started.
    fn prepare_sandbox(&self, sandboxes: &mut CaseSandboxes<'_>) {
        if let Some(layout) = self.cases.as_ref().and_then(Cases::following_layout) {
            sandboxes.prepare(self.host, layout);
        }
    }

    /// Replaces the sandbox, which is removed, by a fresh one. All that belongs to one sandbox
    /// begins anew.
    fn use_sandbox(
        &mut self,
        mut sandbox: Sandbox,
        pipes: ProgramChannels,
        contents_file: Option<&File>,
    ) -> Result<(), StartError> {
        let now = Instant::now();
        let contents_file = contents_file.map(File::try_clone).transpose();
        let contents_file = contents_file.map_err(StartError::DuplicateDescriptor)?;
        let messages = pipes.messages.try_clone().map_err(StartError::DuplicateDescriptor)?;
        let stdin = InputQueue::standard_input(pipes.stdin, &mut self.run_spec, contents_file);
        let limits = self.run_spec.limits;
        sandbox.set_cpu_weight(self.cpu_weight);
        self.stdin = stdin.map_err(StartError::ReadRunSpec)?;
        self.outputs = Outputs::new(pipes.stdout, pipes.stderr, pipes.messages, limits.cpu_millicores);
        self.events = InputQueue::new("message channel", messages.into(), EVENT_QUEUE_BYTES);
        (self.step_index, self.last_step_index) = (None, 0);
        // It is set when the program is started. Until then the time of all cases counts.
        self.wall_deadline = None;
        self.idle_timer.start_sandbox();
        self.cpu_timer = CpuTimer::default();
        self.output_cost.start_sandbox(cpu_time::own_cpu_time());
        self.memory_sampler = MemorySampler::new(&sandbox, now);
        self.sandbox = sandbox;
        Ok(())
    }

    /// Ends the sandbox of the compile steps once their artefacts are sent.
    pub(super) fn end_compiling(&mut self, is_complete: bool) {
        if self.is_ending() {
            return;
        }
        self.compile_stage.end();
        self.compile_cache.mark_compiled();
        match self.cases.as_mut().map(|cases| cases.finish_artefacts(is_complete)) {
            Some(Err(error)) => {
                self.fail(&format!("what was compiled cannot be kept for the cases: {error}"))
            }
            _ => self.sandbox.kill(),
        }
    }

    /// Ends the session since the time of all cases is up.
    pub(super) fn end_total_time(&mut self) {
        if let Some(cases) = &mut self.cases {
            cases.is_total_time_up = true;
        }
        self.end_at(LimitName::WallMs);
    }
}
