//! The identifier of a session.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A session's identifier: 128 random bits, written as 32 lower-case hexadecimal digits.
///
/// An id must not be guessable, since everybody who knows the id of a session that was created by
/// another site's page may use the session. OWASP ASVS 7.2 asks for at least 128 bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId([u8; 16]);

impl SessionId {
    /// Length of the written form, in characters.
    pub const LENGTH: usize = 32;

    /// Makes an id from 16 bytes, which must come from a cryptographically secure random
    /// generator.
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The first twelve digits, for logs: they find the session, and do not suffice to use it.
    pub fn short(self) -> impl fmt::Display {
        ShortId(self)
    }
}

/// Displays the beginning of an id.
struct ShortId(SessionId);

impl fmt::Display for ShortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.0[..6].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A text that cannot be the id of any session.
#[derive(Debug, thiserror::Error)]
#[error("a session id is 32 lower-case hexadecimal digits")]
pub struct MalformedId;

impl FromStr for SessionId {
    type Err = MalformedId;

    fn from_str(text: &str) -> Result<Self, MalformedId> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'a'..=b'f' => Ok(byte - b'a' + 10),
            _ => Err(MalformedId),
        };
        if text.len() != Self::LENGTH {
            return Err(MalformedId);
        }
        let mut bytes = [0; 16];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for SessionId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SessionId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_written_form_parses_to_the_same_id() {
        let id = SessionId::from_random(*b"\x00\x01\xfe\xff0123456789ab");
        assert_eq!(id.to_string(), "0001feff303132333435363738396162");
        assert_eq!(id.to_string().parse::<SessionId>().unwrap(), id);
    }

    #[test]
    fn other_texts_are_rejected() {
        for text in
            ["", "d953d41febcc", "0001FEFF303132333435363738396162", "../../../../../../../etc/passwd/1"]
        {
            assert!(text.parse::<SessionId>().is_err(), "{text:?}");
        }
    }
}
