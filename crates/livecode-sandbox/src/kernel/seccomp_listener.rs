//! The listener of a sandbox's seccomp filter: it is notified of the calls by which a program may
//! write elsewhere than to its standard output, before the kernel makes them. So the supervisor
//! can read what the program wrote to standard output before (see `docs/design/order.md`).
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

const STDOUT: u32 = 1;
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
    // A shell does not write to descriptor 2 for `echo x >&2`: it makes descriptor 1 a copy of 2,
    // writes to 1, and makes 1 what it was before.
    #[cfg(target_arch = "x86_64")]
    (c::SYS_dup2, 0, STDERR),
    #[cfg(target_arch = "x86_64")]
    (c::SYS_dup2, 0, MESSAGES),
    #[cfg(target_arch = "x86_64")]
    (c::SYS_dup2, 1, STDOUT),
    (c::SYS_dup3, 0, STDERR),
    (c::SYS_dup3, 0, MESSAGES),
    (c::SYS_dup3, 1, STDOUT),
];

/// The rules of the notified calls, which are allowed otherwise.
pub(crate) fn notifying_rules() -> BTreeMap<i64, Instructions> {
    let notify = return_action(c::SECCOMP_RET_USER_NOTIF);
    let mut rules = BTreeMap::new();
    for (call, argument, descriptor) in NOTIFIED {
        let otherwise = rules.remove(call).unwrap_or_else(|| return_action(c::SECCOMP_RET_ALLOW));
        rules.insert(*call, if_equal(Word::Low(*argument), u32::MAX, *descriptor, &notify, &otherwise));
    }
    rules
}

/// The channel that a notified call is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotifiedCall {
    /// The call writes to standard error, copies its descriptor, or changes what descriptor 1 is.
    StandardError,
    /// The call writes to the message channel, or copies its descriptor.
    MessageChannel,
}

impl NotifiedCall {
    fn new(call: &c::seccomp_data) -> Self {
        let is_match = |(number, argument, descriptor): &&(i64, u32, u32)| {
            // The kernel ignores the high half of a descriptor, and so does the filter.
            i64::from(call.nr) == *number && call.args[*argument as usize] as u32 == *descriptor
        };
        match NOTIFIED.iter().find(is_match) {
            Some((_, _, MESSAGES)) => Self::MessageChannel,
            _ => Self::StandardError,
        }
    }
}

/// A call that waits until [`SeccompListener::resume`] is called. Its process may have died
/// meanwhile.
#[derive(Debug)]
pub struct Notification {
    id: u64,
    /// The channel that the call is about.
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
        Some(Notification { id: received.id, call: NotifiedCall::new(&received.data) })
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
        let blocks = [(0, return_action(0)), (call as u32, notifying_rules()[&call].clone())];
        run_filter(&program(1, 0, &blocks), 1, call as u32, arguments)
    }

    #[test]
    fn calls_notify_by_their_descriptors() {
        for (descriptor, expected) in [(0, ALLOW), (1, ALLOW), (2, NOTIFY), (3, NOTIFY), (4, ALLOW)] {
            for high_half in [0, 1 << 32] {
                let arguments = [high_half | descriptor, 2, 2, 2, 2, 2];
                assert_eq!(action(c::SYS_writev, arguments), expected, "{descriptor}");
            }
        }
        for (from, to, expected) in
            [(2, 1, NOTIFY), (2, 5, NOTIFY), (3, 5, NOTIFY), (10, 1, NOTIFY), (1, 2, ALLOW), (4, 5, ALLOW)]
        {
            assert_eq!(action(c::SYS_dup3, [from, to, 0, 0, 0, 0]), expected, "{from} {to}");
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
        assert_eq!(about(c::SYS_dup3, [3, 1, 0, 0, 0, 0]), NotifiedCall::MessageChannel);
        assert_eq!(about(c::SYS_dup3, [7, 1, 0, 0, 0, 0]), NotifiedCall::StandardError);
    }
}
