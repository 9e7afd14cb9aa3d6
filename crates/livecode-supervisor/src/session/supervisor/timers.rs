//! The limits of a session that are checked now and then, and the priority of its program.

use std::time::Instant;

use livecode_protocol::session::LimitName;
use livecode_sandbox::SampleVerdict;

use crate::{
    limits::cpu_time,
    session::{cases::Cases, supervisor::Supervisor},
};

impl Supervisor<'_> {
    /// Enforces the limits that are checked now and then.
    pub(super) fn check_timers(&mut self, now: Instant) {
        if self.result_files.has_started() {
            // No limit counts any more: the program has ended.
            if self.result_files.due().is_some_and(|due| due <= now) {
                self.sandbox.kill();
                self.result_files.finish(&self.folder, false);
            }
            return;
        }
        if self.cases.as_ref().and_then(Cases::due).is_some_and(|due| due <= now) {
            self.end_total_time();
        }
        if self.wall_deadline.is_some_and(|deadline| deadline <= now) {
            self.wall_deadline = None;
            self.kill_at(LimitName::WallMs);
        }
        if self.cpu_timer.due().is_some_and(|due| due <= now) {
            self.check_cpu(now);
        }
        if self.idle_timer.has_expired(now, || self.sandbox.cpu_ms()) {
            self.kill_at(LimitName::IdleMs);
        }
        let limits = self.running_step().map(|step| step.limits);
        let is_due = self.cpu_deprioritizer.due().is_some_and(|due| due <= now);
        self.update_priority(now);
        if is_due && limits.is_some_and(|limits| self.sandbox.has_too_much_in_sockets(limits.memory_bytes)) {
            self.kill_at(LimitName::MemoryBytes);
        }
        match self.memory_sampler.sample(&mut self.sandbox, limits, now) {
            Some(SampleVerdict::OverMemoryLimit) => self.kill_at(LimitName::MemoryBytes),
            Some(SampleVerdict::Busy(ms)) => self.idle_timer.record_sampled_cpu(ms),
            Some(SampleVerdict::Idle) | None => {}
        }
    }

    /// Deprioritises the sandbox if its program computes for long, or restores its priority. A
    /// program that is ending is not deprioritised any more, so that it ends soon.
    fn update_priority(&mut self, now: Instant) {
        let weight_permille = self.sandbox.cpu_weight().permille;
        let used_ms = || Some(cpu_time::used_ms(&self.sandbox)? + self.ended_cpu_ms);
        let change = self.cpu_deprioritizer.check(now, weight_permille, used_ms);
        let is_ending = self.termination.kill_reason.is_some() || self.termination.status.is_some();
        if let Some(is_deprioritized) = change.filter(|_| !is_ending) {
            self.sandbox.set_deprioritized(is_deprioritized);
        }
    }

    /// Compares the CPU time of the running step with its limit.
    pub(super) fn check_cpu(&mut self, now: Instant) {
        let limit_ms = self.running_step().map(|step| step.limits.cpu_ms);
        let (Some(limit_ms), Some(total_ms)) = (limit_ms, self.charged_cpu_ms()) else {
            self.cpu_timer.stop();
            return;
        };
        let cpu_millicores = self.run_spec.limits.cpu_millicores;
        if self.cpu_timer.is_limit_reached(now, total_ms, limit_ms, cpu_millicores) {
            self.kill_at(LimitName::CpuMs);
        }
    }

    /// The CPU time that counts as the program's so far, in milliseconds: its own, and what its
    /// output has cost the supervisor. `None` if nothing counts its own.
    pub(super) fn charged_cpu_ms(&self) -> Option<u64> {
        Some(self.sandbox.cpu_ms()? + self.output_cost.charged_ms())
    }
}
