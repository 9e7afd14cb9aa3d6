//! Builds the crate `livecode-zygote` as a shared object, which turns an interpreter into a
//! zygote, so that it can be embedded in the binary. Cargo has no stable way to make one package's
//! shared object an input of another (artifact dependencies are unstable).

use std::{env, path::PathBuf, process::Command};

/// The crates that the shared object is built from, without their common prefix.
const CRATES: [&str; 5] = ["zygote", "supervisor", "sandbox", "journal", "protocol"];

fn main() {
    let variable =
        |name: &str| PathBuf::from(env::var_os(name).unwrap_or_else(|| panic!("cargo sets {name}")));
    let (manifest, out) = (variable("CARGO_MANIFEST_DIR"), variable("OUT_DIR"));
    for name in CRATES {
        println!("cargo:rerun-if-changed={}", manifest.join(format!("../livecode-{name}")).display());
    }
    println!("cargo:rerun-if-changed={}", manifest.join("../../Cargo.lock").display());

    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let profile = if is_release { "release" } else { "dev" };
    // The inner build needs a target folder of its own, since the outer cargo has locked the usual
    // one.
    let target = out.join("zygote");
    let status = Command::new(variable("CARGO"))
        .args(["build", "--locked", "--package", "livecode-zygote", "--profile", profile])
        .arg("--manifest-path")
        .arg(manifest.join("../livecode-zygote/Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .args(["--target", &env::var("TARGET").expect("cargo sets TARGET")])
        // The object is written into each data directory, and some of those are small.
        .env("CARGO_PROFILE_DEV_STRIP", "true")
        // Wrappers and flags of the outer build, e.g. clippy's, must not apply to the inner one.
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .status()
        .unwrap_or_else(|error| panic!("cannot run cargo: {error}"));
    assert!(status.success(), "the interpreter zygote could not be built: {status}");

    let folder = if is_release { "release" } else { "debug" };
    let built = target
        .join(env::var("TARGET").expect("cargo sets TARGET"))
        .join(folder)
        .join("liblivecode_zygote.so");
    std::fs::copy(&built, out.join("livecode_zygote.so"))
        .unwrap_or_else(|error| panic!("cannot copy {}: {error}", built.display()));
}
