//! The last moments before a step is executed: its descriptors, its limits, and exec; or, where this process is a copy of
//! the interpreter that the step would execute, the way back into it.

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::process::CommandExt,
    },
    path::Path,
    process::Command,
};

use livecode_protocol::{
    order::{Order, Step},
    warm::Template,
};
use rustix::fs::{Mode, OFlags};

use crate::{
    MESSAGE_FD,
    host::Host,
    limits, privileges,
    report::{Named, SetupError},
    sys,
};

/// The ends of a step's pipes that it is given.
#[derive(Clone, Copy)]
pub(crate) struct Ends<'a> {
    pub stdin: BorrowedFd<'a>,
    pub stdout: BorrowedFd<'a>,
    pub stderr: BorrowedFd<'a>,
    pub messages: BorrowedFd<'a>,
}

/// A session's program in a copy of the interpreter that runs it: this very process, isolated, with its descriptors, limits and
/// working directory, and nobody else's descriptors. What it was given on its command line is not in the process itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its command.
    pub argv: Vec<String>,
    /// Its whole environment.
    pub env: Vec<(String, String)>,
}

/// What became of a fresh child of init.
pub(crate) enum Turned {
    /// No program: this is why.
    Failed(io::Error),
    /// The program, as far as it can be without its interpreter.
    Into(Program),
}

/// Turns this process, a fresh child of init, into the step; where it is a copy of a template that fits, all but. Else returns
/// only where that fails.
pub(crate) fn execute(
    host: &Host,
    template: Option<&Template>,
    order: &Order,
    step: &Step,
    is_program: bool,
    ends: Ends<'_>,
) -> Result<Turned, SetupError> {
    rustix::process::setsid().step("setsid")?;
    give_descriptors(ends, is_program).step("give descriptors")?;
    limits::for_step(host, &step.limits)?;
    sys::unblock_child_signals().step("unblock signals")?;
    if is_program && template.is_some_and(|template| template.fits(order)) {
        // As exec would leave it.
        privileges::as_executed()?;
        sys::close_all_but(MESSAGE_FD + 1, &[]).step("close descriptors")?;
        let name = Path::new(&step.argv[0]).file_name().unwrap_or_default().as_encoded_bytes();
        // As long as the kernel keeps it (prctl(2), PR_SET_NAME); no argument holds a NUL.
        let name = CString::new(&name[..name.len().min(15)]).unwrap_or_default();
        rustix::thread::set_name(&name).step("name the process")?;
        let mut env = order.env.clone();
        env.push(("LIVECODE_FD".into(), MESSAGE_FD.to_string()));
        return Ok(Turned::Into(Program { argv: step.argv.clone(), env }));
    }

    let mut command = Command::new(&step.argv[0]);
    command.args(&step.argv[1..]).env_clear().envs(order.env.iter().map(|(name, value)| (name, value)));
    if is_program {
        command.env("LIVECODE_FD", MESSAGE_FD.to_string());
    }
    Ok(Turned::Failed(command.exec()))
}

/// The program gets its standard descriptors and the message channel; a compile step reads nothing, and all that it
/// says goes to standard error. Every other descriptor of this process closes at exec.
fn give_descriptors(ends: Ends<'_>, is_program: bool) -> io::Result<()> {
    if !is_program {
        let null = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        sys::give_as(null.as_fd(), 0)?;
        sys::give_as(ends.stderr, 1)?;
        return sys::give_as(ends.stderr, 2);
    }
    sys::give_as(ends.stdin, 0)?;
    sys::give_as(ends.stdout, 1)?;
    sys::give_as(ends.stderr, 2)?;
    sys::give_as(ends.messages, MESSAGE_FD) // init keeps its own descriptors from 10 on
}
