//! The zygote as a shared object. An interpreter that loads it becomes an interpreter zygote: the
//! interpreter starts once. A clone of it is init of one sandbox. Init forks once, and the fork,
//! the session's program, continues where the call into this library returns. It is isolated like
//! any other program.
//!
//! `hook.py` is the interpreter's side. Only numbers and one text pass between the two, so
//! nothing here needs `unsafe` but the names under which the interpreter finds the functions.

use std::{io, os::fd::OwnedFd, sync::OnceLock};

use livecode_protocol::warm::SpawnerSettings;
use livecode_supervisor::{ZygoteProgram, fd_passing, report, spawner};
use rustix::{io::fcntl_dupfd_cloexec, net::RecvFlags, pipe::pipe, stdio};

/// The longest settings, in bytes.
const MAX_SETTINGS_BYTES: usize = 128 * 1024;
/// Descriptors below this number are a program's.
const FIRST_OWN_FD: i32 = 10;

/// The text of [`livecode_zygote_text`], set in a process that has become a program.
static PROGRAM_TEXT: OnceLock<Vec<u8>> = OnceLock::new();

/// Serves as a zygote for the spawner at the other end of standard input. Returns only in a
/// process that has become a session's program, with the length of [`livecode_zygote_text`] in
/// bytes. The interpreter zygote itself exits in this function.
// SAFETY: no other object of the process has this name.
#[unsafe(no_mangle)]
pub extern "C" fn livecode_zygote() -> usize {
    match run() {
        Ok(Some(program)) => PROGRAM_TEXT.get_or_init(|| encode(&program)).len(),
        Ok(None) => livecode_supervisor::exit_now(0),
        Err(error) => {
            report::report(format_args!("livecode interpreter zygote: {error}"));
            livecode_supervisor::exit_now(1)
        }
    }
}

fn run() -> Result<Option<ZygoteProgram>, Box<dyn std::error::Error>> {
    let (socket, settings) = receive_settings()?;
    let program = spawner::serve_interpreter_zygote(&socket, &settings)?;
    // A program has closed all descriptors by number, so the destructor must not run.
    std::mem::forget(socket);
    Ok(program)
}

/// The program's command and environment: the number of arguments, the arguments, and
/// `NAME=value` for each variable, each of them followed by a NUL.
// SAFETY: no other object of the process has this name.
#[unsafe(no_mangle)]
pub extern "C" fn livecode_zygote_text() -> *const u8 {
    PROGRAM_TEXT.get().map_or(std::ptr::null(), |text| text.as_ptr())
}

/// Whether the interpreter is ending because its program came to its end. It is called below
/// `finalize` (the address of `Py_FinalizeEx`). The program came to its end if the caller of
/// `finalize` is `run_main` (the address of `Py_RunMain`); a program that ends itself calls
/// `finalize` in another way.
// SAFETY: no other object of the process has this name.
#[unsafe(no_mangle)]
pub extern "C" fn livecode_zygote_is_ending(finalize: usize, run_main: usize) -> bool {
    let (mut callee, mut is_run_main) = (0, false);
    backtrace::trace(|frame| {
        let function = frame.symbol_address().addr();
        let is_caller_of_finalize = std::mem::replace(&mut callee, function) == finalize;
        is_run_main = is_caller_of_finalize && function == run_main;
        !is_caller_of_finalize
    });
    is_run_main
}

/// Exits with status 0, as the interpreter does after its finalization.
// SAFETY: no other object of the process has this name.
#[unsafe(no_mangle)]
pub extern "C" fn livecode_zygote_exit() {
    std::process::exit(0)
}

fn encode(program: &ZygoteProgram) -> Vec<u8> {
    let arguments = program.argv.iter().cloned();
    let variables = program.env.iter().map(|(name, value)| format!("{name}={value}"));
    let texts = std::iter::once(program.argv.len().to_string()).chain(arguments).chain(variables);
    texts.flat_map(|text| text.into_bytes().into_iter().chain([0])).collect()
}

/// Moves the socket away from standard input, and replaces standard input by a pipe, which it is
/// in a program too. Receives the [`SpawnerSettings`] from the socket, where no environment shows
/// them, and the server's standard error, which replaces the interpreter's own. The interpreter
/// was started with a pipe as its standard error because a program has one.
fn receive_settings() -> io::Result<(OwnedFd, SpawnerSettings)> {
    let socket = fcntl_dupfd_cloexec(stdio::stdin(), FIRST_OWN_FD)?;
    stdio::dup2_stdin(pipe()?.0)?;

    let mut bytes = vec![0; MAX_SETTINGS_BYTES];
    let (length, mut descriptors) = fd_passing::receive(&socket, &mut bytes, RecvFlags::empty())?;
    let stderr = descriptors.pop().ok_or_else(|| io::Error::other("the server sent no standard error"))?;
    stdio::dup2_stderr(stderr)?;
    Ok((socket, serde_json::from_slice(&bytes[..length])?))
}
