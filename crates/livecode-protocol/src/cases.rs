//! Cases: a program is run once for each, and what it prints is compared with what is expected.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    json::{optional_list, optional_object, optional_objects},
    session::{MAX_FILES, MAX_WORDS, Outcome, RequestedLimits, SourceFile},
};

/// The most cases that any server allows one session.
pub const MAX_CASES: usize = 1000;
/// The longest name of a case, in bytes.
pub const MAX_CASE_NAME_BYTES: usize = 200;
/// The most output of one case that is compared, in bytes. It counts standard output, standard
/// error and messages together. The limit of output counts too, if it is lower.
pub const MAX_CASE_OUTPUT_BYTES: u64 = 4 * 1024 * 1024;
/// The most standard output that the entry of a case shows, in bytes.
pub const MAX_SHOWN_STDOUT_BYTES: usize = 16 * 1024;
/// The most standard error that the entry of a case shows, in bytes.
pub const MAX_SHOWN_STDERR_BYTES: usize = 4 * 1024;
/// The tolerance of [`Compare::Floats`] if a case names none.
pub const DEFAULT_TOLERANCE: f64 = 1e-6;

/// A case of a new session. A field that is `null` is absent.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Case {
    /// Name of the case in its entry; without it, the number of the case, from 1.
    #[schema(min_length = 1, max_length = 200, example = "two numbers")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The whole standard input; empty without this field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// Arguments that are appended to those of the session.
    #[serde(deserialize_with = "optional_list::<_, _, MAX_WORDS>", skip_serializing_if = "Option::is_none")]
    pub args: Option<Vec<String>>,
    /// Files that the program finds besides those of the session, or in place of those with the
    /// same names. The compile steps do not see them.
    #[serde(
        deserialize_with = "optional_objects::<_, _, MAX_FILES>",
        skip_serializing_if = "Option::is_none"
    )]
    pub files: Option<Vec<SourceFile>>,
    /// The standard output that is expected. Without it, the case passes if the program exits with
    /// 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// How the output is compared; without it, as `trimmed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compare: Option<Compare>,
    /// How far apart two numbers may be that `floats` compares, for an expected number between -1
    /// and 1; for a larger one, it is multiplied by its amount.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub tolerance: Option<f64>,
    /// Wall-clock limit of this case, in milliseconds; without it, that of the session.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 10)]
    pub timeout: Option<u64>,
    /// In an exercise: whether pupils learn nothing of this case but its name, whether it has
    /// passed, and its outcome. Cases of a request for a session are never hidden.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden: Option<bool>,
}

/// How the output of a case is compared with what is expected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compare {
    /// Every byte counts.
    Exact,
    /// White space at the end of lines does not count, nor do empty lines at the end.
    #[default]
    Trimmed,
    /// The words count, and not the white space between them.
    Tokens,
    /// As `tokens`, but two numbers are also equal if they are close to each other.
    Floats,
    /// The checker of the request decides.
    Checker,
}

/// The names of the files that a checker finds besides its own, in the order in which it gets them
/// as arguments: the standard input of the case, what the program has printed, and what is
/// expected.
pub const CHECKER_FILES: [&str; 3] = ["input", "output", "expected"];
/// The longest reason of a checker that is passed on, in bytes.
pub const MAX_REASON_BYTES: usize = 1000;

/// A program that decides whether a case has passed. It runs in a sandbox of its own after each
/// case whose program has exited with 0, and finds the files `input`, `output` and `expected`,
/// whose names are its arguments. If it exits with 0, the case has passed, and with 1, it has not;
/// the first line that it prints is the reason. A field that is `null` is absent.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Checker {
    /// Name or alias of a runtime that compiles nothing. Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required, nullable = false, example = "python")]
    pub runtime: Option<String>,
    /// Source text, saved under the runtime's file name. Required unless `files` is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Further files of its working directory.
    #[serde(
        deserialize_with = "optional_objects::<_, _, MAX_FILES>",
        skip_serializing_if = "Option::is_none"
    )]
    pub files: Option<Vec<SourceFile>>,
    /// Wall-clock limit of the checker for one case, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 10)]
    pub timeout: Option<u64>,
    /// Further limits of the checker. None may be higher than the server's maximum.
    #[serde(deserialize_with = "optional_object", skip_serializing_if = "Option::is_none")]
    pub limits: Option<RequestedLimits>,
}

/// How a case ended, as its entry tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum CaseOutcome {
    /// As the program did.
    Program(Outcome),
    /// The program exited with 0, and its checker has decided nothing.
    Checker(CheckerOutcome),
}

/// How a checker ended that has decided nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum CheckerOutcome {
    /// It has reached a limit, was killed by a signal, or has exited with another status than 0
    /// and 1.
    #[serde(rename = "checker_failed")]
    Failed,
}
