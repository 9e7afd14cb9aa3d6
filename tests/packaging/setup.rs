//! `scripts/setup` asks for what is missing, and for nothing else.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

/// Runs `scripts/setup languages` as root would, where `tsc` has this version, without Rust.
/// Returns what it installs with npm.
fn modules_installed(tsc: &str) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder is created");
    let program = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("the program can be written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it may be executed");
    };
    let installed = folder.path().join("installed");
    program("tsc", tsc);
    program("npm", &format!("echo \"$@\" >> {}", installed.display()));
    program("apt-get", "");
    program("id", "echo 0");
    // When the tests run again as an ordinary user, the script is in the working directory.
    let copy = Path::new("scripts/setup");
    let script = if copy.exists() { copy.into() } else { super::sources().join("scripts/setup") };
    let mut setup = Command::new("/bin/bash");
    setup.arg(script).arg("languages");
    setup.env("PATH", format!("{}:/usr/bin:/bin", folder.path().display()));
    let output = setup.output().expect("the script starts");
    assert!(output.status.success(), "{output:?}");
    fs::read_to_string(installed).unwrap_or_default()
}

#[test]
fn an_old_typescript_is_replaced_and_rust_is_needed_only_to_build() {
    assert!(modules_installed("echo Version 4.8.4").contains("typescript@5"));
    assert!(modules_installed("exit 1").contains("typescript@5"));
    assert_eq!(modules_installed("echo Version 5.9.3"), "");
}
