//! The zygote of a spawner: forked from it, or an interpreter that the server has started.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
    time::Duration,
};

use livecode_protocol::warm::SpawnerSettings;
use livecode_sandbox::{Forked, Host, ZygoteClient, ZygoteProgram, fd_passing, zygote};
use rustix::{
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, socketpair,
        sockopt::{Timeout, set_socket_timeout},
    },
    process::{PidfdFlags, Signal, getpid, pidfd_open, set_parent_process_death_signal},
};

use crate::spawner::host::open_host;

/// How long an interpreter may take to become a zygote, from when its spawner has sent it a pidfd.
const ZYGOTE_START_TIMEOUT: Duration = Duration::from_secs(20);

/// Forks a zygote from this process, with which it also ends.
pub(super) fn fork_zygote(host: &Host) -> io::Result<ZygoteClient> {
    let spawner = pidfd_open(getpid(), PidfdFlags::empty())?;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    match livecode_sandbox::fork()? {
        Forked::Parent(pid) => Ok(ZygoteClient::new(None, ours, pidfd_open(pid, PidfdFlags::empty())?)),
        Forked::Child => {
            drop(ours);
            // A stopped zygote would not notice that its socket is closed. This signal kills it,
            // too.
            let _ = set_parent_process_death_signal(Some(Signal::KILL));
            let _ = rustix::thread::set_name(c"livecode-zygote");
            let served = zygote::serve(host, None, spawner.as_fd(), theirs.as_fd());
            livecode_sandbox::exit_now(i32::from(served.is_err()))
        }
    }
}

/// Sends the interpreter zygote with this socket a pidfd of this process, with which it is to end.
/// Waits until the zygote is ready.
///
/// # Errors
/// If the interpreter ends before it is a zygote.
pub(super) fn connect_interpreter_zygote(socket: &OwnedFd) -> io::Result<()> {
    let spawner = pidfd_open(getpid(), PidfdFlags::empty())?;
    fd_passing::send(socket, &[0], &[spawner.as_fd()], SendFlags::empty())?;
    set_socket_timeout(socket, Timeout::Recv, Some(ZYGOTE_START_TIMEOUT))?;
    match fd_passing::receive(socket, &mut [0], RecvFlags::empty())?.0 {
        0 => Err(io::Error::other("the interpreter ended before it was ready as a zygote")),
        _ => Ok(()),
    }
}

/// Runs an interpreter zygote: clones the first processes of sandboxes for the spawner at the
/// other end of `socket`. A fork of such a first process becomes the session's program.
///
/// Returns `None` when the spawner is gone. Also returns in each program, with what that program
/// is.
///
/// # Errors
/// If the settings are not those of an interpreter, or the machine or the socket fails.
pub fn serve_interpreter_zygote(
    socket: &OwnedFd,
    settings: &SpawnerSettings,
) -> Result<Option<ZygoteProgram>, Box<dyn std::error::Error>> {
    let _ = rustix::process::setsid();
    livecode_sandbox::report::set_up(settings.is_log_json);
    let Some(interpreter) = &settings.interpreter_zygote else {
        return Err("the settings name no interpreter".into());
    };
    let host = open_host(settings)?;
    let (_, mut descriptors) = fd_passing::receive(socket, &mut [0], RecvFlags::empty())?;
    let Some(spawner) = descriptors.pop() else { return Ok(None) };
    livecode_sandbox::reap_children_automatically(true);
    fd_passing::send(socket, &[0], &[], SendFlags::empty())?;
    let program = zygote::serve(&host, Some(interpreter), spawner.as_fd(), socket.as_fd())?;
    if program.is_some() {
        // In a program all descriptors are closed already, and must not be closed a second time.
        std::mem::forget((host, spawner));
    }
    Ok(program)
}
