//! The maker of sandboxes as a shared object, for an interpreter to load that becomes a template by it: the interpreter starts
//! once, and each session's program is a copy of it (fork), isolated as any other, that goes on where the call returned.
//!
//! `hook.py` is the interpreter's side. What passes between the two is numbers and one piece of text, so nothing here needs
//! `unsafe` but the names under which the interpreter finds the functions.

use std::{io, os::fd::OwnedFd, sync::OnceLock};

use livecode_protocol::warm::SpawnerSettings;
use livecode_supervisor::{ZygoteProgram, fd_passing, spawner};
use rustix::{io::fcntl_dupfd_cloexec, net::RecvFlags, pipe::pipe, stdio};

/// The longest settings, in bytes.
const MAX_SETTINGS_BYTES: usize = 128 * 1024;
/// Descriptors below this number are a program's.
const FIRST_OWN_FD: i32 = 10;

static PROGRAM: OnceLock<Vec<u8>> = OnceLock::new();

/// Serves its spawner, whose socket is standard input. Returns in each program, with the length in bytes of what
/// [`livecode_zygote_text`] points at; the template itself ends within.
// SAFETY: no other object of the process has this name.
#[unsafe(no_mangle)]
pub extern "C" fn livecode_zygote() -> usize {
    match run() {
        Ok(Some(program)) => PROGRAM.get_or_init(|| text(&program)).len(),
        Ok(None) => livecode_supervisor::exit_now(0),
        Err(error) => {
            eprintln!("livecode template: {error}");
            livecode_supervisor::exit_now(1)
        }
    }
}

fn run() -> Result<Option<ZygoteProgram>, Box<dyn std::error::Error>> {
    let (socket, settings) = settle()?;
    let program = spawner::serve_interpreter_zygote(&socket, &settings)?;
    std::mem::forget(socket); // closed already in a program, as all are
    Ok(program)
}

/// The program's command and environment: the number of words of the command, they themselves, and `NAME=value` for each
/// variable, with a NUL after each.
// SAFETY: no other object of the process has this name.
#[unsafe(no_mangle)]
pub extern "C" fn livecode_zygote_text() -> *const u8 {
    PROGRAM.get().map_or(std::ptr::null(), |text| text.as_ptr())
}

/// Whether the interpreter is ending because its program came to its end: what calls `finalize` (`Py_FinalizeEx`), which calls
/// this, is `run` (`Py_RunMain`), and not what a program ends itself by.
// SAFETY: no other object of the process has this name.
#[unsafe(no_mangle)]
pub extern "C" fn livecode_zygote_is_ending(finalize: usize, run: usize) -> bool {
    let (mut callee, mut is_run) = (0, false);
    backtrace::trace(|frame| {
        let function = frame.symbol_address().addr();
        let was_finalize = std::mem::replace(&mut callee, function) == finalize;
        is_run = was_finalize && function == run;
        !was_finalize
    });
    is_run
}

/// Ends the process with status 0, as the interpreter would when it has nothing left to take apart.
// SAFETY: no other object of the process has this name.
#[unsafe(no_mangle)]
pub extern "C" fn livecode_zygote_exit() {
    std::process::exit(0)
}

fn text(program: &ZygoteProgram) -> Vec<u8> {
    let words = program.argv.iter().cloned();
    let variables = program.env.iter().map(|(name, value)| format!("{name}={value}"));
    let all = std::iter::once(program.argv.len().to_string()).chain(words).chain(variables);
    all.flat_map(|text| text.into_bytes().into_iter().chain([0])).collect()
}

/// Takes the socket from standard input, whose place a pipe takes as it will be in a program; and from the socket the
/// [`SpawnerSettings`], which no environment shows then, and the server's own standard error, since the interpreter was given
/// a pipe for the same reason.
fn settle() -> io::Result<(OwnedFd, SpawnerSettings)> {
    let server = fcntl_dupfd_cloexec(stdio::stdin(), FIRST_OWN_FD)?;
    stdio::dup2_stdin(pipe()?.0)?;

    let mut bytes = vec![0; MAX_SETTINGS_BYTES];
    let (length, mut attached) = fd_passing::receive(&server, &mut bytes, RecvFlags::empty())?;
    stdio::dup2_stderr(attached.pop().ok_or_else(|| io::Error::other("the server sent no log"))?)?;
    Ok((server, serde_json::from_slice(&bytes[..length])?))
}
