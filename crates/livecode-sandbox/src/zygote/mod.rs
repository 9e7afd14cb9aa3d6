//! The process that makes the first process of each sandbox, in a copy of itself, for whoever asks.
//!
//! It is sent descriptors and a layout, and no word of any session: so no copy of it holds what another session was told, which
//! a supervisor that serves one session after another could not say of itself. The pipes, the groups, and all that a session is
//! are the asker's. It may be an interpreter that has started, a template, whose copies go on as a session's program.
//!
//! ```text
//!  supervisor                       maker                           in the sandbox
//!  ──────────                       ─────                           ──────────────
//!  Maker::make ── descriptors ────▶ serve ── clone3: new ─────────▶ init ── of a template: fork ──▶ understudy, later the program
//!              ◀── number, pidfd ──          namespaces, cgroup
//! ```

use std::{
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use livecode_protocol::{
    FileName,
    run_spec::{Contents, RunFile, SandboxLayout, Step, StepLimits},
    warm::InterpreterZygote,
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::retry_on_intr,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, socketpair,
        sockopt::{Timeout, set_socket_timeout},
    },
    process::{Signal, pidfd_send_signal},
};

use crate::{
    handle::sandbox::{self, Sandbox},
    host::{self, Host},
    init::{self, InitContext, program::ZygoteProgram},
    init_wire::{SetupContext as _, SetupError},
    kernel::{
        fd_passing,
        sys::{Cloned, Forked, PageRange},
    },
};

/// How long a maker may take to answer.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);
/// A program that does little, and waits before its end.
const PROFILED_PROGRAM: &str = "import atexit, sys\natexit.register(sys.stdin.read)\nprint()\n";
/// Stands for no CPU.
const ANY_CPU: u32 = u32::MAX;
/// The longest message, in bytes: what is known of a template's memory.
const MAX_BYTES: usize = 64 * 1024;
/// What a message is, in its first byte: to make a sandbox, with or without a group that it is born into; or which memory
/// programs use.
const MAKE: u8 = 0;
const MAKE_WITHIN: u8 = 1;
const MEMORY: u8 = 2;

/// What a sandbox is given.
pub(crate) struct SandboxFds {
    /// Where init tells how it goes.
    pub control: OwnedFd,
    /// The program's ends of its pipes.
    pub ends: [OwnedFd; 4],
    /// Files of the v1 groups that it is to enter.
    pub tasks_files: Vec<File>,
    /// The v2 group that it is born into.
    pub cgroup_fd: Option<OwnedFd>,
    /// The CPU that it stays away from while nobody waits for it.
    pub excluded_cpu: Option<usize>,
}

/// A maker, as seen by who asks it.
#[derive(Debug)]
pub struct ZygoteClient {
    template: Option<InterpreterZygote>,
    socket: OwnedFd,
    process: OwnedFd,
}

/// The step that fails where a maker is gone, hangs, or cannot.
pub(crate) const ASK: &str = "have the maker clone itself";

impl ZygoteClient {
    /// The `process` (pidfd_open(2)) at the other end of `socket`, which is this template if it is one.
    pub fn new(template: Option<InterpreterZygote>, socket: OwnedFd, process: OwnedFd) -> Self {
        Self { template, socket, process }
    }

    /// For one that hangs, and does not see that nobody asks it any more.
    pub fn kill(&self) {
        let _ = pidfd_send_signal(&self.process, Signal::KILL); // it may be gone already
    }

    /// Whether that is what an error of [`Sandbox::prepare`] means: the maker hangs. That it could not, or this process, proves
    /// nothing; that it is gone shows on its socket.
    pub fn is_to_blame(error: &SetupError) -> bool {
        error.step == ASK && error.source.kind() == io::ErrorKind::WouldBlock
    }

    /// What it is a template of.
    pub fn template(&self) -> Option<&InterpreterZygote> {
        self.template.as_ref()
    }

    /// Says for good, to who watches it for nothing, that the maker is gone.
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Has the first process of a sandbox made.
    pub(crate) fn make(&self, layout: &SandboxLayout, given: &SandboxFds) -> io::Result<Cloned> {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        set_socket_timeout(&ours, Timeout::Recv, Some(REPLY_TIMEOUT))?;
        let mut descriptors = vec![theirs.as_fd(), given.control.as_fd()];
        descriptors.extend(given.ends.iter().map(AsFd::as_fd));
        descriptors.extend(given.cgroup_fd.as_ref().map(AsFd::as_fd));
        descriptors.extend(given.tasks_files.iter().map(AsFd::as_fd));
        let kind = if given.cgroup_fd.is_some() { MAKE_WITHIN } else { MAKE };
        let excluded_cpu = given.excluded_cpu.and_then(|cpu| u32::try_from(cpu).ok()).unwrap_or(ANY_CPU);
        let words = [&[kind][..], &excluded_cpu.to_le_bytes(), &serde_json::to_vec(layout)?].concat();
        fd_passing::send(&self.socket, &words, &descriptors, SendFlags::empty())?;
        drop(theirs); // where the maker dies, the end of it is heard
        let mut pid = [0; 4];
        let mut attached = fd_passing::receive(&ours, &mut pid, RecvFlags::empty())?.1;
        let pidfd = attached.pop().ok_or_else(|| io::Error::other("it could not"))?;
        Ok(Cloned { pid: i32::from_le_bytes(pid), pidfd })
    }

