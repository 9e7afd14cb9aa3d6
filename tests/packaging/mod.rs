//! The parts that operators install: the systemd units, the Debian package and the container image.

mod image;
mod machine;
mod package;
mod setup;
mod units;

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// The folder of the sources.
fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the sources exist")
}

/// Runs a script of the sources, and returns the last line that it prints.
pub fn script(name: &str, arguments: &[&str]) -> PathBuf {
    let output = Command::new(sources().join("scripts").join(name)).args(arguments).output();
    let printed = printed(output.unwrap_or_else(|error| panic!("scripts/{name}: {error}")));
    let line = printed.lines().last().unwrap_or_else(|| panic!("scripts/{name} prints nothing"));
    PathBuf::from(line)
}

/// The output of a command. Panics if the command has failed.
fn printed(output: Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}: {text}\n{errors}", output.status);
    text
}
