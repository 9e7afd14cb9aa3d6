//! The outside of a sandbox: what a supervisor holds.

use std::{
    fs::File,
    io::{self, IoSliceMut},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
};

use livecode_protocol::run_spec::{RunSpec, SandboxLayout, StepLimits};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::retry_on_intr,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, SocketFlags,
        SocketType, recvmsg, socketpair,
    },
    pipe::{PipeFlags, pipe_with},
    process::{Signal, pidfd_send_signal},
};

use crate::{
    cgroup::SandboxCgroup,
    handle::sample::{self, SampleVerdict, SampledUsage},
    host::Host,
    init::{self, InitContext},
    init_wire::{InitEvent, InitRequest, MAX_BYTES, SetupContext, SetupError},
    kernel::{
        fault_switch::is_enabled,
        sys::{self, Cloned, Forked, PageRange},
    },
    zygote::{self, SandboxFds, ZygoteClient},
};

/// The supervisor's ends of a program's pipes. All but `stdin` are to be read; none blocks.
pub struct Pipes {
    /// What is written here the program reads.
    pub stdin: OwnedFd,
    /// What it prints.
    pub stdout: OwnedFd,
    /// What it prints as errors, and all that compile steps say.
    pub stderr: OwnedFd,
    /// Its message channel, `LIVECODE_FD` inside.
    pub messages: UnixStream,
}

/// A running sandbox. Dropping it kills everything inside and waits until all of it is gone.
pub struct Sandbox {
    control: OwnedFd,
    init: i32,
    /// Whether init is a child of this process, and not of a maker, which forgets its children.
    is_child: bool,
    pidfd: OwnedFd,
    group: SandboxCgroup,
    memory_alarm: Option<OwnedFd>,
    is_memory_sampled: bool,
    /// What was seen by looking, where no cgroup counts.
    seen: SampledUsage,
    /// Whether the processors serve everybody else first, for as long as it lives.
    gives_way: bool,
    reaped: bool,
}

impl Sandbox {
    /// Makes a sandbox, for an order to be told by [`Self::begin`], with a cgroup of the name `name`. Returns at once: setup
    /// goes on inside, and tells by [`InitEvent`] how it went. Its first process is a copy of the maker's, where one is given, and is
    /// kept off the CPU `excluded_cpu` until it has its order; else a copy of this process.
    ///
    /// # Errors
    /// The step that failed while still outside: a cgroup, a pipe, the clone itself.
    pub fn prepare(
        host: &Host,
        name: &str,
        layout: &SandboxLayout,
        maker: Option<&ZygoteClient>,
        excluded_cpu: Option<usize>,
    ) -> Result<(Self, Pipes), SetupError> {
        let group = host.cgroups.create(name)?;
        let memory_alarm = group.oom_notifier().context("watch for want of memory")?;
        let cgroup_fd = group.cgroup_fd().context("open the cgroup")?;
        let tasks_files = group.tasks_files().context("open the cgroups")?;

        let (stdin_end, stdin) = pipe_with(PipeFlags::CLOEXEC).context("make pipes")?;
        let (stdout, stdout_end) = pipe_with(PipeFlags::CLOEXEC).context("make pipes")?;
        let (stderr, stderr_end) = pipe_with(PipeFlags::CLOEXEC).context("make pipes")?;
        for ours in [&stdin, &stdout, &stderr] {
            rustix::io::ioctl_fionbio(ours, true).context("make pipes")?;
        }
        let (messages, messages_end) = UnixStream::pair().context("make pipes")?;
        messages.set_nonblocking(true).context("make pipes")?;
        let (control, control_end) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .context("make pipes")?;
        let ends = [stdin_end, stdout_end, stderr_end, messages_end.into()];
        let given = SandboxFds { control: control_end, ends, tasks_files, cgroup_fd, excluded_cpu };

        let cloned = match maker {
            Some(maker) => maker.make(layout, &given).context(zygote::ASK)?,
            None => match clone_init(host, &given).context("clone into fresh namespaces")? {
                Forked::Parent(cloned) => cloned,
                Forked::Child => {
                    // They belong to the supervisor: here nothing of it is to be removed, nor closed a second time.
                    std::mem::forget((group, memory_alarm, stdin, stdout, stderr, messages, control));
                    init::run(InitContext::new(host, layout, given));
                    sys::exit_now(0) // by now it has: only in a template's program it comes back
                }
            },
        };
        let sandbox = Self {
            control,
            init: cloned.pid,
            is_child: maker.is_none(),
            pidfd: cloned.pidfd,
            group,
            memory_alarm,
            is_memory_sampled: host.cgroups.missing().memory,
            seen: SampledUsage::default(),
            gives_way: false,
            reaped: false,
        };
        Ok((sandbox, Pipes { stdin, stdout, stderr, messages }))
    }

