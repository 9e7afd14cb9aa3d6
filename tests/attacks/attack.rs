//! One attack of the table, and how it can end.

use crate::fixture::Fixture;

/// Attacks that are not in the table of known attacks have row numbers above this.
pub const ADDITIONAL: u16 = 100;

/// One attack. A row of the table may have several.
pub struct Attack {
    pub row: u16,
    pub what: &'static str,
    pub method: Method,
}

/// An entry of the lists of attacks.
pub fn attack(row: u16, what: &'static str, method: Method) -> Attack {
    Attack { row, what, method }
}

/// How an attack is made.
pub enum Method {
    /// A Python program. It must print `held` and nothing else.
    Python(&'static str),
    /// A program of another runtime, with the same output: the runtime and the source.
    Program(&'static str, &'static str),
    /// A function that attacks from outside, or checks a program from outside. It panics if the
    /// attack succeeds.
    Check(fn(&Fixture) -> Verdict),
    /// Like `Check`, but no other attack runs meanwhile.
    CheckAlone(fn(&Fixture) -> Verdict),
}

/// How an attack that did not succeed has ended. A successful attack panics.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    Holds,
    /// The defence holds, with a measured value for the report.
    HoldsWith(String),
    /// The defence holds as far as is possible without cgroups.
    Degraded,
}

/// The label of a row: its number, or `+1`, `+2`, … for additional rows.
pub fn label(row: u16) -> String {
    if row > ADDITIONAL { format!("+{}", row - ADDITIONAL) } else { row.to_string() }
}
