//! The traces of programs that crash.

use livecode_protocol::stream::Severity;

use crate::diagnostics::{
    compilers::{caret_column, number, place_with_column},
    diagnostic::{Diagnostic, Place},
    files::SessionFiles,
};

/// The most lines of one trace that are read for its place.
const MAX_TRACE_LINES: u32 = 1000;
/// The same for a trace of Node.js, whose first line is like a line of many programs.
const MAX_NODE_LINES: u32 = 10;

/// Reads the lines of crashes.
#[derive(Default)]
pub(super) struct Crashes {
    trace: Option<Trace>,
    /// How many lines of the trace were read.
    lines: u32,
}

/// A trace of which not everything is known yet.
enum Trace {
    /// Python: the places come from the outermost call to the innermost, and then the text. The
    /// place is the innermost one in a file of the session.
    Python(Option<Place>),
    /// Node.js: a place, its source, a caret, and after an empty line the text.
    Node(Place),
    /// Rust: the text is the next line.
    Rust(Place),
    /// Go: the text, and then the places from the innermost call to the outermost.
    Go(String),
    /// Java: likewise.
    Java(String),
}

impl Crashes {
    /// Reads the next line.
    pub fn read(&mut self, line: &str, files: &SessionFiles, found: &mut Vec<Diagnostic>) {
        let max_lines =
            if matches!(self.trace, Some(Trace::Node(_))) { MAX_NODE_LINES } else { MAX_TRACE_LINES };
        let trace = self.trace.take().filter(|_| self.lines < max_lines);
        self.lines += 1;
        if let Some(trace) = trace {
            match trace.read(line, files) {
                Step::More(trace) => {
                    self.trace = Some(trace);
                    return;
                }
                Step::Found(diagnostic) => return found.push(diagnostic),
                Step::Over => {}
            }
        }
        found.extend(failed_assertion(line, files));
        self.trace = Trace::begin(line, files);
        self.lines = 0;
    }
}

/// How a trace goes on after a line.
enum Step {
    /// The trace is not complete.
    More(Trace),
    /// The trace is complete.
    Found(Diagnostic),
    /// The line is not of the trace.
    Over,
}

fn error(place: Place, text: &str) -> Diagnostic {
    Diagnostic { severity: Severity::Error, place, text: text.trim().to_owned() }
}

impl Trace {
    /// The trace that begins with a line, if one does.
    fn begin(line: &str, files: &SessionFiles) -> Option<Self> {
        if line == "Traceback (most recent call last):" {
            return Some(Self::Python(None));
        }
        // A syntax error of the program itself has no other place.
        if let Some(path_and_line) = python_place(line) {
            return Some(Self::Python(python_place_in(path_and_line, files)));
        }
        if let Some((_, place)) =
            line.split_once("' panicked at ").or_else(|| line.split_once(") panicked at "))
        {
            return place_with_column(place.strip_suffix(':')?, files).map(Self::Rust);
        }
        if (line.starts_with("panic: ") || line.starts_with("fatal error: ")) && files.has_go() {
            return Some(Self::Go(line.to_owned()));
        }
        if let Some(text) = java_exception(line) {
            return Some(Self::Java(text.to_owned()));
        }
        let (path, number_of_line) = line.rsplit_once(':')?;
        let (file, line) = (files.find(path)?, number(number_of_line)?);
        let is_script = [".js", ".mjs", ".cjs"].iter().any(|extension| file.ends_with(extension));
        is_script.then_some(Self::Node(Place { file, line, column: None }))
    }

    fn read(self, line: &str, files: &SessionFiles) -> Step {
        match self {
            Self::Python(place) => match (python_place(line), place) {
                (Some(found), place) => Step::More(Self::Python(python_place_in(found, files).or(place))),
                (None, place) if line.starts_with(' ') || line.is_empty() => Step::More(Self::Python(place)),
                (None, Some(place)) if is_python_exception(line) => Step::Found(error(place, line)),
                (None, _) => Step::Over,
            },
            Self::Node(mut place) => {
                if place.column.is_none() {
                    place.column = caret_column(line);
                    return Step::More(Self::Node(place));
                }
                match line.trim().is_empty() {
                    true => Step::More(Self::Node(place)),
                    false => Step::Found(error(place, line)),
                }
            }
            Self::Rust(place) => Step::Found(error(place, line)),
            Self::Go(text) => match go_place(line, files) {
                Some(place) => Step::Found(error(place, &text)),
                None => Step::More(Self::Go(text)),
            },
            Self::Java(text) => {
                if let Some(cause) = line.strip_prefix("Caused by: ") {
                    return Step::More(Self::Java(cause.to_owned()));
                }
                let Some(call) = line.trim_start().strip_prefix("at ") else { return Step::Over };
                match java_place(call, files) {
                    Some(place) => Step::Found(error(place, &text)),
                    None => Step::More(Self::Java(text)),
                }
            }
        }
    }
}

/// Parses `  File "path", line 3, in f`, as Python writes it, into the path and the number.
fn python_place(line: &str) -> Option<(&str, &str)> {
    let (path, rest) = line.strip_prefix("  File \"")?.rsplit_once("\", line ")?;
    Some((path, rest.split(',').next().unwrap_or(rest)))
}

fn python_place_in((path, line): (&str, &str), files: &SessionFiles) -> Option<Place> {
    Some(Place { file: files.find(path)?, line: number(line)?, column: None })
}

/// Whether a line is `module.Name: text` or the name alone, as Python ends a trace.
fn is_python_exception(line: &str) -> bool {
    let name = line.split(": ").next().unwrap_or(line).trim_end_matches(':');
    let is_name = |char: char| char.is_alphanumeric() || matches!(char, '_' | '.');
    name.starts_with(|first: char| first.is_alphabetic() || first == '_') && name.chars().all(is_name)
}

/// Parses a place of a goroutine: a tab, `path:3`, and perhaps an offset.
fn go_place(line: &str, files: &SessionFiles) -> Option<Place> {
    let place = line.strip_prefix('\t')?.split(" +0x").next()?;
    let (path, line) = place.rsplit_once(':')?;
    Some(Place { file: files.find(path)?, line: number(line)?, column: None })
}

/// The text of an exception of Java: after `Exception in thread "main"`, or a class in a package
/// whose name says what it is.
fn java_exception(line: &str) -> Option<&str> {
    if let Some(rest) = line.strip_prefix("Exception in thread \"") {
        return rest.split_once("\" ").map(|(_, text)| text);
    }
    let class = line.split(':').next().unwrap_or(line);
    let is_class = class.chars().all(|char| char.is_alphanumeric() || matches!(char, '.' | '_' | '$'));
    let is_exception = class.ends_with("Exception") || class.ends_with("Error");
    (is_class && is_exception && class.contains('.')).then_some(line)
}

/// Parses the call of a trace of Java: `Main.f(Main.java:3)`.
fn java_place(call: &str, files: &SessionFiles) -> Option<Place> {
    let (_, place) = call.trim_end().strip_suffix(')')?.rsplit_once('(')?;
    let (path, line) = place.rsplit_once(':')?;
    Some(Place { file: files.find_java(path)?, line: number(line)?, column: None })
}

/// Parses ``program: main.c:3: main: Assertion `x > 0' failed.``, as glibc writes it.
fn failed_assertion(line: &str, files: &SessionFiles) -> Option<Diagnostic> {
    let at = line.find("Assertion `")?;
    let place = line[..at].split(": ").find_map(|part| {
        let (path, line) = part.rsplit_once(':')?;
        Some(Place { file: files.find(path)?, line: number(line)?, column: None })
    })?;
    Some(error(place, &line[at..]))
}
