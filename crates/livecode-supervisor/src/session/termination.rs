//! Why and with which status a session ended.

use livecode_protocol::{
    control::ClosingEntry,
    session::{Compiled, Outcome, ReachedLimit, Usage},
};
use livecode_sandbox::{Sandbox, StepStatus};

use livecode_protocol::now_us;

/// The signal that the kernel sends to a process at its own CPU limit (setrlimit(2)). That limit
/// applies if no cgroup counts the CPU time of all processes.
const SIGXCPU: i32 = 24;

/// What a supervisor knows of its program's end.
#[derive(Default)]
pub(crate) struct Termination {
    /// Why the supervisor killed the program; the first of several reasons.
    pub kill_reason: Option<Outcome>,
    /// The limit for which the supervisor killed the program, if that was the reason.
    pub limit: Option<ReachedLimit>,
    /// How the last step that ran ended by itself.
    pub status: Option<StepStatus>,
    /// Whether that step was a compile step that failed, in a session that tells these apart.
    pub has_compile_failed: bool,
    /// Whether the kernel killed a process because memory had run out.
    pub is_out_of_memory: bool,
    /// The CPU time of the supervisor that is charged to the program, in milliseconds.
    pub output_cost_ms: u64,
}

impl Termination {
    /// The outcome, and the exit status that clients see.
    pub fn outcome(&self) -> (Outcome, i32) {
        let limit_outcome = match (self.kill_reason, self.status) {
            (Some(reason), _) => Some(reason),
            _ if self.is_out_of_memory => Some(Outcome::Memory),
            (None, Some(StepStatus::Signalled(SIGXCPU))) => Some(Outcome::Cpu),
            (None, None) => Some(Outcome::Lost),
            _ => None,
        };
        match (limit_outcome, self.status) {
            (Some(outcome), _) => (outcome, outcome.exitstatus().unwrap_or(255)),
            (None, Some(status)) => (self.own_outcome(status), status.exitstatus()),
            (None, None) => (Outcome::Lost, 255),
        }
    }

    /// The outcome of a session that no limit and no client has ended.
    fn own_outcome(&self, status: StepStatus) -> Outcome {
        match status {
            _ if self.has_compile_failed => Outcome::CompileFailed,
            StepStatus::Exited(_) => Outcome::Exited,
            StepStatus::Signalled(_) => Outcome::Signalled,
        }
    }

    /// The closing entry of a session that ends now. `started_us` is 0 if the program never
    /// started. Usage is given if there was a `sandbox`; `output_bytes` is a part of it. `limit` is
    /// the one that has ended the session, if any.
    pub fn closing_entry(
        &self,
        sandbox: Option<&Sandbox>,
        started_us: u64,
        output_bytes: u64,
        compiled: Option<Compiled>,
        limit: Option<ReachedLimit>,
    ) -> ClosingEntry {
        let (outcome, exitstatus) = self.outcome();
        let ended_us = now_us();
        let usage = sandbox.map(|sandbox| Usage {
            wall_ms: if started_us == 0 { 0 } else { ended_us.saturating_sub(started_us) / 1000 },
            cpu_ms: sandbox.cpu_ms().map(|ms| ms + self.output_cost_ms),
            memory_peak_bytes: sandbox.memory_peak_bytes(),
            processes_peak: sandbox.processes_peak(),
            output_bytes: Some(output_bytes),
            collected_bytes: None,
        });
        let compile = None;
        ClosingEntry { exitstatus, outcome, started_us, ended_us, usage, compiled, compile, limit }
    }
}

#[cfg(test)]
mod tests {
    use livecode_journal::{EXIT_RECORD_BYTES, RECORD_HEADER_BYTES};
    use livecode_protocol::session::{CompileSummary, LimitName};

    use super::*;

    #[test]
    fn each_end_has_its_documented_outcome_and_status() {
        let outcome = |kill_reason, status, is_out_of_memory| {
            Termination { kill_reason, status, is_out_of_memory, ..Termination::default() }.outcome()
        };
        assert_eq!(outcome(None, Some(StepStatus::Exited(3)), false), (Outcome::Exited, 3));
        assert_eq!(outcome(None, Some(StepStatus::Signalled(11)), false), (Outcome::Signalled, 139));
        assert_eq!(outcome(Some(Outcome::Timeout), None, false), (Outcome::Timeout, 124));
        assert_eq!(outcome(Some(Outcome::Cpu), Some(StepStatus::Exited(0)), false), (Outcome::Cpu, 152));
        assert_eq!(outcome(None, Some(StepStatus::Signalled(9)), true), (Outcome::Memory, 137));
        assert_eq!(outcome(Some(Outcome::Output), None, false), (Outcome::Output, 137));
        assert_eq!(outcome(Some(Outcome::Cancelled), None, true), (Outcome::Cancelled, 137));
        assert_eq!(outcome(None, None, false), (Outcome::Lost, 255));
    }

    #[test]
    fn a_failed_compile_step_is_told_apart_and_a_limit_is_not_hidden_by_it() {
        let outcome = |kill_reason, status| {
            Termination { kill_reason, status, has_compile_failed: true, ..Termination::default() }.outcome()
        };
        assert_eq!(outcome(None, Some(StepStatus::Exited(1))), (Outcome::CompileFailed, 1));
        assert_eq!(outcome(None, Some(StepStatus::Signalled(11))), (Outcome::CompileFailed, 139));
        assert_eq!(outcome(Some(Outcome::Timeout), Some(StepStatus::Exited(1))), (Outcome::Timeout, 124));
    }

    #[test]
    fn the_longest_closing_entry_fits_its_record() {
        const LARGE: u64 = 1_000_000_000_000_000; // a petabyte; 31 years in microseconds
        let longest = ClosingEntry {
            exitstatus: i32::MIN,
            outcome: Outcome::CompileFailed,
            started_us: LARGE * 10,
            ended_us: LARGE * 10,
            usage: Some(Usage {
                wall_ms: LARGE,
                cpu_ms: Some(LARGE),
                memory_peak_bytes: Some(LARGE),
                processes_peak: Some(LARGE),
                output_bytes: Some(LARGE),
                collected_bytes: Some(LARGE),
            }),
            compiled: Some(Compiled::Cached),
            compile: Some(CompileSummary {
                exitstatus: i32::MIN,
                wall_ms: LARGE,
                cpu_ms: Some(LARGE),
                cached: false,
            }),
            limit: None,
        };
        let names = [
            LimitName::WallMs,
            LimitName::IdleMs,
            LimitName::CpuMs,
            LimitName::MemoryBytes,
            LimitName::OutputBytes,
            LimitName::DiskShareBytes,
        ];
        let with_limits = names.map(|name| ClosingEntry {
            exitstatus: name.outcome().exitstatus().unwrap(),
            outcome: name.outcome(),
            limit: Some(ReachedLimit { name, value: u64::MAX, compiling: false }),
            ..longest.clone()
        });
        for closing_entry in with_limits.into_iter().chain([longest]) {
            let json = serde_json::to_string(&closing_entry).unwrap();
            let max_bytes = EXIT_RECORD_BYTES - RECORD_HEADER_BYTES;
            assert!(json.len() <= max_bytes, "{} of {max_bytes} bytes: {json}", json.len());
            assert_eq!(serde_json::from_str::<ClosingEntry>(&json).unwrap().limit, closing_entry.limit);
        }
    }
}
