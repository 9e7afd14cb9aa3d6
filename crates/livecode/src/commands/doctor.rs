//! `livecode doctor`.

use std::{
    io::{self, IsTerminal as _, Write},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Args;
use livecode_sandbox::doctor::{DoctorReport, Finding, Verdict, probe};
use serde_json::{Value, json};

use crate::Failure;

/// Columns of the verdict and of the name, with the gaps after them.
const MARGIN: usize = 10;
const NAMES: usize = 18;
/// Lines are not broken narrower than this.
const MIN_WIDTH: usize = 60;

/// Says what of the sandbox this machine can enforce, and what to do where it cannot.
///
/// Looks as the user who calls it, by making namespaces, groups and a sandbox of its own, all of which it removes again.
/// Exit status: 0 where all is enforced, 1 where something is not, 2 where no program can be run.
#[derive(Args)]
pub struct Doctor {
    /// Print what was found as JSON.
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub fn run(self) -> Result<ExitCode, Failure> {
        let failed = |error: anyhow::Error| Failure { error, code: 2 };
        let staging = tempfile::tempdir().context("there is no temporary folder").map_err(failed)?;
        let report = probe(staging.path().to_owned());
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&document(&report))?)?;
        } else {
            let is_terminal = out.is_terminal();
            let style = Style {
                has_colours: is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
                width: is_terminal.then(terminal_width),
            };
            let mut explained: Option<&Finding> = None;
            for finding in &report.findings {
                let before = explained.filter(|before| before.remedies == finding.remedies);
                style.print(&mut out, finding, before.map(|before| before.name))?;
                if !finding.remedies.is_empty() && before.is_none() {
                    explained = Some(finding);
                }
            }
            writeln!(out, "\n{}", summary(&report))?;
        }
        Ok(ExitCode::from(match worst(&report) {
            _ if !report.can_run => 2,
            Verdict::Ok => 0,
            _ => 1,
        }))
    }
}

fn worst(report: &DoctorReport) -> Verdict {
    report.findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Missing)
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ok => "ok",
        Verdict::Degraded => "degraded",
        Verdict::Missing => "missing",
    }
}

fn summary(report: &DoctorReport) -> String {
    let short = report.findings.iter().filter(|finding| finding.verdict != Verdict::Ok).count();
    if !report.can_run {
        "No program can be run here: `livecode serve` will not start.".into()
    } else if short == 0 {
        "All is enforced.".into()
    } else if report.degraded.is_empty() {
        format!("All limits are enforced; {short} of these could be better.")
    } else {
        "Programs run here, but not all limits are enforced: `livecode serve` listens on loopback only, unless it is told \
         --allow-degraded."
            .into()
    }
}

fn document(report: &DoctorReport) -> Value {
    let finding = |finding: &Finding| {
        let remedies = finding.remedies.iter().map(|remedy| match &remedy.command {
            Some(command) => json!({"what": remedy.what, "command": command}),
            None => json!({"what": remedy.what}),
        });
        json!({
            "name": finding.name,
            "verdict": word(finding.verdict),
            "found": finding.found,
            "remedies": remedies.collect::<Vec<_>>(),
        })
    };
    json!({
        "verdict": if report.can_run { word(worst(report).min(Verdict::Degraded)) } else { word(Verdict::Missing) },
        "degraded": report.degraded,
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
    })
}

/// How lines look: plain and unbroken in a pipe.
struct Style {
    has_colours: bool,
    width: Option<usize>,
}

impl Style {
    /// `as_for` names a finding before it that the same helps.
    fn print(&self, out: &mut impl Write, finding: &Finding, as_for: Option<&str>) -> io::Result<()> {
        let colour = match finding.verdict {
            Verdict::Ok => "\x1b[32m",
            Verdict::Degraded => "\x1b[33m",
            Verdict::Missing => "\x1b[31m",
        };
        let (on, off) = if self.has_colours { (colour, "\x1b[0m") } else { ("", "") };
        let verdict = word(finding.verdict);
        write!(out, "{on}{verdict:MARGIN$}{off}{:NAMES$}", finding.name)?;
        self.text(out, &finding.found, MARGIN + NAMES)?;
        if let Some(name) = as_for {
            return writeln!(out, "{:MARGIN$}as for {name}, above", "");
        }
        for remedy in &finding.remedies {
            let colon = if remedy.command.is_some() { ":" } else { "" };
            write!(out, "{:MARGIN$}", "")?;
            self.text(out, &format!("{}{colon}", remedy.what), MARGIN)?;
            if let Some(command) = &remedy.command {
                // Unbroken, to be copied.
                let (on, off) = if self.has_colours { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
                writeln!(out, "{:MARGIN$}    {on}{command}{off}", "")?;
            }
        }
        Ok(())
    }

    /// Prints words from the column `indent` on, in as many lines as the terminal needs.
    fn text(&self, out: &mut impl Write, text: &str, indent: usize) -> io::Result<()> {
        let Some(width) = self.width else { return writeln!(out, "{text}") };
        let mut column = indent;
        for (at, word) in text.split(' ').enumerate() {
            let length = word.chars().count();
            if at > 0 && column + 1 + length > width {
                write!(out, "\n{:indent$}", "")?;
                column = indent;
            } else if at > 0 {
                write!(out, " ")?;
                column += 1;
            }
            write!(out, "{word}")?;
            column += length;
        }
        writeln!(out)
    }
}

fn terminal_width() -> usize {
    let columns = rustix::termios::tcgetwinsize(io::stdout()).map_or(0, |size| usize::from(size.ws_col));
    if columns == 0 { 80 } else { columns.max(MIN_WIDTH) }
}

#[cfg(test)]
mod tests {
    use livecode_sandbox::doctor::Remedy;

    use super::*;

    fn finding(verdict: Verdict) -> Finding {
        let remedy = Remedy { what: "do this".into(), command: Some("a  long   command".into()) };
        Finding { name: "memory", verdict, found: "one two three four".into(), remedies: vec![remedy] }
    }

    fn printed(style: &Style, verdict: Verdict) -> String {
        let mut out = vec![];
        style.print(&mut out, &finding(verdict), None).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_pipe_gets_plain_lines_and_a_terminal_broken_ones() {
        let plain = printed(&Style { has_colours: false, width: None }, Verdict::Degraded);
        assert_eq!(
            plain,
            "degraded  memory            one two three four\n          do this:\n              a  long   command\n"
        );
        let narrow = printed(&Style { has_colours: true, width: Some(36) }, Verdict::Missing);
        let indent = " ".repeat(MARGIN + NAMES);
        assert!(narrow.contains(&format!("one two\n{indent}three\n{indent}four\n")), "{narrow}");
        assert!(narrow.starts_with("\x1b[31mmissing   \x1b[0mmemory"), "{narrow:?}");
    }

    #[test]
    fn the_document_says_how_bad_it_is() {
        let report =
            |verdict, can_run| DoctorReport { findings: vec![finding(verdict)], can_run, degraded: vec![] };
        assert_eq!(document(&report(Verdict::Ok, true))["verdict"], "ok");
        assert_eq!(document(&report(Verdict::Missing, true))["verdict"], "degraded");
        assert_eq!(document(&report(Verdict::Missing, false))["verdict"], "missing");
    }
}
