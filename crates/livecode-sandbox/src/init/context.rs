//! The data and descriptors that process 1 of a sandbox and its children share.

use std::{
    fs::File,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use livecode_protocol::{run_spec::SandboxLayout, warm::InterpreterZygote};
use rustix::net::SendFlags;

use crate::{
    host::Host,
    init_wire::InitEvent,
    kernel::sys::{self, PageRange},
    setup_error::{SetupContext, SetupError},
};

/// The resources that init inherits from its supervisor or receives through the zygote.
pub(crate) struct InitResources {
    /// Init's end of the control socket.
    pub control: OwnedFd,
    /// The program's ends of its channels: three pipes for standard input, output and error, and
    /// the message channel, a stream socket.
    pub program_fds: [OwnedFd; 4],
    /// The `tasks` files of the v1 cgroups that init moves itself into.
    pub tasks_files: Vec<File>,
    /// The v2 cgroup that init is cloned into.
    pub cgroup_fd: Option<OwnedFd>,
    /// A CPU that init stays off while it sets up a sandbox ahead of its session.
    pub excluded_cpu: Option<usize>,
}

/// The arguments of [`crate::init::run`].
pub(crate) struct InitContext<'a> {
    pub host: &'a Host,
    pub layout: &'a SandboxLayout,
    /// The interpreter zygote that this process was cloned from, if it was.
    pub interpreter_zygote: Option<&'a InterpreterZygote>,
    /// The pages of the zygote that a small program touches.
    pub working_set: &'a [PageRange],
    pub fds: InitResources,
}

impl<'a> InitContext<'a> {
    pub fn new(host: &'a Host, layout: &'a SandboxLayout, fds: InitResources) -> Self {
        Self { host, layout, interpreter_zygote: None, working_set: &[], fds }
    }

    /// Declares that this process is a clone of `zygote`, with the working set `working_set`.
    pub fn cloned_from(self, zygote: &'a InterpreterZygote, working_set: &'a [PageRange]) -> Self {
        Self { interpreter_zygote: Some(zygote), working_set, ..self }
    }
}

/// A descriptor that stays open as long as its process lives.
pub(super) type StaticFd = BorrowedFd<'static>;

/// Gives up the ownership of a descriptor, so that no destructor closes it.
pub(super) fn leak(fd: OwnedFd) -> StaticFd {
    let fd: &'static OwnedFd = Box::leak(Box::new(fd));
    fd.as_fd()
}

/// The program's ends of its channels.
#[derive(Clone, Copy)]
pub(super) struct ProgramFds {
    pub stdin: StaticFd,
    pub stdout: StaticFd,
    pub stderr: StaticFd,
    pub messages: StaticFd,
}

impl ProgramFds {
    pub fn all(self) -> [StaticFd; 4] {
        [self.stdin, self.stdout, self.stderr, self.messages]
    }
}

/// Process 1 with its descriptors in place. A pre-forked program has a copy of it.
pub(super) struct InitProcess<'a> {
    pub context: &'a InitContext<'a>,
    pub control: StaticFd,
    pub program_fds: ProgramFds,
}

impl<'a> InitProcess<'a> {
    /// Duplicates the descriptors to numbers that the program does not use for its own.
    pub fn new(context: &'a InitContext<'a>) -> Result<Self, SetupError> {
        let moved = |fd: &OwnedFd| sys::duplicate_high(fd).map(leak).context("move descriptors");
        let control = moved(&context.fds.control)?;
        let [stdin, stdout, stderr, messages] = &context.fds.program_fds;
        let program_fds = ProgramFds {
            stdin: moved(stdin)?,
            stdout: moved(stdout)?,
            stderr: moved(stderr)?,
            messages: moved(messages)?,
        };
        Ok(Self { context, control, program_fds })
    }

    /// Reports an event to the supervisor.
    pub fn report(&self, event: &InitEvent) {
        report(self.control, event);
    }

    /// Reports that the setup of this child of init failed, and exits.
    pub fn fail(&self, error: SetupError) -> ! {
        self.report(&InitEvent::SetupFailed(error));
        sys::exit_now(125)
    }
}

/// Sends an event on a control socket. An error is ignored: it means that the supervisor is dead.
pub(super) fn report(control: BorrowedFd<'_>, event: &InitEvent) {
    let _ = rustix::net::send(control, &event.encode(), SendFlags::NOSIGNAL);
}
