//! The examination of a server through its URL, and so through the proxies in front of it.
//!
//! Nothing is concluded from a proxy's configuration, which is not known here: a program is run,
//! and its output is read in each way that there is.

mod body_size;
mod health;
mod links;
mod outcome;
mod program;
mod remedies;
mod stream;
mod streams;
mod tried_sessions;

use std::{
    io::{self, Stdout, Write as _},
    process::ExitCode,
    sync::Arc,
};

use livecode_sandbox::doctor::{Finding, Verdict};
use serde_json::json;

use self::{
    outcome::Outcome,
    program::SILENCE,
    streams::{SILENT, Streams},
    tried_sessions::TriedSessions,
};
use super::report::{EXIT_CANNOT_RUN, Printer, exit_code, json_findings, overall_verdict};
use crate::{
    client::{ServerClient, print_note},
    failure::CommandFailure,
};

/// How a server is examined.
pub struct UrlExamination {
    /// The server.
    pub server: ServerClient,
    /// Whether the check that takes [`SILENCE`] is left out.
    pub is_quick: bool,
    /// Whether the findings are printed as JSON.
    pub json: bool,
}

impl UrlExamination {
    /// Examines the server, and prints the findings. The sessions that this creates are deleted.
    pub fn run(self) -> Result<ExitCode, CommandFailure> {
        let cannot_run = |error| CommandFailure { error, exit_code: EXIT_CANNOT_RUN };
        // A file of certificates or tokens that cannot be read is no finding about the server.
        self.server.tls_config().map_err(cannot_run)?;
        self.server.authorization().map_err(cannot_run)?;
        let sessions = Arc::new(TriedSessions::new(self.server.clone()));
        sessions.delete_on_signals()?;
        let printer = (!self.json).then(Printer::stdout);
        let mut report = Report { sessions: &sessions, printer, findings: vec![], not_tried: vec![] };
        let examined = self.examine(&mut report);
        sessions.delete_all();
        let can_run = examined?;
        if self.json {
            let document = json!({
                "verdict": overall_verdict(&report.findings, can_run),
                "url": self.server.url().to_string(),
                "findings": json_findings(&report.findings),
                "not_tried": report.not_tried.iter()
                    .map(|(name, why)| json!({"name": name, "why": why})).collect::<Vec<_>>(),
            });
            writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&document)?)?;
        }
        report.print_summary(can_run)?;
        Ok(ExitCode::from(exit_code(&report.findings, can_run)))
    }

    /// Makes all checks. Returns whether a program can be run.
    fn examine(&self, report: &mut Report<'_>) -> io::Result<bool> {
        let (outcomes, health) = health::check(&self.server);
        for outcome in outcomes {
            report.add(outcome)?;
        }
        let Some(health) = health else { return Ok(false) };
        let session = match program::start(&self.server, report.sessions) {
            Ok((session, outcome)) => {
                report.add(outcome)?;
                session
            }
            Err(outcome) => {
                report.add(outcome)?;
                return Ok(false);
            }
        };
        report.add(links::check(self.server.url(), &session))?;
        let mut streams = Streams::open(&self.server, session.id);
        report.add(streams.websocket())?;
        report.add(streams.streaming())?;
        report.add(body_size::check(&self.server, health.body_max_bytes))?;
        if self.is_quick {
            report.add(Outcome::not_tried(SILENT, "left out by --quick"))?;
        } else {
            let seconds = SILENCE.as_secs();
            print_note(format_args!("a program is silent for {seconds} s now; --quick leaves this out"));
            streams.await_last_lines();
            report.add(streams.silence())?;
        }
        Ok(true)
    }
}

/// The findings, printed as soon as there are some unless they are printed as JSON.
struct Report<'s> {
    sessions: &'s TriedSessions,
    printer: Option<Printer<Stdout>>,
    findings: Vec<Finding>,
    /// The names of findings that there are not, each with the reason.
    not_tried: Vec<(&'static str, String)>,
}

impl Report<'_> {
    fn add(&mut self, outcome: Outcome) -> io::Result<()> {
        self.sessions.yield_to_signal();
        match outcome {
            Outcome::Found(finding) => {
                if let Some(printer) = &mut self.printer {
                    printer.print(&finding)?;
                }
                self.findings.push(finding);
            }
            Outcome::NotTried { name, why } => {
                if let Some(printer) = &mut self.printer {
                    printer.print_not_tried(name, &why)?;
                }
                self.not_tried.push((name, why));
            }
        }
        Ok(())
    }

    fn print_summary(&mut self, can_run: bool) -> io::Result<()> {
        let imperfect = self.findings.iter().filter(|finding| finding.verdict != Verdict::Ok).count();
        let summary = match (can_run, imperfect, self.not_tried.is_empty()) {
            (false, ..) => "No program can be run through this URL.".to_owned(),
            (true, 0, true) => "Everything works through this URL.".to_owned(),
            (true, 0, false) => "Everything that was tried works through this URL.".to_owned(),
            (true, 1, _) => "Programs run through this URL, but one of these needs a change.".to_owned(),
            (true, ..) => format!("Programs run through this URL, but {imperfect} of these need a change."),
        };
        self.printer.as_mut().map_or(Ok(()), |printer| printer.print_summary(&summary))
    }
}
