//! Why a credential was refused, for the operator. The caller is told nothing of it.

use std::{
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use crate::auth::bucket::{Bucket, Rate};

/// How many refusals are logged. The others are counted.
const LOG_RATE: Rate = Rate { burst: 30.0, per_s: 1.0 };
/// The longest text of a stranger in a reason, in characters.
const SHOWN_CHARS_MAX: usize = 100;

/// Why a credential was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It does not have the form of a token.
    #[error("it is not a token of LiveCode")]
    NoToken,
    /// No such token was made here.
    #[error("there is no such token")]
    UnknownToken,
    /// The token is not valid any more.
    #[error("the token {0} has expired or was revoked")]
    EndedToken(String),
    /// It is no ticket of this server, a ticket for something else, or an old one.
    #[error("the ticket was not made here or not for this stream, or has expired")]
    WrongTicket,
    /// It does not have the form of a share's secret.
    #[error("it is not the secret of a share")]
    NoShare,
    /// No such share was made here.
    #[error("there is no such share")]
    UnknownShare,
    /// The share is not valid any more.
    #[error("the share {0} has expired or was revoked")]
    EndedShare(String),
    /// A ticket was made for a user whom the server does not know in this way.
    #[error("the ticket is of another way to know users (auth), another issuer or an old key")]
    OtherWay,
    /// It does not have the form of a JWT.
    #[error("it is not a JWT ({0})")]
    NoJwt(&'static str),
    /// The header names an algorithm for which there is no key.
    #[error("its algorithm is {}, and the key is for {expected}", shown(algorithm))]
    WrongAlgorithm {
        /// The algorithm in the header.
        algorithm: String,
        /// The algorithm of the key.
        expected: &'static str,
    },
    /// The header names a key that does not exist.
    #[error("there is no key {}", shown(.0))]
    UnknownKey(String),
    /// The header names no key, and there are several.
    #[error("it does not say by which key it is signed (kid), and not exactly one key is for {}", shown(.0))]
    NoKey(String),
    /// The signature is wrong.
    #[error("its signature is wrong")]
    WrongSignature,
    /// A claim is wrong.
    #[error("its claim {claim} is wrong or missing: {}", shown(value))]
    WrongClaim {
        /// The claim.
        claim: &'static str,
        /// Its value as JSON.
        value: String,
    },
    /// It has expired.
    #[error("it has expired (exp)")]
    Expired,
    /// It is not yet valid.
    #[error("it is not yet valid (nbf)")]
    NotYetValid,
}

/// A text of a stranger, quoted and shortened.
fn shown(text: &str) -> String {
    let start: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    format!("{start:?}{}", if start.len() < text.len() { "…" } else { "" })
}

/// Logs refusals at a bounded rate.
#[derive(Debug)]
pub struct RefusalLog(Mutex<(Bucket, u64)>);

impl RefusalLog {
    /// A log into which nothing was written.
    pub fn new() -> Self {
        Self(Mutex::new((Bucket::new(LOG_RATE, Instant::now()), 0)))
    }

    /// Logs why a credential that came from `client` was refused.
    pub fn log(&self, refusal: &Refusal, client: Option<IpAddr>) {
        let Some(not_logged) = self.take(Instant::now()) else { return };
        let client = client.map(|address| address.to_string());
        tracing::info!(reason = %refusal, client, not_logged, "a token, ticket or link was refused");
    }

    /// How many refusals were not logged before this one; `None` if this one is not either.
    fn take(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.0.try_take(now) {
            return Some(std::mem::take(&mut state.1));
        }
        state.1 += 1;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_reason_has_no_control_characters_and_an_end() {
        let text = Refusal::UnknownKey(format!("\x1b[2J\n{}", "x".repeat(9000))).to_string();
        assert!(text.len() < 200 && !text.contains(char::is_control), "{text}");
    }

    #[test]
    fn what_is_not_logged_is_counted() {
        let (log, now) = (RefusalLog::new(), Instant::now());
        assert_eq!((0..100).filter_map(|_| log.take(now)).sum::<u64>(), 0);
        assert_eq!(log.take(now + Duration::from_secs(1)), Some(70));
    }
}
