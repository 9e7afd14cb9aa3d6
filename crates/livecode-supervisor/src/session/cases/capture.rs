//! The output of one case, which stands in no entry of its own.

use bytes::Bytes;
use livecode_journal::Kind;
use livecode_protocol::cases::{MAX_CASE_OUTPUT_BYTES, MAX_SHOWN_STDERR_BYTES, MAX_SHOWN_STDOUT_BYTES};

/// The output of a program so far.
pub(super) struct Capture {
    /// The whole standard output.
    pub stdout: Vec<u8>,
    /// The beginning of standard error: as much as is shown.
    stderr: Vec<u8>,
    has_more_stderr: bool,
    used_bytes: u64,
    max_bytes: u64,
    is_over_limit: bool,
}

/// The part of a case's output that its entry shows.
pub(super) struct Shown {
    pub stdout: String,
    pub stderr: String,
    /// Whether there was more of either.
    pub is_truncated: bool,
}

impl Capture {
    /// `output_bytes` is the session's limit of output.
    pub fn new(output_bytes: u64) -> Self {
        Self {
            stdout: vec![],
            stderr: vec![],
            has_more_stderr: false,
            used_bytes: 0,
            max_bytes: output_bytes.min(MAX_CASE_OUTPUT_BYTES),
            is_over_limit: false,
        }
    }

    /// Adds output. Returns `false`, once, when the limit is reached; all later output is dropped.
    pub fn add(&mut self, kind: Kind, data: &Bytes) -> bool {
        if self.is_over_limit {
            return true;
        }
        let room = usize::try_from(self.max_bytes - self.used_bytes).unwrap_or(usize::MAX);
        let taken = &data[..data.len().min(room)];
        self.used_bytes += taken.len() as u64;
        match kind {
            Kind::Stdout => self.stdout.extend(taken),
            Kind::Stderr => {
                let shown = &taken[..taken.len().min(MAX_SHOWN_STDERR_BYTES - self.stderr.len())];
                self.stderr.extend(shown);
                self.has_more_stderr |= shown.len() < taken.len();
            }
            Kind::Message | Kind::CompilerOutput | Kind::Exit => {}
        }
        self.is_over_limit = taken.len() < data.len();
        !self.is_over_limit
    }

    /// The part of it that is shown.
    pub fn shown(&self) -> Shown {
        let stdout = &self.stdout[..self.stdout.len().min(MAX_SHOWN_STDOUT_BYTES)];
        let is_truncated = stdout.len() < self.stdout.len() || self.has_more_stderr || self.is_over_limit;
        Shown { stdout: text(stdout), stderr: text(&self.stderr), is_truncated }
    }
}

/// Bytes as text. A character that was cut at the end is left out.
pub(super) fn text(bytes: &[u8]) -> String {
    let whole = match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => &bytes[..error.valid_up_to()],
        _ => bytes,
    };
    String::from_utf8_lossy(whole).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_told_once_and_nothing_is_taken_beyond_it() {
        let mut capture = Capture::new(5);
        assert!(capture.add(Kind::Stdout, &Bytes::from_static(b"abc")));
        assert!(capture.add(Kind::Message, &Bytes::from_static(b"{}")));
        assert!(!capture.add(Kind::Stdout, &Bytes::from_static(b"d")));
        assert!(capture.add(Kind::Stderr, &Bytes::from_static(b"e")));
        let Shown { stdout, stderr, is_truncated } = capture.shown();
        assert_eq!((&*stdout, &*stderr, is_truncated), ("abc", "", true));
    }

    #[test]
    fn no_character_is_cut() {
        let mut capture = Capture::new(u64::MAX);
        let printed = "é".repeat(MAX_SHOWN_STDOUT_BYTES);
        assert!(capture.add(Kind::Stdout, &Bytes::from(format!("a{printed}"))));
        assert!(capture.add(Kind::Stderr, &Bytes::from_static(b"\xff!")));
        let Shown { stdout, stderr, is_truncated } = capture.shown();
        assert!(stdout.len() == MAX_SHOWN_STDOUT_BYTES - 1 && stdout.ends_with('é') && is_truncated);
        assert_eq!(stderr, "\u{fffd}!");
        assert_eq!(capture.stdout.len(), printed.len() + 1);
    }
}
