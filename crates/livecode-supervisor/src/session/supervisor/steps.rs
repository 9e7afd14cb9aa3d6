//! The steps of a session, as init reports them: compile steps, then the program.

use std::{
    io,
    time::{Duration, Instant},
};

use livecode_journal::Kind;
use livecode_protocol::{
    now_us,
    session::{LimitName, Outcome},
};
use livecode_sandbox::{InitEvent, StepStatus};

use crate::{
    limits::cpu_time,
    session::{cases::Cases, folder::StartError, supervisor::Supervisor},
};

/// The note about a checker that was not started. It names neither its command nor its files,
/// since those of an exercise are not the pupil's.
const CHECKER_FAILURE: &str = "the checker could not be run";

impl Supervisor<'_> {
    pub(super) fn handle_init_event(&mut self, event: InitEvent) {
        match event {
            InitEvent::Ready
            | InitEvent::Usage { .. }
            | InitEvent::KernelMemoryProbe
            | InitEvent::DiskSize
            | InitEvent::SeccompListener => {}
            InitEvent::StepStarted(index) => self.step_started(index),
            InitEvent::Ended(index, status) => self.step_ended(index, status),
            InitEvent::Artefact { name, executable, file } => {
                if let Some(cases) = &mut self.cases {
                    cases.add_artefact(&name, executable, file.as_ref());
                }
                self.compile_cache.add_artefact(&name, executable, file);
            }
            InitEvent::ArtefactsSent(is_complete) => {
                let compiler_output = self.outputs.drain_compiler_output();
                self.append(compiler_output);
                self.compile_cache.store(is_complete);
                match self.cases {
                    Some(_) => self.end_compiling(is_complete),
                    None => self.start_step(self.program_index()),
                }
            }
            InitEvent::ResultFile { name, file } => self.result_files.add(&self.folder, name, file),
            InitEvent::ResultRefused { name, reason } => self.result_files.refuse(name, reason),
            InitEvent::ResultsSent(is_complete) => {
                if self.termination.kill_reason.is_some() {
                    self.sandbox.kill();
                }
                self.result_files.finish(&self.folder, is_complete);
            }
            // The arguments of a hidden case are not told.
            InitEvent::ExecFailed(..) if self.is_in_hidden_case() => {}
            InitEvent::ExecFailed(index, error) => {
                let text = match self.is_checking() {
                    true => CHECKER_FAILURE.to_owned(),
                    false => format!("cannot run {}: {error}", self.step(index).argv[0]),
                };
                self.journal.write_note(self.compile_stage.kind_of(Kind::Stderr), &text);
            }
            InitEvent::SetupFailed(error) if self.started_us.is_none() => {
                self.start_error.get_or_insert(StartError::MakeSandbox(error));
                self.sandbox.kill();
            }
            // A file for which the sandbox of a case has too little room can never be made.
            InitEvent::SetupFailed(error)
                if self.cases.as_ref().is_some_and(Cases::is_current_unstarted)
                    && error.source.kind() != io::ErrorKind::StorageFull =>
            {
                self.start_error.get_or_insert(StartError::MakeSandbox(error));
                self.sandbox.kill();
            }
            InitEvent::SetupFailed(error) => self.fail(&format!("{error}: {}", error.source)),
        }
    }

    fn step_started(&mut self, index: usize) {
        self.step_index = Some(index);
        self.idle_timer.start_step();
        if let Some(cases) = &mut self.cases {
            cases.note_start();
            // The time of a program of a case begins here. Meanwhile the next sandbox was made.
            if cases.has_current() {
                let wall = Duration::from_millis(self.run_spec.limits.wall_ms);
                self.wall_deadline = Instant::now().checked_add(wall);
            }
        }
        if self.started_us.is_none() {
            self.started_us = Some(now_us());
            // The sandbox has its own copy of the files by now.
            if self.run_spec.stored.is_some() || self.cases.is_some() {
                self.folder.remove_contents();
            }
            self.append_cached_output();
        }
        let base_ms = if index == 0 { 0 } else { self.charged_cpu_ms().unwrap_or(0) };
        self.cpu_timer.set_base(base_ms);
        let now = Instant::now();
        self.check_cpu(now);
        if self.cases.as_ref().is_some_and(Cases::is_later_case) {
            self.sandbox.set_deprioritized(self.cpu_deprioritizer.is_deprioritized());
        } else {
            let own_ms = cpu_time::own_cpu_time().as_millis() as u64 + self.ended_cpu_ms;
            let used_ms = self.cpu_timer.last_ms().saturating_sub(self.output_cost.charged_ms()) + own_ms;
            if self.cpu_deprioritizer.start_step(now, used_ms) {
                self.sandbox.set_deprioritized(false);
            }
        }
        if index == self.program_index() {
            let signals = std::mem::take(&mut self.early_signals);
            let is_checker = self.is_checking();
            for signal in signals.into_iter().filter(|_| !is_checker) {
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
        self.input_wait.end();
        self.cpu_timer.stop();
        if let Some(cases) = &mut self.cases {
            cases.note_end();
        }
        if index < self.program_index() {
            let wall_ms = self.started_us.map_or(0, |started_us| now_us().saturating_sub(started_us) / 1000);
            self.compile_stage.record_step(status, wall_ms, self.charged_cpu_ms());
            self.termination.has_compile_failed = self.compile_stage.has_failed();
        }
        let next = index + 1;
        if status != StepStatus::Exited(0) || next > self.program_index() {
            self.termination.status = Some(status);
            self.sandbox.set_deprioritized(false);
            self.start_collecting();
            return;
        }
        self.termination.status = None;
        if next == self.program_index() && self.start_collecting_artefacts() {
            self.sandbox.collect_artefacts();
        } else {
            self.start_step(next);
        }
    }

    /// Prepares to receive artefacts, for the compile cache and for the cases. Returns whether
    /// init is to be asked for them.
    fn start_collecting_artefacts(&mut self) -> bool {
        let id = self.run_spec.id;
        let is_cached = self.compile_cache.start_collecting(id);
        match self.cases.as_mut().map(|cases| cases.start_collecting(id)) {
            Some(Ok(is_needed)) => is_needed || is_cached,
            Some(Err(error)) => {
                self.fail(&format!("what was compiled cannot be kept for the cases: {error}"));
                false
            }
            None => is_cached,
        }
    }

    /// Starts a step that comes after one that has succeeded, unless the session is to end.
    fn start_step(&mut self, index: usize) {
        if self.is_ending() {
            return;
        }
        if index == self.program_index() {
            // The compiler's last words must not be taken for those of the program.
            let compiler_output = self.outputs.drain_compiler_output();
            self.append(compiler_output);
            self.compile_stage.end();
            self.compile_cache.mark_compiled();
        }
        self.last_step_index = index;
        let limits = self.step(index).limits;
        if let Err(error) = self.sandbox.start_step(index, &limits) {
            // The steps before have left more in memory than this step may have.
            if error.is_over_memory_limit() {
                return self.kill_at(LimitName::MemoryBytes);
            }
            self.fail(&format!("{error}: {}", error.source));
        }
    }

    fn is_in_hidden_case(&self) -> bool {
        self.cases.as_ref().is_some_and(Cases::is_current_hidden)
    }

    /// Whether the checker of a case runs, or is about to.
    fn is_checking(&self) -> bool {
        self.cases.as_ref().is_some_and(Cases::is_checking)
    }

    /// Ends the session because the platform, not the program, has failed.
    pub(super) fn fail(&mut self, error: &str) {
        // The error may name a file of the case, or of the checker.
        let note = match (self.is_in_hidden_case(), self.is_checking()) {
            (true, _) => "a hidden case could not be run",
            (false, true) => CHECKER_FAILURE,
            (false, false) => error,
        };
        self.journal.write_note(Kind::Stderr, note);
        self.end_for(Outcome::Lost);
    }
}
