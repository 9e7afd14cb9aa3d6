//! Whether the program waits for standard input.
//!
//! A read of descriptor 0 notifies the supervisor before it is made. If there is no input, and the
//! descriptor is the session's own pipe, the thread is about to wait. A program that waits in an
//! event loop makes no such call; the support module of its language says so on the message
//! channel ([`InputRequest`]). The wait ends when input is delivered (`docs/design/waiting.md`).

use std::num::NonZeroU32;

use livecode_protocol::stream::InputFile;
use livecode_sandbox::{Notification, NotifiedCall, SeccompListener, StdinProbe};
use serde::Deserialize;

/// A reader of standard input that has found none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiter {
    /// The thread with this id waits in a call.
    Thread(u32),
    /// The program's event loop.
    EventLoop,
}

/// Whether one session's program waits for standard input.
pub(crate) struct InputWait {
    probe: StdinProbe,
    /// The last reader that has found no input; `None` if input was delivered since.
    waiter: Option<Waiter>,
    /// How often the program has begun to wait.
    count: u32,
    /// Whether input was delivered in this turn of the supervisor's loop. What an event loop has
    /// said about its input may be from before that.
    has_new_input: bool,
    /// The number that servers were told last.
    published: Option<NonZeroU32>,
}

impl InputWait {
    pub fn new(probe: StdinProbe) -> Self {
        Self { probe, waiter: None, count: 0, has_new_input: false, published: None }
    }

    /// The number of the wait that goes on, from 1; `None` if the program does not wait.
    pub fn number(&self) -> Option<NonZeroU32> {
        self.waiter.and_then(|_| NonZeroU32::new(self.count))
    }

    fn begin(&mut self, waiter: Waiter) {
        // A read that was interrupted, and is made again, is the same wait.
        if self.waiter.replace(waiter) != Some(waiter) {
            self.count = self.count.saturating_add(1);
        }
    }

    /// Follows a notified call that is not resumed yet. Returns whether the program begins to wait
    /// by it. `is_starved` says whether there is no input, but may be later.
    pub fn follow_call(
        &mut self,
        call: &Notification,
        listener: &SeccompListener,
        is_starved: impl FnOnce() -> bool,
    ) -> bool {
        let waits = call.call == NotifiedCall::StandardInput
            && is_starved()
            && self.probe.is_read_by(call.thread)
            && listener.is_waiting(call);
        let waiter = Waiter::Thread(call.thread);
        if waits {
            self.begin(waiter);
        } else if self.waiter == Some(waiter) {
            self.waiter = None; // a signal has ended its wait
        }
        waits
    }

    /// Follows what the program says about its event loop.
    pub fn follow_request(&mut self, request: &InputRequest, is_starved: bool) {
        let is_own = request.inode.is_none_or(|inode| self.probe.has_inode(inode));
        match request.file {
            Some(InputFile::Stdin) if is_own && is_starved && !self.has_new_input => {
                self.begin(Waiter::EventLoop);
            }
            None if self.waiter == Some(Waiter::EventLoop) => self.waiter = None,
            _ => {}
        }
    }

    /// Ends the wait, because the program gets input or the end of it, or has ended.
    pub fn end(&mut self) {
        self.waiter = None;
        self.has_new_input = true;
    }

    /// Ends a turn of the supervisor's loop. Returns whether servers are to be told that the
    /// program waits, or that it does not wait any more.
    pub fn end_turn(&mut self) -> bool {
        self.has_new_input = false;
        let number = self.number();
        std::mem::replace(&mut self.published, number) != number
    }
}

/// A program's line on its message channel by which its support module says that its event loop
/// reads standard input and has found none, `{"msgtype":"waiting","file":"stdin","inode":N}`, or
/// that it does not read any more (`"file":null`). The line goes to no client. `inode` is the
/// inode number of the reader's descriptor 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct InputRequest {
    /// Always [`MsgType::Waiting`].
    #[serde(rename = "msgtype")]
    _msgtype: MsgType,
    #[serde(deserialize_with = "Option::deserialize")] // so that it must be there
    file: Option<InputFile>,
    #[serde(default)]
    inode: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum MsgType {
    Waiting,
}

impl InputRequest {
    /// Parses a line; `None` if it is anything else.
    pub fn parse(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_other_line_is_no_request() {
        let parse = |line: &str| InputRequest::parse(line.as_bytes());
        let request = parse(r#"{"msgtype":"waiting","file":"stdin","inode":7}"#).unwrap();
        assert_eq!((request.file, request.inode), (Some(InputFile::Stdin), Some(7)));
        assert_eq!(parse(r#"{"msgtype":"waiting","file":null}"#).unwrap().file, None);
        for line in [
            r#"{"msgtype":"waiting"}"#,
            r#"{"msgtype":"waiting","file":"stdout"}"#,
            r#"{"msgtype":"waiting","file":"stdin","inode":-1}"#,
            r#"{"msgtype":"waiting","file":"stdin","x":1}"#,
            r#"{"msgtype":"echo","file":"stdin"}"#,
            "x",
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
