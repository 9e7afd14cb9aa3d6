//! The spawner as a shared object, for an interpreter to load that becomes a template by it: the interpreter starts once, and
//! each session's program is a copy of it (fork), isolated as any other, that goes on where the call returned.
//!
//! `hook.py` is the interpreter's side. What passes between the two is numbers and one piece of text, so nothing here needs
//! `unsafe` but the names under which the interpreter finds the functions.

use std::{io, sync::OnceLock};

use livecode_protocol::warm::SpawnerSettings;
use livecode_supervisor::{
    Program,
    spawner::{self, End},
};
use rustix::{
    io::fcntl_dupfd_cloexec,
    net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg},
    pipe::pipe,
    stdio,
};

/// The longest settings, in bytes.
const MAX_SETTINGS_BYTES: usize = 128 * 1024;
/// Descriptors below this number are a program's.
const FIRST_OWN_FD: i32 = 10;

static PROGRAM: OnceLock<Vec<u8>> = OnceLock::new();

/// Runs the spawner, with its socket as standard input. Returns in each program, with the length in bytes of what
/// [`livecode_template_text`] points at; the spawner itself ends within.
// SAFETY: no other object of the process has this name.
#[unsafe(no_mangle)]
pub extern "C" fn livecode_template() -> usize {
    let end = settle().map(|(server, settings)| spawner::run(server, &settings));
    match end {
        Ok(End::Program(program)) => PROGRAM.get_or_init(|| text(&program)).len(),
        Ok(End::Exit(status)) => livecode_supervisor::exit_now(status),
        Err(error) => {
            eprintln!("livecode template: {error}");
            livecode_supervisor::exit_now(1)
        }
    }
}

/// The program's command and environment: the number of words of the command, they themselves, and `NAME=value` for each
/// variable, with a NUL after each.
// SAFETY: no other object of the process has this name.
#[unsafe(no_mangle)]
pub extern "C" fn livecode_template_text() -> *const u8 {
    PROGRAM.get().map_or(std::ptr::null(), |text| text.as_ptr())
}

fn text(program: &Program) -> Vec<u8> {
    let words = program.argv.iter().cloned();
    let variables = program.env.iter().map(|(name, value)| format!("{name}={value}"));
    let all = std::iter::once(program.argv.len().to_string()).chain(words).chain(variables);
    all.flat_map(|text| text.into_bytes().into_iter().chain([0])).collect()
}

/// Takes the socket from standard input, whose place a pipe takes as it will be in a program; and from the socket the
/// [`SpawnerSettings`], which no environment shows then, and the server's own standard error, since the interpreter was given
/// a pipe for the same reason.
fn settle() -> io::Result<(std::os::fd::OwnedFd, SpawnerSettings)> {
    let server = fcntl_dupfd_cloexec(stdio::stdin(), FIRST_OWN_FD)?;
    stdio::dup2_stdin(pipe()?.0)?;

    let mut bytes = vec![0; MAX_SETTINGS_BYTES];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut attached = RecvAncillaryBuffer::new(&mut space);
    let mut buffers = [io::IoSliceMut::new(&mut bytes)];
    let length = recvmsg(&server, &mut buffers, &mut attached, RecvFlags::CMSG_CLOEXEC)?.bytes;
    let log = attached.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    stdio::dup2_stderr(log.ok_or_else(|| io::Error::other("the server sent no log"))?)?;
    Ok((server, serde_json::from_slice(&bytes[..length])?))
}
