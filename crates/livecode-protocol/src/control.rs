//! The messages between server and supervisor on their socket, one JSON object per line, and those
//! between server and spawner.
//!
//! Each side first sends its `Hello` ([`SupervisorRequest::Hello`], [`SupervisorNotice::Hello`]).
//! The server need not wait for the supervisor's before it sends more. The program's output is not
//! sent on the socket: it is in the journal, and [`SupervisorNotice::Progress`] reports the
//! journal's length.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    ErrorCode, SessionId,
    run_spec::SandboxLayout,
    session::{CompileSummary, Compiled, Outcome, ReachedLimit},
    stream::Signal,
};

/// The protocol version of this build.
///
/// | version | change |
/// | --- | --- |
/// | 1 | the first version |
/// | 2 | [`SupervisorNotice::Progress`] has `active_us`; the server checks the `Hello` version |
/// | 3 | [`SupervisorRequest::SetCpuWeight`] |
pub const VERSION: u32 = 3;
/// The oldest protocol version that this build supports.
pub const OLDEST_VERSION: u32 = 1;
/// The longest line that either side accepts, in bytes. An input of 64 KiB takes at most six times
/// that size in JSON escapes.
pub const MAX_LINE_BYTES: usize = 512 * 1024;

/// Identifies the process that supervises a session, even after a reboot or after its pid is
/// reused: another process differs in the boot id, the pid or the start time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SupervisorIdentity {
    /// The supervisor's [`VERSION`].
    pub version: u32,
    /// /proc/sys/kernel/random/boot_id (proc_sys_kernel(5)).
    pub boot_id: String,
    /// The process id.
    pub pid: u32,
    /// When the process started, in clock ticks since boot: field 22 of /proc/PID/stat
    /// (proc_pid_stat(5)).
    pub pid_start_ticks: u64,
}

impl SupervisorIdentity {
    /// Extracts field 22, the start time, from the text of a /proc/PID/stat. Field 2 is the
    /// process name in parentheses, which may itself contain spaces and parentheses. So the fields
    /// are counted from the last closing parenthesis, after which field 22 is the 20th.
    pub fn start_ticks(stat: &str) -> Option<u64> {
        stat.rsplit(')').next()?.split_whitespace().nth(19)?.parse().ok()
    }
}

/// A request of the server to its spawner: one datagram with a socket attached. There is no reply.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpawnerRequest {
    /// Start a supervisor for the session. The socket becomes the supervisor's first connection;
    /// if no supervisor can be started, the server reads end-of-file from it.
    StartSupervisor(SessionId),
    /// Kill the processes that a dead supervisor has left in the session's sandbox, and remove its
    /// cgroups. The server reads end-of-file from the socket when that is done.
    Sweep(SessionId),
}

/// A request of the server to its spawner on the layout socket: start a supervisor, as by
/// [`SpawnerRequest::StartSupervisor`], for a session whose layout is not the spawner's usual one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LayoutRequest {
    /// The session.
    pub id: SessionId,
    /// The layout that the session's sandbox must have.
    pub layout: SandboxLayout,
}

/// A request of the server to a supervisor.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum SupervisorRequest {
    /// The first message of a connection, with the version that the server prefers.
    Hello {
        /// The server's [`VERSION`].
        version: u32,
    },
    /// Deliver something to the program. The supervisor answers with
    /// [`SupervisorNotice::Delivered`] or [`SupervisorNotice::Refused`] with the same tag.
    Deliver {
        /// A number chosen by the server, unique on this connection.
        tag: u64,
        /// The client's id for the delivery. A second delivery with the same id is not passed on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<Value>,
        /// The delivery.
        item: Delivery,
    },
    /// Kill the program, whose outcome becomes `cancelled`. The answer is the closing entry of the
    /// journal.
    Cancel,
    /// Give the program this part of the CPU time that programs compete for. A server sends it only
    /// to supervisors of version 3 and later.
    SetCpuWeight(CpuWeight),
    /// The server knows that the session has ended, and will not kill this process for it any
    /// more. Only a supervisor that was released serves another session. Supervisors of older
    /// versions do not read it.
    Release,
}

/// The weight of a program among those that compete for CPU time, in thousandths of the weight of
/// a program whose payer runs no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuWeight {
    /// The weight, from 1 to 1000.
    pub permille: u32,
    /// The weight while the program is deprioritised, from 1 to 1000; without it, the program then
    /// runs only when no other wants the processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprioritized_permille: Option<u32>,
}

impl Default for CpuWeight {
    fn default() -> Self {
        Self { permille: 1000, deprioritized_permille: None }
    }
}

/// Something that is delivered to a program.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Delivery {
    /// Bytes for the standard input.
    Input {
        /// The bytes.
        data: crate::run_spec::Contents,
        /// Whether standard input is closed after them.
        eof: bool,
    },
    /// A line for the message channel.
    Event {
        /// The whole message as the program reads it: one line, without the newline.
        line: String,
    },
    /// A signal for the process group.
    Signal {
        /// The signal.
        signal: Signal,
    },
}

