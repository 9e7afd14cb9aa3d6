//! Limits: the server's defaults and maxima, what a runtime raises, what a request asks for.

use clap::Args;
use livecode_protocol::{
    run_spec::{SessionLimits, StepLimits},
    session::CreateSession,
};
use serde::{Deserialize, Serialize};

use crate::spec::{BadField, Endpoint};
use crate::{catalogue::Runtime, config::settings};

const MIB: u64 = 1024 * 1024;

settings! {
    /// Defaults and maxima of every limit a program runs under.
    LimitSettings, LimitFlags {
        /// Wall clock of a session, in milliseconds.
        wall_ms: u64,
        /// The longest wall clock a request may ask for, in milliseconds.
        wall_max_ms: u64,
        /// Wall clock on the v0.1 endpoints, in milliseconds.
        v01_wall_ms: u64,
        /// How long neither program nor client may do anything, in milliseconds; then the session is ended.
        idle_ms: u64,
        /// CPU time of a session, in milliseconds.
        cpu_ms: u64,
        /// The most CPU time a request may ask for, in milliseconds.
        cpu_max_ms: u64,
        /// Share of the machine's processors that a session gets at most, in thousandths of one.
        cpu_millicores: u64,
        /// The largest share that a request may ask for, in thousandths of a processor.
        cpu_max_millicores: u64,
        /// Memory of a session, in bytes.
        memory_bytes: u64,
        /// The most memory a request may ask for, in bytes.
        memory_max_bytes: u64,
        /// Processes and threads of a session.
        processes: u64,
        /// The most processes and threads a request may ask for.
        processes_max: u64,
        /// Output kept of a session, in bytes.
        output_bytes: u64,
        /// The most output a request may ask for, in bytes.
        output_max_bytes: u64,
        /// Working directory of a session, in bytes.
        disk_bytes: u64,
        /// The largest working directory a request may ask for, in bytes.
        disk_max_bytes: u64,
        /// Files and folders of a session's working directory.
        disk_files: u64,
    }
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            wall_ms: 600_000,
            wall_max_ms: 3_600_000,
            v01_wall_ms: 10_000,
            idle_ms: 600_000,
            cpu_ms: 10_000,
            cpu_max_ms: 60_000,
            cpu_millicores: 1000,
            cpu_max_millicores: all_millicores(),
            memory_bytes: 256 * MIB,
            memory_max_bytes: 2048 * MIB,
            processes: 64,
            processes_max: 1024,
            output_bytes: 16 * MIB,
            output_max_bytes: 1024 * MIB,
            disk_bytes: 64 * MIB,
            disk_max_bytes: 1024 * MIB,
            disk_files: 4096,
        }
    }
}

/// The smallest share of the processors, in thousandths of one: the kernel takes no quota below a millisecond
/// (cpu.cfs_quota_us), and a period is a tenth of a second.
const MIN_MILLICORES: u64 = 10;

/// All processors of this machine, in thousandths of one; never less than the default share.
fn all_millicores() -> u64 {
    std::thread::available_parallelism().map_or(1000, |count| count.get() as u64 * 1000)
}

/// Limits of the compile steps of a runtime that does not say, where the maxima that the operator set allow it.
const COMPILE: StepLimits = StepLimits { cpu_ms: 60_000, memory_bytes: 1024 * MIB, processes: 256 };

pub(super) struct Resolved {
    pub session: SessionLimits,
    pub compile: StepLimits,
    pub run: StepLimits,
}

pub(super) fn resolve(
    request: &CreateSession,
    runtime: &Runtime,
    settings: &LimitSettings,
    endpoint: Endpoint,
) -> Result<Resolved, BadField> {
    let asked = request.limits.unwrap_or_default();
    let raised = runtime.manifest.limits;
    let wall_ms = match endpoint {
        Endpoint::Sessions => settings.wall_ms,
        Endpoint::V01 => settings.v01_wall_ms,
    };
    // A runtime raises a default, but no maximum that the operator set.
    let default = |default: u64, raised: Option<u64>, max: u64| default.max(raised.unwrap_or(0)).min(max);
    let choose = |field: &str, asked: Option<u64>, default: u64, max: u64| match asked {
        None => Ok(default),
        Some(0) => Err(BadField::new(field, format!("must be at least 1, and at most {max}"))),
        Some(value) if value > max => {
            Err(BadField::new(field, format!("{value} is above the maximum of {max}")))
        }
        Some(value) => Ok(value),
    };
    let s = settings;
    let processes = choose(
        "limits.processes",
        asked.processes,
        default(s.processes, raised.processes, s.processes_max),
        s.processes_max,
    )?;
    let run = StepLimits {
        cpu_ms: choose(
            "limits.cpu_ms",
            asked.cpu_ms,
            default(s.cpu_ms, raised.cpu_ms, s.cpu_max_ms),
            s.cpu_max_ms,
        )?,
        memory_bytes: choose(
            "limits.memory_bytes",
            asked.memory_bytes,
            default(s.memory_bytes, raised.memory_bytes, s.memory_max_bytes),
            s.memory_max_bytes,
        )?,
        processes: u32::try_from(processes).unwrap_or(u32::MAX),
    };
    let of_compile = runtime.manifest.compile_limits;
    let compile = StepLimits {
        cpu_ms: of_compile.cpu_ms.unwrap_or(COMPILE.cpu_ms).min(s.cpu_max_ms),
        memory_bytes: of_compile.memory_bytes.unwrap_or(COMPILE.memory_bytes).min(s.memory_max_bytes),
        processes: of_compile
            .processes
            .unwrap_or(COMPILE.processes)
            .min(u32::try_from(s.processes_max).unwrap_or(u32::MAX)),
    };
    // Less than a hundredth could not be kept: the kernel counts in milliseconds of a tenth of a second.
    let cpu_millicores = match asked.cpu_millicores {
        Some(share) if share < MIN_MILLICORES => {
            return Err(BadField::new("limits.cpu_millicores", format!("must be at least {MIN_MILLICORES}")));
        }
        share => choose("limits.cpu_millicores", share, s.cpu_millicores, s.cpu_max_millicores)?,
    };
    let session = SessionLimits {
        wall_ms: choose("timeout", request.timeout, wall_ms, s.wall_max_ms)?,
        output_bytes: choose(
            "limits.output_bytes",
            asked.output_bytes,
            default(s.output_bytes, raised.output_bytes, s.output_max_bytes),
            s.output_max_bytes,
        )?,
        disk_bytes: choose(
            "limits.disk_bytes",
            asked.disk_bytes,
            default(s.disk_bytes, raised.disk_bytes, s.disk_max_bytes),
            s.disk_max_bytes,
        )?,
        disk_files: s.disk_files,
        cpu_millicores: u32::try_from(cpu_millicores).unwrap_or(u32::MAX),
        idle_ms: Some(s.idle_ms),
    };
    Ok(Resolved { session, compile, run })
}
