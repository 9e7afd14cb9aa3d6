//! The results of cases, as lines for people.

use serde::Deserialize;

/// The longest time is shown with this many digits after the point.
const TIME_DIGITS: usize = 3;

/// A message `case` or `cases`.
#[derive(Deserialize)]
#[serde(tag = "msgtype", rename_all = "lowercase")]
enum Report {
    Case {
        name: String,
        passed: bool,
        outcome: String,
        /// Absent, as all that follows, if the case is hidden.
        exitstatus: Option<i32>,
        #[serde(default)]
        stdout: String,
        #[serde(default)]
        stderr: String,
        time_taken: Option<f64>,
        /// The checker's.
        reason: Option<String>,
    },
    Cases {
        passed: usize,
        failed: usize,
        #[serde(default)]
        skipped: usize,
    },
}

/// The lines for a message `case` or `cases`: whether the case has passed, and what it has printed
/// if not. A message in another form, of a later version, is returned as it is.
pub fn lines(message: &str) -> String {
    match serde_json::from_str(message) {
        Ok(Report::Case { name, passed: true, time_taken, .. }) => {
            format!("passed {name} ({})\n", time(time_taken))
        }
        Ok(Report::Case { name, outcome, exitstatus, stdout, stderr, time_taken, reason, .. }) => {
            let why = match (&*outcome, exitstatus) {
                ("exited", None) => "it has printed something else, or failed".to_owned(),
                ("exited", Some(0)) => {
                    reason.unwrap_or_else(|| "it has printed something else than expected".to_owned())
                }
                ("exited", Some(status)) => format!("it has ended with exit status {status}"),
                ("signalled", Some(status)) => {
                    format!("signal {} has ended it", status.saturating_sub(128))
                }
                ("checker_failed", _) => "the checker has decided nothing".to_owned(),
                _ => outcome,
            };
            let head = format!("failed {name} ({}): {why}\n", time(time_taken));
            head + &indented(&stdout) + &indented(&stderr)
        }
        Ok(Report::Cases { passed, failed, skipped: 0 }) => {
            format!("{passed} of {} cases passed\n", passed + failed)
        }
        Ok(Report::Cases { passed, failed, skipped }) => {
            let all = passed + failed + skipped;
            format!("{passed} of {all} cases passed, {skipped} were not run\n")
        }
        Err(_) => format!("{message}\n"),
    }
}

/// The time of a case, in seconds; that of a hidden one is not known.
fn time(time_taken: Option<f64>) -> String {
    time_taken.map_or_else(|| "hidden".to_owned(), |seconds| format!("{seconds:.TIME_DIGITS$} s"))
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  | {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_case_shows_why_and_what_was_printed() {
        let case = |rest: &str| {
            lines(&format!(r#"{{"msgtype":"case","name":"a","stdout":"1\n2","time_taken":0.5,{rest}}}"#))
        };
        assert_eq!(case(r#""passed":true,"outcome":"exited","exitstatus":0"#), "passed a (0.500 s)\n");
        for (rest, why) in [
            (r#""outcome":"exited","exitstatus":0"#, "it has printed something else than expected"),
            (r#""outcome":"exited","exitstatus":1"#, "it has ended with exit status 1"),
            (r#""outcome":"signalled","exitstatus":139"#, "signal 11 has ended it"),
            (r#""outcome":"timeout","exitstatus":124"#, "timeout"),
            (r#""outcome":"exited","exitstatus":0,"reason":"too long""#, "too long"),
            (r#""outcome":"checker_failed","exitstatus":0"#, "the checker has decided nothing"),
        ] {
            let shown = case(&format!(r#""passed":false,"stderr":"oh\n",{rest}"#));
            assert_eq!(shown, format!("failed a (0.500 s): {why}\n  | 1\n  | 2\n  | oh\n"));
        }
        assert_eq!(lines(r#"{"msgtype":"cases","passed":1,"failed":2}"#), "1 of 3 cases passed\n");
        assert_eq!(
            lines(r#"{"msgtype":"cases","passed":1,"failed":1,"skipped":2}"#),
            "1 of 4 cases passed, 2 were not run\n"
        );
        let hidden = |passed: bool, outcome: &str| {
            let fields = format!(r#""name":"a","hidden":true,"passed":{passed},"outcome":"{outcome}""#);
            lines(&format!(r#"{{"msgtype":"case",{fields}}}"#))
        };
        assert_eq!(hidden(true, "exited"), "passed a (hidden)\n");
        assert_eq!(hidden(false, "exited"), "failed a (hidden): it has printed something else, or failed\n");
        assert_eq!(hidden(false, "signalled"), "failed a (hidden): signalled\n");
        assert_eq!(lines(r#"{"msgtype":"case"}"#), "{\"msgtype\":\"case\"}\n");
    }
}