    /// Sets limits. Before [`Self::begin`] it saves time then.
    ///
    /// # Errors
    /// The limit that could not be set.
    pub fn limit(&mut self, limits: &StepLimits, cpu_millicores: u32) -> Result<(), SetupError> {
        self.group.set_cpu_share(cpu_millicores)?;
        self.group.set_step_limits(limits)
    }

    /// Tells the order, whose file `file` is, and starts its first step. `compiled` is what was compiled before
    /// ([`crate::init::artefacts`]), at its first record, for an order that has no compile steps any more.
    ///
    /// # Errors
    /// The limit that could not be set, or that init is gone.
    pub fn begin(
        &mut self,
        order: &RunSpec,
        file: BorrowedFd<'_>,
        compiled: Option<&File>,
    ) -> Result<(), SetupError> {
        let first = order.compile.first().unwrap_or(&order.run);
        self.limit(&first.limits, order.limits.cpu_millicores)?;
        let files: Vec<_> = std::iter::once(file).chain(compiled.map(AsFd::as_fd)).collect();
        InitRequest::Begin.send_with(&self.control, &files).context("tell the order")
    }

    /// Waits until setup is done.
    ///
    /// # Errors
    /// The step that failed inside.
    pub fn wait_ready(&mut self) -> Result<(), SetupError> {
        match self.wait_report() {
            Some(InitEvent::Ready) => Ok(()),
            Some(InitEvent::SetupFailed(error)) => Err(error),
            _ => Err(io::Error::from(io::ErrorKind::BrokenPipe)).context("wait for the sandbox"),
        }
    }

    /// Whether its first process lives.
    pub fn is_alive(&self) -> bool {
        let mut ended = [PollFd::new(&self.pidfd, PollFlags::IN)];
        !self.reaped && poll(&mut ended, Some(&Timespec::default())) == Ok(0)
    }

