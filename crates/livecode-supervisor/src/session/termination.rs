//! Why and with which status a session ended.

use std::time::{SystemTime, UNIX_EPOCH};

use livecode_protocol::{
    control::ClosingEntry,
    session::{Compiled, Outcome, Usage},
};
use livecode_sandbox::{Sandbox, StepStatus};

/// Signal of a process that used up its own CPU limit, where no cgroup counts for all.
const SIGXCPU: i32 = 24;

/// Microseconds since the epoch.
pub(crate) fn now_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_micros() as u64)
}

/// What a supervisor knows of its program's end.
#[derive(Default)]
pub(crate) struct Termination {
    /// What the supervisor killed it for; the first reason stands.
    pub decided: Option<Outcome>,
    /// How the last step that ran ended by itself.
    pub status: Option<StepStatus>,
    /// Whether the kernel killed for want of memory.
    pub out_of_memory: bool,
}

impl Termination {
    /// The outcome, and the status that the world is told.
    pub fn outcome(&self) -> (Outcome, i32) {
        let killed_for = match (self.decided, self.status) {
            (Some(decided), _) => Some(decided),
            _ if self.out_of_memory => Some(Outcome::Memory),
            (None, Some(StepStatus::Signalled(SIGXCPU))) => Some(Outcome::Cpu),
            (None, None) => Some(Outcome::Lost),
            _ => None,
        };
        match (killed_for, self.status) {
            (Some(outcome), _) => (outcome, outcome.exitstatus().unwrap_or(255)),
            (None, Some(StepStatus::Exited(code))) => (Outcome::Exited, code),
            (None, Some(StepStatus::Signalled(signal))) => (Outcome::Signalled, 128 + signal),
            (None, None) => (Outcome::Lost, 255),
        }
    }

    /// The closing entry.
    pub fn ending(
        &self,
        sandbox: Option<&Sandbox>,
        started_us: u64,
        compiled: Option<Compiled>,
    ) -> ClosingEntry {
        let (outcome, exitstatus) = self.outcome();
        let ended_us = now_us();
        let usage = sandbox.map(|sandbox| Usage {
            wall_ms: if started_us == 0 { 0 } else { ended_us.saturating_sub(started_us) / 1000 },
            cpu_ms: sandbox.cpu_ms(),
            memory_peak_bytes: sandbox.memory_peak_bytes(),
            processes_peak: sandbox.processes_peak(),
        });
        ClosingEntry { exitstatus, outcome, started_us, ended_us, usage, compiled }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_statuses() {
        let outcome =
            |decided, status, out_of_memory| Termination { decided, status, out_of_memory }.outcome();
        assert_eq!(outcome(None, Some(StepStatus::Exited(3)), false), (Outcome::Exited, 3));
        assert_eq!(outcome(None, Some(StepStatus::Signalled(11)), false), (Outcome::Signalled, 139));
        assert_eq!(outcome(Some(Outcome::Timeout), None, false), (Outcome::Timeout, 124));
        assert_eq!(outcome(Some(Outcome::Cpu), Some(StepStatus::Exited(0)), false), (Outcome::Cpu, 152));
        assert_eq!(outcome(None, Some(StepStatus::Signalled(9)), true), (Outcome::Memory, 137));
        assert_eq!(outcome(Some(Outcome::Output), None, false), (Outcome::Output, 137));
        assert_eq!(outcome(Some(Outcome::Cancelled), None, true), (Outcome::Cancelled, 137));
        assert_eq!(outcome(None, None, false), (Outcome::Lost, 255));
    }
}
