//! Builds the crate `livecode-zygote`, the shared object that makes an interpreter a zygote, so
//! that it can be embedded in the binary. Cargo has no stable way to embed the shared object of
//! one package in another package (its artifact dependencies are unstable).

use std::{env, path::PathBuf, process::Command};

/// The crates that the shared object is built from.
const CRATES: [&str; 5] = ["zygote", "supervisor", "sandbox", "journal", "protocol"];

fn main() {
    let variable =
        |name: &str| PathBuf::from(env::var_os(name).unwrap_or_else(|| panic!("cargo sets {name}")));
    let (manifest_dir, out_dir) = (variable("CARGO_MANIFEST_DIR"), variable("OUT_DIR"));
    for name in CRATES {
        println!("cargo:rerun-if-changed={}", manifest_dir.join(format!("../livecode-{name}")).display());
    }
    println!("cargo:rerun-if-changed={}", manifest_dir.join("../../Cargo.lock").display());

    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let profile = if is_release { "release" } else { "dev" };
    // A target folder of its own, since the cargo that runs this script has locked its target
    // folder.
    let target_dir = out_dir.join("zygote");
    let status = Command::new(variable("CARGO"))
        .args(["build", "--locked", "--package", "livecode-zygote", "--profile", profile])
        .arg("--manifest-path")
        .arg(manifest_dir.join("../livecode-zygote/Cargo.toml"))
        .arg("--target-dir")
        .arg(&target_dir)
        .args(["--target", &env::var("TARGET").expect("cargo sets TARGET")])
        // The object is stripped because it is written into each data directory, and some are
        // small.
        .env("CARGO_PROFILE_DEV_STRIP", "true")
        // These are set for the build of the binary, and must not change the build of the object.
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .status()
        .unwrap_or_else(|error| panic!("cannot run cargo: {error}"));
    assert!(status.success(), "the shared object of the zygote could not be built: {status}");

    let profile_dir = if is_release { "release" } else { "debug" };
    let built = target_dir
        .join(env::var("TARGET").expect("cargo sets TARGET"))
        .join(profile_dir)
        .join("liblivecode_zygote.so");
    std::fs::copy(&built, out_dir.join("livecode_zygote.so"))
        .unwrap_or_else(|error| panic!("cannot copy {}: {error}", built.display()));
}
