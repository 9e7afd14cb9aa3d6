//! The limits of a session, from the server's defaults and maxima, the runtime and the request.

use std::ops::RangeInclusive;

use livecode_protocol::{
    run_spec::{SessionLimits, StepLimits},
    session::CreateSession,
};

use crate::{
    catalogue::Runtime,
    settings_macro::settings,
    spec::{bad_field::BadField, endpoint::Endpoint},
};

const MIB: u64 = 1024 * 1024;

settings! {
    /// The default and the maximum of every limit of a program.
    LimitSettings, LimitFlags {
        with_default {
            /// Wall clock time of a session, in milliseconds.
            wall_ms: u64 = 600_000,
            /// The longest wall clock time that a request may ask for, in milliseconds.
            wall_max_ms: u64 = 3_600_000,
            /// Wall clock time of a session on the v0.1 endpoints, in milliseconds.
            v01_wall_ms: u64 = 10_000,
            /// Wall clock time of a case, in milliseconds. `wall_ms` is that of all cases
            /// together.
            case_wall_ms: u64 = 10_000,
            /// Idle timeout of a session, in milliseconds: the session is ended when neither its
            /// program nor a client has done anything for so long.
            idle_ms: u64 = 600_000,
            /// CPU time of a session, in milliseconds.
            cpu_ms: u64 = 10_000,
            /// The most CPU time that a request may ask for, in milliseconds.
            cpu_max_ms: u64 = 60_000,
            /// The largest share of the machine's processors that a session gets, in thousandths
            /// of a processor.
            cpu_millicores: u64 = DEFAULT_MILLICORES,
            /// The largest share of the processors that a request may ask for, in thousandths of a
            /// processor.
            cpu_max_millicores: u64 = all_millicores(),
            /// Memory of a session, in bytes.
            memory_bytes: u64 = 256 * MIB,
            /// The most memory that a request may ask for, in bytes.
            memory_max_bytes: u64 = 2048 * MIB,
            /// Number of processes and threads of a session.
            processes: u64 = 64,
            /// The largest number of processes and threads that a request may ask for.
            processes_max: u64 = 1024,
            /// Output of a session, in bytes.
            output_bytes: u64 = 16 * MIB,
            /// The most output that a request may ask for, in bytes.
            output_max_bytes: u64 = 1024 * MIB,
            /// Size of a session's working directory, in bytes.
            disk_bytes: u64 = 64 * MIB,
            /// The largest working directory that a request may ask for, in bytes.
            disk_max_bytes: u64 = 1024 * MIB,
            /// Number of files and folders in a session's working directory.
            disk_files: u64 = 4096,
            /// The most result files that a session may leave; 0 for none.
            collect_files_max: u64 = 100,
            /// The most bytes of result files that a session may leave, of all together.
            collect_max_bytes: u64 = 16 * MIB,
            /// The most cases that a session may have.
            cases_max: u64 = 100,
            /// The most bytes of names, input, arguments, files and expected output of all cases
            /// of a session together.
            cases_max_bytes: u64 = 4 * MIB,
        }
    }
}

/// The default share of the processors: one processor.
const DEFAULT_MILLICORES: u64 = 1000;

/// The smallest value of each limit that a request or a setting may ask for. With all of them a
/// program that prints a line still runs in C and in Bash, once it is compiled. A larger program
/// ends with the outcome of the limit that it reaches; below these values the sandbox itself could
/// not be set up.
pub(crate) mod floor {
    /// Wall clock time and idle timeout, in milliseconds: a start takes a few of them.
    pub(crate) const WALL_MS: u64 = 10;
    /// CPU time, in milliseconds: Bash needs about 3 to print a line.
    pub(crate) const CPU_MS: u64 = 10;
    /// The share of the processors, in thousandths of a processor: the kernel refuses a quota
    /// below one millisecond (`cpu.cfs_quota_us`), and a period has 100 ms.
    pub(crate) const MILLICORES: u64 = 10;
    /// Memory, in bytes: a sandbox with Bash in it holds about 0.9 MiB.
    pub(crate) const MEMORY_BYTES: u64 = 2 * super::MIB;
    /// Processes and threads: the program itself.
    pub(crate) const PROCESSES: u64 = 1;
    /// Output, in bytes: an entry of the journal counts at least 32.
    pub(crate) const OUTPUT_BYTES: u64 = 32;
    /// Size of the working directory, in bytes, which is also the largest size of a file: a small
    /// program that a linker has written has 16 KiB.
    pub(crate) const DISK_BYTES: u64 = 16 * 1024;
    /// Number of files and folders: a compiler makes a few temporary ones.
    pub(crate) const DISK_FILES: u64 = 16;
}

/// All processors of this machine, in thousandths of a processor. At least the default share.
fn all_millicores() -> u64 {
    std::thread::available_parallelism().map_or(DEFAULT_MILLICORES, |count| count.get() as u64 * 1000)
}

