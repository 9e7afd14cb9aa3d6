//! A sandbox as its supervisor sees it from outside.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::Path,
};

use livecode_protocol::{
    control::CpuWeight,
    run_spec::{RunSpec, SandboxLayout, StepLimits},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{FlockOperation, Mode, OFlags, flock, open},
    io::{Errno, retry_on_intr},
    net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, socketpair},
    pipe::{PipeFlags, pipe_with},
    process::{Signal, pidfd_send_signal},
};

use crate::{
    cgroup::{SOCKET_SHARE, SandboxCgroup},
    clone::clone_init,
    handle::{
        kernel_memory::KernelMemoryProbe,
        sample::{self, SampleVerdict, SampledUsage},
        uncharged,
    },
    host::Host,
    init::{
        self,
        context::{InitContext, InitResources},
    },
    init_wire::{InitEvent, InitRequest, MAX_EVENT_BYTES},
    kernel::{
        fd_passing,
        seccomp_listener::SeccompListener,
        sys::{self, Forked, PageRange},
    },
    rootfs::disk_size::DiskSize,
    setup_error::{CLONE_STEP, SetupContext, SetupError},
    zygote::client::ZygoteClient,
};

/// Memory that init may use beyond the program's limit while it sends the result files, in bytes.
const COLLECT_MEMORY_BYTES: u64 = 16 * 1024 * 1024;
/// The CPU share of a sandbox whose result files are sent, in thousandths of a processor.
const COLLECT_MILLICORES: u32 = 1000;

/// The supervisor's ends of a program's channels: three pipes, and the message channel, which is a
/// stream socket. It writes to `stdin`, reads `stdout` and `stderr`, and does both with
/// `messages`. No end blocks.
pub struct ProgramChannels {
    /// The program's standard input.
    pub stdin: OwnedFd,
    /// The program's standard output.
    pub stdout: OwnedFd,
    /// The program's standard error, and all output of compile steps.
    pub stderr: OwnedFd,
    /// The program's message channel, `LIVECODE_FD` inside.
    pub messages: UnixStream,
}

/// A running sandbox. Dropping it kills every process inside and waits until all are gone.
pub struct Sandbox {
    /// The control socket to init.
    control: OwnedFd,
    init_pid: i32,
    init_pidfd: OwnedFd,
    /// Whether init is a child of this process. Otherwise init is a child of a zygote, which does
    /// not wait for its children.
    is_init_own_child: bool,
    cgroup: SandboxCgroup,
    oom_notifier: Option<OwnedFd>,
    /// The runtime's root, locked (flock(2)) so that nobody removes it while programs see it.
    _root_lock: Option<OwnedFd>,
    is_memory_sampled: bool,
    /// Measures kernel memory, if memory is sampled.
    kernel_memory: Option<KernelMemoryProbe>,
    /// Changes the size of its tmpfs, until it is given its run spec.
    disk_size: Option<DiskSize>,
    /// The listener of its seccomp filter, from the end of its setup on; `None` if the filter
    /// cannot have one.
    seccomp_listener: Option<SeccompListener>,
    /// Whether it was given its run spec.
    has_begun: bool,
    /// The usage that samples and init have shown, for what no cgroup counts.
    sampled: SampledUsage,
    /// Whether other processes have priority over this sandbox on the CPU.
    is_deprioritized: bool,
    cpu_weight: CpuWeight,
    is_reaped: bool,
}

