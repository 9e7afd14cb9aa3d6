//! Completions and manual pages are accepted by the tools that read them.

use std::{fs, process::Command};

use crate::common::binary;

/// The output of `livecode` with these arguments.
fn livecode(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(binary()).args(arguments).output().expect("the binary starts");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn each_shell_accepts_its_completions() {
    let folder = tempfile::tempdir().expect("a temporary folder is created");
    for shell in ["bash", "zsh", "fish"] {
        let script = folder.path().join(shell);
        fs::write(&script, livecode(&["completions", shell])).expect("the file can be written");
        let checked = Command::new(shell).arg("-n").arg(&script).output().expect("the shell is installed");
        assert!(checked.status.success(), "{shell}: {}", String::from_utf8_lossy(&checked.stderr));
    }
    // The words that bash offers after `livecode at` are asked from bash itself.
    let script = folder.path().join("bash");
    let ask = "source \"$0\"; COMP_WORDS=(livecode at); COMP_CWORD=1; _livecode livecode at livecode; echo \"${COMPREPLY[@]}\"";
    let offered = Command::new("bash").arg("-c").arg(ask).arg(&script).output().expect("bash is installed");
    assert_eq!(String::from_utf8_lossy(&offered.stdout).trim(), "attach");
}

#[test]
fn the_manual_pages_are_well_formed() {
    let folder = tempfile::tempdir().expect("a temporary folder is created");
    livecode(&["man", folder.path().to_str().expect("a path in UTF-8")]);
    let mut pages: Vec<_> =
        fs::read_dir(folder.path()).expect("a folder").flatten().map(|entry| entry.path()).collect();
    pages.sort();
    let names: Vec<_> = pages.iter().filter_map(|page| page.file_name()?.to_str()).collect();
    for name in ["livecode.1", "livecode-run.1", "livecode-serve.1", "livecode-completions.1"] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    let checked = Command::new("mandoc").args(["-T", "lint", "-W", "error"]).args(&pages).output();
    let checked = checked.expect("mandoc is installed");
    let found = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success(), "{found}");
}
