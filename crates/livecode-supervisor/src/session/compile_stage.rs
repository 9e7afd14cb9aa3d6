//! The compile steps of a session that tells them apart from its program.

use livecode_journal::Kind;
use livecode_protocol::{
    control::ClosingEntry,
    run_spec::RunSpec,
    session::{CompileSummary, Compiled},
};
use livecode_sandbox::StepStatus;

use crate::compile_cache::SessionCompileCache;

/// The state of the compile steps.
pub(crate) struct CompileStage {
    /// Whether the session tells its compile steps apart from its program.
    is_told_apart: bool,
    /// Whether compile steps run, or are still to run.
    is_ongoing: bool,
    /// How the last of them that ran ended, or that their result came from the cache.
    summary: Option<CompileSummary>,
}

impl CompileStage {
    /// The stage before the first step. `cache` has looked for a result already.
    pub fn new(run_spec: &RunSpec, cache: &SessionCompileCache) -> Self {
        let cached = CompileSummary { exitstatus: 0, wall_ms: 0, cpu_ms: Some(0), cached: true };
        Self {
            is_told_apart: run_spec.stages,
            is_ongoing: !run_spec.compile.is_empty(),
            summary: (cache.result.compiled == Some(Compiled::Cached)).then_some(cached),
        }
    }

    /// The kind of entry that output of this kind becomes if it is read now.
    pub fn kind_of(&self, kind: Kind) -> Kind {
        if self.is_ongoing && kind == Kind::Stderr { self.compiler_output_kind() } else { kind }
    }

    /// The kind of entry that output of the compile steps becomes.
    pub fn compiler_output_kind(&self) -> Kind {
        if self.is_told_apart { Kind::CompilerOutput } else { Kind::Stderr }
    }

    /// Records how a compile step has ended, with the wall-clock time and the CPU time of all
    /// compile steps so far, in milliseconds.
    pub fn record_step(&mut self, status: StepStatus, wall_ms: u64, cpu_ms: Option<u64>) {
        let exitstatus = status.exitstatus();
        self.summary = Some(CompileSummary { exitstatus, wall_ms, cpu_ms, cached: false });
    }

    /// Records that all compile steps have succeeded. Output that is read later is the program's.
    pub fn end(&mut self) {
        self.is_ongoing = false;
    }

    /// Whether a compile step has failed, in a session that tells that apart.
    pub fn has_failed(&self) -> bool {
        self.is_told_apart && self.summary.is_some_and(|summary| summary.exitstatus != 0)
    }

    /// The summary for a session that ends with `closing_entry`; `None` if the session does not
    /// tell its compile steps apart, or has run none.
    pub fn summary(&self, closing_entry: &ClosingEntry) -> Option<CompileSummary> {
        if !self.is_told_apart || closing_entry.started_us == 0 {
            return None;
        }
        if !self.is_ongoing || self.has_failed() {
            return self.summary;
        }
        let usage = closing_entry.usage.unwrap_or_default();
        let (exitstatus, wall_ms, cpu_ms) = (closing_entry.exitstatus, usage.wall_ms, usage.cpu_ms);
        Some(CompileSummary { exitstatus, wall_ms, cpu_ms, cached: false })
    }
}
