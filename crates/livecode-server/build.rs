//! Compiles the small shared object that runtimes preload into C programs. The binary contains it,
//! and the server unpacks it.

use std::{env, path::Path, process::Command};

fn main() {
    let manifest_dir = env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let runtimes = Path::new(&manifest_dir).join("../../runtimes");
    println!("cargo:rerun-if-changed={}", runtimes.display());
    // The browser's files are part of the binary too.
    println!("cargo:rerun-if-changed={}", Path::new(&manifest_dir).join("../../web/dist").display());

    let object = Path::new(&env::var("OUT_DIR").expect("cargo sets OUT_DIR")).join("terminal.so");
    let source = runtimes.join("shared/terminal.c");
    let compiler = env::var("CC").unwrap_or_else(|_| "cc".into());
    let status = Command::new(&compiler)
        .args(["-shared", "-fPIC", "-O2", "-Wall", "-s", "-o"])
        .arg(object)
        .arg(source)
        .status()
        .unwrap_or_else(|error| panic!("cannot run the C compiler {compiler}: {error}"));
    assert!(status.success(), "the C compiler failed: {status}");
}
