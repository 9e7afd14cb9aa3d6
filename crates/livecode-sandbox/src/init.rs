//! Process 1 of a sandbox: builds it from inside, then starts its steps one by one and reaps whatever dies.
//!
//! It must outlive the program and nobody else: it ends, and with it everything inside, when a step fails, when the last
//! has ended, and when the control socket closes because the supervisor died. It has no privilege left by the time the
//! first step starts, cannot be traced or inspected (non-dumpable), and as process 1 no signal from inside reaches it.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::OpenOptionsExt,
    },
    path::Path,
};

use livecode_protocol::{
    FileName,
    order::{Order, OrderFile, Step},
};
use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::Mode,
    io::fcntl_dupfd_cloexec,
    net::{RecvFlags, SendFlags},
    process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, kill_process_group, wait},
};

use crate::{
    WORKING_DIRECTORY, artefacts, cgroup,
    host::Host,
    landlock, limits, mounts, privileges,
    program::{self, Ends},
    report::{Named, Report, Request, SetupError, Status},
    sys::{self, Forked},
    without::keeps,
};

/// Descriptors below this number are the program's.
const FIRST_OWN_FD: i32 = 10;

/// All that init is given.
pub(crate) struct Inside<'a> {
    pub host: &'a Host,
    pub order: &'a Order,
    /// What was compiled before, at its first record; then the order has no compile steps.
    pub artefacts: Option<&'a File>,
    pub control: OwnedFd,
    pub ends: [OwnedFd; 4],
    pub entrances: Vec<File>,
    /// The user as seen from outside, to be mapped in rootless mode.
    pub outer_ids: (u32, u32),
}

/// The life of process 1.
pub(crate) fn run(inside: Inside<'_>) -> ! {
    let code = match move_descriptors(&inside) {
        Err(error) => {
            send(inside.control.as_fd(), &Report::SetupFailed(error));
            1
        }
        Ok((control, ends)) => {
            let ended = set_up(&inside).and_then(|()| serve(&inside, control.as_fd(), &ends));
            if let Err(error) = ended {
                send(control.as_fd(), &Report::SetupFailed(error));
            }
            0
        }
    };
    sys::exit_now(code)
}

/// Out of the way of the numbers that the program expects its own descriptors under.
fn move_descriptors(inside: &Inside<'_>) -> Result<(OwnedFd, [OwnedFd; 4]), SetupError> {
    let moved = |fd: &OwnedFd| fcntl_dupfd_cloexec(fd, FIRST_OWN_FD).step("move descriptors");
    let [stdin, stdout, stderr, messages] = &inside.ends;
    Ok((moved(&inside.control)?, [moved(stdin)?, moved(stdout)?, moved(stderr)?, moved(messages)?]))
}

/// The steps of the setup, in the order in which each still has the privilege it needs.
fn set_up(inside: &Inside<'_>) -> Result<(), SetupError> {
    let Inside { host, order, .. } = inside;
    sys::reset_signals();
    // What is made for the session's user must be readable to it, whatever the server's own mask is.
    rustix::process::umask(Mode::WGRP | Mode::WOTH);
    if host.rootless {
        map_ids(host.inner_id(order.slot), inside.outer_ids)?;
    }
    for entrance in &inside.entrances {
        cgroup::enter(entrance).step("enter the cgroup")?;
    }
    sys::unshare_cgroup_namespace().step("make a cgroup namespace")?;
    rustix::system::sethostname(b"livecode").step("set the host name")?;
    if keeps("network") {
        sys::loopback_up().step("bring the loopback device up")?;
    }
    let id = host.inner_id(order.slot);
    mounts::enter_root(host, &order.limits, &order.mounts, id)?;
    if keeps("limits") {
        limits::for_session(&order.limits)?;
    }
    if keeps("privileges") {
        privileges::drop_all((!host.rootless).then_some(id))?;
    }
    rustix::process::chdir(WORKING_DIRECTORY).step("enter the working directory")?;
    for OrderFile { name, contents } in &order.files {
        let bytes = contents.clone().into_bytes().map_err(io::Error::other).step(format!("decode {name}"))?;
        write_file(name, &bytes).step(format!("write {name}"))?;
    }
    if let Some(entry) = inside.artefacts {
        artefacts::put(entry).step("write what was compiled before")?;
    }
    if host.has_landlock {
        landlock::confine().step("restrict files by Landlock")?;
    }
    if keeps("seccomp") {
        host.profile.install(host.cgroups.missing().memory).step("install the seccomp filters")?;
    }
    Ok(())
}

