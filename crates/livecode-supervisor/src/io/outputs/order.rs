//! The order between standard output, standard error and the message channel.
//!
//! Each channel keeps the order of its own bytes, and nothing in the kernel tells which of two
//! channels was written to first. The supervisor knows it all the same, because a process that is
//! about to write to standard error, or to send a message, waits until the supervisor lets it
//! ([`livecode_sandbox::SeccompListener`]). Two rules suffice (`docs/design/order.md` says why):
//!
//! 1. Before the supervisor resumes such a call, it reads what standard output holds.
//! 2. Whenever the supervisor has read standard output, it reads what the other channels hold, and
//!    puts that first.
//!
//! Of a channel on which no call has been notified yet, the supervisor knows nothing: there may be
//! no listener, or the program writes to a copy of the descriptor. Then what standard output holds
//! comes first. So a message never overtakes the output that was written before it.

use std::time::{Duration, Instant};

use livecode_sandbox::NotifiedCall;

use super::{Callers, Outputs, PendingEntry, Readable, TURN_BYTES, waiting_bytes};

/// The time for which calls of a program that writes all the time are served together. Their bytes
/// gather in the pipes, and are read and journaled at its end.
const CALLS_BATCH: Duration = Duration::from_millis(1);

impl Outputs {
    /// Resumes the calls that wait. If the program writes all the time, this serves calls for as
    /// long as a batch lasts, so that the rest of the supervisor's loop runs once for many calls.
    pub(super) fn resume_calls(
        &mut self,
        callers: &mut Callers<'_>,
        now: Instant,
        entries: &mut Vec<PendingEntry>,
    ) {
        let listener = callers.listener;
        let batch = if self.throttle.is_batching() { CALLS_BATCH } else { Duration::ZERO };
        let mut read_bytes = 0;
        loop {
            while let Some(notification) = self.waiting_calls.pop_front() {
                let before = entries.len();
                let is_starved = || callers.stdin.is_starved();
                let will_wait = callers.input_wait.follow_call(&notification, listener, is_starved);
                self.prepare_for(notification.call, will_wait, entries);
                listener.resume(notification);
                read_bytes += entries[before..].iter().map(|entry| entry.data.len()).sum::<usize>();
            }
            let left = batch.saturating_sub(now.elapsed());
            if left.is_zero() || read_bytes >= TURN_BYTES || !listener.wait(left) {
                return;
            }
            self.receive_notification(listener);
        }
    }

    /// Reads all that must come before what a waiting call writes. Bytes on the channel of the
    /// call itself may stay where they are, since that channel keeps their order. A read has to
    /// come after nothing, but if it will wait, clients should see the question before they learn
    /// that the program waits for the answer.
    fn prepare_for(&mut self, call: NotifiedCall, will_wait: bool, entries: &mut Vec<PendingEntry>) {
        let (is_error, is_message) = match call {
            NotifiedCall::StandardError => (true, false),
            NotifiedCall::MessageChannel => (false, true),
            NotifiedCall::AnyChannel => (true, true),
            NotifiedCall::StandardInput if !will_wait => return,
            NotifiedCall::StandardInput => (false, false),
        };
        let stdout_bytes = self.stdout.waiting_bytes();
        let must_read_messages =
            is_error && self.is_notified_of_messages && waiting_bytes(self.messages.as_ref()) > 0;
        let must_read_errors =
            (is_message && self.is_notified_of_errors || will_wait) && self.stderr.waiting_bytes() > 0;
        if stdout_bytes > 0 || must_read_messages || must_read_errors {
            let readable = Readable { stderr: must_read_errors, ..Readable::default() };
            self.read_in_order(readable, stdout_bytes, entries);
        }
        // This may be a complete prompt. Other bytes that are held back are a part of a character
        // or of a message, and appear where that ends.
        if self.stdout.splitter.holds_partial_marker() {
            self.stdout.release(entries);
        }
        self.is_notified_of_errors |= is_error;
        self.is_notified_of_messages |= is_message;
    }

