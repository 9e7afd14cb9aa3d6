//! The request loop of init: starts steps, signals them, sends artefacts, and reaps processes.

use std::{fs::File, io, ops::ControlFlow, os::fd::AsFd as _};

use livecode_protocol::run_spec::{RunSpec, Step};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::{Errno, retry_on_intr},
    net::RecvFlags,
    process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, kill_process_group, wait, waitpid},
};

use crate::{
    MESSAGE_FD,
    init::{
        artefacts,
        context::{InitProcess, StaticFd},
        prefork::PreforkedProgram,
        program::Executable,
        results,
    },
    init_wire::{InitEvent, InitRequest, MAX_REQUEST_BYTES, StepStatus},
    kernel::{
        privileges::{SessionIds, act_as_program},
        sys::{self, ResourceUsage},
    },
    setup_error::{SetupContext, SetupError},
};

/// Exit status of a step whose command does not exist, as shells use it.
const COMMAND_NOT_FOUND: i32 = 127;
/// Exit status of a step whose command cannot be executed, as shells use it.
const COMMAND_NOT_EXECUTABLE: i32 = 126;

/// Starts the first step, and then serves the supervisor's requests until a step fails, the last
/// step has ended, or the supervisor is dead. If result files are wanted, they are sent before that.
/// `child_signals` is readable when a child has died.
pub(super) fn serve(
    init: &InitProcess<'_>,
    run_spec: &RunSpec,
    run_spec_file: File,
    child_signals: StaticFd,
    preforked: Option<PreforkedProgram>,
) -> Result<(), SetupError> {
    let mut steps = Steps {
        init,
        run_spec,
        ids: init.context.host.session_ids(run_spec.slot),
        program_index: run_spec.compile.len(),
        child_signals,
        running: None,
        next_index: Some(0),
    };
    if let Some(preforked) = preforked {
        steps.use_preforked(preforked, &run_spec_file)?;
    }
    drop(run_spec_file);
    let mut holds_program_fds = true;
    loop {
        if let Some(index) = steps.next_index.take() {
            steps.running = Some((index, steps.start(index)?));
        }
        // From now on only the program and its descendants hold the program's ends of the pipes,
        // so the supervisor sees the end of the output when the last of them has closed its end.
        if holds_program_fds && steps.is_program_running() {
            sys::close_all_except(MESSAGE_FD + 1, &[init.control, child_signals])
                .context("close the program's descriptors")?;
            holds_program_fds = false;
        }
        let mut fds = [PollFd::new(&init.control, PollFlags::IN), PollFd::new(&child_signals, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno).context("wait for requests"),
        }
        let [has_request, has_dead_child] = [&fds[0], &fds[1]].map(|fd| !fd.revents().is_empty());
        if has_request && steps.handle_request().is_break() {
            return Ok(());
        }
        if has_dead_child && steps.handle_dead_children().is_break() {
            return Ok(());
        }
    }
}

/// The steps of a session, of which at most one runs.
struct Steps<'a> {
    init: &'a InitProcess<'a>,
    run_spec: &'a RunSpec,
    /// The uids of the session in root mode.
    ids: Option<SessionIds>,
    /// The index of the program; the compile steps have lower indices.
    program_index: usize,
    child_signals: StaticFd,
    /// The index and the process of the running step.
    running: Option<(usize, Pid)>,
    /// The step that is to be started next.
    next_index: Option<usize>,
}

