//! Result files: files that a session's program leaves for its clients.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{BadFileName, FileName};

/// The most patterns of one request.
pub const MAX_PATTERNS: usize = 32;
/// The most result files that any server allows one session.
pub const MAX_RESULT_FILES: u64 = 1000;
/// The most refused files that are told of one session. Of further ones only the fact is told that
/// there were more.
pub const MAX_REFUSED_FILES: usize = 100;

/// A pattern of file names: a [`FileName`] in whose parts `*` stands for any characters and `?` for
/// one. Neither stands for a `/`, nor for a dot at the beginning of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePattern(FileName);

impl FilePattern {
    /// The parts of the pattern, from the working directory on.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.as_str().split('/')
    }

    /// Whether the pattern stands for a file with this name.
    pub fn matches(&self, name: &FileName) -> bool {
        let (mut patterns, mut parts) = (self.parts(), name.as_str().split('/'));
        loop {
            match (patterns.next(), parts.next()) {
                (None, None) => return true,
                (Some(pattern), Some(part)) if part_matches(pattern, part) => {}
                _ => return false,
            }
        }
    }
}

/// Whether a part of a pattern stands for more than itself.
pub fn has_wildcard(part: &str) -> bool {
    part.contains(['*', '?'])
}

/// Whether a part of a pattern stands for a part of a name. The time is bounded by the product of
/// the two lengths.
pub fn part_matches(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let (mut pattern, mut rest) = (pattern.chars(), name.chars());
    // Where to go on if the characters after the last `*` do not match: the `*` then stands for one
    // character more.
    let mut retry = None;
    loop {
        let (mut next_pattern, mut next_rest) = (pattern.clone(), rest.clone());
        match (next_pattern.next(), next_rest.next()) {
            (None, None) => return true,
            (Some('*'), _) => {
                pattern = next_pattern.clone();
                retry = Some((next_pattern, rest.clone()));
            }
            (Some(wanted), Some(found)) if wanted == '?' || wanted == found => {
                (pattern, rest) = (next_pattern, next_rest);
            }
            _ => {
                let Some((after_star, longer)) = &mut retry else { return false };
                if longer.next().is_none() {
                    return false;
                }
                (pattern, rest) = (after_star.clone(), longer.clone());
            }
        }
    }
}

impl FromStr for FilePattern {
    type Err = BadFileName;

    fn from_str(text: &str) -> Result<Self, BadFileName> {
        text.parse().map(Self)
    }
}

impl fmt::Display for FilePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for FilePattern {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for FilePattern {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        FileName::deserialize(deserializer).map(Self)
    }
}

/// The files that are taken at the end of a session, as its run spec has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectSpec {
    /// The patterns of their names, relative to the working directory.
    pub patterns: Vec<FilePattern>,
    /// The most files that are taken.
    pub files_max: u64,
    /// The most bytes that are taken, of all files together.
    pub bytes_max: u64,
}

/// The result files of a session, as its folder has them. The contents stand in another file, one
/// after the other without anything between them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultManifest {
    /// The files, in the order in which their contents stand there.
    pub files: Vec<ResultFile>,
    /// The files that were not taken although their names matched.
    pub refused: Vec<RefusedFile>,
    /// Whether every file with a name that matched is among these.
    pub is_complete: bool,
}

/// A result file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultFile {
    /// Its path, relative to the working directory.
    pub name: FileName,
    /// Its length, in bytes.
    pub bytes: u64,
}

/// A file that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefusedFile {
    /// Its path, relative to the working directory. Bytes that are not UTF-8 are replaced, and a
    /// long path is cut.
    pub name: String,
    /// Why the file was not taken.
    pub reason: RefusalReason,
}

/// Why a file was not taken as a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RefusalReason {
    /// It is a link, a folder, a named pipe, a socket or a device.
    NotAFile,
    /// It has a second name (a hard link).
    HasTwoNames,
    /// Its name is not UTF-8, has control characters, is too long, or begins with a hyphen.
    InvalidName,
    /// The program has taken away the permission to read it.
    Unreadable,
    /// It has more bytes than are left of those that the session may leave.
    TooLarge,
    /// The session may leave no more files.
    TooMany,
    /// The server's disk is full or nearly full.
    DiskFull,
    /// Copying took too long.
    TooLate,
}

impl RefusalReason {
    const ALL: [Self; 8] = [
        Self::NotAFile,
        Self::HasTwoNames,
        Self::InvalidName,
        Self::Unreadable,
        Self::TooLarge,
        Self::TooMany,
        Self::DiskFull,
        Self::TooLate,
    ];

    /// The number of the reason, as init tells it to the supervisor.
    pub fn number(self) -> i32 {
        self as i32
    }

    /// The reason with this number.
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.number() == number)
    }
}

/// The answer to `GET /sessions/{id}/files`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = ResultFiles)]
pub struct ResultFilesDocument {
    /// The result files, by name.
    pub files: Vec<ResultFileDocument>,
    /// The first 100 files that were not taken although their names matched.
    pub refused: Vec<RefusedFile>,
    /// Whether every file with a name that matched is in one of the two lists. False before the end
    /// of the session, if there were more files than are looked at, and if the sandbox ended before
    /// its files could be taken.
    pub complete: bool,
}

/// A result file, as the list has it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = ResultFile)]
pub struct ResultFileDocument {
    /// Path of the file, relative to the working directory.
    #[schema(value_type = String, example = "plots/out.png")]
    pub name: FileName,
    /// Length of the file, in bytes.
    pub bytes: u64,
    /// URL of the file.
    #[schema(format = "uri")]
    pub link: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stand_for_characters_of_one_part() {
        let matches = |pattern: &str, name: &str| {
            pattern.parse::<FilePattern>().unwrap().matches(&name.parse().unwrap())
        };
        for (pattern, name) in [
            ("out.png", "out.png"),
            ("*.csv", "a.csv"),
            ("*", "a"),
            ("a*b*c", "abbc"),
            ("a*b*c", "abcbc"),
            ("?.txt", "é.txt"),
            ("plots/*.png", "plots/1.png"),
            ("*/*/x", "a/b/x"),
            (".*", ".hidden"),
            ("**", "a"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("*.csv", "a.csv.gz"),
            ("*.csv", "b/a.csv"),
            ("*", ".hidden"),
            ("?hidden", ".hidden"),
            ("a/*", "a"),
            ("*", "a/b"),
            ("a?", "a"),
            ("a*b", "ac"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn a_pattern_that_repeats_stars_takes_no_exponential_time() {
        assert!(!part_matches(&"a*".repeat(120), &"a".repeat(119)));
        assert!(!part_matches(&format!("{}b", "*a".repeat(100)), &"a".repeat(255)));
    }

    #[test]
    fn a_pattern_that_leads_outside_is_refused() {
        for pattern in ["../*", "/etc/*", "a/../*", "", "*/", "-*", "a\n*"] {
            assert!(pattern.parse::<FilePattern>().is_err(), "{pattern:?}");
        }
    }

    #[test]
    fn a_reason_is_known_by_its_number() {
        for reason in RefusalReason::ALL {
            assert_eq!(RefusalReason::from_number(reason.number()), Some(reason));
        }
        assert_eq!(RefusalReason::from_number(100), None);
    }
}
