//! The handle to a zygote, by which a supervisor has sandboxes made.

use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    time::Duration,
};

use livecode_protocol::{run_spec::SandboxLayout, warm::InterpreterZygote};
use rustix::{
    net::{
        AddressFamily, SocketFlags, SocketType, socketpair,
        sockopt::{Timeout, set_socket_timeout},
    },
    process::{PidfdFlags, Signal, getpid, pidfd_open, pidfd_send_signal},
};

use crate::{
    init::context::InitResources,
    kernel::sys::{Cloned, PageRange},
    setup_error::{CLONE_STEP, SetupError},
    zygote::wire,
};

/// The time a zygote has to reply to a request.
pub(crate) const REPLY_TIMEOUT: Duration = Duration::from_secs(10);

/// A handle to a zygote.
#[derive(Debug)]
pub struct ZygoteClient {
    /// The interpreter, if this is an interpreter zygote.
    interpreter: Option<InterpreterZygote>,
    socket: OwnedFd,
    pidfd: OwnedFd,
}

impl ZygoteClient {
    /// A handle to the zygote at the other end of `socket`, whose process is `pidfd`
    /// (pidfd_open(2)). `interpreter` is given for an interpreter zygote.
    pub fn new(interpreter: Option<InterpreterZygote>, socket: OwnedFd, pidfd: OwnedFd) -> Self {
        Self { interpreter, socket, pidfd }
    }

    /// Kills the zygote. Needed if it hangs and does not see that its socket was closed.
    pub fn kill(&self) {
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL); // the process may be dead already
    }

    /// Whether an error of [`crate::Sandbox::create`] proves that the zygote hangs: it did not
    /// reply in time. An error of another kind proves nothing, since the zygote or this process
    /// may have lacked resources. The death of a zygote shows on its socket ([`Self::socket`]).
    pub fn is_hang(error: &SetupError) -> bool {
        error.step == CLONE_STEP && error.source.kind() == io::ErrorKind::WouldBlock
    }

    /// The interpreter of an interpreter zygote.
    pub fn interpreter(&self) -> Option<&InterpreterZygote> {
        self.interpreter.as_ref()
    }

    /// The socket to the zygote. Polling it for no event reports a hang-up, for good, once the
    /// zygote is dead.
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Has the zygote clone itself into the first process of a sandbox.
    pub(crate) fn make(&self, layout: &SandboxLayout, fds: &InitResources) -> io::Result<Cloned> {
        let (own_end, zygote_end) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        set_socket_timeout(&own_end, Timeout::Recv, Some(REPLY_TIMEOUT))?;
        wire::send_clone_request(self.socket.as_fd(), zygote_end.as_fd(), layout, fds)?;
        // Dropped so that the zygote has the only copy: if it dies, the wait below ends at once.
        drop(zygote_end);
        wire::receive_reply(own_end.as_fd())
    }

    /// Has the zygote fork another one, which is this process's alone. It ends with this process,
    /// or when the handle is dropped, and lives on when the zygote ends.
    ///
    /// # Errors
    /// If the zygote is dead, hangs, or cannot fork.
    pub fn fork(&self) -> io::Result<Self> {
        let owner = pidfd_open(getpid(), PidfdFlags::empty())?;
        let (socket, other_end) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let (own_end, zygote_end) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        set_socket_timeout(&own_end, Timeout::Recv, Some(REPLY_TIMEOUT))?;
        let descriptors = [zygote_end.as_fd(), other_end.as_fd(), owner.as_fd()];
        wire::send_fork_request(self.socket.as_fd(), descriptors)?;
        drop((zygote_end, other_end));
        let Cloned { pidfd, .. } = wire::receive_reply(own_end.as_fd())?;
        Ok(Self::new(self.interpreter.clone(), socket, pidfd))
    }

    /// Tells an interpreter zygote which of its pages a program touches, so that its clones
    /// prefault them.
    pub(crate) fn send_working_set(&self, pages: &[PageRange]) -> io::Result<()> {
        wire::send_working_set(self.socket.as_fd(), pages)
    }
}
