//! Shows that the suite can fail: without an isolation step, the rows that depend on it must fail.
//!
//! Only debug builds have the switch that removes a step. With a release binary the rows must
//! hold.

use std::process::ExitCode;

use crate::{attack::ADDITIONAL, fixture::Column, runner};

/// Isolation steps, and the rows that must fail without them. Some names stand for several steps
/// that back each other up.
const STEPS: [(&str, &[&str]); 10] = [
    ("seccomp", &["12", "13", "14", "15", "+13"]),
    ("landlock", &["+4"]),
    ("network", &["7", "18"]),
    ("ipc", &["18"]),
    ("pid", &["18", "22"]),
    ("cgroups", &["21", "24"]),
    ("limits", &["32", "33"]),
    ("privileges", &["15"]),
    ("masks", &["11", "+14"]),
    ("dumpable", &["10"]),
];

/// Runs the rows of each step without that step. Returns the rows with a wrong outcome.
pub fn run_steps(is_release: bool) -> Vec<String> {
    let column = Column::here();
    let mut wrong = vec![];
    for (step, rows) in STEPS {
        eprintln!("\nwithout {step}:");
        crate::common::set_server_environment(&[("LIVECODE_TEST_WITHOUT", step)]);
        let results = runner::run(&column, rows);
        if step == "ipc" {
            // The program has left its IPC objects on the machine itself.
            let marks = ["-M", "0x4c43", "-S", "0x4c43", "-Q", "0x4c43"];
            let _ = std::process::Command::new("ipcrm").args(marks).output();
        }
        for row in rows {
            let number: u16 = row.trim_start_matches('+').parse().expect("a row's number");
            let number = if row.starts_with('+') { number + ADDITIONAL } else { number };
            let failed =
                results.outcomes.iter().any(|outcome| outcome.row == number && outcome.word == "FAILS");
            if failed == is_release {
                wrong.push(format!("row {row} {} without {step}", if failed { "fails" } else { "holds" }));
            }
        }
    }
    wrong
}

/// Every row must fail with a debug build. It must hold with a release build, which has no switch.
pub fn run() -> ExitCode {
    let is_release = std::env::var_os("LIVECODE_ATTACKS_RELEASE").is_some();
    let wrong = run_steps(is_release);
    let what = if is_release { "the release build ignores the switch" } else { "the suite can fail" };
    if wrong.is_empty() {
        println!("\n{what}: {} steps removed, one at a time", STEPS.len());
        return ExitCode::SUCCESS;
    }
    println!("\nit was not shown that {what}:\n{}", wrong.join("\n"));
    ExitCode::FAILURE
}
