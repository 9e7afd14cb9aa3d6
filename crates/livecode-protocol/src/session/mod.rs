//! The documents of `/sessions`, as clients send and read them.

mod end;
mod limits;
mod outcome;
mod source_file;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use end::{LimitName, ReachedLimit, describe_end};
pub use limits::RequestedLimits;
pub use outcome::Outcome;
pub use source_file::{Encoding, MAX_FILES, MAX_WORDS, SourceFile};

use crate::{
    ErrorCode, SessionId,
    cases::{Case, Checker, MAX_CASES},
    exercise::{ExerciseId, ExerciseVersion},
    json::{optional_list, optional_object, optional_objects, optional_texts},
    quota::QuotaName,
    results::MAX_PATTERNS,
};

/// Body of `POST /sessions`. A field that is `null` is absent.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CreateSession {
    /// Name or alias of a runtime, as `GET /runtimes` lists them. Required unless `exercise` is
    /// given.
    #[schema(required, nullable = false, example = "python-canvas")]
    pub runtime: Option<String>,
    /// Source text, saved under the runtime's file name. Required unless `files` is given.
    #[schema(example = "circle(100, 100, 50)")]
    pub code: Option<String>,
    /// Name to save `code` under instead of the runtime's own.
    pub code_filename: Option<String>,
    /// Further files of the working directory. A file named `stdin` becomes the program's standard
    /// input instead.
    #[serde(deserialize_with = "optional_objects::<_, _, MAX_FILES>")]
    pub files: Option<Vec<SourceFile>>,
    /// Command that is run instead of the runtime's own: program and arguments.
    #[serde(deserialize_with = "optional_list::<_, _, MAX_WORDS>")]
    pub command: Option<Vec<String>>,
    /// Arguments that are appended to the command.
    #[serde(deserialize_with = "optional_list::<_, _, MAX_WORDS>")]
    pub args: Option<Vec<String>>,
    /// Environment variables of the program.
    #[serde(deserialize_with = "optional_texts::<_, MAX_WORDS>")]
    pub env: Option<BTreeMap<String, String>>,
    /// The whole standard input. Without this field and without a file named `stdin`, input comes
    /// from the clients of the stream.
    pub stdin: Option<String>,
    /// Whether what clients type for the program is kept, as `echo` entries, so that everybody who
    /// reads the session sees it. Input may be a password; without this field it is not kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub echo: Option<bool>,
    /// Whether the places of errors in the files are told as data, as `diagnostic` entries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diagnostics: Option<bool>,
    /// Whether the program is run, or the tests among the files.
    pub mode: Option<Mode>,
    /// Whether compilation is told apart from the program: a failed compile step ends the session
    /// with the outcome `compile_failed`, the session has `compile`, and output of the compile
    /// steps has `"stage": "compile"`.
    pub stages: Option<bool>,
    /// Files of the working directory that are kept when the session has ended: names, in whose
    /// parts `*` stands for any characters and `?` for one. `GET /sessions/{id}/files` lists them.
    #[serde(deserialize_with = "optional_list::<_, _, MAX_PATTERNS>")]
    #[schema(example = json!(["out.png", "*.csv"]), max_items = 32)]
    pub collect: Option<Vec<String>>,
    /// The exercise that the program is for. It fixes the runtime, the cases and the limits, and
    /// has files of its own: the request has `code` or `files`, and none of the fields that the
    /// exercise fixes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exercise: Option<ExerciseId>,
    /// Cases with which the program is run, each in a sandbox of its own; it is compiled once for
    /// all. What it prints is compared with what the case expects.
    #[serde(
        deserialize_with = "optional_objects::<_, _, MAX_CASES>",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(min_items = 1, max_items = 1000)]
    pub cases: Option<Vec<Case>>,
    /// The program that decides whether a case with `"compare": "checker"` has passed.
    #[serde(deserialize_with = "optional_object", skip_serializing_if = "Option::is_none")]
    pub checker: Option<Checker>,
    /// Whether no case is run after one that has failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_on_first_failure: Option<bool>,
    /// Wall-clock limit of all cases together, compilation included, in milliseconds. With cases,
    /// `timeout` is that of each case.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 10)]
    pub total_timeout: Option<u64>,
    /// Wall-clock limit, in milliseconds.
    pub timeout: Option<u64>,
    /// Further limits. None may be higher than the server's maximum.
    #[serde(deserialize_with = "optional_object")]
    pub limits: Option<RequestedLimits>,
}

/// The part of its files that a session runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The program.
    #[default]
    Exec,
    /// The tests among the files. The output is one JSON document with the results.
    Test,
}

