//! The request loop of a zygote.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd},
};

use livecode_protocol::warm::InterpreterZygote;
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::retry_on_intr,
    net::RecvFlags,
    process::{PidfdFlags, pidfd_open},
};

use crate::{
    clone::clone_init,
    host::Host,
    init::{self, context::InitContext, program::ZygoteProgram},
    kernel::{
        fd_passing,
        sys::{self, Cloned, Forked},
    },
    report::report,
    zygote::wire::{self, CloneRequest, ForkRequest, MAX_REQUEST_BYTES, ZygoteRequest},
};

/// The `oom_score_adj` (proc(5)) of everything in a sandbox: when the whole machine has no memory
/// left, the kernel kills a program, the largest first, and not the server or a supervisor.
const OOM_SCORE_ADJ: &str = "600";

/// Serves requests until the process `spawner` (pidfd_open(2)) is dead, or the other end of
/// `socket` is closed; returns `None` then. `interpreter` is given if this process is an
/// interpreter zygote. A clone is init of one sandbox and does not return from here. Only its
/// child, the pre-forked program, returns: as the session's program.
///
/// # Errors
/// Waiting for requests failed (poll(2), recvmsg(2)).
pub fn serve(
    host: &Host,
    interpreter: Option<&InterpreterZygote>,
    spawner: BorrowedFd<'_>,
    socket: BorrowedFd<'_>,
) -> io::Result<Option<ZygoteProgram>> {
    // All that this process is cloned into inherits the value. A program cannot lower it.
    if let Err(error) = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE_ADJ) {
        report(format_args!("livecode: programs are not the first to be killed without memory: {error}"));
    }
    let mut working_set = vec![]; // empty until it was measured and sent
    let mut bytes = vec![0; MAX_REQUEST_BYTES];
    loop {
        let mut fds = [PollFd::new(&spawner, PollFlags::IN), PollFd::new(&socket, PollFlags::IN)];
        retry_on_intr(|| poll(&mut fds, None))?;
        if !fds[0].revents().is_empty() {
            return Ok(None);
        }
        let (length, descriptors) = match fd_passing::receive(socket, &mut bytes, RecvFlags::DONTWAIT) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            other => other?,
        };
        if length == 0 {
            return Ok(None);
        }
        match ZygoteRequest::decode(&bytes[..length], descriptors) {
            None => {}
            Some(ZygoteRequest::WorkingSet(pages)) => working_set = pages,
            Some(ZygoteRequest::Fork(request)) => fork_zygote(request, spawner, socket)?,
            Some(ZygoteRequest::Clone(CloneRequest { reply_socket, layout, fds })) => {
                match clone_init(host, &fds) {
                    Ok(Forked::Child) => {
                        // Init closes all descriptors but its own by number.
                        std::mem::forget(reply_socket);
                        let context = InitContext::new(host, &layout, fds);
                        return Ok(Some(match interpreter {
                            Some(zygote) => init::run(context.cloned_from(zygote, &working_set)),
                            None => init::run(context),
                        }));
                    }
                    Err(error) => {
                        report(format_args!("livecode: cannot clone: {error}"));
                        // If this fails, closing the reply socket reports the failure.
                        let _ = wire::send_failure(reply_socket.as_fd(), &error);
                    }
                    Ok(Forked::Parent(cloned)) => {
                        // If this fails, the sender of the request is dead. Then the sandbox ends
                        // too.
                        let _ = wire::send_reply(reply_socket.as_fd(), &cloned);
                    }
                }
            }
        }
    }
}

/// Forks another zygote. In the fork, the descriptors `spawner` and `socket` become those of the
/// request, and all others are closed: nobody is to wait for their end as long as the fork lives.
///
/// # Errors
/// If the fork cannot exchange its descriptors.
fn fork_zygote(request: ForkRequest, spawner: BorrowedFd<'_>, socket: BorrowedFd<'_>) -> io::Result<()> {
    let reply_socket = request.reply_socket.as_fd();
    let sent = match sys::fork() {
        Ok(Forked::Child) => {
            sys::duplicate_to(request.owner.as_fd(), spawner.as_raw_fd())?;
            sys::duplicate_to(request.socket.as_fd(), socket.as_raw_fd())?;
            std::mem::forget(request); // its descriptors are closed by number
            return sys::close_all_except(3, &[spawner, socket]);
        }
        Ok(Forked::Parent(pid)) => pidfd_open(pid, PidfdFlags::empty()).map_or_else(
            |errno| wire::send_failure(reply_socket, &errno.into()),
            |pidfd| wire::send_reply(reply_socket, &Cloned { pid: pid.as_raw_nonzero().get(), pidfd }),
        ),
        Err(error) => {
            report(format_args!("livecode: cannot fork a zygote: {error}"));
            wire::send_failure(reply_socket, &error)
        }
    };
    // If the answer cannot be sent, its receiver is dead. Then the other zygote ends, too.
    drop(sent);
    Ok(())
}
