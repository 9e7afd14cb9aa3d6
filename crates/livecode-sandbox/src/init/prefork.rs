//! The pre-forked program: a child of init that is forked from a clone of an interpreter zygote
//! before there is a request, and becomes the session's program when there is one.
//!
//! It is forked ahead of the request so that the cost of the fork and of its copy-on-write faults
//! is paid before the request arrives.

use std::os::fd::OwnedFd;

use livecode_protocol::run_spec::RunSpec;
use rustix::{
    net::{AddressFamily, SocketFlags, SocketType, socketpair},
    process::Pid,
};

use crate::{
    init::{
        begin::{BeginRequest, wait_for_begin},
        context::{InitProcess, leak},
        program::{self, ZygoteProgram},
        setup,
    },
    init_wire::InitEvent,
    kernel::sys::{self, Forked},
    setup_error::{SetupContext, SetupError},
};

/// Init's handle to the pre-forked program.
pub(super) struct PreforkedProgram {
    pub pid: Pid,
    /// Sends the program its run spec. The child exits when this end is closed.
    pub socket: OwnedFd,
}

/// The two sides of the fork.
pub(super) enum PreforkSide {
    /// This process is init.
    Init(PreforkedProgram),
    /// This process is the child, and has become the program.
    Program(ZygoteProgram),
}

/// Forks the pre-forked program. Returns in the child only after the child has become the program.
pub(super) fn prefork_program(init: &InitProcess<'_>) -> Result<PreforkSide, SetupError> {
    let pair = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
    let (init_end, program_end) = pair.context("make the socket of the pre-forked program")?;
    match sys::fork().context("fork")? {
        Forked::Parent(pid) => Ok(PreforkSide::Init(PreforkedProgram { pid, socket: init_end })),
        Forked::Child => {
            drop(init_end);
            let socket = leak(program_end);
            sys::prefault(init.context.working_set);
            init.context.host.cpus.use_all();
            match wait_for_begin(socket) {
                Ok(Some(BeginRequest { mut run_spec, run_spec_file, contents_file, cache_entry })) => {
                    // Closed now: `become_program` closes all descriptors of this process by
                    // number.
                    drop((run_spec_file, contents_file, cache_entry));
                    // Init sends the request only if there is no compile step, or all were cached.
                    run_spec.compile.clear();
                    Ok(PreforkSide::Program(become_program(init, &run_spec)))
                }
                Ok(None) => sys::exit_now(0), // init executes another program
                Err(error) => init.fail(error),
            }
        }
    }
}

/// Turns this process, a pre-forked program, into the session's program.
fn become_program(init: &InitProcess<'_>, run_spec: &RunSpec) -> ZygoteProgram {
    let host = init.context.host;
    let report_start = || init.report(&InitEvent::StepStarted(0));
    let program = setup::become_user(host, run_spec).and_then(|()| {
        program::become_zygote_program(host.cgroups.unenforced(), run_spec, init.program_fds, report_start)
    });
    program.unwrap_or_else(|error| init.fail(error))
}
