//! Times as text.

/// A time in UTC, with milliseconds (RFC 3339). `us` are microseconds since the epoch.
pub fn rfc3339(us: u64) -> String {
    let time = i64::try_from(us).ok().and_then(|us| jiff::Timestamp::from_microsecond(us).ok());
    time.map(|time| format!("{time:.3}")).unwrap_or_default()
}