/// Maps the one user that this namespace knows (user_namespaces(7): one line each, and no setgroups).
pub(crate) fn map_ids(inner: u32, (uid, gid): (u32, u32)) -> Result<(), SetupError> {
    fs::write("/proc/self/setgroups", "deny").step("give up setgroups")?;
    fs::write("/proc/self/uid_map", format!("{inner} {uid} 1")).step("map the user")?;
    fs::write("/proc/self/gid_map", format!("{inner} {gid} 1")).step("map the group")
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

/// Starts the first step, and then does as asked until a step fails, the last has ended, or the supervisor is gone.
fn serve(inside: &Inside<'_>, control: BorrowedFd<'_>, ends: &[OwnedFd; 4]) -> Result<(), SetupError> {
    let children = sys::child_signals().step("watch for children")?;
    let null = fs::OpenOptions::new().read(true).write(true).open("/dev/null").step("open /dev/null")?;
    for number in 0..=2 {
        sys::give_as(null.as_fd(), number).step("let go of the supervisor's descriptors")?;
    }
    sys::close_all_but(
        3,
        &[control, ends[0].as_fd(), ends[1].as_fd(), ends[2].as_fd(), ends[3].as_fd(), children.as_fd()],
    )
    .step("close the supervisor's descriptors")?;

    let last = inside.order.compile.len();
    let mut current = Some((0, start(inside, 0, control, ends)?));
    loop {
        let mut ready = [PollFd::new(&control, PollFlags::IN), PollFd::new(&children, PollFlags::IN)];
        match poll(&mut ready, None) {
            Err(rustix::io::Errno::INTR) => continue,
            other => other.step("wait")?,
        };
        let [asked, died] = ready.map(|fd| !fd.revents().is_empty());
        if asked {
            let mut bytes = [0; 16];
            match rustix::net::recv(control, &mut bytes[..], RecvFlags::DONTWAIT) {
                Ok((0, _)) => return Ok(()), // the supervisor is gone
                Ok((length, _)) => match Request::decode(&bytes[..length]) {
                    Some(Request::Start(index)) => {
                        current = Some((index, start(inside, index, control, ends)?))
                    }
                    Some(Request::Signal(signal)) => signal_step(current, signal),
                    Some(Request::Take) => {
                        let wanted = inside.order.cache.as_ref().map_or(&[][..], |cache| &cache.artefacts);
                        send(control, &Report::Taken(artefacts::take(control, wanted)));
                    }
                    None => {}
                },
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
                Err(_) => return Ok(()),
            }
        }
        if died {
            let mut pending = [0; 512];
            let _ = rustix::io::read(&children, &mut pending[..]);
            if let Some((index, status)) = reap(current) {
                send(control, &Report::Ended(index, status));
                current = None;
                if index == last || status != Status::Exited(0) {
                    return Ok(());
                }
            }
        }
    }
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
fn reap(current: Option<(usize, Pid)>) -> Option<(usize, Status)> {
    let mut ended = None;
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        match current {
            Some((index, leader)) if leader == pid => ended = Some((index, status_of(status))),
            _ => {}
        }
    }
    ended
}

fn status_of(status: WaitStatus) -> Status {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Status::Exited(code),
        (None, signal) => Status::Signalled(signal.unwrap_or(0)),
    }
}

/// Forks the step with this index.
fn start(
    inside: &Inside<'_>,
    index: usize,
    control: BorrowedFd<'_>,
    ends: &[OwnedFd; 4],
) -> Result<Pid, SetupError> {
    let order = inside.order;
    let step: &Step = order.compile.get(index).unwrap_or(&order.run);
    send(control, &Report::Started(index));
    match sys::fork().step("fork")? {
        Forked::Parent(child) => Ok(child),
        Forked::Child => {
            let ends = Ends {
                stdin: ends[0].as_fd(),
                stdout: ends[1].as_fd(),
                stderr: ends[2].as_fd(),
                messages: ends[3].as_fd(),
            };
            let is_program = index == order.compile.len();
            let (report, code) = match program::execute(inside.host, order, step, is_program, ends) {
                Ok(error) => {
                    // As shells do: 127 for a command that does not exist, 126 for one that cannot be executed.
                    let code = if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 };
                    (Report::CannotRun(index, error), code)
                }
                Err(error) => (Report::SetupFailed(error), 125),
            };
            send(control, &report);
            sys::exit_now(code)
        }
    }
}

/// Tells the supervisor; where it is gone, there is nobody to tell.
fn send(control: BorrowedFd<'_>, report: &Report) {
    let _ = rustix::net::send(control, &report.encode(), SendFlags::NOSIGNAL);
}