impl Steps<'_> {
    fn is_program_running(&self) -> bool {
        self.running.is_some_and(|(index, _)| index == self.program_index)
    }

    /// Makes the pre-forked program the running step if it fits the run spec, or ends it.
    fn use_preforked(&mut self, preforked: PreforkedProgram, run_spec_file: &File) -> Result<(), SetupError> {
        let zygote = self.init.context.interpreter_zygote;
        let fits = self.program_index == 0 && zygote.is_some_and(|zygote| zygote.fits(self.run_spec));
        let PreforkedProgram { pid, socket } = preforked;
        if fits {
            self.running = Some((0, pid));
            self.next_index = None;
            return InitRequest::Begin { has_contents: false }
                .send_with(&socket, &[run_spec_file.as_fd()])
                .context("send the run spec to the pre-forked program");
        }
        // The pre-forked program exits when its socket is closed. It is reaped before the first
        // step is started, since until then it counts towards the session's limit of processes.
        drop(socket);
        retry_on_intr(|| waitpid(Some(pid), WaitOptions::empty()))
            .context("wait for the pre-forked program")?;
        Ok(())
    }

    /// Starts the step with this index, in a child that copies none of this process's memory.
    fn start(&self, index: usize) -> Result<Pid, SetupError> {
        let Self { init, run_spec, program_index, .. } = *self;
        let is_program = index == program_index;
        let step: &Step = run_spec.compile.get(index).unwrap_or(&run_spec.run);
        let executable = Executable::new(self.ids, run_spec, step, is_program);
        if index > 0 {
            // Processes that earlier steps left must not reach a child that has not yet executed
            // its step, and must not count towards its limit of processes.
            let killed = act_as_program(self.ids, artefacts::kill_and_reap_others)?;
            killed.context("kill the processes that earlier steps left")?;
        }
        let missing = init.context.host.cgroups.unenforced();
        // A step that could not be set up has not started. The session may then start again.
        let report_start = || init.report(&InitEvent::StepStarted(index));
        let child = || match executable.execute(missing, &step.limits, init.program_fds, report_start) {
            Ok(error) => {
                let is_not_found = error.kind() == io::ErrorKind::NotFound;
                init.report(&InitEvent::ExecFailed(index, error));
                if is_not_found { COMMAND_NOT_FOUND } else { COMMAND_NOT_EXECUTABLE }
            }
            Err(error) => init.fail(error),
        };
        sys::vfork(child).context("fork")
    }

    /// Receives and handles one request. Breaks when the supervisor is dead.
    fn handle_request(&mut self) -> ControlFlow<()> {
        let control = self.init.control;
        let mut bytes = [0; MAX_REQUEST_BYTES];
        let length = match rustix::net::recv(control, &mut bytes[..], RecvFlags::DONTWAIT) {
            Ok((0, _)) => return ControlFlow::Break(()), // the supervisor's end is closed
            Ok((length, _)) => length,
            Err(Errno::AGAIN | Errno::INTR) => return ControlFlow::Continue(()),
            Err(_) => return ControlFlow::Break(()),
        };
        match InitRequest::decode(&bytes[..length]) {
            Some(InitRequest::StartStep(index)) => self.next_index = Some(index),
            Some(InitRequest::Signal(signal)) => {
                let _ = act_as_program(self.ids, || signal_step(self.running, signal));
            }
            Some(InitRequest::TakeArtefacts) => {
                let wanted = self.run_spec.cache.as_ref().map_or(&[][..], |cache| &cache.artefacts);
                let sent = act_as_program(self.ids, || artefacts::send_all(control, wanted));
                let is_complete = sent.unwrap_or(false);
                self.init.report(&InitEvent::ArtefactsSent(is_complete));
            }
            Some(InitRequest::CollectResults) => {
                if let Some(wanted) = &self.run_spec.collect {
                    let sent = act_as_program(self.ids, || results::send_all(control, wanted));
                    self.report_usage();
                    self.init.report(&InitEvent::ResultsSent(sent.unwrap_or(false)));
                }
                return ControlFlow::Break(());
            }
            Some(InitRequest::Begin { .. }) | None => {}
        }
        ControlFlow::Continue(())
    }

    /// Reaps dead children. Breaks when the last step has ended or a step has failed, unless the
    /// supervisor is going to ask for result files.
    fn handle_dead_children(&mut self) -> ControlFlow<()> {
        // Reading the pending signals makes the descriptor unreadable until the next child dies.
        let mut pending = [0; 512];
        let _ = rustix::io::read(self.child_signals, &mut pending[..]);
        let Some((index, status)) = reap(self.running) else { return ControlFlow::Continue(()) };
        self.report_usage();
        self.init.report(&InitEvent::Ended(index, status));
        self.running = None;
        let is_last = index == self.program_index || status != StepStatus::Exited(0);
        if is_last && self.run_spec.collect.is_none() {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    /// Reports what all dead children used, if no cgroup counts it. Init reports it because
    /// the usage of init and its children is lost if init's parent is a zygote: the kernel
    /// reaps the children of a zygote.
    fn report_usage(&self) {
        let missing = self.init.context.host.cgroups.unenforced();
        if missing.memory || missing.cpu_time {
            let ResourceUsage { cpu_ms, largest_kib, .. } = sys::children_usage();
            self.init.report(&InitEvent::Usage { cpu_ms, largest_kib });
        }
    }
}

fn signal_step(running: Option<(usize, Pid)>, signal: i32) {
    if let (Some((_, leader)), Some(signal)) = (running, Signal::from_named_raw(signal)) {
        // A step that was forked a moment ago may not lead its process group yet. A step that has
        // just ended needs no signal, so errors are ignored.
        if kill_process_group(leader, signal).is_err() {
            let _ = kill_process(leader, signal);
        }
    }
}

/// Reaps every dead child. Returns the index and the status of the running step if it is among
/// them.
fn reap(running: Option<(usize, Pid)>) -> Option<(usize, StepStatus)> {
    let mut ended = None;
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        match running {
            Some((index, leader)) if leader == pid => ended = Some((index, step_status(status))),
            _ => {}
        }
    }
    ended
}

fn step_status(status: WaitStatus) -> StepStatus {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => StepStatus::Exited(code),
        (None, signal) => StepStatus::Signalled(signal.unwrap_or(0)),
    }
}
