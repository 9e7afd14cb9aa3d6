//! The listener of a sandbox's seccomp filter: it is notified of the calls by which a program may
//! write elsewhere than to its standard output, before the kernel makes them. So the supervisor
//! can read what the program wrote to standard output before (see `docs/design/order.md`). It is
//! also notified of reads of standard input, which may wait (see `docs/design/waiting.md`).
//!
//! A notification decides nothing about what a program may do: every notified call is made.

use std::{
    collections::BTreeMap,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    time::Duration,
};

use libc as c;
use rustix::event::{PollFd, PollFlags, poll};

use crate::{
    MESSAGE_FD,
    kernel::{
        bpf::{Instructions, Word, if_equal, return_action},
        sys,
        time::timespec,
    },
};

const STDIN: u32 = 0;
const STDERR: u32 = 2;
const MESSAGES: u32 = MESSAGE_FD as u32;

/// The calls that notify: each with the index of an argument, and the descriptor that this
/// argument must be. The first match tells what the call is about.
const NOTIFIED: &[(i64, u32, u32)] = &[
    (c::SYS_write, 0, STDERR),
    (c::SYS_writev, 0, STDERR),
    (c::SYS_pwritev2, 0, STDERR), // at the offset -1 it is writev(2)
    (c::SYS_sendfile, 0, STDERR),
    (c::SYS_splice, 2, STDERR),
    (c::SYS_tee, 1, STDERR),
    (c::SYS_vmsplice, 0, STDERR),
    (c::SYS_write, 0, MESSAGES),
    (c::SYS_writev, 0, MESSAGES),
    (c::SYS_pwritev2, 0, MESSAGES),
    (c::SYS_sendfile, 0, MESSAGES),
    (c::SYS_splice, 2, MESSAGES),
    (c::SYS_sendto, 0, MESSAGES),
    (c::SYS_sendmsg, 0, MESSAGES),
    (c::SYS_sendmmsg, 0, MESSAGES),
    (c::SYS_read, 0, STDIN),
    (c::SYS_readv, 0, STDIN),
    (c::SYS_preadv2, 0, STDIN), // at the offset -1 it is readv(2)
    (c::SYS_splice, 0, STDIN),
    (c::SYS_tee, 0, STDIN),
    (c::SYS_vmsplice, 0, STDIN), // it reads from the end of a pipe that is read from
];

/// Numbers from 10 to 15, each range as the mask and the value of its common bits. A shell keeps
/// its standard output under such a number while it writes elsewhere.
const SAVED_FDS: [(u32, u32); 2] = [(!1, 10), (!3, 12)];

/// Adds what notifies to the rules of the notified calls, which are as before otherwise.
///
/// A shell does not write to descriptor 2 for `echo x >&2`: it saves descriptor 1 under a number
/// from 10 on, sets close-on-exec for that, makes 1 a copy of 2, writes to 1, and makes 1 what it
/// was before. Of these calls the second one notifies, since no shell looks at its result: a
/// signal may make a call fail that waits.
pub(crate) fn add_notifying_rules(rules: &mut BTreeMap<i64, Instructions>) {
    let (notify, allow) = (return_action(c::SECCOMP_RET_USER_NOTIF), return_action(c::SECCOMP_RET_ALLOW));
    for (call, argument, descriptor) in NOTIFIED {
        let otherwise = rules.remove(call).unwrap_or_else(|| allow.clone());
        rules.insert(*call, if_equal(Word::Low(*argument), u32::MAX, *descriptor, &notify, &otherwise));
    }
    let otherwise = rules.remove(&c::SYS_fcntl).unwrap_or_else(|| allow.clone());
    let if_saved = SAVED_FDS.iter().fold(otherwise.clone(), |otherwise, (mask, descriptor)| {
        if_equal(Word::Low(0), *mask, *descriptor, &notify, &otherwise)
    });
    let if_closed = if_equal(Word::Low(2), u32::MAX, c::FD_CLOEXEC as u32, &if_saved, &otherwise);
    rules.insert(c::SYS_fcntl, if_equal(Word::Low(1), u32::MAX, c::F_SETFD as u32, &if_closed, &otherwise));
}

/// The subject of a notified call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotifiedCall {
    /// The call writes to standard error.
    StandardError,
    /// The call writes to the message channel.
    MessageChannel,
    /// A shell saves a descriptor. What it writes to descriptor 1 next may go to any channel.
    AnyChannel,
    /// The call reads what is descriptor 0 of its thread. That is the program's standard input, or
    /// what the thread has in its place.
    StandardInput,
}

impl NotifiedCall {
    fn new(call: &c::seccomp_data) -> Self {
        let is_match = |(number, argument, descriptor): &&(i64, u32, u32)| {
            // The kernel ignores the high half of a descriptor, and so does the filter.
            i64::from(call.nr) == *number && call.args[*argument as usize] as u32 == *descriptor
        };
        match NOTIFIED.iter().find(is_match) {
            Some((_, _, MESSAGES)) => Self::MessageChannel,
            Some((_, _, STDIN)) => Self::StandardInput,
            Some(_) => Self::StandardError,
            None => Self::AnyChannel,
        }
    }
}

