//! Process 1 of a sandbox: builds it from inside, then starts its steps one by one and reaps whatever dies.
//!
//! It must outlive the program and nobody else: it ends, and with it everything inside, when a step fails, when the last
//! has ended, and when the control socket closes because the supervisor died. It has no privilege left by the time the
//! first step starts, cannot be traced or inspected (non-dumpable), and as process 1 no signal from inside reaches it.

pub mod artefacts;
pub(crate) mod program;

use std::{
    fs::{self, File},
    io::{self, IoSliceMut, Read as _, Seek as _, Write as _},
    mem::{ManuallyDrop, MaybeUninit},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::OpenOptionsExt,
    },
    path::Path,
};

use livecode_protocol::{
    FileName,
    run_spec::{RunFile, RunSpec, SandboxLayout, Step},
    warm::InterpreterZygote,
};
use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::Mode,
    io::{fcntl_dupfd_cloexec, retry_on_intr},
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, SocketFlags,
        SocketType, recvmsg, socketpair,
    },
    process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, kill_process_group, wait, waitpid},
};

use crate::{
    WORKING_DIRECTORY, cgroup,
    host::Host,
    init::program::{Executable, ProgramFds, ZygoteProgram},
    init_wire::{InitEvent, InitRequest, SetupContext, SetupError, StepStatus},
    kernel::{
        fault_switch::is_enabled,
        landlock, privileges, rlimits,
        sys::{self, Forked, PageRange, ResourceUsage},
    },
    rootfs::{accounts::AccountFiles, mounts},
    zygote::SandboxFds,
};

/// Descriptors below this number are the program's.
const FIRST_OWN_FD: i32 = 10;

/// All that init is given.
pub(crate) struct InitContext<'a> {
    host: &'a Host,
    layout: &'a SandboxLayout,
    /// The interpreter that this process is a copy of, if it is one.
    template: Option<&'a InterpreterZygote>,
    /// What of its memory a program uses.
    memory: &'a [PageRange],
    given: SandboxFds,
    /// The user as seen from outside, to be mapped in rootless mode.
    outer_ids: (u32, u32),
}

impl<'a> InitContext<'a> {
    pub fn new(host: &'a Host, layout: &'a SandboxLayout, given: SandboxFds) -> Self {
        Self { host, layout, template: None, memory: &[], given, outer_ids: host.ids }
    }

    /// In a copy of a template.
    pub fn of(self, template: &'a InterpreterZygote, memory: &'a [PageRange]) -> Self {
        Self { template: Some(template), memory, ..self }
    }
}

/// The life of process 1. Returns only in a child of it that is to be the program of its template.
pub(crate) fn run(inside: InitContext<'_>) -> ZygoteProgram {
    // No destructor is to run in such a child: the numbers of its descriptors may belong to others by then.
    let inside = ManuallyDrop::new(inside);
    let code = match move_descriptors(&inside.given) {
        Err(error) => {
            send(inside.given.control.as_fd(), &InitEvent::SetupFailed(error));
            1
        }
        Ok((control, ends)) => {
            let init = Init { inside: &inside, control, ends };
            match init.live() {
                Ok(Some(program)) => return program,
                Ok(None) => {}
                Err(error) => send(control, &InitEvent::SetupFailed(error)),
            }
            0
        }
    };
    sys::exit_now(code)
}

/// Out of the way of the numbers that the program expects its own descriptors under; open as long as this process lives.
fn move_descriptors(given: &SandboxFds) -> Result<(Fd, [Fd; 4]), SetupError> {
    let moved = |fd: &OwnedFd| fcntl_dupfd_cloexec(fd, FIRST_OWN_FD).map(leak).context("move descriptors");
    let [stdin, stdout, stderr, messages] = &given.ends;
    Ok((moved(&given.control)?, [moved(stdin)?, moved(stdout)?, moved(stderr)?, moved(messages)?]))
}

/// A descriptor that is never closed by its owner.
type Fd = BorrowedFd<'static>;

fn leak(fd: OwnedFd) -> Fd {
    let fd: &'static OwnedFd = Box::leak(Box::new(fd));
    fd.as_fd()
}

/// Process 1 at work.
struct Init<'a> {
    inside: &'a InitContext<'a>,
    control: Fd,
    ends: [Fd; 4],
}

/// A child that waits to be the program.
struct PreforkedProgram {
    pid: Pid,
    socket: OwnedFd,
}

/// Which side of its fork this is.
enum PreforkSide {
    PreforkedProgram(PreforkedProgram),
    /// It has been called.
    Program(ZygoteProgram),
}

