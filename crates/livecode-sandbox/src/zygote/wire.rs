//! The messages between a zygote and the processes that use it, and their encoding.
//!
//! A request is one datagram whose first byte is its kind. A request for a clone carries the
//! excluded CPU, the sandbox layout, and the descriptors of the sandbox; the first descriptor is
//! a socket for the reply. The reply is the pid of the clone with its pidfd attached. A request
//! for a fork has no body, and the descriptors of a [`ForkRequest`].

use std::{
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use livecode_protocol::run_spec::SandboxLayout;
use rustix::net::{RecvFlags, SendFlags};

use crate::{
    init::context::InitResources,
    kernel::{
        fd_passing,
        sys::{Cloned, PageRange},
    },
};

/// The longest request, in bytes. A request of this length holds a working set.
pub(super) const MAX_REQUEST_BYTES: usize = 64 * 1024;

// Kinds of requests.
const CLONE: u8 = 0;
const CLONE_INTO_CGROUP: u8 = 1;
const WORKING_SET: u8 = 2;
const FORK: u8 = 3;

/// Means that no CPU is excluded.
const ANY_CPU: u32 = u32::MAX;

/// Length of an encoded [`PageRange`], in bytes: start, end, and whether the pages are written.
const PAGE_RANGE_BYTES: usize = 17;

/// A request to a zygote.
pub(super) enum ZygoteRequest {
    Clone(CloneRequest),
    /// The pages that a small program touches.
    WorkingSet(Vec<PageRange>),
    Fork(ForkRequest),
}

/// A request to fork another zygote.
pub(super) struct ForkRequest {
    /// The socket that the reply is sent to.
    pub reply_socket: OwnedFd,
    /// The socket on which the other zygote gets its requests.
    pub socket: OwnedFd,
    /// The process (pidfd_open(2)) with which the other zygote ends.
    pub owner: OwnedFd,
}

/// A request to clone the zygote into a new sandbox.
pub(super) struct CloneRequest {
    /// The socket that the reply is sent to.
    pub reply_socket: OwnedFd,
    pub layout: SandboxLayout,
    pub fds: InitResources,
}

impl ZygoteRequest {
    /// Decodes a datagram with the descriptors that were attached to it. Returns `None` if it
    /// is not a valid request.
    pub fn decode(bytes: &[u8], descriptors: Vec<OwnedFd>) -> Option<Self> {
        match *bytes {
            [] => None,
            [WORKING_SET, ref pages @ ..] => {
                Some(Self::WorkingSet(pages.as_chunks().0.iter().filter_map(decode_page_range).collect()))
            }
            [FORK] => match <[OwnedFd; 3]>::try_from(descriptors) {
                Ok([reply_socket, socket, owner]) => {
                    Some(Self::Fork(ForkRequest { reply_socket, socket, owner }))
                }
                Err(_) => None,
            },
            [kind, ref body @ ..] => decode_clone_request(kind, body, descriptors).map(Self::Clone),
        }
    }
}

fn decode_clone_request(kind: u8, body: &[u8], descriptors: Vec<OwnedFd>) -> Option<CloneRequest> {
    let (excluded_cpu, layout) = body.split_first_chunk()?;
    let excluded_cpu = u32::from_le_bytes(*excluded_cpu);
    let mut descriptors = descriptors.into_iter();
    let mut next = || descriptors.next();
    let reply_socket = next()?;
    let (control, program_fds) = (next()?, [next()?, next()?, next()?, next()?]);
    let cgroup_fd = if kind == CLONE_INTO_CGROUP { Some(next()?) } else { None };
    let tasks_files = descriptors.map(File::from).collect();
    let excluded_cpu = usize::try_from(excluded_cpu).ok().filter(|cpu| *cpu != ANY_CPU as usize);
    let fds = InitResources { control, program_fds, tasks_files, cgroup_fd, excluded_cpu };
    Some(CloneRequest { reply_socket, layout: serde_json::from_slice(layout).ok()?, fds })
}

/// Sends a request for a clone. The zygote sends its reply to `reply_socket`.
pub(super) fn send_clone_request(
    zygote: BorrowedFd<'_>,
    reply_socket: BorrowedFd<'_>,
    layout: &SandboxLayout,
    fds: &InitResources,
) -> io::Result<()> {
    let mut descriptors = vec![reply_socket, fds.control.as_fd()];
    descriptors.extend(fds.program_fds.iter().map(AsFd::as_fd));
    descriptors.extend(fds.cgroup_fd.as_ref().map(AsFd::as_fd));
    descriptors.extend(fds.tasks_files.iter().map(AsFd::as_fd));
    let kind = if fds.cgroup_fd.is_some() { CLONE_INTO_CGROUP } else { CLONE };
    let excluded_cpu = fds.excluded_cpu.and_then(|cpu| u32::try_from(cpu).ok()).unwrap_or(ANY_CPU);
    let bytes = [&[kind][..], &excluded_cpu.to_le_bytes(), &serde_json::to_vec(layout)?].concat();
    fd_passing::send(zygote, &bytes, &descriptors, SendFlags::empty())
}

/// Sends a request for a fork, with the descriptors of a [`ForkRequest`] in their order.
pub(super) fn send_fork_request(zygote: BorrowedFd<'_>, descriptors: [BorrowedFd<'_>; 3]) -> io::Result<()> {
    fd_passing::send(zygote, &[FORK], &descriptors, SendFlags::empty())
}

