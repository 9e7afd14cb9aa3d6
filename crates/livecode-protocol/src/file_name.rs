//! The one checked type for names of files that come from outside.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The name of a file of a session: a relative path that stays inside the working directory.
///
/// A value of this type can be joined to a directory and written with `O_EXCL` without any further
/// check: it has no empty, `.` or `..` part, no control character, no part that a command would take
/// for an option, and bounded length and depth.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileName(String);

impl FileName {
    /// The longest name, in bytes, all parts together.
    pub const MAX_BYTES: usize = 1024;
    /// The longest single part, in bytes (`NAME_MAX` of Linux).
    pub const MAX_PART_BYTES: usize = 255;
    /// The deepest name, in parts.
    pub const MAX_DEPTH: usize = 16;

    /// A name that is written in the source.
    ///
    /// # Panics
    /// Where it is not one.
    pub fn from_static(name: &'static str) -> Self {
        name.parse().expect("a name in the source is well-formed")
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The folders that must exist before the file can, outermost first: `a`, `a/b` for `a/b/c`.
    pub fn parents(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('/').map(|(at, _)| &self.0[..at])
    }
}

/// Why a text cannot name a file of a session.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFileName {
    /// It is empty, or a part of it is.
    #[error("a file name and each of its parts must not be empty")]
    Empty,
    /// It is absolute or has a `.` or `..` part.
    #[error("a file name must stay inside the working directory: no leading '/', no '.' or '..' part")]
    Leaves,
    /// It holds a NUL, a newline or another control character.
    #[error("a file name must not hold control characters")]
    Control,
    /// A part starts with a hyphen.
    #[error("no part of a file name may start with '-', which commands take for an option")]
    Option,
    /// It is too long or too deep.
    #[error(
        "a file name has at most {} bytes, {} in one part, and {} parts",
        FileName::MAX_BYTES,
        FileName::MAX_PART_BYTES,
        FileName::MAX_DEPTH
    )]
    TooLong,
}

impl FromStr for FileName {
    type Err = BadFileName;

    fn from_str(text: &str) -> Result<Self, BadFileName> {
        if text.len() > Self::MAX_BYTES || text.split('/').count() > Self::MAX_DEPTH {
            return Err(BadFileName::TooLong);
        }
        if text.starts_with('/') {
            return Err(BadFileName::Leaves);
        }
        for part in text.split('/') {
            match part {
                "" => return Err(BadFileName::Empty),
                "." | ".." => return Err(BadFileName::Leaves),
                _ if part.starts_with('-') => return Err(BadFileName::Option),
                _ if part.len() > Self::MAX_PART_BYTES => return Err(BadFileName::TooLong),
                _ if part.chars().any(char::is_control) => return Err(BadFileName::Control),
                _ => {}
            }
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for FileName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for FileName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_pass() {
        for name in ["main.py", "lib/deep/x.txt", ".hidden", "mit Leerzeichen.txt", "ünï.c", "a..b"] {
            assert_eq!(name.parse::<FileName>().unwrap().as_str(), name);
        }
        let deep: FileName = "a/b/c".parse().unwrap();
        assert_eq!(deep.parents().collect::<Vec<_>>(), ["a", "a/b"]);
    }

    #[test]
    fn names_that_could_do_harm_do_not() {
        use BadFileName::*;
        let long = "x".repeat(5000);
        let cases = [
            ("", Empty),
            ("a//b", Empty),
            ("a/", Empty),
            ("../x", Leaves),
            ("/x", Leaves),
            ("a/../../x", Leaves),
            (".", Leaves),
            ("./x", Leaves),
            ("a\0b", Control),
            ("a\nb", Control),
            ("-rf", Option),
            ("a/-rf", Option),
            (&long, TooLong),
        ];
        for (name, why) in cases {
            assert_eq!(name.parse::<FileName>().unwrap_err(), why, "{name:?}");
        }
    }
}