/// A session, as in the answers to `POST /sessions` and `GET /sessions/{id}`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Session)]
pub struct SessionDocument {
    /// Identifier of the session.
    #[schema(value_type = String, pattern = "^[0-9a-f]{32}$", example = "d953d41febcc4a7d9e1f0a6b5c4d3e2f")]
    pub id: SessionId,
    /// Time at which the session was created: UTC, RFC 3339.
    #[schema(format = DateTime, example = "2026-03-01T10:20:30.000Z")]
    pub created: String,
    /// Time that the program has run, in seconds; whole ones if the session has hidden cases.
    #[schema(example = 5.3)]
    pub elapsed: f64,
    /// Name of the runtime, also if the request used an alias.
    pub runtime: String,
    /// The exercise that the program is for, as it was when the session was created; absent if
    /// there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub exercise: Option<ExerciseVersion>,
    /// Time of the last output of the program or delivery to it: UTC, RFC 3339. Present while the
    /// program runs, unless it has hidden cases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime, example = "2026-03-01T10:20:35.000Z")]
    pub active: Option<String>,
    /// State of the session.
    pub state: SessionState,
    /// Place in the queue of sessions that wait to run, from 1. Present while the session waits.
    /// The users of the server have their turns one after the other, so the place can grow when
    /// another user comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1)]
    pub queue_position: Option<u64>,
    /// How the session ended; absent before its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub outcome: Option<Outcome>,
    /// How the session ended, in words for the author of the program: plain text in English, which
    /// may change from version to version. Absent before the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "The program ran to its end.")]
    pub detail: Option<String>,
    /// The limit that ended the session; absent if none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub limit: Option<ReachedLimit>,
    /// Exit status; absent before the end of the session.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub exitstatus: Option<i32>,
    /// Whether the program was compiled for this session. Absent until compilation is done, and
    /// for runtimes that compile nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub compiled: Option<Compiled>,
    /// How compilation ended, in an ended session that was created with `stages`. Absent if nothing
    /// is compiled, or no compile step has started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub compile: Option<CompileSummary>,
    /// Whether what clients type for the program is kept, as `echo` entries; absent if not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub echo: bool,
    /// Resources that the session used; absent before its end, and if it has hidden cases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub usage: Option<Usage>,
    /// The parts of the sandbox that this machine cannot enforce, and whether it cannot tell the
    /// order of output, one sentence each; absent if it can do all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub degraded: Vec<String>,
    /// New bearer token for a guest that nothing names, with which it can list this session, and has
    /// later ones for itself. Present only in the answer that introduces the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub token: Option<String>,
    /// Addresses of the session.
    pub links: Links,
}

/// Addresses of a session, as absolute URLs.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Links {
    /// URL of this document.
    #[serde(rename = "self")]
    #[schema(format = "uri")]
    pub self_: String,
    /// URL of the websocket with the messages (`ws:` or `wss:`). The same address over HTTP
    /// answers server-sent events and NDJSON.
    #[schema(format = "uri")]
    pub stream: String,
}

/// State of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = State)]
pub enum SessionState {
    /// The session is accepted, and its program has not started.
    Queued,
    /// The program is running.
    Running,
    /// The session has ended. Its messages can still be read.
    Ended,
}

/// Where the compiled program of a session came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compiled {
    /// The compiler was run for this session.
    Fresh,
    /// The same source was compiled before, and the result was kept.
    Cached,
}

/// How the compile steps of a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CompileSummary {
    /// Exit status of the last compile step that ran. If a limit or a client ended the session
    /// during compilation, it is the exit status of the session.
    pub exitstatus: i32,
    /// Wall-clock time of the compile steps, in milliseconds; 0 if the result came from the cache.
    pub wall_ms: u64,
    /// CPU time of the compile steps, in milliseconds; 0 if the result came from the cache, absent
    /// if the machine cannot count it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub cpu_ms: Option<u64>,
    /// Whether the result came from the cache, so that no compiler ran.
    pub cached: bool,
}

/// Resources that a session used, including its compile steps. On a machine where no cgroup counts
/// them (see `degraded`), these are samples of the session's processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    /// Wall-clock time, in milliseconds.
    pub wall_ms: u64,
    /// CPU time of all processes, in milliseconds; absent if the machine cannot count it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub cpu_ms: Option<u64>,
    /// Peak memory use, in bytes; absent if the machine cannot count it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub memory_peak_bytes: Option<u64>,
    /// Peak number of processes and threads at once; absent if the machine cannot count them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub processes_peak: Option<u64>,
    /// Output, in bytes, as it counts against the limit; absent if the session ended before its
    /// supervisor counted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub output_bytes: Option<u64>,
    /// Result files that are kept, in bytes; absent if the request named none, or the sandbox ended
    /// before they could be taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub collected_bytes: Option<u64>,
}

/// An error, as an RFC 9457 problem document.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Type of the problem, as a URI. It is `about:blank`: the status and the title describe the
    /// type.
    #[serde(rename = "type")]
    #[schema(format = "uri-reference")]
    pub type_: String,
    /// The meaning of the status, in a few words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The code of the error, by which a program decides what to do.
    // A server of a version without codes sends none.
    #[serde(default)]
    #[schema(required)]
    pub code: ErrorCode,
    /// A sentence that says what was wrong with this request and what would be right.
    pub detail: String,
    /// The field that is wrong, as a path such as `limits.cpu_ms` or `files[0].filename`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub field: Option<String>,
    /// The quota that is used up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub quota: Option<QuotaName>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_null_field_is_absent() {
        let request: CreateSession =
            serde_json::from_str(r#"{"runtime":"c","code":null,"files":null,"limits":{"cpu_ms":null}}"#)
                .unwrap();
        assert!(request.code.is_none() && request.files.is_none());
        assert_eq!(request.limits, Some(RequestedLimits::default()));
    }

    #[test]
    fn an_unknown_field_is_refused() {
        assert!(serde_json::from_str::<CreateSession>(r#"{"runtime":"c","timout":1}"#).is_err());
    }
}
