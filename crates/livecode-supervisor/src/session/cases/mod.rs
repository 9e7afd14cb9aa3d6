//! The cases of one session: the program is compiled once, and run in a fresh sandbox for each
//! case, one after the other. A case ends as a session does, and its end is one entry of the
//! journal. A checker of the session's author may decide whether a case has passed; it runs in a
//! fresh sandbox, too, after the program of the case.
//!
//! The first sandbox of the session is used for the compile steps, whose artefacts are kept, or
//! else for the first case. No sandbox is used for two of these.

mod capture;
mod check;
mod compare;
mod sandbox_order;

use std::{
    fs::File,
    io::{self, Seek as _, SeekFrom},
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use bytes::Bytes;
use livecode_journal::Kind;
use livecode_protocol::{
    SessionId,
    cases::{CaseOutcome, Compare},
    run_spec::{CasesSpec, SandboxLayout},
    session::{Outcome, ReachedLimit, Usage},
    stream::ServerMessage,
};
use livecode_sandbox::Sandbox;

pub(crate) use sandbox_order::SandboxOrder;

use crate::{
    compile_cache::PrivateArtefacts,
    session::{
        cases::{
            capture::{Capture, Shown},
            check::{Checker, Verdict},
            sandbox_order::Template,
        },
        folder::{SessionFolder, StartError},
    },
};

/// The cases of one session.
pub(crate) struct Cases {
    spec: CasesSpec,
    template: Template,
    /// The layout of the sandboxes of cases.
    layout: SandboxLayout,
    checker: Option<Checker>,
    /// Receives what the compile steps make; `None` if there are none, or once they have ended.
    receiver: Option<PrivateArtefacts>,
    /// The artefacts of the compile steps, with the position of the first record.
    artefacts: Option<(File, u64)>,
    /// The case whose sandbox was started last, until its end is recorded.
    current: Option<CurrentCase>,
    /// The index of the case that is started next.
    next_index: usize,
    passed: usize,
    failed: usize,
    usage: CasesUsage,
    /// Entries that are not in the journal yet, in their order: those of hidden cases since the
    /// last case that is not hidden. A program that waits in a hidden case as long as its input
    /// says tells this to nobody who sees when entries come.
    held_entries: Vec<Bytes>,
    /// When all cases must have ended.
    total_deadline: Option<Instant>,
    /// Whether [`Self::total_deadline`] has passed.
    pub is_total_time_up: bool,
    /// Why the session ends before its last case; the first of several reasons. It may come while
    /// a case ends for another one.
    session_end: Option<SessionEnd>,
    /// Whether a client has sent a signal, after which no further case is run.
    pub is_signalled: bool,
}

/// The end of a session that a client, a limit of the whole session or the platform has caused.
#[derive(Clone, Copy)]
pub(crate) struct SessionEnd {
    pub outcome: Outcome,
    /// The limit, if one has caused it.
    pub limit: Option<ReachedLimit>,
}

struct CurrentCase {
    index: usize,
    output: Capture,
    started_at: Option<Instant>,
    ended_at: Option<Instant>,
    /// Present while the checker runs.
    check: Option<Check>,
}

/// A case whose program has ended, and whose checker runs.
struct Check {
    /// How the program has ended.
    program: CaseEnd,
    /// The output of the checker.
    output: Capture,
    is_started: bool,
}

/// How the program of a case, or its checker, has ended.
#[derive(Clone, Copy)]
pub(crate) struct CaseEnd {
    pub outcome: Outcome,
    pub exitstatus: i32,
    pub memory_peak_bytes: Option<u64>,
    /// Whether somebody or a limit of the session has ended it.
    pub is_from_outside: bool,
}

impl CaseEnd {
    /// The end of a case whose session ends with this outcome before its checker has ended.
    pub fn of_session(outcome: Outcome) -> Self {
        let exitstatus = outcome.exitstatus().unwrap_or(255);
        Self { outcome, exitstatus, memory_peak_bytes: None, is_from_outside: true }
    }
}

/// The resources that all sandboxes of a session have used.
#[derive(Default)]
struct CasesUsage {
    cpu_ms: Option<u64>,
    memory_peak_bytes: Option<u64>,
    processes_peak: Option<u64>,
}

impl Cases {
    /// Takes the cases out of a session's order, which becomes that of its first sandbox.
    /// `cached_result` holds the artefacts if the compile steps need not run.
    ///
    /// # Errors
    /// If the order cannot be written.
    pub fn take_from(
        order: &mut SandboxOrder,
        cached_result: Option<&File>,
        folder: &SessionFolder,
        requested_at: Instant,
    ) -> Result<Option<Self>, StartError> {
        let Some(spec) = order.run_spec.cases.take() else { return Ok(None) };
        Self::new(spec, order, cached_result, folder, requested_at)
            .map(Some)
            .map_err(StartError::PrepareCases)
    }

    fn new(
        mut spec: CasesSpec,
        order: &mut SandboxOrder,
        cached_result: Option<&File>,
        folder: &SessionFolder,
        requested_at: Instant,
    ) -> io::Result<Self> {
        let contents_file = order.contents_file.as_ref().map(File::try_clone).transpose()?;
        let checker =
            spec.checker.take().map(|checker| Checker::new(*checker, &order.run_spec)).transpose()?;
        let mut cases = Self {
            template: Template::new(&order.run_spec, contents_file)?,
            layout: order.run_spec.layout(),
            checker,
            receiver: None,
            artefacts: None,
            current: None,
            next_index: 0,
            passed: 0,
            failed: 0,
            usage: CasesUsage::default(),
            held_entries: vec![],
            total_deadline: requested_at.checked_add(Duration::from_millis(spec.total_wall_ms)),
            is_total_time_up: false,
            session_end: None,
            is_signalled: false,
            spec,
        };
        if let Some(file) = cached_result {
            cases.keep_artefacts(file.try_clone()?)?;
        }
        if order.run_spec.compile.is_empty() {
            *order = cases.next_order(folder)?;
        } else {
            let limits = &order.run_spec.limits;
            let receiver = PrivateArtefacts::new(folder.path(), cases.spec.artefacts.clone(), limits);
            order.limit_to_compiling(receiver.slot(), cases.spec.total_wall_ms, folder)?;
            cases.receiver = Some(receiver);
        }
        Ok(cases)
    }

    fn keep_artefacts(&mut self, mut file: File) -> io::Result<()> {
        let offset = file.stream_position()?;
        self.artefacts = Some((file, offset));
        Ok(())
    }

    /// The order for the sandbox of the next case, which becomes the current one.
    ///
    /// # Errors
    /// If its files cannot be written.
    pub fn next_order(&mut self, folder: &SessionFolder) -> io::Result<SandboxOrder> {
        let case = &self.spec.cases[self.next_index];
        let order = self.template.order_for(case, folder)?;
        let output = Capture::new(order.run_spec.limits.output_bytes);
        let index = self.next_index;
        self.current = Some(CurrentCase { index, output, started_at: None, ended_at: None, check: None });
        self.next_index += 1;
        Ok(order)
    }

    /// Begins to check the current case, if a checker is to decide whether it has passed. Returns
    /// whether that is so. The next sandbox is then that of the checker.
    pub fn begin_check(&mut self, program: &CaseEnd) -> bool {
        let has_exited = program.outcome == Outcome::Exited && program.exitstatus == 0;
        let (Some(current), Some(checker)) = (&mut self.current, &self.checker) else { return false };
        let is_wanted = current.check.is_none() && self.spec.cases[current.index].compare == Compare::Checker;
        let is_begun = is_wanted && has_exited && !program.is_from_outside;
        if is_begun {
            current.check = Some(Check { program: *program, output: checker.capture(), is_started: false });
        }
        is_begun
    }

    /// The order for the sandbox of the checker, if that is to run next.
    ///
    /// # Errors
    /// If its files cannot be written.
    pub fn check_order(&mut self, folder: &SessionFolder) -> io::Result<Option<SandboxOrder>> {
        let current = self.current.as_ref().filter(|current| current.check.is_some());
        let (Some(current), Some(checker)) = (current, &mut self.checker) else { return Ok(None) };
        let case = &self.spec.cases[current.index];
        checker.order_for(case, &current.output.stdout, folder).map(Some)
    }

    /// Whether the checker runs, or is about to.
    pub fn is_checking(&self) -> bool {
        self.current.as_ref().is_some_and(|current| current.check.is_some())
    }

    /// The layout of the sandbox that is needed after the one of the current case, or of its
    /// checker, if all goes well; `None` if none is.
    pub fn following_layout(&self) -> Option<&SandboxLayout> {
        let current = self.current.as_ref().filter(|current| current.check.is_none());
        let has_check =
            current.is_some_and(|current| self.spec.cases[current.index].compare == Compare::Checker);
        let checker = self.checker.as_ref().filter(|_| has_check);
        checker.map(Checker::layout).or_else(|| self.has_next().then_some(&self.layout))
    }

    /// The artefacts for the next sandbox, positioned at their first record, if there are any.
    ///
    /// # Errors
    /// If the file cannot be positioned.
    pub fn artefacts(&mut self) -> io::Result<Option<File>> {
        let Some((file, offset)) = &mut self.artefacts else { return Ok(None) };
        file.seek(SeekFrom::Start(*offset))?;
        file.try_clone().map(Some)
    }

    /// Prepares to receive artefacts. Returns whether init is to be asked for them.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn start_collecting(&mut self, id: SessionId) -> io::Result<bool> {
        self.receiver.as_mut().map_or(Ok(false), |receiver| receiver.create(id).map(|()| true))
    }

    /// Adds an artefact that init has sent, and leaves the file positioned at its beginning.
    pub fn add_artefact(&mut self, name: &str, executable: bool, file: Option<&OwnedFd>) {
        let Some(receiver) = &mut self.receiver else { return };
        let copy = file.and_then(|file| file.try_clone().ok());
        receiver.add(name, executable, copy);
        if let Some(file) = file {
            let _ = rustix::fs::seek(file, rustix::fs::SeekFrom::Start(0));
        }
    }

    /// Notes that all artefacts were sent. Without them no case can be run.
    ///
    /// # Errors
    /// If they are not complete, or could not be kept.
    pub fn finish_artefacts(&mut self, is_complete: bool) -> io::Result<()> {
        let receiver = self.receiver.take().filter(|_| is_complete).ok_or(io::ErrorKind::InvalidData)?;
        self.keep_artefacts(receiver.finish()?)
    }

    /// Whether the compile steps have not succeeded yet.
    pub fn is_compiling(&self) -> bool {
        self.current.is_none() && self.next_index == 0 && self.artefacts.is_none()
    }

    /// Takes output of the current case. Returns `None` if there is no such case, so that the
    /// output is that of compile steps, and otherwise whether the output is within the limit.
    pub fn capture(&mut self, kind: Kind, data: &Bytes) -> Option<bool> {
        self.current.as_mut().map(|case| match &mut case.check {
            Some(check) => check.output.add(kind, data),
            None => case.output.add(kind, data),
        })
    }

    /// Whether a case is current.
    pub fn has_current(&self) -> bool {
        self.current.is_some()
    }

    /// Notes that the program of the current case, or its checker, was started.
    pub fn note_start(&mut self) {
        if let Some(case) = &mut self.current {
            case.started_at.get_or_insert_with(Instant::now);
            if let Some(check) = &mut case.check {
                check.is_started = true;
            }
        }
    }

    /// Notes that the program of the current case has ended.
    pub fn note_end(&mut self) {
        if let Some(case) = &mut self.current {
            case.ended_at.get_or_insert_with(Instant::now);
        }
    }

    /// When all cases must have ended, unless that time has come.
    pub fn due(&self) -> Option<Instant> {
        self.total_deadline.filter(|_| !self.is_total_time_up)
    }

    /// The time that all cases together have, in milliseconds.
    pub fn total_wall_ms(&self) -> u64 {
        self.spec.total_wall_ms
    }

    /// Ends the current case, if there is one. Returns the entries that are to be written now: its
    /// own and those that were held back, or none if it is hidden.
    pub fn finish_current(&mut self, end: &CaseEnd) -> Vec<Bytes> {
        let Some(CurrentCase { index, output, started_at, ended_at, check }) = self.current.take() else {
            return vec![];
        };
        let case = &self.spec.cases[index];
        let (program, verdict) = match check {
            Some(Check { program, output, .. }) if !end.is_from_outside => {
                (program, Verdict::of(end.outcome, end.exitstatus, &output))
            }
            _ => {
                let has_exited = end.outcome == Outcome::Exited && end.exitstatus == 0;
                let passed = has_exited && compare::is_expected(case, &output.stdout);
                (*end, Verdict { passed, outcome: CaseOutcome::Program(end.outcome), reason: None })
            }
        };
        let Verdict { passed, outcome, reason } = verdict;
        *(if passed { &mut self.passed } else { &mut self.failed }) += 1;
        if case.is_hidden {
            let message = ServerMessage::HiddenCase { name: &case.name, hidden: true, passed, outcome };
            self.held_entries.extend(serde_json::to_vec(&message).map(Bytes::from));
            return vec![];
        }
        let ended_at = ended_at.unwrap_or_else(Instant::now);
        let time = started_at.map_or(Duration::ZERO, |started_at| ended_at.duration_since(started_at));
        let Shown { stdout, stderr, is_truncated } = output.shown();
        let message = ServerMessage::Case {
            name: &case.name,
            passed,
            outcome,
            exitstatus: program.exitstatus,
            stdout: stdout.into(),
            stderr: stderr.into(),
            truncated: is_truncated,
            time_taken: time.as_millis() as f64 / 1000.0,
            memory_peak_bytes: program.memory_peak_bytes,
            reason: reason.map(Into::into),
        };
        self.held_entries.extend(serde_json::to_vec(&message).map(Bytes::from));
        self.take_held_entries()
    }

    /// Takes the entries of hidden cases that were held back.
    pub fn take_held_entries(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.held_entries)
    }

    /// Whether no program of the session gets events: some cases are hidden, or there is a
    /// checker.
    pub fn refuse_events(&self) -> bool {
        self.spec.has_hidden() || self.checker.is_some()
    }

    /// Whether the current case is hidden.
    pub fn is_current_hidden(&self) -> bool {
        self.current.as_ref().is_some_and(|current| self.spec.cases[current.index].is_hidden)
    }

    /// Notes that the program of the current case, or its checker, was not started, so that this
    /// is what is to be started next.
    pub fn postpone_current(&mut self) {
        if let Some(case) = self.current.take_if(|case| case.check.is_none()) {
            self.next_index = case.index;
        }
    }

    /// Whether the program of the current case, or its checker, was not started.
    pub fn is_current_unstarted(&self) -> bool {
        self.current.as_ref().is_some_and(|case| match &case.check {
            Some(check) => !check.is_started,
            None => case.started_at.is_none(),
        })
    }

    /// Whether the program of another case has run before that of the current one, or before its
    /// checker.
    pub fn is_later_case(&self) -> bool {
        self.current.as_ref().is_some_and(|case| case.index > 0 || case.check.is_some())
    }

    /// Ends the session once the sandbox that runs has ended.
    pub fn end_session(&mut self, outcome: Outcome, limit: Option<ReachedLimit>) {
        self.session_end.get_or_insert(SessionEnd { outcome, limit });
    }

    /// Why the session ends before its last case, if it does.
    pub fn session_end(&self) -> Option<SessionEnd> {
        self.session_end
    }

    /// Notes that no case can pass, since the program cannot be compiled.
    pub fn fail_all(&mut self) {
        self.failed = self.spec.cases.len();
    }

    /// Whether nothing more is to be run: no further case, nor the checker of the current one.
    pub fn are_over(&self) -> bool {
        let is_stopped = self.spec.stop_on_first_failure && self.failed > 0;
        let is_last = is_stopped || self.is_signalled || !self.has_next();
        self.session_end.is_some() || (is_last && !self.is_checking())
    }

    /// Whether there is a case that was not started.
    pub fn has_next(&self) -> bool {
        self.next_index < self.spec.cases.len()
    }

    /// The exit status of the session: whether all cases have passed.
    pub fn exitstatus(&self) -> i32 {
        i32::from(self.passed < self.spec.cases.len())
    }

    /// The entry that sums up all cases.
    pub fn summary(&self) -> Option<Bytes> {
        let (passed, failed) = (self.passed, self.failed);
        let skipped = self.spec.cases.len().saturating_sub(passed + failed);
        serde_json::to_vec(&ServerMessage::Cases { passed, failed, skipped }).ok().map(Bytes::from)
    }

    /// Adds what a sandbox that has ended has used. `output_cost_ms` is the CPU time that is
    /// charged for its output.
    pub fn add_usage(&mut self, sandbox: &Sandbox, output_cost_ms: u64) {
        let usage = &mut self.usage;
        let cpu_ms = sandbox.cpu_ms().map(|ms| ms + output_cost_ms);
        usage.cpu_ms = cpu_ms.map(|ms| ms + usage.cpu_ms.unwrap_or(0)).or(usage.cpu_ms);
        // `None` is less than any number.
        usage.memory_peak_bytes = usage.memory_peak_bytes.max(sandbox.memory_peak_bytes());
        usage.processes_peak = usage.processes_peak.max(sandbox.processes_peak());
    }

    /// Replaces the usage of the last sandbox by that of all.
    pub fn fill_usage(&self, usage: &mut Usage) {
        let CasesUsage { cpu_ms, memory_peak_bytes, processes_peak } = self.usage;
        *usage = Usage { cpu_ms, memory_peak_bytes, processes_peak, ..*usage };
    }
}
