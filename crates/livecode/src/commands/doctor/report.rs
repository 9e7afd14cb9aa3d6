//! Findings as they are printed, in lines and as JSON, and the exit status that they mean.

use std::io::{self, IsTerminal as _, Write};

use livecode_sandbox::doctor::{Finding, Verdict};
use serde_json::{Value, json};

/// Width of the column with the verdict, in characters, with the gap after it.
const VERDICT_WIDTH: usize = 10;
/// Width of the column with the finding's name, in characters, with the gap after it.
const NAME_WIDTH: usize = 20;
/// Smallest width at which lines are wrapped, in characters; a narrower terminal wraps them
/// itself.
const MIN_WIDTH: usize = 60;
/// Width that is assumed if the terminal does not report one, in characters.
const DEFAULT_WIDTH: usize = 80;

/// Exit code if every finding is in order.
pub const EXIT_OK: u8 = 0;
/// Exit code if programs can be run, but a finding is not in order.
pub const EXIT_IMPERFECT: u8 = 1;
/// Exit code if no program can be run.
pub const EXIT_CANNOT_RUN: u8 = 2;

/// The exit code for findings. `can_run` says whether a program can be run.
pub fn exit_code(findings: &[Finding], can_run: bool) -> u8 {
    match worst_verdict(findings) {
        _ if !can_run => EXIT_CANNOT_RUN,
        Verdict::Ok => EXIT_OK,
        _ => EXIT_IMPERFECT,
    }
}

/// The name of the overall verdict: nothing is missing altogether as long as a program can be run.
pub fn overall_verdict(findings: &[Finding], can_run: bool) -> &'static str {
    let verdict = if can_run { worst_verdict(findings).min(Verdict::Degraded) } else { Verdict::Missing };
    verdict_name(verdict)
}

fn worst_verdict(findings: &[Finding]) -> Verdict {
    findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Missing)
}

fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ok => "ok",
        Verdict::Degraded => "degraded",
        Verdict::Missing => "missing",
    }
}

/// Findings as a list in JSON.
pub fn json_findings(findings: &[Finding]) -> Value {
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
    findings.iter().map(finding).collect()
}

/// Prints findings one after the other.
pub struct Printer<W> {
    out: W,
    style: Style,
    /// The last finding whose remedies were printed.
    explained: Option<Finding>,
}

impl Printer<io::Stdout> {
    /// Prints on standard output.
    pub fn stdout() -> Self {
        let out = io::stdout();
        let is_terminal = out.is_terminal();
        let style = Style {
            has_colours: is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
            width: is_terminal.then(terminal_width),
        };
        Self { out, style, explained: None }
    }
}

impl<W: Write> Printer<W> {
    /// Prints one finding. Remedies that are those of the finding before are not repeated.
    ///
    /// # Errors
    /// If the output cannot be written to.
    pub fn print(&mut self, finding: &Finding) -> io::Result<()> {
        let before = self.explained.as_ref().filter(|before| before.remedies == finding.remedies);
        self.style.print(&mut self.out, finding, before.map(|before| before.name))?;
        if !finding.remedies.is_empty() && before.is_none() {
            self.explained = Some(finding.clone());
        }
        Ok(())
    }

    /// Prints a line about something that was not examined.
    ///
    /// # Errors
    /// If the output cannot be written to.
    pub fn print_not_tried(&mut self, name: &str, why: &str) -> io::Result<()> {
        write!(self.out, "{:VERDICT_WIDTH$}{name:NAME_WIDTH$}", "not tried")?;
        self.style.print_wrapped(&mut self.out, why, VERDICT_WIDTH + NAME_WIDTH)
    }

    /// Prints the sentence that sums the findings up.
    ///
    /// # Errors
    /// If the output cannot be written to.
    pub fn print_summary(&mut self, summary: &str) -> io::Result<()> {
        writeln!(self.out, "\n{summary}")
    }
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
            "degraded  memory              one two three four\n          do this:\n              a  long   command\n"
        );
        let narrow = printed(&Style { has_colours: true, width: Some(38) }, Verdict::Missing);
        let indent = " ".repeat(VERDICT_WIDTH + NAME_WIDTH);
        assert!(narrow.contains(&format!("one two\n{indent}three\n{indent}four\n")), "{narrow}");
        assert!(narrow.starts_with("\x1b[31mmissing   \x1b[0mmemory"), "{narrow:?}");
    }

    #[test]
    fn the_overall_verdict_depends_on_whether_a_program_runs() {
        let overall = |verdict, can_run| overall_verdict(&[finding(verdict)], can_run);
        assert_eq!(overall(Verdict::Ok, true), "ok");
        assert_eq!(overall(Verdict::Missing, true), "degraded");
        assert_eq!(overall(Verdict::Missing, false), "missing");
        let code = |verdict, can_run| exit_code(&[finding(verdict)], can_run);
        assert_eq!(
            [code(Verdict::Ok, true), code(Verdict::Missing, true), code(Verdict::Ok, false)],
            [EXIT_OK, EXIT_IMPERFECT, EXIT_CANNOT_RUN]
        );
    }
}
