//! The last moments before a step is executed: its descriptors, its limits, and exec.

use std::{
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::process::CommandExt,
    },
    process::Command,
};

use livecode_protocol::order::{Order, Step};
use rustix::fs::{Mode, OFlags};

use crate::{
    MESSAGE_FD,
    host::Host,
    limits,
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

/// Turns this process, a fresh child of init, into the step. Returns only where that fails.
pub(crate) fn execute(
    host: &Host,
    order: &Order,
    step: &Step,
    is_program: bool,
    ends: Ends<'_>,
) -> Result<io::Error, SetupError> {
    rustix::process::setsid().step("setsid")?;
    give_descriptors(ends, is_program).step("give descriptors")?;
    limits::for_step(host, &step.limits)?;

    let mut command = Command::new(&step.argv[0]);
    command.args(&step.argv[1..]).env_clear().envs(order.env.iter().map(|(name, value)| (name, value)));
    if is_program {
        command.env("LIVECODE_FD", MESSAGE_FD.to_string());
    }
    Ok(command.exec())
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
