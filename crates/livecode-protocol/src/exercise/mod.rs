//! Exercises: what a teacher keeps on the server, so that pupils send nothing but their programs.

mod id;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

pub use id::{ExerciseId, ExerciseVersion, MAX_EXERCISE_ID_BYTES, MalformedExerciseId};

use crate::{
    cases::{Case, Checker, MAX_CASES},
    json::{optional_object, optional_objects},
    session::{MAX_FILES, RequestedLimits, SourceFile},
};

/// Body of `PUT /exercises/{id}`: what a session for the exercise has besides the program of its
/// pupil. A field that is `null` is absent.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Exercise {
    /// Name or alias of a runtime. Required.
    #[schema(required, nullable = false, example = "python")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// Files of the working directory besides the pupil's. The pupil's program can read them in
    /// every case.
    #[serde(
        deserialize_with = "optional_objects::<_, _, MAX_FILES>",
        skip_serializing_if = "Option::is_none"
    )]
    pub files: Option<Vec<SourceFile>>,
    /// Cases with which the pupil's program is run. Required.
    #[serde(
        deserialize_with = "optional_objects::<_, _, MAX_CASES>",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(required, nullable = false, min_items = 1, max_items = 1000)]
    pub cases: Option<Vec<Case>>,
    /// The program that decides whether a case with `"compare": "checker"` has passed. Pupils do
    /// not see it.
    #[serde(deserialize_with = "optional_object", skip_serializing_if = "Option::is_none")]
    pub checker: Option<Checker>,
    /// Whether no case is run after one that has failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_on_first_failure: Option<bool>,
    /// Wall-clock limit of all cases together, compilation included, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 10)]
    pub total_timeout: Option<u64>,
    /// Wall-clock limit of each case, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 10)]
    pub timeout: Option<u64>,
    /// Further limits of each case. None may be higher than the server's maximum.
    #[serde(deserialize_with = "optional_object", skip_serializing_if = "Option::is_none")]
    pub limits: Option<RequestedLimits>,
}

/// An exercise, as its authors see it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ExerciseDocument {
    /// Identifier of the exercise.
    pub id: ExerciseId,
    /// Number of the version, from 1. It grows by 1 when other contents replace these.
    #[schema(minimum = 1)]
    pub version: u64,
    /// Time at which the first version was put: UTC, RFC 3339.
    #[schema(format = DateTime, example = "2026-03-01T10:20:30.000Z")]
    pub created: String,
    /// Time at which this version was put: UTC, RFC 3339.
    #[schema(format = DateTime, example = "2026-03-01T10:20:30.000Z")]
    pub updated: String,
    /// Number of cases.
    pub cases: u64,
    /// Number of cases that are hidden from pupils.
    pub hidden: u64,
    /// The contents, as they were put. Absent in lists and in the answer to `PUT`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Exercise>, nullable = false)]
    pub contents: Option<Box<RawValue>>,
}
