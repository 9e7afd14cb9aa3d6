//! Kills the program, and remembers why.

use std::time::Instant;

use livecode_protocol::session::{LimitName, Outcome, ReachedLimit};

use crate::session::supervisor::Supervisor;

impl Supervisor<'_> {
    /// Kills everything in the sandbox, and ends the session, because a client has cancelled it or
    /// the platform has failed.
    pub(super) fn end_for(&mut self, reason: Outcome) {
        self.end_cases(reason, None);
        self.kill_for(reason);
    }

    /// Kills everything in the sandbox, and ends the session, because a limit of the whole session
    /// is reached and not one of a program. Without cases there is no difference.
    pub(super) fn end_at(&mut self, name: LimitName) {
        self.end_cases(name.outcome(), Some(self.reached_limit(name)));
        self.kill_at(name);
    }

    /// Has no further case run, even if the current one is ending for another reason.
    fn end_cases(&mut self, outcome: Outcome, limit: Option<ReachedLimit>) {
        if let Some(cases) = &mut self.cases {
            cases.end_session(outcome, limit);
        }
    }

    /// Kills everything in the sandbox, after init has sent the result files if there are any. The
    /// first of several reasons stands; once the files are being sent, the program has ended.
    pub(super) fn kill_for(&mut self, reason: Outcome) {
        if self.result_files.has_started() {
            if !self.result_files.is_receiving() {
                self.sandbox.kill();
            }
            return;
        }
        self.termination.kill_reason.get_or_insert(reason);
        // Output of a program may be read before the event that its step has started.
        let has_started = self.started_us.is_some() || !self.journal.is_empty();
        let has_program = has_started && reason != Outcome::Lost;
        if !has_program || !self.start_collecting() {
            self.sandbox.kill();
        }
    }

    /// Has init end all other processes and send the result files. Returns whether any are wanted,
    /// and were not asked for before.
    pub(super) fn start_collecting(&mut self) -> bool {
        let is_started = self.result_files.start(Instant::now());
        if is_started {
            // The memory that init needs from now on says nothing about the program.
            self.termination.is_out_of_memory = self.sandbox.has_oom_kills();
            let limits = self.running_step().unwrap_or(&self.run_spec.run).limits;
            self.sandbox.collect_results(&limits);
        }
        is_started
    }

    /// Whether the program was killed, or has ended and its result files are sent or being sent.
    pub(super) fn is_ending(&self) -> bool {
        self.termination.kill_reason.is_some() || self.result_files.has_started()
    }

    /// Kills everything in the sandbox because it has reached a limit, unless the program is ending
    /// for another reason already.
    pub(super) fn kill_at(&mut self, name: LimitName) {
        // Output in the pipes is read after the program's end, too, and counts.
        let is_late_output = name == LimitName::OutputBytes && self.termination.kill_reason.is_none();
        if !self.is_ending() || is_late_output {
            self.termination.limit = Some(self.reached_limit(name));
            self.termination.kill_reason.get_or_insert(name.outcome());
        }
        self.kill_for(name.outcome());
    }

    /// The limit that has ended the session, if any. Of some limits only the outcome tells that they
    /// were reached, since the kernel has killed the program.
    pub(super) fn limit_of_end(&self) -> Option<ReachedLimit> {
        let by_kernel = || match self.termination.outcome().0 {
            Outcome::Memory => Some(self.reached_limit(LimitName::MemoryBytes)),
            Outcome::Cpu => Some(self.reached_limit(LimitName::CpuMs)),
            _ => None,
        };
        self.termination.limit.or_else(by_kernel)
    }

    /// A limit with its value for the step that was started last.
    fn reached_limit(&self, name: LimitName) -> ReachedLimit {
        let (session, step) = (self.run_spec.limits, self.step(self.last_step_index).limits);
        let value = match name {
            LimitName::WallMs => match &self.cases {
                Some(cases) if cases.is_total_time_up => cases.total_wall_ms(),
                _ => session.wall_ms,
            },
            LimitName::IdleMs => session.idle_ms.unwrap_or_default(),
            LimitName::CpuMs => step.cpu_ms,
            LimitName::MemoryBytes => step.memory_bytes,
            LimitName::OutputBytes => session.output_bytes,
            // The share changes with what else is on the disk. It is about what the journal holds.
            LimitName::DiskShareBytes => self.journal.written_bytes(),
        };
        ReachedLimit { name, value, compiling: self.last_step_index < self.program_index() }
    }
}
