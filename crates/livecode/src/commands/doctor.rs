//! `livecode doctor`.

use std::{
    collections::BTreeSet,
    io::{self, IsTerminal as _, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Args;
use livecode_sandbox::doctor::{DoctorReport, Finding, Remedy, Verdict, probe};
use livecode_server::catalogue::Catalogue;
use serde_json::{Value, json};

use crate::{client::print_status, failure::CommandFailure};

/// Width of the column with the verdict, in characters, with the gap after it.
const VERDICT_WIDTH: usize = 10;
/// Width of the column with the finding's name, in characters, with the gap after it.
const NAME_WIDTH: usize = 18;
/// Smallest width at which lines are wrapped, in characters; a narrower terminal wraps them
/// itself.
const MIN_WIDTH: usize = 60;
/// Width that is assumed if the terminal does not report one, in characters.
const DEFAULT_WIDTH: usize = 80;

/// Exit codes of the command.
const EXIT_ALL_ENFORCED: u8 = 0;
const EXIT_NOT_ALL_ENFORCED: u8 = 1;
const EXIT_CANNOT_RUN: u8 = 2;

/// Reports which parts of the sandbox this machine can enforce, and how to enable the others.
///
/// The command probes with the rights of the calling user: it creates namespaces, cgroups and a
/// sandbox, and removes them again. Exit status: 0 if everything is enforced, 1 if something is
/// not, 2 if no program can be run.
#[derive(Args)]
pub struct DoctorCommand {
    /// Print the findings as JSON.
    #[arg(long)]
    json: bool,
    /// Folder of additional runtimes, as for `livecode serve`. Their toolchains are examined, too.
    #[arg(long, value_name = "RUNTIMES_DIR")]
    runtimes_dir: Option<PathBuf>,
}

impl DoctorCommand {
    pub fn run(self) -> Result<ExitCode, CommandFailure> {
        let failed = |error: anyhow::Error| CommandFailure { error, exit_code: EXIT_CANNOT_RUN };
        let staging = tempfile::tempdir().context("cannot create a temporary folder").map_err(failed)?;
        let runtimes_dir =
            self.runtimes_dir.or_else(|| std::env::var_os("LIVECODE_RUNTIMES_DIR").map(PathBuf::from));
        let toolchains = toolchains(runtimes_dir.as_deref()).map_err(failed)?;
        let mut report = probe(staging.path().to_owned(), toolchains);
        report.findings.push(local_user());
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&json_document(&report))?)?;
        } else {
            let is_terminal = out.is_terminal();
            let style = Style {
                has_colours: is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
                width: is_terminal.then(terminal_width),
            };
            // The last finding whose remedies were printed.
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
        Ok(ExitCode::from(match worst_verdict(&report) {
            _ if !report.can_run => EXIT_CANNOT_RUN,
            Verdict::Ok => EXIT_ALL_ENFORCED,
            _ => EXIT_NOT_ALL_ENFORCED,
        }))
    }
}

/// The folders of the machine that the sandboxes of some runtime have, besides those that all
/// have.
fn toolchains(runtimes_dir: Option<&Path>) -> anyhow::Result<Vec<PathBuf>> {
    let unpacked = tempfile::tempdir().context("cannot create a temporary folder")?;
    let catalogue = Catalogue::load(unpacked.path(), runtimes_dir).context("cannot read the runtimes")?;
    for warning in catalogue.warnings() {
        print_status(format_args!("{warning}"));
    }
    let sources = catalogue.iter().flat_map(|runtime| &runtime.mounts).map(|mount| mount.source.clone());
    let sources: BTreeSet<PathBuf> = sources.filter(|source| !source.starts_with(unpacked.path())).collect();
    Ok(sources.into_iter().collect())
}

/// Whether a server could know its local user (`livecode_server::auth`).
fn local_user() -> Finding {
    let name = "local user";
    let Err(error) = livecode_server::auth::try_peer_users() else {
        let found = "the kernel tells to which user a connection from this machine belongs".to_owned();
        return Finding { name, verdict: Verdict::Ok, found, remedies: vec![] };
    };
    let remedy = |what: &str, command: Option<&str>| Remedy {
        what: what.to_owned(),
        command: command.map(str::to_owned),
    };
    Finding {
        name,
        verdict: Verdict::Degraded,
        found: format!(
            "nobody: the kernel does not tell to which user a connection from this machine belongs: {error}"
        ),
        remedies: vec![
            remedy("the kernel's module tcp_diag answers this; load it", Some("sudo modprobe tcp_diag")),
            remedy(
                "or, where everybody who reaches the server may use all sessions",
                Some("livecode serve --local-user all"),
            ),
        ],
    }
}

fn worst_verdict(report: &DoctorReport) -> Verdict {
    report.findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Missing)
}

fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ok => "ok",
        Verdict::Degraded => "degraded",
        Verdict::Missing => "missing",
    }
}

