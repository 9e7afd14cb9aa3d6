//! The errors of compilers.

use livecode_protocol::stream::Severity;

use crate::diagnostics::{
    diagnostic::{Diagnostic, Place},
    files::SessionFiles,
};

/// Lines after an error of `javac` in which its column may be shown: the source, and a caret.
const CARET_LINES: u32 = 2;

/// Reads the lines of compilers.
#[derive(Default)]
pub(super) struct Compilers {
    /// The severity and text of an error of `rustc`, whose place is in the next line.
    rust_error: Option<(Severity, String)>,
    /// An error of `javac`, and how many of the next lines may show its column.
    java_error: Option<(Diagnostic, u32)>,
}

impl Compilers {
    /// Reads the next line.
    pub fn read(&mut self, line: &str, files: &SessionFiles, found: &mut Vec<Diagnostic>) {
        let next_java_error = java_error(line, files).map(|error| (error, CARET_LINES));
        if next_java_error.is_some() {
            found.extend(self.take_pending());
        }
        if let Some((mut error, lines_left)) = self.java_error.take() {
            error.place.column = caret_column(line);
            if error.place.column.is_none() && lines_left > 1 {
                self.java_error = Some((error, lines_left - 1));
                return; // the line is source, which is not searched
            }
            let has_column = error.place.column.is_some();
            found.push(error);
            if has_column {
                return;
            }
        }
        if let Some((severity, text)) = self.rust_error.take()
            && let Some(place) = line.trim_start().strip_prefix("--> ")
        {
            let diagnostic = |place| Diagnostic { severity, place, text };
            found.extend(place_with_column(place, files).map(diagnostic));
            return;
        }
        self.rust_error = rust_error(line);
        if let Some(diagnostic) = gnu_error(line, files) {
            found.push(diagnostic);
        } else {
            self.java_error = next_java_error;
        }
    }

    /// The error whose column may still have come.
    pub fn take_pending(&mut self) -> Option<Diagnostic> {
        self.java_error.take().map(|(error, _)| error)
    }
}

/// The column of a caret that stands alone in a line, as under a line of source.
pub(super) fn caret_column(line: &str) -> Option<u32> {
    let before = line.find('^')?;
    let is_alone = line[..before].trim().is_empty() && line[before..].trim_end().trim_matches('^').is_empty();
    let columns = line[..before].chars().count();
    u32::try_from(columns + 1).ok().filter(|_| is_alone)
}

/// Parses a number from 1, in digits alone.
pub(super) fn number(text: &str) -> Option<u32> {
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| is_digits && *number > 0)
}

/// Parses `path:line:column`.
pub(super) fn place_with_column(text: &str, files: &SessionFiles) -> Option<Place> {
    let (rest, column) = text.trim_end().rsplit_once(':')?;
    let (path, line) = rest.rsplit_once(':')?;
    let (line, column) = (number(line)?, Some(number(column)?));
    Some(Place { file: files.find(path)?, line, column })
}

/// Splits off what tells how severe an error is.
fn severity(text: &str) -> Option<(Severity, &str)> {
    const NAMES: [(&str, Severity); 3] =
        [("error: ", Severity::Error), ("fatal error: ", Severity::Error), ("warning: ", Severity::Warning)];
    NAMES.iter().find_map(|(name, severity)| Some((*severity, text.strip_prefix(name)?)))
}

/// Parses `path:line:column: error: text`, as GCC and Clang write it, or the same without `error`,
/// as Go does.
fn gnu_error(line: &str, files: &SessionFiles) -> Option<Diagnostic> {
    let (place, text) = line.split_once(": ")?;
    let place = place_with_column(place, files)?;
    match severity(text) {
        Some((severity, text)) => Some(Diagnostic { severity, place, text: text.to_owned() }),
        None if place.file.ends_with(".go") => {
            Some(Diagnostic { severity: Severity::Error, place, text: text.to_owned() })
        }
        None => None,
    }
}

/// Parses `path:line: error: text`, as `javac` writes it.
fn java_error(line: &str, files: &SessionFiles) -> Option<Diagnostic> {
    let (place, text) = line.split_once(": ")?;
    let (path, line) = place.rsplit_once(':')?;
    let (severity, text) = severity(text)?;
    let place = Place { file: files.find_java(path)?, line: number(line)?, column: None };
    Some(Diagnostic { severity, place, text: text.to_owned() })
}

/// Parses `error[E0425]: text`, as `rustc` writes it.
fn rust_error(line: &str) -> Option<(Severity, String)> {
    let (name, text) = line.split_once(": ")?;
    let name = name.split_once('[').map_or(name, |(name, code)| if code.ends_with(']') { name } else { "" });
    match name {
        "error" => Some((Severity::Error, text.to_owned())),
        "warning" => Some((Severity::Warning, text.to_owned())),
        _ => None,
    }
}
