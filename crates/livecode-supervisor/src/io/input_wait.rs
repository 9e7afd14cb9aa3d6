//! Whether the program waits for standard input.
//!
//! A read of descriptor 0 notifies the supervisor before it is made. If there is no input, and the
//! descriptor is the session's own pipe, the thread is about to wait. A program that waits in an
//! event loop makes no such call; the support module of its language says so on the message
//! channel ([`InputRequest`]). The wait ends when input is delivered (`docs/design/waiting.md`).

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

use livecode_protocol::stream::InputFile;
use livecode_sandbox::{Notification, NotifiedCall, SeccompListener, StdinProbe};
use serde::Deserialize;

/// Changes that servers are told one after the other without a pause. An answer to a question
/// makes two of them.
const CHANGE_BURST: u32 = 20;
/// Time in which the bucket gets one change back. A change beyond that waits, and is not told if
/// the state is the old one by then. So no program keeps the server and its clients busy with its
/// waits.
const CHANGE_REFILL: Duration = Duration::from_millis(50);

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
    pace: ChangePace,
    /// When the current number may be told, if it is not the one that was told.
    due: Option<Instant>,
}

/// A token bucket for the changes that servers are told.
struct ChangePace {
    tokens: u32,
    /// Until when the bucket is refilled.
    refilled_at: Instant,
}

impl ChangePace {
    fn new(now: Instant) -> Self {
        Self { tokens: CHANGE_BURST, refilled_at: now }
    }

    /// Takes a token. If there is none, returns when there will be one.
    fn try_take(&mut self, now: Instant) -> Result<(), Instant> {
        let elapsed = now.saturating_duration_since(self.refilled_at);
        let earned = u32::try_from(elapsed.as_millis() / CHANGE_REFILL.as_millis()).unwrap_or(u32::MAX);
        self.tokens = self.tokens.saturating_add(earned).min(CHANGE_BURST);
        self.refilled_at =
            if self.tokens == CHANGE_BURST { now } else { self.refilled_at + CHANGE_REFILL * earned };
        self.tokens = self.tokens.checked_sub(1).ok_or(self.refilled_at + CHANGE_REFILL)?;
        Ok(())
    }
}

impl InputWait {
    pub fn new(probe: StdinProbe, now: Instant) -> Self {
        Self {
            probe,
            waiter: None,
            count: 0,
            has_new_input: false,
            published: None,
            pace: ChangePace::new(now),
            due: None,
        }
    }

    /// The number of the wait that goes on, from 1; `None` if the program does not wait.
    fn number(&self) -> Option<NonZeroU32> {
        self.waiter.and_then(|_| NonZeroU32::new(self.count))
    }

    /// The number that servers are told.
    pub fn published(&self) -> Option<NonZeroU32> {
        self.published
    }

    /// When [`Self::end_turn`] must be called although nothing has happened.
    pub fn due(&self) -> Option<Instant> {
        self.due
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
    pub fn end_turn(&mut self, now: Instant) -> bool {
        self.has_new_input = false;
        let number = self.number();
        if number == self.published {
            self.due = None;
            return false;
        }
        if self.due.is_some_and(|due| now < due) {
            return false;
        }
        self.due = self.pace.try_take(now).err();
        if self.due.is_none() {
            self.published = number;
        }
        self.due.is_none()
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
    fn changes_are_told_at_once_until_there_are_too_many() {
        let start = Instant::now();
        let mut pace = ChangePace::new(start);
        let later = start + CHANGE_REFILL * 1000;
        assert!((0..CHANGE_BURST).all(|_| pace.try_take(later).is_ok()));
        let due = pace.try_take(later).unwrap_err();
        assert_eq!(due, later + CHANGE_REFILL);
        assert_eq!(pace.try_take(due - Duration::from_millis(1)), Err(due));
        assert_eq!(pace.try_take(due + CHANGE_REFILL / 2), Ok(()));
        assert_eq!(pace.try_take(due + CHANGE_REFILL / 2), Err(due + CHANGE_REFILL));
    }

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