fn summary(report: &DoctorReport) -> String {
    let imperfect = report.findings.iter().filter(|finding| finding.verdict != Verdict::Ok).count();
    if !report.can_run {
        "No program can be run here: `livecode serve` will not start.".into()
    } else if imperfect == 0 {
        "Everything is enforced.".into()
    } else if report.degraded.is_empty() {
        format!("All limits are enforced; {imperfect} of these could be better.")
    } else {
        "Programs run here, but not all limits are enforced: `livecode serve` listens only on loopback, unless it is \
         started with --allow-degraded."
            .into()
    }
}

/// The report as the JSON document that `--json` prints.
fn json_document(report: &DoctorReport) -> Value {
    let finding = |finding: &Finding| {
        let remedies = finding.remedies.iter().map(|remedy| match &remedy.command {
            Some(command) => json!({"what": remedy.what, "command": command}),
            None => json!({"what": remedy.what}),
        });
        json!({
            "name": finding.name,
            "verdict": verdict_name(finding.verdict),
            "found": finding.found,
            "remedies": remedies.collect::<Vec<_>>(),
        })
    };
    json!({
        "verdict": if report.can_run { verdict_name(worst_verdict(report).min(Verdict::Degraded)) } else { verdict_name(Verdict::Missing) },
        "degraded": report.degraded,
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
    })
}

/// How lines are printed: in a pipe without colours and without line breaks.
struct Style {
    /// Whether the verdict and the commands are coloured.
    has_colours: bool,
    /// Width at which lines are wrapped, in characters; `None` if they are not wrapped.
    width: Option<usize>,
}

impl Style {
    /// Prints one finding. `same_as` names an earlier finding with the same remedies, which are
    /// then not repeated.
    fn print(&self, out: &mut impl Write, finding: &Finding, same_as: Option<&str>) -> io::Result<()> {
        let colour = match finding.verdict {
            Verdict::Ok => "\x1b[32m",
            Verdict::Degraded => "\x1b[33m",
            Verdict::Missing => "\x1b[31m",
        };
        let (on, off) = if self.has_colours { (colour, "\x1b[0m") } else { ("", "") };
        let verdict = verdict_name(finding.verdict);
        write!(out, "{on}{verdict:VERDICT_WIDTH$}{off}{:NAME_WIDTH$}", finding.name)?;
        self.print_wrapped(out, &finding.found, VERDICT_WIDTH + NAME_WIDTH)?;
        if let Some(name) = same_as {
            return writeln!(out, "{:VERDICT_WIDTH$}the remedy is the same as for {name} above", "");
        }
        for remedy in &finding.remedies {
            let colon = if remedy.command.is_some() { ":" } else { "" };
            write!(out, "{:VERDICT_WIDTH$}", "")?;
            self.print_wrapped(out, &format!("{}{colon}", remedy.what), VERDICT_WIDTH)?;
            if let Some(command) = &remedy.command {
                // The command is not wrapped, so that it can be copied.
                let (on, off) = if self.has_colours { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
                writeln!(out, "{:VERDICT_WIDTH$}    {on}{command}{off}", "")?;
            }
        }
        Ok(())
    }

    /// Prints text whose first line starts in column `indent`, wraps it at the terminal's width,
    /// and indents further lines to the same column.
    fn print_wrapped(&self, out: &mut impl Write, text: &str, indent: usize) -> io::Result<()> {
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

/// Width of the terminal on standard output, in characters, at least [`MIN_WIDTH`].
fn terminal_width() -> usize {
    let columns = rustix::termios::tcgetwinsize(io::stdout()).map_or(0, |size| usize::from(size.ws_col));
    if columns == 0 { DEFAULT_WIDTH } else { columns.max(MIN_WIDTH) }
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
    fn lines_are_plain_in_a_pipe_and_wrapped_on_a_terminal() {
        let plain = printed(&Style { has_colours: false, width: None }, Verdict::Degraded);
        assert_eq!(
            plain,
            "degraded  memory            one two three four\n          do this:\n              a  long   command\n"
        );
        let narrow = printed(&Style { has_colours: true, width: Some(36) }, Verdict::Missing);
        let indent = " ".repeat(VERDICT_WIDTH + NAME_WIDTH);
        assert!(narrow.contains(&format!("one two\n{indent}three\n{indent}four\n")), "{narrow}");
        assert!(narrow.starts_with("\x1b[31mmissing   \x1b[0mmemory"), "{narrow:?}");
    }

    #[test]
    fn the_document_contains_the_overall_verdict() {
        let report =
            |verdict, can_run| DoctorReport { findings: vec![finding(verdict)], can_run, degraded: vec![] };
        assert_eq!(json_document(&report(Verdict::Ok, true))["verdict"], "ok");
        assert_eq!(json_document(&report(Verdict::Missing, true))["verdict"], "degraded");
        assert_eq!(json_document(&report(Verdict::Missing, false))["verdict"], "missing");
    }
}
