//! The last moments before a step is executed: its descriptors, its limits, and exec; or, where this process is a copy of
//! the interpreter that the step would execute, the way back into it.

use std::{
    collections::BTreeMap,
    ffi::{CString, NulError},
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::ffi::OsStringExt as _,
    },
    path::Path,
};

use livecode_protocol::run_spec::{RunSpec, Step, StepLimits};
use rustix::fs::{Mode, OFlags};

use crate::{
    MESSAGE_FD,
    host::Host,
    init_wire::{SetupContext, SetupError},
    kernel::{privileges, rlimits, sys},
};

/// Where a program is looked for whose environment has no `PATH`, as execvp(3) does.
const DEFAULT_PATH: &str = "/bin:/usr/bin";
/// [`MESSAGE_FD`] as a variable says it.
const MESSAGE_FD_TEXT: &str = "3";

/// The ends of a step's pipes that it is given.
#[derive(Clone, Copy)]
pub(crate) struct ProgramFds<'a> {
    pub stdin: BorrowedFd<'a>,
    pub stdout: BorrowedFd<'a>,
    pub stderr: BorrowedFd<'a>,
    pub messages: BorrowedFd<'a>,
}

/// A session's program in a copy of the interpreter that runs it: this very process, isolated, with its descriptors, limits and
/// working directory, and nobody else's descriptors. What it was given on its command line is not in the process itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZygoteProgram {
    /// Its command.
    pub argv: Vec<String>,
    /// Its whole environment.
    pub env: Vec<(String, String)>,
}

/// Turns this process, an understudy, into the program of an order that fits its template, all but its interpreter.
pub(crate) fn become_copied(
    host: &Host,
    order: &RunSpec,
    ends: ProgramFds<'_>,
) -> Result<ZygoteProgram, SetupError> {
    take_place(host, &order.run.limits, ends, true)?;
    // As exec would leave it.
    privileges::become_dumpable()?;
    sys::close_all_except(MESSAGE_FD + 1, &[]).context("close descriptors")?;
    let argv = order.run.argv.clone();
    let name = Path::new(&argv[0]).file_name().unwrap_or_default().as_encoded_bytes();
    // As long as the kernel keeps it (prctl(2), PR_SET_NAME); no argument holds a NUL.
    let name = CString::new(&name[..name.len().min(15)]).unwrap_or_default();
    rustix::thread::set_name(&name).context("name the process")?;
    let env: BTreeMap<_, _> = variables(order, true).collect();
    let env = env.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    Ok(ZygoteProgram { argv, env: env.collect() })
}

/// A step that is to be executed. What takes memory is done ahead: the process that executes it has none of its own.
pub(crate) struct Executable {
    is_program: bool,
    words: io::Result<Words>,
}

/// As exec wants them.
struct Words {
    /// Where the program may be, in the order in which it is looked for.
    places: Vec<CString>,
    argv: Vec<CString>,
    env: Vec<CString>,
}

impl Executable {
    pub fn new(order: &RunSpec, step: &Step, is_program: bool) -> Self {
        Self { is_program, words: words(order, step, is_program).map_err(io::Error::other) }
    }

    /// Executes it in this process, a fresh child of init. Returns only where that fails.
    pub fn execute(
        &self,
        host: &Host,
        limits: &StepLimits,
        ends: ProgramFds<'_>,
    ) -> Result<io::Error, SetupError> {
        take_place(host, limits, ends, self.is_program)?;
        Ok(match &self.words {
            Ok(Words { places, argv, env }) => sys::execute(places, argv, env),
            Err(error) => io::Error::new(error.kind(), error.to_string()),
        })
    }
}

fn words(order: &RunSpec, step: &Step, is_program: bool) -> Result<Words, NulError> {
    let argv = step.argv.iter().map(|word| CString::new(word.as_str())).collect::<Result<Vec<_>, _>>()?;
    let variables: BTreeMap<_, _> = variables(order, is_program).collect();
    let path = variables.get("PATH").copied().unwrap_or(DEFAULT_PATH);
    let env = variables.iter().map(|(name, value)| CString::new(format!("{name}={value}")));
    let name = step.argv.first().map_or("", String::as_str);
    let places = if name.contains('/') {
        vec![CString::new(name)?]
    } else {
        let places = path.split(':').map(|folder| Path::new(folder).join(name));
        let places = places.map(|place| if place.has_root() { place } else { Path::new(".").join(place) });
        places.map(|place| CString::new(place.into_os_string().into_vec())).collect::<Result<_, _>>()?
    };
    Ok(Words { places, argv, env: env.collect::<Result<_, _>>()? })
}

/// The whole environment of a step.
fn variables(order: &RunSpec, is_program: bool) -> impl Iterator<Item = (&str, &str)> {
    let own = order.env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    own.chain(is_program.then_some(("LIVECODE_FD", MESSAGE_FD_TEXT)))
}

/// What distinguishes a child of init from init.
fn take_place(
    host: &Host,
    limits: &StepLimits,
    ends: ProgramFds<'_>,
    is_program: bool,
) -> Result<(), SetupError> {
    rustix::process::setsid().context("setsid")?;
    give_descriptors(ends, is_program).context("give descriptors")?;
    rlimits::set_step_limits(host.cgroups.missing(), limits)?;
    sys::unblock_child_signals().context("unblock signals")
}

/// The program gets its standard descriptors and the message channel; a compile step reads nothing, and all that it
/// says goes to standard error. Every other descriptor of this process closes at exec.
fn give_descriptors(ends: ProgramFds<'_>, is_program: bool) -> io::Result<()> {
    if !is_program {
        let null = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        sys::duplicate_to(null.as_fd(), 0)?;
        sys::duplicate_to(ends.stderr, 1)?;
        return sys::duplicate_to(ends.stderr, 2);
    }
    sys::duplicate_to(ends.stdin, 0)?;
    sys::duplicate_to(ends.stdout, 1)?;
    sys::duplicate_to(ends.stderr, 2)?;
    sys::duplicate_to(ends.messages, MESSAGE_FD) // init keeps its own descriptors from 10 on
}
