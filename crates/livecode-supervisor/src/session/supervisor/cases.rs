//! A session with cases, from the end of its first sandbox to the end of its last.

use std::{
    fs::File,
    thread,
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
    limits::{cpu_deprioritizer::CpuDeprioritizer, cpu_time, memory::MemorySampler, output_cost::OutputCost},
    session::{
        cases::{CaseEnd, Cases, SandboxOrder},
        cpu_timer::CpuTimer,
        folder::StartError,
        supervisor::Supervisor,
        termination::Termination,
    },
};

/// How often a sandbox for a case is tried to be made before the session ends as `lost`, and the
/// pause before each further try.
const SANDBOX_ATTEMPTS: usize = 3;
const SANDBOX_RETRY_DELAY: Duration = Duration::from_millis(100);

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
}

impl<'a> CaseSandboxes<'a> {
    /// The first sandbox of the session has the first name of this process.
    pub fn new(process: ProcessIdentity, shared_zygote: Option<&'a ZygoteClient>) -> Self {
        Self { process, shared_zygote, own_zygote: None, is_second: false, prepared: None }
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
        match self.prepared.take() {
            Some((made_with, made)) if made_with == *layout && made.0.is_alive() => return Ok(made),
            // It has died, or the checker is not needed for which it was made. Its name is free
            // again, once it is dropped.
            Some(unusable) => {
                drop(unusable);
                self.is_second = !self.is_second;
            }
            None => {}
        }
        let mut attempts = 1;
        loop {
            match self.make(host, layout) {
                Err(error) if error.is_transient() && attempts < SANDBOX_ATTEMPTS => {
                    attempts += 1;
                    thread::sleep(SANDBOX_RETRY_DELAY);
                }
                made => return made,
            }
        }
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
        loop {
            self.run();
            if self.cases.is_none() {
                return;
            }
            self.end_sandbox();
            if self.is_to_be_started_again() {
                return;
            }
            if !self.record_end() || !self.start_case(&mut sandboxes) {
                break;
            }
        }
        let (outcome, exitstatus) = self.termination.outcome();
        if let Some(cases) = &mut self.cases {
            // The time of all was up before the checker, or its sandbox could not be made.
            let mut entries = vec![];
            if cases.is_checking() {
                let (memory_peak_bytes, is_from_outside) = (None, true);
                entries = cases.finish_current(&CaseEnd {
                    outcome,
                    exitstatus,
                    memory_peak_bytes,
                    is_from_outside,
                });
            }
            entries.extend(cases.take_held_entries());
            for entry in entries.into_iter().chain(cases.summary()) {
                self.journal.append_unlimited(Kind::Message, entry);
            }
        }
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
        if let Some(cases) = &mut self.cases {
            cases.note_end();
            cases.add_usage(&self.sandbox, output_cost_ms);
        }
    }

    /// Records the end of a case, or of the compile steps. Returns whether another case is to be
    /// run. If not, [`Self::termination`] is that of the session.
    fn record_end(&mut self) -> bool {
        let Some(cases) = &mut self.cases else { return false };
        let (outcome, exitstatus) = self.termination.outcome();
        let is_ended_from_outside = self.termination.ends_session() || cases.is_total_time_up;
        if cases.is_compiling() {
            if !is_ended_from_outside {
                cases.fail_all();
            }
            return false;
        }
        let was_case = cases.has_current();
        let is_lost = was_case && outcome == Outcome::Lost;
        let must_end = is_lost || is_ended_from_outside;
        let memory_peak_bytes = self.sandbox.memory_peak_bytes();
        let end = CaseEnd { outcome, exitstatus, memory_peak_bytes, is_from_outside: must_end };
        if cases.begin_check(&end) {
            return true;
        }
        for entry in cases.finish_current(&end) {
            self.journal.append_unlimited(Kind::Message, entry);
        }
        if !must_end && cases.are_over() {
            let status = Some(StepStatus::Exited(cases.exitstatus()));
            self.termination = Termination { status, ..Termination::default() };
        }
        let goes_on = !must_end && !cases.are_over();
        self.publish();
        goes_on
    }

    /// Starts the checker of this case, or the next case, in a fresh sandbox. Returns `false` if the time of all cases is up, or
    /// the platform fails; then the session ends.
    fn start_case(&mut self, sandboxes: &mut CaseSandboxes<'_>) -> bool {
        self.termination = Termination::default();
        if self.cases.as_ref().and_then(Cases::due).is_some_and(|due| due <= Instant::now()) {
            self.end_total_time();
            return false;
        }
        match self.try_start_case(sandboxes) {
            Ok(()) => true,
            Err(error) => {
                self.fail(&format!("a case could not be started: {}", error.chain()));
                false
            }
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
        self.use_sandbox(sandbox, pipes, contents_file.as_ref())?;
        self.prepare_sandbox(sandboxes);
        self.begin(&run_spec_file, contents_file.as_ref(), artefacts.as_ref())
            .map_err(StartError::MakeSandbox)
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
        sandbox.set_cpu_weight(self.sandbox.cpu_weight());
        self.stdin = stdin.map_err(StartError::ReadRunSpec)?;
        self.outputs = Outputs::new(pipes.stdout, pipes.stderr, pipes.messages, limits.cpu_millicores);
        self.events = InputQueue::new("message channel", messages.into(), EVENT_QUEUE_BYTES);
        (self.step_index, self.last_step_index) = (None, 0);
        self.wall_deadline = now.checked_add(Duration::from_millis(limits.wall_ms));
        self.idle_timer.start_sandbox();
        self.cpu_timer = CpuTimer::default();
        self.output_cost = OutputCost::new(cpu_time::own_cpu_time());
        self.memory_sampler = MemorySampler::new(&sandbox, now);
        self.cpu_deprioritizer = CpuDeprioritizer::default();
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
        self.kill_at(LimitName::WallMs);
    }
}
