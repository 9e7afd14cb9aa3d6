//! The validated type for file names that clients send.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The name of a file of a session: a relative path that stays inside the working directory.
///
/// A value of this type can be joined to a directory and opened with `O_EXCL` without further
/// checks: it has no empty, `.` or `..` part, no control character, no part that a command would
/// take for an option, and its length and depth are bounded.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileName(String);

impl FileName {
    /// Maximum length of all parts together, in bytes.
    pub const MAX_BYTES: usize = 1024;
    /// Maximum length of one part, in bytes (`NAME_MAX` of Linux).
    pub const MAX_PART_BYTES: usize = 255;
    /// Maximum number of parts.
    pub const MAX_DEPTH: usize = 16;

    /// Makes a file name from a literal in the source.
    ///
    /// # Panics
    /// If the literal is not a valid file name.
    pub fn from_static(name: &'static str) -> Self {
        name.parse().expect("a file name in the source is valid")
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as a part of a URL's path: every byte but slashes and those that are unreserved
    /// there (RFC 3986, section 2.3) is percent-encoded.
    pub fn url_path(&self) -> String {
        let mut encoded = String::with_capacity(self.0.len());
        for byte in self.0.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                    encoded.push(byte.into());
                }
                _ => encoded.push_str(&format!("%{byte:02X}")),
            }
        }
        encoded
    }

    /// The folders that must exist before the file can be created, outermost first: `a` and `a/b`
    /// for `a/b/c`.
    pub fn parents(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('/').map(|(at, _)| &self.0[..at])
    }
}

/// Why a text is not a valid file name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFileName {
    /// The name or one of its parts is empty.
    #[error("a file name and each of its parts must not be empty")]
    Empty,
    /// The name is absolute or has a `.` or `..` part.
    #[error("a file name must stay inside the working directory: no leading '/', no '.' or '..' part")]
    OutsideFolder,
    /// The name contains a NUL, a newline or another control character.
    #[error("a file name must not hold control characters")]
    ControlCharacter,
    /// A part starts with a hyphen.
    #[error("no part of a file name may start with '-', which commands take for an option")]
    LooksLikeOption,
    /// The name is too long or has too many parts.
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
            return Err(BadFileName::OutsideFolder);
        }
        for part in text.split('/') {
            match part {
                "" => return Err(BadFileName::Empty),
                "." | ".." => return Err(BadFileName::OutsideFolder),
                _ if part.starts_with('-') => return Err(BadFileName::LooksLikeOption),
                _ if part.len() > Self::MAX_PART_BYTES => return Err(BadFileName::TooLong),
                _ if part.chars().any(char::is_control) => return Err(BadFileName::ControlCharacter),
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
    fn ordinary_names_are_accepted() {
        for name in ["main.py", "lib/deep/x.txt", ".hidden", "mit Leerzeichen.txt", "ünï.c", "a..b"] {
            assert_eq!(name.parse::<FileName>().unwrap().as_str(), name);
        }
        let deep: FileName = "a/b/c".parse().unwrap();
        assert_eq!(deep.parents().collect::<Vec<_>>(), ["a", "a/b"]);
    }

    #[test]
    fn dangerous_names_are_rejected() {
        use BadFileName::*;
        let long = "x".repeat(5000);
        let cases = [
            ("", Empty),
            ("a//b", Empty),
            ("a/", Empty),
            ("../x", OutsideFolder),
            ("/x", OutsideFolder),
            ("a/../../x", OutsideFolder),
            (".", OutsideFolder),
            ("./x", OutsideFolder),
            ("a\0b", ControlCharacter),
            ("a\nb", ControlCharacter),
            ("-rf", LooksLikeOption),
            ("a/-rf", LooksLikeOption),
            (&long, TooLong),
        ];
        for (name, why) in cases {
            assert_eq!(name.parse::<FileName>().unwrap_err(), why, "{name:?}");
        }
    }
}
