//! `livecode run --cases`.

use super::{Shell, path, text};
use crate::common::Server;

#[test]
fn each_case_is_a_line_and_the_exit_status_tells_whether_all_have_passed() {
    let server = Server::start();
    let shell = Shell::new(&server);
    let program = shell.file("double.py", "print(int(input()) * 2)");
    let good = shell.file("good.json", r#"[{"name": "small", "stdin": "2", "expected": "4"}]"#);
    let bad = shell.file(
        "bad.json",
        r#"[{"stdin": "2", "expected": "5"}, {"stdin": "x"}, {"name": "third", "stdin": "1"}]"#,
    );
    // The times, which differ, stand in parentheses.
    let run = |arguments: &[&str]| {
        let output = shell.run(&[&["run"], arguments, &[path(&program)]].concat(), b"not for the cases");
        let lines: Vec<_> = text(&output.stdout)
            .lines()
            .map(|line| {
                line.split_once(" (").map_or(line.to_owned(), |(name, rest)| {
                    format!("{name}{}", rest.split_once(')').map_or("", |(_, why)| why))
                })
            })
            .collect();
        (lines, output.status.code(), text(&output.stderr))
    };
    let (lines, code, notes) = run(&["--cases", path(&good)]);
    assert_eq!(
        (lines, code, &*notes),
        (vec!["passed small".into(), "1 of 1 cases passed".into()], Some(0), "")
    );
    let (lines, code, _) = run(&["--cases", path(&bad)]);
    assert_eq!(lines[..2], ["failed 1: it has printed something else than expected", "  | 4"], "{lines:?}");
    assert_eq!(lines[2], "failed 2: it has ended with exit status 1");
    assert!(lines.iter().any(|line| line.starts_with("  | ValueError")), "{lines:?}");
    assert_eq!(lines[lines.len() - 2..], ["passed third", "1 of 3 cases passed"]);
    assert_eq!(code, Some(1));
    let (lines, code, _) = run(&["--cases", path(&bad), "--stop-on-first-failure"]);
    assert_eq!((&*lines[2], code), ("0 of 3 cases passed, 2 were not run", Some(1)));
    let (_, code, error) = run(&["--cases", path(&program)]);
    assert!(code == Some(2) && error.contains("double.py holds no list of cases"), "{code:?} {error}");
}