/// A call that waits until [`SeccompListener::resume`] is called. Its process may have died
/// meanwhile.
#[derive(Debug)]
pub struct Notification {
    id: u64,
    /// The thread that makes the call, as this process sees it. Once the call is resumed, or its
    /// process has died, the number may be that of another thread.
    pub thread: u32,
    /// The subject of the call.
    pub call: NotifiedCall,
}

/// The listener of one sandbox's filter. When it is closed, every notified call fails with
/// `ENOSYS`.
#[derive(Debug)]
pub struct SeccompListener(OwnedFd);

impl SeccompListener {
    pub(crate) fn new(descriptor: OwnedFd) -> Self {
        // Without it, the two processes still wake each other, only later.
        let _ = sys::wake_up_synchronously(descriptor.as_fd());
        Self(descriptor)
    }

    /// The descriptor to poll for reading. It is readable when a call waits. It hangs up when no
    /// process with the filter is left.
    pub fn poll_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Waits until a call waits, for at most this time. Returns whether one does.
    pub fn wait(&self, timeout: Duration) -> bool {
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        poll(&mut fds, Some(&timespec(timeout))).is_ok() && fds[0].revents().contains(PollFlags::IN)
    }

    /// Receives the notification of a call. To be called once for each time that poll(2) or
    /// [`Self::wait`] has reported one: it does not block then. Returns `None` if the process was
    /// killed meanwhile.
    pub fn receive(&self) -> Option<Notification> {
        let received = sys::receive_notification(self.0.as_fd()).ok()?;
        let call = NotifiedCall::new(&received.data);
        Some(Notification { id: received.id, thread: received.pid, call })
    }

    /// Whether the call still waits. If so, all that was learnt about its thread since the
    /// notification came is about the thread that makes the call.
    pub fn is_waiting(&self, notification: &Notification) -> bool {
        sys::is_call_waiting(self.0.as_fd(), notification.id)
    }

    /// Lets the kernel make the call.
    pub fn resume(&self, notification: Notification) {
        // An error means that there is no such call any more: its process was killed.
        let _ = sys::continue_call(self.0.as_fd(), notification.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::bpf::{program, tests::run_filter};

    const NOTIFY: u32 = c::SECCOMP_RET_USER_NOTIF;
    const ALLOW: u32 = c::SECCOMP_RET_ALLOW;

    fn action(call: i64, arguments: [u64; 6]) -> u32 {
        let mut rules = BTreeMap::new();
        add_notifying_rules(&mut rules);
        let blocks = [(0, return_action(0)), (call as u32, rules[&call].clone())];
        run_filter(&program(1, 0, &blocks), 1, call as u32, arguments)
    }

    #[test]
    fn calls_notify_by_their_descriptors() {
        for (descriptor, writes, reads) in
            [(0, ALLOW, NOTIFY), (1, ALLOW, ALLOW), (2, NOTIFY, ALLOW), (3, NOTIFY, ALLOW), (4, ALLOW, ALLOW)]
        {
            for high_half in [0, 1 << 32] {
                let arguments = [high_half | descriptor, 2, 2, 2, 2, 2];
                assert_eq!(action(c::SYS_writev, arguments), writes, "{descriptor}");
                assert_eq!(action(c::SYS_readv, arguments), reads, "{descriptor}");
            }
        }
    }

    #[test]
    fn a_shell_that_saves_a_descriptor_notifies() {
        let (set, close_on_exec) = (c::F_SETFD as u64, c::FD_CLOEXEC as u64);
        for descriptor in 0..40 {
            let expected = if (10..=15).contains(&descriptor) { NOTIFY } else { ALLOW };
            assert_eq!(action(c::SYS_fcntl, [descriptor, set, close_on_exec, 0, 0, 0]), expected);
            assert_eq!(action(c::SYS_fcntl, [descriptor, set, 0, 0, 0, 0]), ALLOW);
            for other in [c::F_DUPFD, c::F_GETFD, c::F_DUPFD_CLOEXEC, c::F_SETFL] {
                assert_eq!(action(c::SYS_fcntl, [descriptor, other as u64, 1, 0, 0, 0]), ALLOW);
            }
        }
    }

    #[test]
    fn a_call_is_about_the_channel_that_it_writes_to() {
        let about = |call: i64, args: [u64; 6]| {
            assert_eq!(action(call, args), NOTIFY);
            let (nr, arch, instruction_pointer) = (call as i32, 0, 0);
            NotifiedCall::new(&c::seccomp_data { nr, arch, instruction_pointer, args })
        };
        assert_eq!(about(c::SYS_write, [2, 3, 3, 3, 3, 3]), NotifiedCall::StandardError);
        assert_eq!(about(c::SYS_write, [1 << 32 | 3, 2, 2, 2, 2, 2]), NotifiedCall::MessageChannel);
        assert_eq!(about(c::SYS_splice, [2, 0, 3, 0, 0, 0]), NotifiedCall::MessageChannel);
        assert_eq!(about(c::SYS_splice, [3, 0, 2, 0, 0, 0]), NotifiedCall::StandardError);
        assert_eq!(about(c::SYS_splice, [0, 0, 1, 0, 0, 0]), NotifiedCall::StandardInput);
        assert_eq!(about(c::SYS_read, [0, 2, 2, 2, 2, 2]), NotifiedCall::StandardInput);
        assert_eq!(about(c::SYS_fcntl, [11, 2, 1, 0, 0, 0]), NotifiedCall::AnyChannel);
    }
}