    /// Reads not much more than `max_stdout_bytes` of standard output, then what the channels hold
    /// of which the supervisor is notified, and puts the latter first. Standard error is read,
    /// too, if it is readable.
    fn read_in_order(
        &mut self,
        readable: Readable,
        max_stdout_bytes: usize,
        entries: &mut Vec<PendingEntry>,
    ) {
        let (mut printed, mut errors) = (vec![], vec![]);
        if max_stdout_bytes > 0 {
            self.stdout.drain(max_stdout_bytes, &mut self.buffers, &mut printed);
        }
        // At most one of the other two channels holds bytes of the same thread.
        if self.is_notified_of_messages {
            let bytes = waiting_bytes(self.messages.as_ref());
            if bytes > 0 || readable.messages {
                entries.extend(self.read_messages(bytes.max(TURN_BYTES)));
            }
        }
        if self.is_notified_of_errors || readable.stderr {
            let bytes = self.stderr.waiting_bytes();
            if bytes > 0 || readable.stderr {
                self.stderr.drain(bytes.max(TURN_BYTES), &mut self.buffers, &mut errors);
            }
        }
        let ordered = if self.is_notified_of_errors { [errors, printed] } else { [printed, errors] };
        entries.extend(ordered.into_iter().flatten());
    }

    /// Reads the readable channels, and releases held bytes whose time has expired.
    ///
    /// A program may write by copies of the descriptors, of which the supervisor is not notified.
    /// Until the first notification, messages are read first, and come after the output that is
    /// read then. So a message never overtakes output that the program has written before it.
    pub(super) fn read_channels(
        &mut self,
        mut readable: Readable,
        now: Instant,
        entries: &mut Vec<PendingEntry>,
    ) {
        let are_read_first = readable.messages && !self.is_notified_of_messages;
        let messages = if are_read_first { self.read_messages(TURN_BYTES) } else { vec![] };
        let has_messages = !messages.is_empty();
        readable.stderr |= has_messages;
        let max_stdout_bytes = match (has_messages, readable.stdout) {
            // Before a message, all bytes that are in the pipe now must be read.
            (true, _) => self.stdout.waiting_bytes().max(TURN_BYTES),
            (false, true) => TURN_BYTES,
            (false, false) => 0,
        };
        if readable.has_bytes() {
            self.read_in_order(readable, max_stdout_bytes, entries);
        }
        if has_messages && self.stdout.splitter.holds_partial_marker() {
            self.stdout.release(entries);
        }
        for output in [&mut self.stdout, &mut self.stderr] {
            if output.release_due().is_some_and(|due| due <= now) {
                output.release(entries);
            }
        }
        entries.extend(messages);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use rustix::{
        io::write,
        pipe::{PipeFlags, pipe_with},
    };

    use super::*;

    /// The bytes that a program has written before it wrote to standard output come first, if the
    /// supervisor knows that.
    #[test]
    fn the_channels_of_notified_calls_come_first() {
        for (errors, messages, expected) in [
            (false, false, ["out", "err", r#"{"msgtype":"a"}"#]),
            (true, false, ["err", "out", r#"{"msgtype":"a"}"#]),
            (false, true, [r#"{"msgtype":"a"}"#, "out", "err"]),
            (true, true, [r#"{"msgtype":"a"}"#, "err", "out"]),
        ] {
            let (stdout, stdout_end) = pipe_with(PipeFlags::NONBLOCK).unwrap();
            let (stderr, stderr_end) = pipe_with(PipeFlags::NONBLOCK).unwrap();
            let (channel, channel_end) = UnixStream::pair().unwrap();
            channel.set_nonblocking(true).unwrap();
            let mut outputs = Outputs::new(stdout, stderr, channel, 1000);
            (outputs.is_notified_of_errors, outputs.is_notified_of_messages) = (errors, messages);
            write(&stdout_end, b"out").unwrap();
            write(&stderr_end, b"err").unwrap();
            write(&channel_end, b"{\"msgtype\":\"a\"}\n").unwrap();
            let readable = Readable { stdout: true, stderr: true, messages: true, notifications: false };
            let entries = outputs.read_ready(readable, None, Instant::now());
            let entries: Vec<_> = entries.iter().map(|entry| &*entry.data).collect();
            assert_eq!(entries, expected.map(str::as_bytes), "{errors} {messages}");
        }
    }
}