impl Sandbox {
    /// Makes a sandbox that is given its run spec later, by [`Self::start`]. Returns at once: the
    /// setup goes on inside, and its result is an [`InitEvent`].
    ///
    /// `name` is the name of the cgroup. Init is a clone of `zygote` if there is one, or else of
    /// this process, which must have a single thread. Init stays off the CPU `excluded_cpu` until
    /// the setup is done.
    ///
    /// # Errors
    /// The setup step that failed outside the sandbox: a cgroup, a pipe, or the clone itself.
    pub fn create(
        host: &Host,
        name: &str,
        layout: &SandboxLayout,
        zygote: Option<&ZygoteClient>,
        excluded_cpu: Option<usize>,
    ) -> Result<(Self, ProgramChannels), SetupError> {
        let cgroup = host.cgroups.create(name)?;
        let oom_notifier = cgroup.oom_notifier().context("watch for lack of memory")?;
        let cgroup_fd = cgroup.cgroup_fd().context("open the cgroup")?;
        let tasks_files = cgroup.tasks_files().context("open the cgroups")?;
        let (pipes, program_fds) = make_pipes().context("make pipes")?;
        let (control, init_end) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .context("make the control socket")?;
        let root_lock =
            layout.root.as_deref().map(lock_root).transpose().context("lock the runtime's root")?;
        let fds = InitResources { control: init_end, program_fds, tasks_files, cgroup_fd, excluded_cpu };

        let cloned = match zygote {
            Some(zygote) => zygote.make(layout, &fds).context(CLONE_STEP)?,
            None => match clone_init(host, &fds).context("clone into fresh namespaces")? {
                Forked::Parent(cloned) => cloned,
                Forked::Child => {
                    // These belong to the supervisor. Their destructors must not run in init: they
                    // would remove the cgroup, and close descriptors that init closes by number.
                    std::mem::forget((cgroup, oom_notifier, pipes, control, root_lock));
                    init::run(InitContext::new(host, layout, fds));
                    // `run` has exited by now: it returns only in a clone of an interpreter
                    // zygote.
                    sys::exit_now(0)
                }
            },
        };
        let sandbox = Self {
            control,
            init_pid: cloned.pid,
            init_pidfd: cloned.pidfd,
            is_init_own_child: zygote.is_none(),
            cgroup,
            oom_notifier,
            _root_lock: root_lock,
            is_memory_sampled: host.cgroups.unenforced().memory,
            kernel_memory: None,
            disk_size: None,
            seccomp_listener: None,
            has_begun: false,
            sampled: SampledUsage::default(),
            is_deprioritized: false,
            cpu_weight: CpuWeight::default(),
            is_reaped: false,
        };
        Ok((sandbox, pipes))
    }

    /// Gives the sandbox's file system the size of another layout, which is the same otherwise. To
    /// be called once the sandbox is ready, and before [`Self::start`].
    ///
    /// # Errors
    /// If this process may not change it, or the kernel cannot. Then the sandbox is of use only
    /// with the layout that it was made with.
    pub fn resize(&self, layout: &SandboxLayout) -> io::Result<()> {
        self.disk_size.as_ref().ok_or(io::ErrorKind::Unsupported)?.change(layout)
    }

    /// Sets the limits of a step and the CPU share, in thousandths of a processor.
    /// [`Self::start`] sets them too, and is faster if they are set already.
    ///
    /// # Errors
    /// The limit that could not be set.
    pub fn set_limits(&mut self, limits: &StepLimits, cpu_millicores: u32) -> Result<(), SetupError> {
        self.cgroup.set_cpu_share(cpu_millicores)?;
        self.cgroup.set_step_limits(limits)
    }

    /// Sends init the run spec, as its file, and has it start the first step. `contents_file`
    /// holds the session's files if the run spec does not. Init reads it from the start, with the
    /// file offset that it shares with the caller. `cache_entry` holds the artefacts of an earlier
    /// session ([`crate::init::artefacts`]) and is positioned at its first record. If it is given,
    /// the caller has removed the compile steps from `run_spec`, and init removes them from what
    /// it reads.
    ///
    /// # Errors
    /// The limit that could not be set, or the error of sendmsg(2) if init is dead.
    pub fn start(
        &mut self,
        run_spec: &RunSpec,
        run_spec_file: BorrowedFd<'_>,
        contents_file: Option<&File>,
        cache_entry: Option<&File>,
    ) -> Result<(), SetupError> {
        (self.disk_size, self.has_begun) = (None, true);
        let first_step = run_spec.compile.first().unwrap_or(&run_spec.run);
        self.set_limits(&first_step.limits, run_spec.limits.cpu_millicores)?;
        let others = contents_file.into_iter().chain(cache_entry).map(AsFd::as_fd);
        let files: Vec<_> = std::iter::once(run_spec_file).chain(others).collect();
        let request = InitRequest::Begin { has_contents: contents_file.is_some() };
        request.send_with(&self.control, &files).context("send the run spec")
    }

    /// Waits until the setup is done.
    ///
    /// # Errors
    /// The setup step that failed inside.
    pub fn wait_ready(&mut self) -> Result<(), SetupError> {
        match self.wait_event() {
            Some(InitEvent::Ready) => Ok(()),
            Some(InitEvent::SetupFailed(error)) => Err(error),
            _ => Err(io::Error::from(io::ErrorKind::BrokenPipe)).context("wait for the sandbox"),
        }
    }