impl Init<'_> {
    fn live(&self) -> Result<Option<ZygoteProgram>, SetupError> {
        if let Some(cpu) = self.inside.given.excluded_cpu {
            self.inside.host.cpus.avoid(cpu);
        }
        let accounts = self.set_up()?;
        let children = leak(sys::child_signal_fd().context("watch for children")?);
        let null =
            fs::OpenOptions::new().read(true).write(true).open("/dev/null").context("open /dev/null")?;
        for number in 0..=2 {
            sys::duplicate_to(null.as_fd(), number).context("let go of the supervisor's descriptors")?;
        }
        drop(null);
        let mut kept = vec![self.control, children];
        kept.extend(self.ends);
        kept.extend(accounts.descriptors());
        sys::close_all_except(3, &kept).context("close the supervisor's descriptors")?;
        let preforked = match self.inside.template.map(|_| self.prefork_program()).transpose()? {
            Some(PreforkSide::Program(program)) => {
                std::mem::forget(accounts); // closed already
                return Ok(Some(program));
            }
            Some(PreforkSide::PreforkedProgram(preforked)) => Some(preforked),
            None => None,
        };
        self.inside.host.cpus.use_all(); // from now on somebody waits for what is done here
        send(self.control, &InitEvent::Ready);
        match await_order(self.control)? {
            None => Ok(None), // the supervisor is gone
            Some(Begin { order, file, compiled }) => {
                self.adopt(&order, compiled, accounts)?;
                self.serve(&order, file, children, preforked)?;
                Ok(None)
            }
        }
    }

    /// Forks what is to be the program, if that fits the template: so far ahead that the template's memory is its own when the
    /// order comes.
    fn prefork_program(&self) -> Result<PreforkSide, SetupError> {
        let pair = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
        let (ours, theirs) = pair.context("make pipes")?;
        match sys::fork().context("fork")? {
            Forked::Parent(pid) => Ok(PreforkSide::PreforkedProgram(PreforkedProgram { pid, socket: ours })),
            Forked::Child => {
                drop(ours);
                let theirs = leak(theirs);
                sys::prefault(self.inside.memory);
                self.inside.host.cpus.use_all();
                match await_order(theirs) {
                    Ok(Some(Begin { mut order, file, compiled })) => {
                        drop((file, compiled)); // while they are open
                        order.compile.clear(); // it was called after that
                        Ok(PreforkSide::Program(self.become_program(&order)))
                    }
                    Ok(None) => sys::exit_now(0), // another program is executed
                    Err(error) => self.fail(error),
                }
            }
        }
    }

    /// Turns an understudy into the program.
    fn become_program(&self, order: &RunSpec) -> ZygoteProgram {
        let turned = self
            .become_user(order)
            .and_then(|()| program::become_copied(self.inside.host, order, self.program_ends()));
        turned.unwrap_or_else(|error| self.fail(error))
    }

    /// Becomes the session's user, who has no privilege.
    fn become_user(&self, order: &RunSpec) -> Result<(), SetupError> {
        let host = self.inside.host;
        let id = (!host.rootless).then_some(host.inner_id(order.slot));
        if is_enabled("privileges") { privileges::drop_all(id) } else { Ok(()) }
    }

    fn program_ends(&self) -> ProgramFds<'_> {
        let [stdin, stdout, stderr, messages] = self.ends;
        ProgramFds { stdin, stdout, stderr, messages }
    }

    /// Ends a child whose setup failed.
    fn fail(&self, error: SetupError) -> ! {
        send(self.control, &InitEvent::SetupFailed(error));
        sys::exit_now(125)
    }

    /// The steps of the setup that any session needs, in the order in which each still has the privilege it needs. What may
    /// be done only before the filters is done here.
    fn set_up(&self) -> Result<AccountFiles, SetupError> {
        let InitContext { host, layout, .. } = self.inside;
        sys::reset_signals();
        // What is made for the session's user must be readable to it, whatever the server's own mask is.
        rustix::process::umask(Mode::WGRP | Mode::WOTH);
        if host.rootless {
            map_ids(host.inner_id(0), self.inside.outer_ids)?;
        }
        for entrance in &self.inside.given.tasks_files {
            cgroup::join_v1_group(entrance).context("enter the cgroup")?;
        }
        sys::unshare_cgroup_namespace().context("make a cgroup namespace")?;
        rustix::system::sethostname(b"livecode").context("set the host name")?;
        if is_enabled("network") {
            sys::bring_loopback_up().context("bring the loopback device up")?;
        }
        let accounts = mounts::enter_root(&host.staging, &host.fixtures, layout)?;
        if is_enabled("limits") {
            rlimits::set_session_limits(layout)?;
        }
        if is_enabled("privileges") {
            privileges::prevent_gaining()?;
        }
        rustix::process::chdir(WORKING_DIRECTORY).context("enter the working directory")?;
        if host.has_landlock {
            landlock::confine().context("restrict files by Landlock")?;
        }
        if is_enabled("seccomp") {
            host.profile.install(host.cgroups.missing().memory).context("install the seccomp filter")?;
        }
        Ok(accounts)
    }

    /// The rest of the setup: this session's user, and its files.
    fn adopt(
        &self,
        order: &RunSpec,
        compiled: Option<File>,
        accounts: AccountFiles,
    ) -> Result<(), SetupError> {
        let host = self.inside.host;
        let id = host.inner_id(order.slot);
        accounts.assign_to(id)?;
        self.become_user(order)?;
        for RunFile { name, contents } in &order.files {
            let bytes =
                contents.clone().into_bytes().map_err(io::Error::other).context(format!("decode {name}"))?;
            write_file(name, &bytes).context(format!("write {name}"))?;
        }
        if let Some(entry) = compiled {
            artefacts::put(&entry).context("write what was compiled before")?;
        }
        Ok(())
    }

    /// Starts the first step, and then does as asked until a step fails, the last has ended, or the supervisor is gone.
    fn serve(
        &self,
        order: &RunSpec,
        file: File,
        children: Fd,
        preforked: Option<PreforkedProgram>,
    ) -> Result<(), SetupError> {
        let last = order.compile.len();
        let mut current = None;
        let mut next = Some(0);
        let mut holds_ends = true;
        let fits = last == 0 && self.inside.template.is_some_and(|template| template.fits(order));
        match preforked {
            Some(preforked) if fits => {
                send(self.control, &InitEvent::Started(0));
                current = Some((0, preforked.pid));
                next = None;
                InitRequest::Begin
                    .send_with(&preforked.socket, &[file.as_fd()])
                    .context("call the program")?;
            }
            // It hears that nobody will call it, and ends; until then it counts as a process of the program's.
            Some(PreforkedProgram { pid, socket }) => {
                drop(socket);
                retry_on_intr(|| waitpid(Some(pid), WaitOptions::empty()))
                    .context("wait for the understudy")?;
            }
            None => {}
        }
        drop(file);
        loop {
            if let Some(index) = next.take() {
                current = Some((index, self.start(order, index)?));
            }
            // From now on the program's ends are its own: when they are closed, nobody is left who could say anything.
            if holds_ends && current.is_some_and(|(index, _)| index == last) {
                sys::close_all_except(3, &[self.control, children])
                    .context("let go of the program's descriptors")?;
                holds_ends = false;
            }
            let mut ready =
                [PollFd::new(&self.control, PollFlags::IN), PollFd::new(&children, PollFlags::IN)];
            match poll(&mut ready, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno).context("wait"),
            }
            let [asked, died] = [&ready[0], &ready[1]].map(|fd| !fd.revents().is_empty());
            if asked {
                let mut bytes = [0; 16];
                match rustix::net::recv(self.control, &mut bytes[..], RecvFlags::DONTWAIT) {
                    Ok((0, _)) => return Ok(()), // the supervisor is gone
                    Ok((length, _)) => match InitRequest::decode(&bytes[..length]) {
                        Some(InitRequest::Start(index)) => next = Some(index),
                        Some(InitRequest::Signal(signal)) => signal_step(current, signal),
                        Some(InitRequest::Take) => {
                            let wanted = order.cache.as_ref().map_or(&[][..], |cache| &cache.artefacts);
                            send(self.control, &InitEvent::Taken(artefacts::take(self.control, wanted)));
                        }
                        Some(InitRequest::Begin) | None => {}
                    },
                    Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
                    Err(_) => return Ok(()),
                }
            }
            if died {
                let mut pending = [0; 512];
                let _ = rustix::io::read(children, &mut pending[..]);
                if let Some((index, status)) = reap(current) {
                    self.tell_usage();
                    send(self.control, &InitEvent::Ended(index, status));
                    current = None;
                    if index == last || status != StepStatus::Exited(0) {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Tells what all that have ended used, where no cgroup counts it: a maker forgets its children.
    fn tell_usage(&self) {
        let missing = self.inside.host.cgroups.missing();
        if missing.memory || missing.cpu_time {
            let ResourceUsage { cpu_ms, largest_kib, .. } = sys::children_usage();
            send(self.control, &InitEvent::Used { cpu_ms, largest_kib });
        }
    }

    /// Starts the step with this index, in a child that copies none of this process's memory.
    fn start(&self, order: &RunSpec, index: usize) -> Result<Pid, SetupError> {
        let is_program = index == order.compile.len();
        let step: &Step = order.compile.get(index).unwrap_or(&order.run);
        let executable = Executable::new(order, step, is_program);
        if is_program && index > 0 {
            // What a compile step left must not reach a child that has not executed the program yet.
            sys::kill_all_others().context("end what compile steps left")?;
        }
        send(self.control, &InitEvent::Started(index));
        let run = || match executable.execute(self.inside.host, &step.limits, self.program_ends()) {
            Ok(error) => {
                // As shells do: 127 for a command that does not exist, 126 for one that cannot be executed.
                let code = if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 };
                send(self.control, &InitEvent::CannotRun(index, error));
                code
            }
            Err(error) => self.fail(error),
        };
        sys::vfork(run).context("fork")
    }
}

/// What an order comes with.
struct Begin {
    order: RunSpec,
    /// Its file.
    file: File,
    /// What was compiled before, at its first record: then the order has no compile steps.
    compiled: Option<File>,
}

/// Waits for the order on a socket; `None` where nobody is left to send it.
fn await_order(socket: Fd) -> Result<Option<Begin>, SetupError> {
    let mut bytes = [0; 16];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut attached = RecvAncillaryBuffer::new(&mut space);
    let received = retry_on_intr(|| {
        let mut buffers = [IoSliceMut::new(&mut bytes)];
        recvmsg(socket, &mut buffers, &mut attached, RecvFlags::CMSG_CLOEXEC)
    })
    .context("wait for the order")?;
    let files = attached.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => descriptors.map(File::from).collect(),
        _ => vec![],
    });
    let mut files = files.collect::<Vec<_>>().into_iter();
    match (InitRequest::decode(&bytes[..received.bytes]), files.next(), files.next()) {
        (Some(InitRequest::Begin), Some(mut file), compiled) => {
            let mut text = vec![];
            file.rewind().context("read the order")?; // whoever sent it may have read it
            file.read_to_end(&mut text).context("read the order")?;
            let order = serde_json::from_slice(&text).map_err(io::Error::from);
            let mut order: RunSpec = order.context("read the order")?;
            if compiled.is_some() {
                order.compile.clear();
            }
            Ok(Some(Begin { order, file, compiled }))
        }
        _ => Ok(None),
    }
}