/// Sends the pages that a small program touches. Pages beyond the longest request are left out.
pub(super) fn send_working_set(zygote: BorrowedFd<'_>, pages: &[PageRange]) -> io::Result<()> {
    let max_ranges = (MAX_REQUEST_BYTES - 1) / PAGE_RANGE_BYTES;
    let pages = pages.iter().take(max_ranges).flat_map(encode_page_range);
    let bytes: Vec<u8> = std::iter::once(WORKING_SET).chain(pages).collect();
    fd_passing::send(zygote, &bytes, &[], SendFlags::empty())
}

/// Sends the pid and the pidfd of a clone.
pub(super) fn send_reply(reply_socket: BorrowedFd<'_>, cloned: &Cloned) -> io::Result<()> {
    let pid = cloned.pid.to_le_bytes();
    fd_passing::send(reply_socket, &pid, &[cloned.pidfd.as_fd()], SendFlags::empty())
}

/// Sends the reason for which there is no clone: the error's number, negated, in place of a pid.
pub(super) fn send_failure(reply_socket: BorrowedFd<'_>, error: &io::Error) -> io::Result<()> {
    let errno = error.raw_os_error().unwrap_or(0);
    fd_passing::send(reply_socket, &(-errno).to_le_bytes(), &[], SendFlags::empty())
}

/// Receives the pid and the pidfd of a clone, or why there is none. The other end is closed
/// without a reply if the zygote has died.
pub(super) fn receive_reply(socket: BorrowedFd<'_>) -> io::Result<Cloned> {
    let mut number = [0; 4];
    let (_, mut descriptors) = fd_passing::receive(socket, &mut number, RecvFlags::empty())?;
    match (i32::from_le_bytes(number), descriptors.pop()) {
        (pid, Some(pidfd)) => Ok(Cloned { pid, pidfd }),
        // The number is put into words, since an error `EAGAIN` of this socket would mean that the
        // zygote hangs.
        (failure, None) if failure < 0 => {
            let error = io::Error::from_raw_os_error(-failure);
            Err(io::Error::other(format!("the zygote did not clone itself: {error}")))
        }
        (_, None) => Err(io::Error::other("the zygote did not clone itself")),
    }
}

fn encode_page_range(PageRange { range, are_written }: &PageRange) -> Vec<u8> {
    [&range.start.to_le_bytes()[..], &range.end.to_le_bytes(), &[u8::from(*are_written)]].concat()
}

fn decode_page_range(bytes: &[u8; PAGE_RANGE_BYTES]) -> Option<PageRange> {
    let (start, rest) = bytes.split_first_chunk()?;
    let (end, rest) = rest.split_first_chunk()?;
    let range = usize::from_le_bytes(*start)..usize::from_le_bytes(*end);
    Some(PageRange { range, are_written: rest == [1] })
}