/// How much was prepared before the session existed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartKind {
    /// The sandbox was made on request.
    #[default]
    Cold,
    /// The sandbox was warm.
    Sandbox,
    /// The sandbox was warm and the interpreter in it was started.
    Interpreter,
}

/// A message of a supervisor to the server.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "notice", rename_all = "snake_case")]
pub enum SupervisorNotice {
    /// The answer to [`SupervisorRequest::Hello`]. A [`SupervisorNotice::Progress`] follows at
    /// once.
    Hello {
        /// The version that the supervisor will use: the lower of both.
        version: u32,
        /// The parts of the sandbox that this machine could not enforce, one sentence each.
        #[serde(default)]
        degraded: Vec<String>,
        /// How much was prepared before the session existed.
        #[serde(default)]
        start: StartKind,
    },
    /// The journal has grown. Only the latest such notice matters, so a supervisor may skip
    /// earlier ones.
    Progress {
        /// Number of the last entry.
        entries: u64,
        /// Length of the journal's complete records, in bytes. Readers read up to this position.
        bytes: u64,
        /// When the first step started, in microseconds since the epoch; absent before that.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        started_us: Option<u64>,
        /// When the program last wrote something or a client last sent something, in microseconds
        /// since the epoch; absent before that, and from supervisors of version 1.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        active_us: Option<u64>,
        /// Where the compiled program came from, once that is known; absent if nothing is
        /// compiled.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        compiled: Option<Compiled>,
        /// Size of the artefacts in the compile cache, in bytes, if this session has stored them
        /// there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stored_bytes: Option<u64>,
        /// Which time it is that the program waits for standard input, from 1; absent while it
        /// does not wait.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wait: Option<NonZeroU32>,
        /// Whether the last entry is the closing entry.
        ended: bool,
    },
    /// The program could not be started. Nothing of it has run, the session has no journal, and
    /// another supervisor may start it. This is the last notice.
    StartFailed {
        /// The step that failed, and its error.
        error: String,
        /// Whether the step failed for want of a resource, such as processes or memory.
        is_transient: bool,
    },
    /// The supervisor has taken the delivery with this tag, or had already taken one with the same
    /// id. What the program does not read before it ends is lost.
    Delivered {
        /// The tag of the delivery.
        tag: u64,
    },
    /// The delivery was refused; the program will not receive it.
    Refused {
        /// The tag of the delivery.
        tag: u64,
        /// Why the delivery was refused, as a text for the client.
        error: String,
        /// The code of the reason; absent if the supervisor is of a version without codes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<ErrorCode>,
    },
}

/// The message that a spawner sends once, at its start: it is ready, or it cannot make sandboxes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SpawnerReady {
    /// The parts of the sandbox that this machine cannot enforce, one sentence each.
    pub degraded: Vec<String>,
    /// Sentences about things that sessions on this machine show less exactly than on others. They
    /// weaken no protection, so no server refuses to start because of it.
    #[serde(default)]
    pub inexact: Vec<String>,
    /// Why this spawner can make no sandbox: the machine cannot, or the interpreter zygote did not
    /// start. The spawner then exits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The payload of a journal's closing entry: how the session ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClosingEntry {
    /// The exit status that clients see: the program's exit code, 128 plus a signal number, or the
    /// outcome's own code.
    pub exitstatus: i32,
    /// The class of the end.
    pub outcome: Outcome,
    /// When the first step started, in microseconds since the epoch; 0 if none did.
    pub started_us: u64,
    /// When the session ended, in microseconds since the epoch.
    pub ended_us: u64,
    /// The resources that the session used, if they could be measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<crate::session::Usage>,
    /// Where the compiled program came from; absent if nothing was compiled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compiled: Option<Compiled>,
    /// How compilation ended, if the run spec tells it apart from the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compile: Option<CompileSummary>,
    /// The limit that ended the session; absent if none did, and in entries of versions that did
    /// not write it.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "limit_array")]
    pub limit: Option<ReachedLimit>,
}

/// The limit as an array of its name, its value, and whether the program was still being compiled:
/// as an object it would not always fit into the closing entry's record.
mod limit_array {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use crate::session::ReachedLimit;

    pub fn serialize<S: Serializer>(limit: &Option<ReachedLimit>, serializer: S) -> Result<S::Ok, S::Error> {
        limit.map(|ReachedLimit { name, value, compiling }| (name, value, compiling)).serialize(serializer)
    }

    pub fn deserialize<'d, D: Deserializer<'d>>(deserializer: D) -> Result<Option<ReachedLimit>, D::Error> {
        let limit = Option::deserialize(deserializer)?;
        Ok(limit.map(|(name, value, compiling)| ReachedLimit { name, value, compiling }))
    }
}

impl ClosingEntry {
    /// The closing entry of a session that ended before a program of it started, or whose
    /// supervisor can tell nothing.
    pub fn without_program(outcome: Outcome, exitstatus: i32, ended_us: u64) -> Self {
        let (usage, compiled, compile, limit) = (None, None, None, None);
        Self { exitstatus, outcome, started_us: 0, ended_us, usage, compiled, compile, limit }
    }
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
