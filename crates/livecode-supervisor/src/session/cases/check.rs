//! The checker of a session, a program of its author's that decides whether a case has passed. It
//! runs in a sandbox of its own, after the program of the case, which it never meets.

use std::io;

use livecode_protocol::{
    FileName,
    cases::{CHECKER_FILES, CaseOutcome, CheckerOutcome, Compare, MAX_REASON_BYTES},
    run_spec::{CaseSpec, CheckerSpec, Contents, RunFile, RunSpec, SandboxLayout},
    session::Outcome,
};

use crate::session::{
    cases::{
        capture::{Capture, text},
        sandbox_order::{SandboxOrder, Template},
    },
    folder::SessionFolder,
};

/// The maker of the sandboxes of a checker.
pub(super) struct Checker {
    template: Template,
    layout: SandboxLayout,
    wall_ms: u64,
    output_bytes: u64,
}

/// The decision of a checker.
pub(super) struct Verdict {
    pub passed: bool,
    /// The outcome of the case.
    pub outcome: CaseOutcome,
    /// The first line that the checker has printed, if any.
    pub reason: Option<String>,
}

impl Checker {
    /// Takes the checker's part from its spec, and the rest from the run spec of the session.
    ///
    /// # Errors
    /// If a file is malformed, which it never is in a run spec that a server has written.
    pub fn new(spec: CheckerSpec, session: &RunSpec) -> io::Result<Self> {
        let CheckerSpec { run, env, files, mounts, root, limits } = spec;
        let run_spec = RunSpec {
            compile: vec![],
            run,
            env,
            files,
            stdin: None,
            stored: None,
            mounts,
            root,
            limits,
            echo: false,
            diagnostics: false,
            cache: None,
            stages: false,
            collect: None,
            cases: None,
            ..session.clone()
        };
        Ok(Self {
            layout: run_spec.layout(),
            template: Template::new(&run_spec, None)?,
            wall_ms: limits.wall_ms,
            output_bytes: limits.output_bytes,
        })
    }

    /// The layout of its sandboxes.
    pub fn layout(&self) -> &SandboxLayout {
        &self.layout
    }

    /// A receiver for its output.
    pub fn capture(&self) -> Capture {
        Capture::new(self.output_bytes)
    }

    /// The order for the sandbox in which it checks what the program of a case has printed.
    ///
    /// # Errors
    /// If the files cannot be written.
    pub fn order_for(
        &mut self,
        case: &CaseSpec,
        printed: &[u8],
        folder: &SessionFolder,
    ) -> io::Result<SandboxOrder> {
        let expected = case.expected.clone().unwrap_or_default();
        let contents = [case.stdin.clone(), Contents::new(printed.to_vec()), Contents::Text(expected)];
        let files = CHECKER_FILES.into_iter().zip(contents);
        let files = files.map(|(name, contents)| RunFile { name: FileName::from_static(name), contents });
        let check = CaseSpec {
            name: String::new(),
            stdin: Contents::Text(String::new()),
            args: CHECKER_FILES.map(str::to_owned).to_vec(),
            files: files.collect(),
            expected: None,
            compare: Compare::default(),
            tolerance: 0.0,
            wall_ms: self.wall_ms,
            is_hidden: case.is_hidden,
        };
        self.template.order_for(&check, folder)
    }
}

impl Verdict {
    /// The verdict of a checker that has ended so, and has printed `printed`.
    pub fn of(outcome: Outcome, exitstatus: i32, printed: &Capture) -> Self {
        let (passed, outcome) = match (outcome, exitstatus) {
            (Outcome::Exited, 0) => (true, CaseOutcome::Program(Outcome::Exited)),
            (Outcome::Exited, 1) => (false, CaseOutcome::Program(Outcome::Exited)),
            _ => (false, CaseOutcome::Checker(CheckerOutcome::Failed)),
        };
        let line = printed.stdout.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let line = text(line[..line.len().min(MAX_REASON_BYTES)].trim_ascii_end());
        Self { passed, outcome, reason: Some(line).filter(|line| !line.is_empty()) }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use livecode_journal::Kind;

    use super::*;

    #[test]
    fn only_the_statuses_0_and_1_decide() {
        let verdict = |outcome, exitstatus, printed: &str| {
            let mut capture = Capture::new(u64::MAX);
            assert!(capture.add(Kind::Stdout, &Bytes::from(printed.to_owned())));
            let Verdict { passed, outcome, reason } = Verdict::of(outcome, exitstatus, &capture);
            (passed, serde_json::to_string(&outcome).unwrap(), reason)
        };
        let exited = || "\"exited\"".to_owned();
        let failed = || "\"checker_failed\"".to_owned();
        assert_eq!(verdict(Outcome::Exited, 0, ""), (true, exited(), None));
        assert_eq!(verdict(Outcome::Exited, 1, "no\r\nmore"), (false, exited(), Some("no".into())));
        assert_eq!(verdict(Outcome::Exited, 2, ""), (false, failed(), None));
        assert_eq!(verdict(Outcome::Signalled, 1, ""), (false, failed(), None));
        assert_eq!(verdict(Outcome::Timeout, 124, "\nx"), (false, failed(), None));
        let long = "é".repeat(MAX_REASON_BYTES);
        let (_, _, reason) = verdict(Outcome::Exited, 1, &long);
        assert_eq!(reason.unwrap(), "é".repeat(MAX_REASON_BYTES / 2));
    }
}