/// Limits of the compile steps of a runtime that does not set its own. The maxima of the settings
/// apply to them too.
const DEFAULT_COMPILE_LIMITS: StepLimits =
    StepLimits { cpu_ms: 60_000, memory_bytes: 1024 * MIB, processes: 256 };

/// All limits of one session.
pub(super) struct ResolvedLimits {
    pub session: SessionLimits,
    /// The limits of each compile step.
    pub compile: StepLimits,
    /// The limits of the program.
    pub run: StepLimits,
}

/// Decides the limits of a session.
pub(super) fn resolve(
    request: &CreateSession,
    runtime: &Runtime,
    settings: &LimitSettings,
    endpoint: Endpoint,
) -> Result<ResolvedLimits, BadField> {
    let requested = request.limits.unwrap_or_default();
    let raised = runtime.manifest.limits;
    let default_wall_ms = match endpoint {
        Endpoint::Sessions if request.cases.is_some() => settings.case_wall_ms.min(settings.wall_max_ms),
        Endpoint::Sessions => settings.wall_ms,
        Endpoint::V01 => settings.v01_wall_ms,
    };
    let processes = requested_or_default(
        "limits.processes",
        requested.processes,
        raise_default(settings.processes, raised.processes, settings.processes_max),
        floor::PROCESSES..=settings.processes_max,
    )?;
    let run = StepLimits {
        cpu_ms: requested_or_default(
            "limits.cpu_ms",
            requested.cpu_ms,
            raise_default(settings.cpu_ms, raised.cpu_ms, settings.cpu_max_ms),
            floor::CPU_MS..=settings.cpu_max_ms,
        )?,
        memory_bytes: requested_or_default(
            "limits.memory_bytes",
            requested.memory_bytes,
            raise_default(settings.memory_bytes, raised.memory_bytes, settings.memory_max_bytes),
            floor::MEMORY_BYTES..=settings.memory_max_bytes,
        )?,
        processes: saturating_u32(processes),
    };
    let cpu_millicores = requested_or_default(
        "limits.cpu_millicores",
        requested.cpu_millicores,
        settings.cpu_millicores,
        floor::MILLICORES..=settings.cpu_max_millicores,
    )?;
    let session = SessionLimits {
        wall_ms: requested_or_default(
            "timeout",
            request.timeout,
            default_wall_ms,
            floor::WALL_MS..=settings.wall_max_ms,
        )?,
        output_bytes: requested_or_default(
            "limits.output_bytes",
            requested.output_bytes,
            raise_default(settings.output_bytes, raised.output_bytes, settings.output_max_bytes),
            floor::OUTPUT_BYTES..=settings.output_max_bytes,
        )?,
        disk_bytes: requested_or_default(
            "limits.disk_bytes",
            requested.disk_bytes,
            raise_default(settings.disk_bytes, raised.disk_bytes, settings.disk_max_bytes),
            floor::DISK_BYTES..=settings.disk_max_bytes,
        )?,
        disk_files: settings.disk_files,
        cpu_millicores: saturating_u32(cpu_millicores),
        idle_ms: Some(settings.idle_ms),
        disk_reserve_bytes: None,
    };
    Ok(ResolvedLimits { session, compile: compile_limits(runtime, settings), run })
}

/// The limits of each compile step of a runtime. The floors and the maxima apply to them too.
fn compile_limits(runtime: &Runtime, settings: &LimitSettings) -> StepLimits {
    let own = runtime.manifest.compile_limits;
    let default = DEFAULT_COMPILE_LIMITS;
    let processes = u64::from(own.processes.unwrap_or(default.processes));
    StepLimits {
        cpu_ms: own.cpu_ms.unwrap_or(default.cpu_ms).max(floor::CPU_MS).min(settings.cpu_max_ms),
        memory_bytes: own
            .memory_bytes
            .unwrap_or(default.memory_bytes)
            .max(floor::MEMORY_BYTES)
            .min(settings.memory_max_bytes),
        processes: saturating_u32(processes.max(floor::PROCESSES).min(settings.processes_max)),
    }
}

/// The default of a limit. A runtime may raise it, but not above the maximum of the settings.
fn raise_default(default: u64, raised: Option<u64>, max: u64) -> u64 {
    default.max(raised.unwrap_or(0)).min(max)
}

/// The value that a request asks for, or else the default. A value outside `allowed` is refused.
pub(super) fn requested_or_default(
    field: &str,
    requested: Option<u64>,
    default: u64,
    allowed: RangeInclusive<u64>,
) -> Result<u64, BadField> {
    let (min, max) = (allowed.start(), allowed.end());
    match requested {
        None => Ok(default),
        Some(value) if value < *min => Err(BadField::new(
            field,
            format!("{value} is too small: it must be at least {min}, and at most {max}"),
        )),
        Some(value) if value > *max => {
            Err(BadField::new(field, format!("{value} is above the maximum of {max}")))
        }
        Some(value) => Ok(value),
    }
}

fn saturating_u32(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