/// Maps the one user that this namespace knows (user_namespaces(7): one line each, and no setgroups).
pub(crate) fn map_ids(inner: u32, (uid, gid): (u32, u32)) -> Result<(), SetupError> {
    fs::write("/proc/self/setgroups", "deny").context("give up setgroups")?;
    fs::write("/proc/self/uid_map", format!("{inner} {uid} 1")).context("map the user")?;
    fs::write("/proc/self/gid_map", format!("{inner} {gid} 1")).context("map the group")
}

/// The folder is fresh and no program has run in it, so the names, which are checked, lead nowhere else.
fn write_file(name: &FileName, bytes: &[u8]) -> io::Result<()> {
    for parent in name.parents() {
        match fs::create_dir(parent) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    let mut file = File::options().write(true).create_new(true).mode(0o644).open(Path::new(name.as_str()))?;
    file.write_all(bytes)
}

fn signal_step(current: Option<(usize, Pid)>, signal: i32) {
    if let (Some((_, leader)), Some(signal)) = (current, Signal::from_named_raw(signal)) {
        // A step that was forked a moment ago may not lead its group yet; one that just ended needs no signal.
        if kill_process_group(leader, signal).is_err() {
            let _ = kill_process(leader, signal);
        }
    }
}

/// Collects every dead child; says how the current step ended if it is among them.
fn reap(current: Option<(usize, Pid)>) -> Option<(usize, StepStatus)> {
    let mut ended = None;
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        match current {
            Some((index, leader)) if leader == pid => ended = Some((index, status_of(status))),
            _ => {}
        }
    }
    ended
}

fn status_of(status: WaitStatus) -> StepStatus {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => StepStatus::Exited(code),
        (None, signal) => StepStatus::Signalled(signal.unwrap_or(0)),
    }
}

/// Tells the supervisor; where it is gone, there is nobody to tell.
fn send(control: BorrowedFd<'_>, report: &InitEvent) {
    let _ = rustix::net::send(control, &report.encode(), SendFlags::NOSIGNAL);
}
