//! The documents of `/sessions`, as clients send and read them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::SessionId;

/// Body of `POST /sessions`. A field that is `null` is absent.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CreateSession {
    /// Name or alias of a runtime, as `GET /runtimes` lists them. Required.
    #[schema(required, nullable = false, example = "python-canvas")]
    pub runtime: Option<String>,
    /// Source text, saved under the runtime's file name. Required unless `files` is given.
    #[schema(example = "circle(100, 100, 50)")]
    pub code: Option<String>,
    /// Name to save `code` under instead of the runtime's own.
    pub code_filename: Option<String>,
    /// Further files of the working directory. One named `stdin` is the program's standard input instead.
    pub files: Option<Vec<SourceFile>>,
    /// Command to run instead of the runtime's own: program and arguments.
    pub command: Option<Vec<String>>,
    /// Arguments appended to the command.
    pub args: Option<Vec<String>>,
    /// Environment variables of the program.
    pub env: Option<BTreeMap<String, String>>,
    /// The whole of standard input. Without it, and without a file named `stdin`, input comes on the stream.
    pub stdin: Option<String>,
    /// What to do with the files: run them, or run the tests among them.
    pub mode: Option<Mode>,
    /// Wall-clock limit, in milliseconds.
    pub timeout: Option<u64>,
    /// Further limits; each at most the server's maximum.
    pub limits: Option<RequestedLimits>,
}

/// A file of a new session.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceFile {
    /// Relative path inside the working directory.
    #[schema(example = "data/names.txt")]
    pub filename: String,
    /// Its text, or its bytes in base64 where `encoding` says so.
    pub contents: String,
    /// How `contents` is written; absent for text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<Encoding>,
}

/// How bytes are written in a JSON string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// RFC 4648, section 4.
    Base64,
}

/// What to do with the files of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Run the program.
    #[default]
    Exec,
    /// Run the tests among the files; the output is one JSON document of results.
    Test,
}

/// Limits that a request may ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RequestedLimits {
    /// CPU time of the program, in milliseconds.
    #[schema(minimum = 1)]
    pub cpu_ms: Option<u64>,
    /// Share of the machine's processors, in thousandths of one.
    #[schema(minimum = 1)]
    pub cpu_millicores: Option<u64>,
    /// Memory, in bytes.
    #[schema(minimum = 1)]
    pub memory_bytes: Option<u64>,
    /// Processes and threads at once.
    #[schema(minimum = 1)]
    pub processes: Option<u64>,
    /// Output kept, in bytes; a program that writes more is stopped.
    #[schema(minimum = 1)]
    pub output_bytes: Option<u64>,
    /// Working directory, in bytes.
    #[schema(minimum = 1)]
    pub disk_bytes: Option<u64>,
}

/// A session, as `POST /sessions` and `GET /sessions/{id}` answer it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Session)]
pub struct SessionDocument {
    /// Its identifier.
    #[schema(value_type = String, pattern = "^[0-9a-f]{32}$", example = "d953d41febcc4a7d9e1f0a6b5c4d3e2f")]
    pub id: SessionId,
    /// When it was created: UTC, RFC 3339.
    #[schema(format = DateTime, example = "2026-03-01T10:20:30.000Z")]
    pub created: String,
    /// Seconds the program has run so far, or ran in all.
    #[schema(example = 5.3)]
    pub elapsed: f64,
    /// The runtime's own name, whatever alias was asked for.
    pub runtime: String,
    /// When the program last wrote something or a client last passed something in, while it runs: UTC, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime, example = "2026-03-01T10:20:35.000Z")]
    pub active: Option<String>,
    /// Where it is in its life.
    pub state: SessionState,
    /// How it ended; absent before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub outcome: Option<Outcome>,
    /// Its exit status; absent before it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub exitstatus: Option<i32>,
    /// Where its program came from, once the compiler is done: absent before, and where nothing is compiled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub compiled: Option<Compiled>,
    /// What it used, once it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub usage: Option<Usage>,
    /// What of the sandbox this machine could not enforce, one sentence each; absent where all holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub degraded: Vec<String>,
    /// Secret of a page of another origin: with it as bearer token, the page lists what it created. Only in the
    /// answer that first made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub token: Option<String>,
    /// Where to go from here.
    pub links: Links,
}

/// Addresses of a session, absolute.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Links {
    /// This document.
    #[serde(rename = "self")]
    #[schema(format = "uri")]
    pub self_: String,
    /// The websocket of its messages (`ws:` or `wss:`); the same address over HTTP answers server-sent events and NDJSON.
    #[schema(format = "uri")]
    pub stream: String,
}

/// Where a session is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = State)]
pub enum SessionState {
    /// Taken, not started.
    Queued,
    /// The program runs.
    Running,
    /// The program has ended; its messages can still be read.
    Ended,
}

/// Where a session's program came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compiled {
    /// The compiler has run.
    Fresh,
    /// The same was compiled before, and kept.
    Cached,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The program exited by itself.
    Exited,
    /// A signal that it raised or was sent killed it.
    Signalled,
    /// It passed its wall-clock limit.
    Timeout,
    /// It passed its limit of CPU time.
    Cpu,
    /// It passed its limit of memory.
    Memory,
    /// It passed its limit of output.
    Output,
    /// Somebody ended it.
    Cancelled,
    /// Its supervisor died, or the machine did, or it could not be started.
    Lost,
}

impl Outcome {
    /// The exit status the world is told for an outcome that has one of its own; `Exited` and `Signalled` have not.
    pub fn exitstatus(self) -> Option<i32> {
        match self {
            Self::Exited | Self::Signalled => None,
            Self::Timeout => Some(124),
            Self::Cpu => Some(152),
            Self::Memory | Self::Output | Self::Cancelled => Some(137),
            Self::Lost => Some(255),
        }
    }
}

/// What a session used, its compile steps included. Where no cgroup counts (`degraded` says so), what was seen by looking
/// at its processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    /// Wall clock, in milliseconds.
    pub wall_ms: u64,
    /// CPU time of all its processes, in milliseconds; absent where the machine could not count it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub cpu_ms: Option<u64>,
    /// The most memory it held at once, in bytes; absent where the machine could not count it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub memory_peak_bytes: Option<u64>,
    /// The most processes and threads it had at once; absent where the machine could not count them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub processes_peak: Option<u64>,
}

/// An error, as an RFC 9457 problem document.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// What kind of problem; `about:blank` where the status says it all.
    #[serde(rename = "type")]
    #[schema(format = "uri-reference")]
    pub type_: String,
    /// The same in a few words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What was wrong in this request, and what would be right.
    pub detail: String,
    /// The field that was wrong, as a path such as `limits.cpu_ms` or `files[0].filename`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub field: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_means_absent() {
        let request: CreateSession =
            serde_json::from_str(r#"{"runtime":"c","code":null,"files":null,"limits":{"cpu_ms":null}}"#)
                .unwrap();
        assert!(request.code.is_none() && request.files.is_none());
        assert_eq!(request.limits, Some(RequestedLimits::default()));
    }

    #[test]
    fn a_misspelt_field_is_not_passed_over() {
        assert!(serde_json::from_str::<CreateSession>(r#"{"runtime":"c","timout":1}"#).is_err());
    }
}
