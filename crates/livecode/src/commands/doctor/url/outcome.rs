//! The outcome of a check: a finding, or the reason why nothing was found out.

use anyhow::Error;
use livecode_protocol::Printable;
use livecode_sandbox::doctor::{Finding, Remedy, Verdict};

/// The outcome of a check.
pub enum Outcome {
    /// The check has shown something.
    Found(Finding),
    /// The check could show nothing.
    NotTried {
        /// The finding that there would be.
        name: &'static str,
        /// The reason.
        why: String,
    },
}

impl Outcome {
    /// A finding that is in order.
    pub fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self::found(name, Verdict::Ok, found.into(), vec![])
    }

    /// A finding that works, but not as well as it could.
    pub fn degraded(name: &'static str, found: impl Into<String>, remedies: Vec<Remedy>) -> Self {
        Self::found(name, Verdict::Degraded, found.into(), remedies)
    }

    /// A finding that does not work.
    pub fn missing(name: &'static str, found: impl Into<String>, remedies: Vec<Remedy>) -> Self {
        Self::found(name, Verdict::Missing, found.into(), remedies)
    }

    /// No finding.
    pub fn not_tried(name: &'static str, why: impl Into<String>) -> Self {
        Self::NotTried { name, why: printable(&why.into()) }
    }

    fn found(name: &'static str, verdict: Verdict, found: String, remedies: Vec<Remedy>) -> Self {
        Self::Found(Finding { name, verdict, found: printable(&found), remedies })
    }
}

/// The words of an error of the client, which names the flag of other commands for a server's URL.
pub fn words(error: &Error) -> String {
    format!("{error:#}").replace("--server ", "--url ")
}

/// The text with control characters escaped, since a part of it may come from any server.
fn printable(text: &str) -> String {
    Printable(text).to_string()
}