    /// Readable when a report has come, and for good once init is gone.
    pub fn control(&self) -> BorrowedFd<'_> {
        self.control.as_fd()
    }

    /// Readable when memory ran out; the program must then be killed whole.
    pub fn memory_alarm(&self) -> Option<BorrowedFd<'_>> {
        self.memory_alarm.as_ref().map(AsFd::as_fd)
    }

    /// The next report, `WouldBlock` where there is none yet, `None` once init is gone and all was told.
    ///
    /// # Errors
    /// `WouldBlock`, and nothing else that could be helped.
    pub fn report(&mut self) -> io::Result<Option<InitEvent>> {
        self.receive(RecvFlags::DONTWAIT)
    }

    /// Waits for the next report.
    pub(crate) fn wait_report(&mut self) -> Option<InitEvent> {
        loop {
            match self.receive(RecvFlags::empty()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return None,
                Ok(report) => return report,
            }
        }
    }

    fn receive(&mut self, flags: RecvFlags) -> io::Result<Option<InitEvent>> {
        let mut bytes = [0; MAX_BYTES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut buffers = [IoSliceMut::new(&mut bytes)];
        let received = recvmsg(&self.control, &mut buffers, &mut ancillary, flags | RecvFlags::CMSG_CLOEXEC)?;
        let mut report = InitEvent::decode(&bytes[..received.bytes]);
        if let Some(InitEvent::Used { cpu_ms, largest_kib }) = report {
            self.seen.cpu_ms = self.seen.cpu_ms.max(cpu_ms);
            self.seen.memory_peak_kib = self.seen.memory_peak_kib.max(largest_kib);
            self.seen.processes_peak = self.seen.processes_peak.max(1);
            return self.receive(flags);
        }
        if let Some(InitEvent::Artefact { file, .. }) = &mut report {
            *file = ancillary.drain().find_map(|message| match message {
                RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
                _ => None,
            });
        }
        Ok(report)
    }

    /// Starts the step with this index, within its limits. To be called when the one before has ended with 0.
    ///
    /// # Errors
    /// The limit that could not be set.
    pub fn start_step(&mut self, index: usize, limits: &StepLimits) -> Result<(), SetupError> {
        self.group.set_step_limits(limits)?;
        self.ask(InitRequest::Start(index));
        Ok(())
    }

    /// Has everything inside ended, and what the compile steps made sent: some [`InitEvent::Artefact`] and a [`InitEvent::Taken`]. To
    /// be called between the last of them and the program.
    pub fn take_artefacts(&mut self) {
        self.ask(InitRequest::Take);
    }

    /// Sends a signal to the process group of the running step.
    pub fn signal(&mut self, signal: i32) {
        self.ask(InitRequest::Signal(signal));
    }

    /// Init reads what it is asked at once, so a socket that cannot take a datagram belongs to one that is dying.
    fn ask(&mut self, request: InitRequest) {
        let _ =
            rustix::net::send(&self.control, &request.encode(), SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
    }

    /// Kills everything inside. Does not wait.
    pub fn kill(&mut self) {
        // Afterwards nobody is told what a maker's child used.
        if !self.is_child && !self.group.counts_usage() && self.is_alive() {
            self.seen.cpu_ms = self.seen.cpu_ms.max(sample::cpu_ms(self.init));
        }
        if !self.reaped {
            let _ = pidfd_send_signal(&self.pidfd, Signal::KILL); // it may be dead already
            self.give_way(false); // or it would not even get to die beside others who compute
        }
    }

    /// Kills everything inside and waits until it is gone.
    pub fn reap(&mut self) {
        if self.reaped {
            return;
        }
        self.kill();
        if !self.is_child {
            let mut ended = [PollFd::new(&self.pidfd, PollFlags::IN)];
            let _ = retry_on_intr(|| poll(&mut ended, None));
        } else if let Ok(used) = sys::reap_child(self.init) {
            // What init and all it has buried used is told once, now.
            self.seen.cpu_ms = self.seen.cpu_ms.max(used.cpu_ms);
            self.seen.memory_peak_kib = self.seen.memory_peak_kib.max(used.largest_kib);
            self.seen.processes_peak = self.seen.processes_peak.max(1);
        }
        self.reaped = true;
    }

    /// Whether init is alone inside, and cgroups have counted what the others used: then nothing more is learnt by waiting
    /// for its end.
    pub fn is_alone(&self) -> bool {
        self.group.counts_usage() && self.group.process_count().is_some_and(|count| count <= 1)
    }

    /// What its program has used of the memory that it is a copy of.
    pub(crate) fn touched_pages(&self) -> Vec<PageRange> {
        sample::descendants(self.init).first().map_or(vec![], |program| sys::touched_pages(*program))
    }

    /// CPU time used so far, in milliseconds: counted by a cgroup, or else seen by looking at each process.
    pub fn cpu_ms(&self) -> Option<u64> {
        self.group.cpu_ms().or_else(|| {
            let now_ms = if self.reaped { 0 } else { sample::cpu_ms(self.init) };
            Some(self.seen.cpu_ms.max(now_ms))
        })
    }

    /// The same where a cgroup counts it, and can have the program give way.
    pub fn counted_cpu_ms(&self) -> Option<u64> {
        self.group.cpu_ms().filter(|_| self.group.has_cpu_share())
    }

    /// Has the processors serve everybody else first, or no longer. Where the kernel cannot, nothing changes: it is a courtesy.
    pub fn give_way(&mut self, gives_way: bool) {
        if std::mem::replace(&mut self.gives_way, gives_way) != gives_way {
            self.group.set_deprioritized(gives_way);
        }
    }

    /// The most memory held at once, in bytes: counted by a cgroup, or else the most that was seen at a look, and at
    /// least what the largest process held.
    pub fn memory_peak_bytes(&self) -> Option<u64> {
        let seen = || (self.seen.memory_peak_kib > 0).then_some(self.seen.memory_peak_kib * 1024);
        self.group.memory_peak_bytes().or_else(seen)
    }

    /// The most processes and threads at once, counted by a cgroup, or else seen at a look.
    pub fn processes_peak(&self) -> Option<u64> {
        let seen = || (self.seen.processes_peak > 0).then_some(self.seen.processes_peak);
        self.group.processes_peak().or_else(seen)
    }

    /// Whether no cgroup keeps the memory of all processes within its limit, so that somebody must look.
    pub fn is_memory_sampled(&self) -> bool {
        self.is_memory_sampled
    }

    /// Looks at all processes: whether they hold more memory together than they may, now.
    pub fn look(&mut self, limits: &StepLimits) -> SampleVerdict {
        if self.reaped { SampleVerdict::Rests } else { sample::look(self.init, limits, &mut self.seen) }
    }

    /// Whether the kernel killed any process for want of memory.
    pub fn out_of_memory(&self) -> bool {
        self.group.oom_kills() > 0
    }
}

/// Clones this process into fresh namespaces, as what is to be init of a sandbox.
pub(crate) fn clone_init(host: &Host, given: &SandboxFds) -> io::Result<Forked<Cloned>> {
    let mut flags = libc::CLONE_NEWNS | libc::CLONE_NEWUTS;
    let namespaces =
        [("pid", libc::CLONE_NEWPID), ("ipc", libc::CLONE_NEWIPC), ("network", libc::CLONE_NEWNET)];
    for (_, flag) in namespaces.into_iter().filter(|(name, _)| is_enabled(name)) {
        flags |= flag;
    }
    if host.rootless {
        flags |= libc::CLONE_NEWUSER;
    }
    sys::clone(flags, given.cgroup_fd.as_ref().map(AsFd::as_fd))
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.reap();
    }
}
