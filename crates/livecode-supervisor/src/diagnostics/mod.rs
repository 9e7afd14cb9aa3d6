//! Finds the places of errors in what compilers and programs write to standard error, in sessions
//! that ask for them. What is found is data for editors: a program may print a false one, which
//! concerns its own session alone.
//!
//! | file | the lines that it knows |
//! | --- | --- |
//! | `compilers` | of GCC and Clang, `go build`, `javac`, `rustc` |
//! | `crashes` | of Python, Node.js, Go, Rust and Java, and a failed `assert` of C |
//! | `files` | which file of the session a line names |
//!
//! The cost is bounded: a line is looked at once, only its beginning is kept, and after
//! [`MAX_DIAGNOSTICS`] nothing is read any more.

mod compilers;
mod crashes;
mod diagnostic;
mod files;

use bytes::Bytes;
use livecode_protocol::{FileName, stream::ServerMessage};

use crate::diagnostics::{
    compilers::Compilers,
    crashes::Crashes,
    diagnostic::{Diagnostic, Place},
    files::SessionFiles,
};

/// The most diagnostics of one session. Further ones are not looked for.
const MAX_DIAGNOSTICS: usize = 100;
/// Bytes of a line that are looked at. The rest of a longer line is skipped.
const MAX_LINE_BYTES: usize = 4096;
/// The longest text of a diagnostic, in bytes. A longer one is cut.
const MAX_TEXT_BYTES: usize = 1000;

/// Reads the standard error of one session.
pub(crate) struct Diagnostics {
    files: SessionFiles,
    /// The beginning of the line that has not ended yet.
    line: Vec<u8>,
    compilers: Compilers,
    crashes: Crashes,
    found: Vec<Diagnostic>,
    /// How many diagnostics may still be found.
    left: usize,
}

impl Diagnostics {
    /// Looks for places in these files, the session's own.
    pub fn new<'n>(files: impl Iterator<Item = &'n FileName>) -> Self {
        Self {
            files: SessionFiles::new(files),
            line: vec![],
            compilers: Compilers::default(),
            crashes: Crashes::default(),
            found: vec![],
            left: MAX_DIAGNOSTICS,
        }
    }

    /// Reads what was written next. Returns the messages for what was found.
    pub fn read(&mut self, mut written: &[u8]) -> Vec<Bytes> {
        while self.left > 0 {
            let end = memchr::memchr(b'\n', written);
            let part = &written[..end.unwrap_or(written.len())];
            let room = MAX_LINE_BYTES - self.line.len();
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            let Some(end) = end else { break };
            self.end_line();
            written = &written[end + 1..];
        }
        self.take_messages()
    }

    /// Ends what was written. Returns the messages for what was found in the last lines.
    pub fn finish(&mut self) -> Vec<Bytes> {
        if !self.line.is_empty() {
            self.end_line();
        }
        self.found.extend(self.compilers.take_pending());
        self.take_messages()
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&line);
        let text = without_colours(text.trim_end_matches('\r'));
        self.compilers.read(&text, &self.files, &mut self.found);
        self.crashes.read(&text, &self.files, &mut self.found);
        self.line = line;
        self.line.clear(); // the memory is used for the next line
    }

    fn take_messages(&mut self) -> Vec<Bytes> {
        let mut found = std::mem::take(&mut self.found);
        found.truncate(self.left);
        self.left -= found.len();
        found.iter().filter_map(message).collect()
    }
}

fn message(diagnostic: &Diagnostic) -> Option<Bytes> {
    let Diagnostic { severity, place: Place { file, line, column }, text } = diagnostic;
    let mut end = text.len().min(MAX_TEXT_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let message = ServerMessage::Diagnostic {
        severity: *severity,
        file,
        line: *line,
        column: *column,
        message: &text[..end],
    };
    serde_json::to_vec(&message).ok().map(Bytes::from)
}

/// A line without the sequences by which a tool colours it (ECMA-48, `ESC [ … m`).
fn without_colours(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("\x1b[") {
        plain.push_str(&rest[..at]);
        let parameters = &rest[at + 2..];
        let end = parameters.find(|char: char| !(char.is_ascii_digit() || matches!(char, ';' | ':')));
        // Of another sequence, only its beginning is removed.
        let end = end.unwrap_or(parameters.len());
        rest = parameters[end..].strip_prefix(['m', 'K']).unwrap_or(&parameters[end..]);
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests;