    /// Whether init lives.
    pub fn is_alive(&self) -> bool {
        let mut fds = [PollFd::new(&self.init_pidfd, PollFlags::IN)];
        !self.is_reaped && poll(&mut fds, Some(&Timespec::default())) == Ok(0)
    }

    /// The control socket. It is readable when an event has come, and stays readable once init is
    /// dead.
    pub fn control_fd(&self) -> BorrowedFd<'_> {
        self.control.as_fd()
    }

    /// The listener that is notified of some calls of the sandbox's processes. They wait until it
    /// resumes them. `None` if there is none, or the setup is not done.
    pub fn seccomp_listener(&self) -> Option<&SeccompListener> {
        self.seccomp_listener.as_ref()
    }

    /// Closes the listener. From then on, every notified call fails. To be called when it has hung
    /// up: then no process is left that could make one.
    pub fn close_seccomp_listener(&mut self) {
        self.seccomp_listener = None;
    }

    /// A descriptor that is readable when memory ran out. The whole program must be killed then.
    /// `None` if the kernel kills the whole program itself, or no cgroup limits memory.
    pub fn oom_notifier(&self) -> Option<BorrowedFd<'_>> {
        self.oom_notifier.as_ref().map(AsFd::as_fd)
    }

    /// Receives the next event without waiting. Returns `None` once init is dead and all its
    /// events were received.
    ///
    /// # Errors
    /// `WouldBlock` if there is no event yet; any other error of recvmsg(2) is permanent.
    pub fn try_next_event(&mut self) -> io::Result<Option<InitEvent>> {
        let mut bytes = [0; MAX_EVENT_BYTES];
        let (length, descriptors) = fd_passing::receive(&self.control, &mut bytes, RecvFlags::DONTWAIT)?;
        let mut event = InitEvent::decode(&bytes[..length]);
        if let Some(InitEvent::Usage { cpu_ms, largest_kib }) = event {
            self.add_usage(cpu_ms, largest_kib);
            return self.try_next_event();
        }
        if let Some(InitEvent::KernelMemoryProbe) = event {
            self.kernel_memory = KernelMemoryProbe::from_descriptors(descriptors);
            return self.try_next_event();
        }
        if let Some(InitEvent::DiskSize) = event {
            let descriptor = descriptors.into_iter().next().filter(|_| !self.has_begun);
            self.disk_size = descriptor.map(DiskSize::from_descriptor);
            return self.try_next_event();
        }
        if let Some(InitEvent::SeccompListener) = event {
            // It comes once, before anything of the program's can use the control socket. The
            // kernel drops it if this process has no descriptor left. Every notified call would
            // fail then.
            let descriptor = descriptors.into_iter().next().ok_or(Errno::MFILE)?;
            self.seccomp_listener = Some(SeccompListener::new(descriptor));
            return self.try_next_event();
        }
        if let Some(InitEvent::Artefact { file, .. } | InitEvent::ResultFile { file, .. }) = &mut event {
            *file = descriptors.into_iter().next();
        }
        Ok(event)
    }

    /// Waits for the next event. Returns `None` once init is dead and all its events were
    /// received. Meanwhile it resumes every notified call.
    pub(crate) fn wait_event(&mut self) -> Option<InitEvent> {
        loop {
            match self.try_next_event() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                event => return event.unwrap_or(None),
            }
            let mut fds = vec![PollFd::new(&self.control, PollFlags::IN)];
            let listener = self.seccomp_listener.as_ref();
            fds.extend(listener.map(|it| PollFd::from_borrowed_fd(it.poll_fd(), PollFlags::IN)));
            let _ = retry_on_intr(|| poll(&mut fds, None));
            let calls = fds.get(1).map_or(PollFlags::empty(), PollFd::revents);
            if let Some(listener) = listener.filter(|_| calls.contains(PollFlags::IN)) {
                listener.receive().into_iter().for_each(|notification| listener.resume(notification));
            } else if calls.contains(PollFlags::HUP) {
                self.close_seccomp_listener();
            }
        }
    }

    /// Notes the usage of dead processes, if it exceeds what samples have shown.
    fn add_usage(&mut self, cpu_ms: u64, largest_kib: u64) {
        self.sampled.cpu_ms = self.sampled.cpu_ms.max(cpu_ms);
        self.sampled.memory_peak_kib = self.sampled.memory_peak_kib.max(largest_kib);
        self.sampled.processes_peak = self.sampled.processes_peak.max(1);
    }

    /// Starts the step with this index, within its limits. The step before must have exited with
    /// 0.
    ///
    /// # Errors
    /// The limit that could not be set.
    pub fn start_step(&mut self, index: usize, limits: &StepLimits) -> Result<(), SetupError> {
        self.cgroup.set_step_limits(limits)?;
        self.send_request(InitRequest::StartStep(index));
        Ok(())
    }

    /// Has init kill every other process inside and send the artefacts of the compile steps: any
    /// number of [`InitEvent::Artefact`], then an [`InitEvent::ArtefactsSent`]. To be called
    /// between the last compile step and the program.
    pub fn collect_artefacts(&mut self) {
        self.send_request(InitRequest::TakeArtefacts);
    }

    /// Has init kill every other process inside and send the result files: any number of
    /// [`InitEvent::ResultFile`] and [`InitEvent::ResultRefused`], then an
    /// [`InitEvent::ResultsSent`], after which init ends. `limits` are those of the last step.
    pub fn collect_results(&mut self, limits: &StepLimits) {
        self.restore_priority();
        // Files in memory may have taken all that the program could have, and its processes may
        // have used up their share of the processors. Without the room, which the kernel may refuse,
        // init may be killed before it has sent the files.
        let memory_bytes = limits.memory_bytes.saturating_add(COLLECT_MEMORY_BYTES);
        let _ = self.cgroup.set_step_limits(&StepLimits { memory_bytes, ..*limits });
        let _ = self.cgroup.set_cpu_share(COLLECT_MILLICORES);
        self.send_request(InitRequest::CollectResults);
    }

    /// Lets the sandbox compete for CPU time like others, so that its processes die soon.
    fn restore_priority(&mut self) {
        self.set_cpu_weight(CpuWeight::default());
        self.set_deprioritized(false);
    }

    /// Sends a signal to the process group of the running step.
    pub fn signal(&mut self, signal: i32) {
        self.send_request(InitRequest::Signal(signal));
    }

    /// Sends init a request. An error is ignored: init reads each request at once, so only the
    /// socket of a dying init refuses one.
    fn send_request(&mut self, request: InitRequest) {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let _ = rustix::net::send(&self.control, &request.encode(), flags);
    }

    /// Kills every process inside. Does not wait until they are gone.
    pub fn kill(&mut self) {
        // The usage of a zygote's child can be read only as long as the child lives.
        if !self.is_init_own_child && !self.cgroup.counts_usage() && self.is_alive() {
            self.sampled.cpu_ms = self.sampled.cpu_ms.max(sample::cpu_ms(self.init_pid));
        }
        if !self.is_reaped {
            let _ = pidfd_send_signal(&self.init_pidfd, Signal::KILL); // init may be dead already
            // A deprioritised process gets no CPU time to die in while other processes compute.
            self.restore_priority();
        }
    }

    /// Kills every process inside and waits until they are gone.
    pub fn reap(&mut self) {
        if self.is_reaped {
            return;
        }
        self.kill();
        if !self.is_init_own_child {
            let mut fds = [PollFd::new(&self.init_pidfd, PollFlags::IN)];
            let _ = retry_on_intr(|| poll(&mut fds, None));
        } else if let Ok(usage) = sys::reap_child(self.init_pid) {
            // This is the usage of init and of all processes that it has reaped.
            self.add_usage(usage.cpu_ms, usage.largest_kib);
        }
        self.is_reaped = true;
        (self.kernel_memory, self.disk_size) = (None, None); // they keep the tmpfs in memory
    }

    /// Whether init is the only process inside, and cgroups have counted the usage of the others.
    /// The death of init would then add nothing to the usage.
    pub fn is_only_init_left(&self) -> bool {
        self.cgroup.counts_usage() && self.cgroup.process_count().is_some_and(|count| count <= 1)
    }

    /// The pages of its zygote that the sandbox's program has touched.
    pub(crate) fn touched_pages(&self) -> Vec<PageRange> {
        let program = sample::descendants(self.init_pid).first().copied();
        program.map_or(vec![], sys::touched_pages)
    }

    /// CPU time used so far, in milliseconds: counted by a cgroup, or else sampled from each
    /// process.
    pub fn cpu_ms(&self) -> Option<u64> {
        self.cgroup.cpu_ms().or_else(|| {
            let now_ms = if self.is_reaped { 0 } else { sample::cpu_ms(self.init_pid) };
            Some(self.sampled.cpu_ms.max(now_ms))
        })
    }

    /// CPU time used so far, in milliseconds, if a cgroup counts it and a cgroup can
    /// deprioritise the sandbox.
    pub fn cgroup_cpu_ms(&self) -> Option<u64> {
        self.cgroup.cpu_ms().filter(|_| self.cgroup.has_cpu_share())
    }

    /// Deprioritises the sandbox on the CPU, so that every other process goes first, or restores
    /// its priority. Does nothing if the kernel cannot: no limit rests on it.
    pub fn set_deprioritized(&mut self, is_deprioritized: bool) {
        if std::mem::replace(&mut self.is_deprioritized, is_deprioritized) != is_deprioritized {
            self.cgroup.set_priority(is_deprioritized, self.cpu_weight);
        }
    }

    /// The weight of the sandbox among those that compete for CPU time.
    pub fn cpu_weight(&self) -> CpuWeight {
        self.cpu_weight
    }

    /// Sets the weight of the sandbox among those that compete for CPU time. Does nothing if the
    /// kernel cannot: no limit rests on it.
    pub fn set_cpu_weight(&mut self, weight: CpuWeight) {
        if std::mem::replace(&mut self.cpu_weight, weight) != weight {
            self.cgroup.set_priority(self.is_deprioritized, weight);
        }
    }

    /// The most memory held at once, in bytes: counted by a cgroup, or else the most that a sample
    /// showed, and at least what the largest process held.
    pub fn memory_peak_bytes(&self) -> Option<u64> {
        let sampled = || (self.sampled.memory_peak_kib > 0).then_some(self.sampled.memory_peak_kib * 1024);
        self.cgroup.memory_peak_bytes().or_else(sampled)
    }

    /// The most processes and threads at once: counted by a cgroup, or else sampled.
    pub fn processes_peak(&self) -> Option<u64> {
        let sampled = || (self.sampled.processes_peak > 0).then_some(self.sampled.processes_peak);
        self.cgroup.processes_peak().or_else(sampled)
    }

    /// Whether no cgroup limits the memory of all processes together, so that [`Self::sample`]
    /// must be called again and again.
    pub fn is_memory_sampled(&self) -> bool {
        self.is_memory_sampled
    }

    /// Samples all processes inside.
    pub fn sample(&mut self, limits: &StepLimits) -> SampleVerdict {
        if self.is_reaped {
            return SampleVerdict::Idle;
        }
        sample::sample(self.init_pid, self.kernel_memory.as_ref(), limits, &mut self.sampled)
    }

    /// Whether the buffers of sockets hold more than they may of what no cgroup charges, if
    /// `memory_bytes` is the limit of all other memory.
    pub fn has_too_much_in_sockets(&self, memory_bytes: u64) -> bool {
        !self.is_reaped && uncharged::socket_bytes(self.init_pid) > memory_bytes / SOCKET_SHARE
    }

    /// Whether memory ran out inside. Called when [`Self::oom_notifier`] is readable; makes it
    /// readable anew only at the next notification.
    pub fn is_out_of_memory(&self) -> bool {
        if let Some(notifier) = &self.oom_notifier {
            let _ = rustix::io::read(notifier, &mut [0; 8]); // resets the counter (eventfd(2))
        }
        self.cgroup.is_out_of_memory()
    }

    /// Whether the kernel has killed any process inside for lack of memory.
    pub fn has_oom_kills(&self) -> bool {
        self.cgroup.oom_kills() > 0
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.reap();
    }
}

/// Opens the root of a runtime, with a shared lock. An import that removes it holds the other kind.
fn lock_root(root: &Path) -> io::Result<OwnedFd> {
    let root = open(root, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    flock(&root, FlockOperation::NonBlockingLockShared)?;
    Ok(root)
}

/// Makes the program's channels. Returns the supervisor's ends, and the program's ends in the
/// order of [`InitResources::program_fds`].
fn make_pipes() -> io::Result<(ProgramChannels, [OwnedFd; 4])> {
    let (program_stdin, stdin) = pipe_with(PipeFlags::CLOEXEC)?;
    let (stdout, program_stdout) = pipe_with(PipeFlags::CLOEXEC)?;
    let (stderr, program_stderr) = pipe_with(PipeFlags::CLOEXEC)?;
    for fd in [&stdin, &stdout, &stderr] {
        rustix::io::ioctl_fionbio(fd, true)?;
    }
    let (messages, program_messages) = UnixStream::pair()?;
    messages.set_nonblocking(true)?;
    let program_fds = [program_stdin, program_stdout, program_stderr, program_messages.into()];
    Ok((ProgramChannels { stdin, stdout, stderr, messages }, program_fds))
}