    /// Has a copy of a template run a program that does little, and tells the template what of its memory that used: that much is
    /// given to each program ahead, and no more.
    ///
    /// # Errors
    /// The step that failed. Nothing is given ahead then, but page by page when it is touched.
    pub fn profile_working_set(
        &self,
        host: &Host,
        name: &str,
        layout: &SandboxLayout,
        limits: &StepLimits,
    ) -> Result<(), SetupError> {
        let Some(template) = &self.template else { return Ok(()) };
        let (mut sandbox, pipes) = Sandbox::prepare(host, name, layout, Some(self), None)?;
        sandbox.wait_ready()?;
        let mut order = host::trial(Step { argv: template.argv.clone(), limits: *limits });
        order.env.clone_from(&template.env);
        let name =
            template.source.parse::<FileName>().map_err(io::Error::other).context("name the program")?;
        let contents = Contents::new(PROFILED_PROGRAM.into());
        order.files = vec![RunFile { name, contents }];
        sandbox.begin(&order, host::order_file(&order)?.as_fd(), None)?;
        // It says so when it is about to end, and then waits.
        let timeout = Timespec { tv_sec: REPLY_TIMEOUT.as_secs().cast_signed(), tv_nsec: 0 };
        let mut said = [PollFd::new(&pipes.stdout, PollFlags::IN)];
        match retry_on_intr(|| poll(&mut said, Some(&timeout))).context("wait for a program")? {
            0 => Err(io::Error::from(io::ErrorKind::TimedOut)).context("wait for a program"),
            _ => self.send_working_set(&sandbox.touched_pages()).context("tell the template"),
        }
    }

    /// Tells a template which of its memory programs use, so that they have it ahead.
    fn send_working_set(&self, used: &[PageRange]) -> io::Result<()> {
        let most = (MAX_BYTES - 1) / PAGES_BYTES;
        let bytes = used.iter().take(most).flat_map(encode);
        let bytes: Vec<u8> = std::iter::once(MEMORY).chain(bytes).collect();
        fd_passing::send(&self.socket, &bytes, &[], SendFlags::empty())
    }
}

/// Length of the encoded form, in bytes: start and end, and whether they are written.
const PAGES_BYTES: usize = 17;

fn encode(PageRange { range, are_written }: &PageRange) -> Vec<u8> {
    [&range.start.to_le_bytes()[..], &range.end.to_le_bytes(), &[u8::from(*are_written)]].concat()
}

fn decode(bytes: &[u8; PAGES_BYTES]) -> Option<PageRange> {
    let (start, rest) = bytes.split_first_chunk()?;
    let (end, rest) = rest.split_first_chunk()?;
    let range = usize::from_le_bytes(*start)..usize::from_le_bytes(*end);
    Some(PageRange { range, are_written: rest == [1] })
}

/// The life of a maker: makes the first processes of sandboxes, until `asker`, a process (pidfd_open(2)), is gone,
/// or nobody has the other end of `socket`. `None` then; in each program of `template`, which this process is, what that is.
///
/// # Errors
/// Where it cannot wait.
pub fn serve(
    host: &Host,
    template: Option<&InterpreterZygote>,
    asker: BorrowedFd<'_>,
    socket: BorrowedFd<'_>,
) -> io::Result<Option<ZygoteProgram>> {
    let mut memory = vec![]; // until it is told
    let mut bytes = vec![0; MAX_BYTES];
    loop {
        let mut ready = [PollFd::new(&asker, PollFlags::IN), PollFd::new(&socket, PollFlags::IN)];
        retry_on_intr(|| poll(&mut ready, None))?;
        if !ready[0].revents().is_empty() {
            return Ok(None);
        }
        let (length, descriptors) = match fd_passing::receive(socket, &mut bytes, RecvFlags::DONTWAIT) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            other => other?,
        };
        match bytes[..length] {
            [] => return Ok(None),
            [MEMORY, ref pages @ ..] => memory = pages.as_chunks().0.iter().filter_map(decode).collect(),
            [kind, ref words @ ..] => {
                let Some((answer, layout, given)) = decode_order(kind, words, descriptors) else { continue };
                match sandbox::clone_init(host, &given) {
                    Ok(Forked::Child) => {
                        std::mem::forget(answer); // closed with all others
                        let inside = InitContext::new(host, &layout, given);
                        return Ok(Some(match template {
                            Some(template) => init::run(inside.of(template, &memory)),
                            None => init::run(inside),
                        }));
                    }
                    // Who asked hears of it by the end of the socket.
                    Err(error) => eprintln!("livecode: cannot clone: {error}"),
                    Ok(Forked::Parent(cloned)) => {
                        // Who asked may be gone; so is the sandbox then.
                        let (pid, pidfd) = (cloned.pid.to_le_bytes(), cloned.pidfd.as_fd());
                        let _ = fd_passing::send(&answer, &pid, &[pidfd], SendFlags::empty());
                    }
                }
            }
        }
    }
}

/// What is to be made, and where that is told; `None` where it is not what [`ZygoteClient::make`] sends.
fn decode_order(
    kind: u8,
    words: &[u8],
    descriptors: Vec<OwnedFd>,
) -> Option<(OwnedFd, SandboxLayout, SandboxFds)> {
    let (excluded_cpu, layout) = words.split_first_chunk()?;
    let excluded_cpu = u32::from_le_bytes(*excluded_cpu);
    let mut descriptors = descriptors.into_iter();
    let mut next = || descriptors.next();
    let answer = next()?;
    let (control, ends) = (next()?, [next()?, next()?, next()?, next()?]);
    let cgroup_fd = if kind == MAKE_WITHIN { Some(next()?) } else { None };
    let tasks_files = descriptors.map(File::from).collect();
    let excluded_cpu = usize::try_from(excluded_cpu).ok().filter(|cpu| *cpu != ANY_CPU as usize);
    let given = SandboxFds { control, ends, tasks_files, cgroup_fd, excluded_cpu };
    Some((answer, serde_json::from_slice(layout).ok()?, given))
}
