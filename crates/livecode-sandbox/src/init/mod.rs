//! Process 1 of a sandbox. It sets the sandbox up from inside, then starts the steps one by one
//! and reaps every process that dies.
//!
//! Init ends when a step fails, when the last step has ended, and when the control socket is
//! closed because the supervisor died. All other processes of the sandbox end with it. By the
//! time the first step starts, init has no privilege left and is non-dumpable, so it cannot be
//! traced or inspected. Since it is process 1 of its pid namespace, no signal from inside reaches
//! it. In root mode it has a uid of its own, so no process inside may change its limits, its
//! priority or its processors; the seccomp filter refuses that in both modes.

pub mod artefacts;
mod begin;
pub(crate) mod context;
mod prefork;
pub(crate) mod program;
mod results;
mod serve;
pub(crate) mod setup;

use std::{fs, mem::ManuallyDrop, os::fd::AsFd as _};

use crate::{
    MESSAGE_FD,
    init::{
        begin::{BeginRequest, wait_for_begin},
        context::{InitContext, InitProcess, leak, report},
        prefork::{PreforkSide, prefork_program},
        program::ZygoteProgram,
    },
    init_wire::InitEvent,
    kernel::sys,
    setup_error::{SetupContext as _, SetupError},
};

/// Runs init. Returns only in the pre-forked program, the child of init that has become the
/// session's program.
pub(crate) fn run(context: InitContext<'_>) -> ZygoteProgram {
    // No destructor may run in such a child: its descriptors were closed, and their numbers may be
    // in use again.
    let context = ManuallyDrop::new(context);
    let exit_code = match InitProcess::new(&context) {
        Err(error) => {
            report(context.fds.control.as_fd(), &InitEvent::SetupFailed(error));
            1
        }
        Ok(init) => {
            match set_up_and_serve(&init) {
                Ok(Some(program)) => return program,
                Ok(None) => {}
                Err(error) => init.report(&InitEvent::SetupFailed(error)),
            }
            0
        }
    };
    sys::exit_now(exit_code)
}

/// Sets the sandbox up, waits for the run spec, and runs its steps. Returns `None` when the
/// sandbox is to end, and the program in a child of init that has become it.
fn set_up_and_serve(init: &InitProcess<'_>) -> Result<Option<ZygoteProgram>, SetupError> {
    let host = init.context.host;
    if let Some(cpu) = init.context.fds.excluded_cpu {
        host.cpus.avoid(cpu);
    }
    let account_files = setup::set_up_sandbox(init)?;
    let child_signals = sys::child_signal_fd().and_then(sys::duplicate_high).context("block SIGCHLD")?;
    let child_signals = leak(child_signals);
    let null = fs::OpenOptions::new().read(true).write(true).open("/dev/null");
    let null = null.and_then(sys::duplicate_high).context("open /dev/null")?;
    // The numbers of the program's descriptors are taken, so that init writes to none by accident:
    // it would wait for its supervisor, which is notified of such a write. A panic would write.
    std::panic::set_hook(Box::new(|_| {}));
    for number in 0..=MESSAGE_FD {
        sys::duplicate_to(null.as_fd(), number).context("point standard descriptors to /dev/null")?;
    }
    drop(null);
    let mut kept = vec![init.control, child_signals];
    kept.extend(init.program_fds.all());
    kept.extend(account_files.descriptors());
    sys::close_all_except(MESSAGE_FD + 1, &kept).context("close the supervisor's descriptors")?;
    let preforked = match init.context.interpreter_zygote.map(|_| prefork_program(init)).transpose()? {
        Some(PreforkSide::Program(program)) => {
            // Its descriptors were closed by number when the program was made.
            std::mem::forget(account_files);
            return Ok(Some(program));
        }
        Some(PreforkSide::Init(preforked)) => Some(preforked),
        None => None,
    };
    host.cpus.use_all(); // from now on a session waits for what is done here
    init.report(&InitEvent::Ready);
    // Without a request the supervisor is dead.
    let Some(begin) = wait_for_begin(init.control)? else { return Ok(None) };
    let BeginRequest { mut run_spec, run_spec_file, contents_file, cache_entry } = begin;
    setup::set_up_session(host, &mut run_spec, contents_file, cache_entry, account_files, init.program_fds)?;
    serve::serve(init, &run_spec, run_spec_file, child_signals, preforked)?;
    Ok(None)
}
