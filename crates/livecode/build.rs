//! Builds the spawner a second time, as the shared object that makes a template of an interpreter, so that it can be part of the
//! binary. Cargo has no stable way to say that one package's shared object goes into another (its artifact dependencies).

use std::{env, path::PathBuf, process::Command};

/// What the object is made of.
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
    // A folder of its own: the cargo that runs this has locked the other.
    let target = out.join("zygote");
    let status = Command::new(variable("CARGO"))
        .args(["build", "--locked", "--package", "livecode-zygote", "--profile", profile])
        .arg("--manifest-path")
        .arg(manifest.join("../livecode-zygote/Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .args(["--target", &env::var("TARGET").expect("cargo sets TARGET")])
        // It is written into each data directory, some of which are small.
        .env("CARGO_PROFILE_DEV_STRIP", "true")
        // What wraps this build is not meant for that one.
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .status()
        .unwrap_or_else(|error| panic!("cannot run cargo: {error}"));
    assert!(status.success(), "the template could not be built: {status}");

    let folder = if is_release { "release" } else { "debug" };
    let built = target
        .join(env::var("TARGET").expect("cargo sets TARGET"))
        .join(folder)
        .join("liblivecode_zygote.so");
    std::fs::copy(&built, out.join("livecode_zygote.so"))
        .unwrap_or_else(|error| panic!("cannot copy {}: {error}", built.display()));
}
