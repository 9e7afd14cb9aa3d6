//! The id of an exercise, and of one of its versions.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The longest id of an exercise, in bytes.
pub const MAX_EXERCISE_ID_BYTES: usize = 100;

/// The id of an exercise, which its author chooses.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", example = "sum-of-two")]
pub struct ExerciseId(String);

/// A text that cannot be the id of an exercise.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the id of an exercise has 1 to {MAX_EXERCISE_ID_BYTES} characters: letters and digits of ASCII, and after \
     the first also \".\", \"_\" and \"-\""
)]
pub struct MalformedExerciseId;

impl ExerciseId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ExerciseId {
    type Err = MalformedExerciseId;

    fn from_str(text: &str) -> Result<Self, MalformedExerciseId> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let begins_well = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        match begins_well && text.len() <= MAX_EXERCISE_ID_BYTES && text.bytes().all(is_allowed) {
            true => Ok(Self(text.to_owned())),
            false => Err(MalformedExerciseId),
        }
    }
}

impl TryFrom<String> for ExerciseId {
    type Error = MalformedExerciseId;

    fn try_from(text: String) -> Result<Self, MalformedExerciseId> {
        text.parse()
    }
}

impl From<ExerciseId> for String {
    fn from(ExerciseId(text): ExerciseId) -> Self {
        text
    }
}

impl fmt::Display for ExerciseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The exercise and its version for which a session was created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExerciseVersion {
    /// Identifier of the exercise.
    pub id: ExerciseId,
    /// Number of the version.
    #[schema(minimum = 1)]
    pub version: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_stands_in_urls_and_file_names_as_it_is() {
        for text in ["a", "9", "Sum-of_two.v2", &"x".repeat(MAX_EXERCISE_ID_BYTES)] {
            assert_eq!(text.parse::<ExerciseId>().unwrap().as_str(), text);
        }
        for text in ["", ".", "..", "-a", "a b", "a/b", "é", "a\n", &"x".repeat(MAX_EXERCISE_ID_BYTES + 1)] {
            assert_eq!(text.parse::<ExerciseId>(), Err(MalformedExerciseId), "{text:?}");
            assert!(serde_json::from_value::<ExerciseId>(text.into()).is_err());
        }
    }
}
