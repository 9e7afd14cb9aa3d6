//! What server and supervisor say to each other over the supervisor's socket: one JSON object a line.
//!
//! The server speaks first ([`SupervisorRequest::Hello`]), the supervisor answers ([`SupervisorNotice::Hello`]); after that each
//! sends when it has something to say. Output itself does not pass here: it is in the journal, and
//! [`SupervisorNotice::Progress`] says how far it reaches.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    ErrorCode, SessionId,
    session::{Compiled, Outcome},
    stream::Signal,
};

/// The version this build speaks.
///
/// | version | what is new |
/// | --- | --- |
/// | 1 | |
/// | 2 | [`SupervisorNotice::Progress`] says when the program or a client last did something; [`SupervisorNotice::Hello`] with a version that the
///       server does not speak is followed by the end of the connection |
pub const VERSION: u32 = 2;
/// The oldest version this build still understands.
pub const OLDEST_VERSION: u32 = 1;
/// The longest line either side accepts, in bytes. An input of 64 KiB takes at most six times that in JSON escapes.
pub const MAX_LINE_BYTES: usize = 512 * 1024;
/// Name of the supervisor's socket in the session's folder.
pub const SOCKET: &str = "socket";

/// Name of the file in the session's folder that says which process supervises it.
pub const STATE_FILE: &str = "state.json";

/// Which process supervises a session, in a form that cannot be mistaken for another after a reboot, or when a process
/// number comes back: both numbers and the boot must be the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SupervisorIdentity {
    /// The [`VERSION`] it speaks.
    pub version: u32,
    /// /proc/sys/kernel/random/boot_id (proc_sys_kernel(5)).
    pub boot_id: String,
    /// Its process number.
    pub pid: u32,
    /// Field 22 of /proc/PID/stat (proc_pid_stat(5)): clock ticks from boot to the start of the process.
    pub pid_start_ticks: u64,
}

impl SupervisorIdentity {
    /// Field 22 of the text of a /proc/PID/stat. The name in parentheses may itself hold spaces and parentheses; 20 fields
    /// follow its end up to the 22nd.
    pub fn start_ticks(stat: &str) -> Option<u64> {
        stat.rsplit(')').next()?.split_whitespace().nth(19)?.parse().ok()
    }
}

/// What a server asks of its spawner: one datagram, with a socket attached whose end says that it is done.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpawnerRequest {
    /// Fork a supervisor for the session; the socket is its first connection.
    Start(SessionId),
    /// Kill what a dead supervisor left of the session's sandbox, and remove its cgroups.
    Sweep(SessionId),
}

/// What a server asks of a supervisor.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum SupervisorRequest {
    /// The greeting: which version the server would speak.
    Hello {
        /// The server's [`VERSION`].
        version: u32,
    },
    /// Pass something in to the program. Answered by [`SupervisorNotice::Delivered`] or [`SupervisorNotice::Refused`] with the same tag.
    Deliver {
        /// Chosen by the server, unique on this connection.
        tag: u64,
        /// The client's id of it: what was delivered once under an id is not delivered again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<Value>,
        /// What to pass in.
        item: Delivery,
    },
    /// Kill the program; its outcome becomes `cancelled`. Answered by the end of the journal.
    Cancel,
}

/// Something that goes in to a program.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Delivery {
    /// Bytes for its standard input.
    Input {
        /// The bytes.
        data: crate::run_spec::Contents,
        /// Close standard input after them.
        eof: bool,
    },
    /// A line for its message channel.
    Event {
        /// The whole message as the program will read it, one line without its newline.
        line: String,
    },
    /// A signal for its process group.
    Signal {
        /// Which.
        signal: Signal,
    },
}

/// How much of a session's sandbox was ready before there was a session for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartKind {
    /// Nothing.
    #[default]
    Cold,
    /// The sandbox.
    Sandbox,
    /// The sandbox, and the interpreter in it.
    Interpreter,
}

/// What a supervisor tells a server.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "notice", rename_all = "snake_case")]
pub enum SupervisorNotice {
    /// The answer to [`SupervisorRequest::Hello`]. A [`SupervisorNotice::Progress`] follows at once.
    Hello {
        /// The version the supervisor will speak: the lower of both.
        version: u32,
        /// What of the sandbox this machine could not enforce, one sentence each.
        #[serde(default)]
        degraded: Vec<String>,
        /// How much was ready when the session came.
        #[serde(default)]
        start: StartKind,
    },
    /// The journal has grown. Only the latest matters, so a supervisor may leave earlier ones out.
    Progress {
        /// Number of the last entry.
        entries: u64,
        /// Length of the whole records of the journal, in bytes: readers read up to here.
        bytes: u64,
        /// When the program started, in microseconds since the epoch; absent while it has not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        started_us: Option<u64>,
        /// When the program last wrote something or a client last passed something in, in microseconds since the epoch;
        /// absent where the supervisor speaks version 1, or nothing was done yet.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        active_us: Option<u64>,
        /// Where the program came from, once that is known; absent where nothing is compiled.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        compiled: Option<Compiled>,
        /// How much room what was compiled takes in the cache, where this session has put it there, in bytes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stored_bytes: Option<u64>,
        /// Whether the last entry is the closing one.
        ended: bool,
    },
    /// The supervisor has what came under this tag (or had it already, by its id) and will pass it in.
    Delivered {
        /// The tag.
        tag: u64,
    },
    /// It was not taken, and the program will not see it.
    Refused {
        /// The tag.
        tag: u64,
        /// Why, for the client to read.
        error: String,
        /// The code of the reason; absent if the supervisor is of a version without codes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<ErrorCode>,
    },
}

/// What a spawner says once, when it is ready or cannot be.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SpawnerReady {
    /// What of the sandbox this machine cannot enforce, one sentence each.
    pub degraded: Vec<String>,
    /// Why no sandbox can be made here at all; the spawner has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Payload of a journal's closing entry: how a session ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClosingEntry {
    /// The number the world sees: exit code, 128 plus a signal, or the outcome's own.
    pub exitstatus: i32,
    /// How it ended.
    pub outcome: Outcome,
    /// When the program started, in microseconds since the epoch; 0 where it never did.
    pub started_us: u64,
    /// When it ended, in microseconds since the epoch.
    pub ended_us: u64,
    /// What it used, where that could be measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<crate::session::Usage>,
    /// Where the program came from; absent where nothing was compiled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compiled: Option<Compiled>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_the_documented_form() {
        let deliver = SupervisorRequest::Deliver {
            tag: 7,
            id: Some("k1".into()),
            item: Delivery::Input { data: crate::run_spec::Contents::Text("hi\n".into()), eof: false },
        };
        assert_eq!(
            serde_json::to_string(&deliver).unwrap(),
            r#"{"request":"deliver","tag":7,"id":"k1","item":{"kind":"input","data":{"text":"hi\n"},"eof":false}}"#
        );
        let event =
            r#"{"request":"deliver","tag":1,"item":{"kind":"event","line":"{\"msgtype\":\"event\"}"}}"#;
        let read: SupervisorRequest = serde_json::from_str(event).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), event);
        let progress: SupervisorNotice =
            serde_json::from_str(r#"{"notice":"progress","entries":3,"bytes":120,"ended":false}"#).unwrap();
        assert!(matches!(progress, SupervisorNotice::Progress { entries: 3, started_us: None, .. }));
    }
}
