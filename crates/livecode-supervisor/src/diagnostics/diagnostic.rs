//! An error at a place of the program.

use livecode_protocol::stream::Severity;

/// A place in a file of the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The name of the file, as the request gave it.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1, as the tool counts it; `None` if it names none.
    pub column: Option<u32>,
}

/// An error at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether it is an error or a warning.
    pub severity: Severity,
    /// Where it is.
    pub place: Place,
    /// The text of the error.
    pub text: String,
}
