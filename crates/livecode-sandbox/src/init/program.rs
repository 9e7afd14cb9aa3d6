//! The last actions before a step runs: its descriptors, its limits, and exec. A clone of an
//! interpreter zygote does not execute the step's command; it returns into the interpreter
//! instead.

use std::{
    collections::BTreeMap,
    ffi::{CString, NulError},
    io,
    os::{fd::AsFd as _, unix::ffi::OsStringExt as _},
    path::Path,
};

use livecode_protocol::run_spec::{RunSpec, Step, StepLimits};
use rustix::fs::{Mode, OFlags};

use crate::{
    MESSAGE_FD,
    init::context::ProgramFds,
    kernel::{
        privileges::{self, SessionIds},
        rlimits::{self, UnenforcedLimits},
        sys,
    },
    setup_error::{SetupContext, SetupError},
};

/// The search path for a command whose environment has no `PATH`, as in execvp(3).
const DEFAULT_PATH: &str = "/bin:/usr/bin";
/// The value of the variable `LIVECODE_FD`, which is [`MESSAGE_FD`].
const MESSAGE_FD_TEXT: &str = "3";
/// The longest process name that the kernel keeps, in bytes (`PR_SET_NAME` in prctl(2)).
const MAX_PROCESS_NAME_BYTES: usize = 15;

/// A session's program that runs in a clone of an interpreter zygote. The process that gets this
/// value is the program: it is isolated, and has the program's descriptors, limits and working
/// directory. Only its command line and environment are still those of the zygote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZygoteProgram {
    /// The program's command.
    pub argv: Vec<String>,
    /// The program's whole environment.
    pub env: Vec<(String, String)>,
}

/// Turns this process, a pre-forked program, into the program of a run spec that fits its zygote.
/// The command line and the environment are left to the interpreter. `missing` are the limits that
/// no cgroup enforces. Calls `report_start` when nothing is left to do that could fail for want of
/// a resource.
pub(super) fn become_zygote_program(
    missing: UnenforcedLimits,
    run_spec: &RunSpec,
    program_fds: ProgramFds,
    report_start: impl FnOnce(),
) -> Result<ZygoteProgram, SetupError> {
    prepare_child(missing, &run_spec.run.limits, run_spec.limits.disk_bytes, program_fds, true)?;
    report_start();
    // The rest is what exec would do.
    privileges::become_dumpable()?;
    sys::close_all_except(MESSAGE_FD + 1, &[]).context("close descriptors")?;
    let argv = run_spec.run.argv.clone();
    let name = Path::new(&argv[0]).file_name().unwrap_or_default().as_encoded_bytes();
    // No argument contains a NUL.
    let name = CString::new(&name[..name.len().min(MAX_PROCESS_NAME_BYTES)]).unwrap_or_default();
    rustix::thread::set_name(&name).context("name the process")?;
    let env: BTreeMap<_, _> = environment(run_spec, true).collect();
    let env = env.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    Ok(ZygoteProgram { argv, env: env.collect() })
}

/// A step that is to be executed. All memory is allocated before the fork, since the child shares
/// the memory of this process.
pub(super) struct Executable {
    is_program: bool,
    /// The uids of the session in root mode.
    ids: Option<SessionIds>,
    disk_bytes: u64,
    exec_arguments: io::Result<ExecArguments>,
}

/// The arguments of execve(2).
struct ExecArguments {
    /// The paths where the command may be, in the order of the search.
    candidate_paths: Vec<CString>,
    argv: Vec<CString>,
    env: Vec<CString>,
}

impl Executable {
    pub fn new(ids: Option<SessionIds>, run_spec: &RunSpec, step: &Step, is_program: bool) -> Self {
        let exec_arguments = exec_arguments(run_spec, step, is_program).map_err(io::Error::other);
        Self { is_program, ids, disk_bytes: run_spec.limits.disk_bytes, exec_arguments }
    }

    /// Executes the step in this process, a fresh child of init. `missing` are the limits that no
    /// cgroup enforces. Calls `report_start` when only exec is left to do. Returns only on
    /// failure: the error of exec, or the setup step that failed.
    pub fn execute(
        &self,
        missing: UnenforcedLimits,
        limits: &StepLimits,
        program_fds: ProgramFds,
        report_start: impl FnOnce(),
    ) -> Result<io::Error, SetupError> {
        self.ids.map_or(Ok(()), SessionIds::become_program)?;
        prepare_child(missing, limits, self.disk_bytes, program_fds, self.is_program)?;
        report_start();
        Ok(match &self.exec_arguments {
            Ok(ExecArguments { candidate_paths, argv, env }) => sys::execute(candidate_paths, argv, env),
            Err(error) => io::Error::new(error.kind(), error.to_string()),
        })
    }
}

fn exec_arguments(run_spec: &RunSpec, step: &Step, is_program: bool) -> Result<ExecArguments, NulError> {
    let argv = step.argv.iter().map(|argument| CString::new(argument.as_str()));
    let argv = argv.collect::<Result<Vec<_>, _>>()?;
    let variables: BTreeMap<_, _> = environment(run_spec, is_program).collect();
    let search_path = variables.get("PATH").copied().unwrap_or(DEFAULT_PATH);
    let env = variables.iter().map(|(name, value)| CString::new(format!("{name}={value}")));
    let command = step.argv.first().map_or("", String::as_str);
    let candidate_paths = if command.contains('/') {
        vec![CString::new(command)?]
    } else {
        let paths = search_path.split(':').map(|folder| Path::new(folder).join(command));
        let paths = paths.map(|path| if path.has_root() { path } else { Path::new(".").join(path) });
        paths.map(|path| CString::new(path.into_os_string().into_vec())).collect::<Result<_, _>>()?
    };
    Ok(ExecArguments { candidate_paths, argv, env: env.collect::<Result<_, _>>()? })
}

/// The whole environment of a step.
fn environment(run_spec: &RunSpec, is_program: bool) -> impl Iterator<Item = (&str, &str)> {
    let variables = run_spec.env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    variables.chain(is_program.then_some(("LIVECODE_FD", MESSAGE_FD_TEXT)))
}

/// Makes a fresh child of init a process of the step: gives it a session (setsid(2)), descriptors,
/// limits and the default signal mask.
fn prepare_child(
    missing: UnenforcedLimits,
    limits: &StepLimits,
    disk_bytes: u64,
    program_fds: ProgramFds,
    is_program: bool,
) -> Result<(), SetupError> {
    rustix::process::setsid().context("setsid")?;
    give_descriptors(program_fds, is_program).context("give descriptors")?;
    rlimits::set_step_limits(missing, limits, disk_bytes)?;
    sys::unblock_child_signals().context("unblock signals")
}

/// Gives the program its standard descriptors and the message channel. A compile step reads from
/// /dev/null, and all its output goes to standard error. It inherits /dev/null in the place of the
/// message channel, so that no file that a compiler opens has that number: each write to it would
/// notify the supervisor. Every other descriptor of this process is closed at exec.
fn give_descriptors(program_fds: ProgramFds, is_program: bool) -> io::Result<()> {
    let ProgramFds { stdin, stdout, stderr, messages } = program_fds;
    if !is_program {
        let null = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        sys::duplicate_to(null.as_fd(), 0)?;
        sys::duplicate_to(stderr, 1)?;
        return sys::duplicate_to(stderr, 2);
    }
    sys::duplicate_to(stdin, 0)?;
    sys::duplicate_to(stdout, 1)?;
    sys::duplicate_to(stderr, 2)?;
    sys::duplicate_to(messages, MESSAGE_FD) // init's own descriptors have higher numbers
}
