//! What ARCHITECTURE.md says of the crates: who depends on whom, and where `unsafe` is.

use std::{fs, path::Path};

/// Each crate of ours, and those of ours that it may use.
const MAY_USE: [(&str, &[&str]); 6] = [
    ("livecode-protocol", &[]),
    ("livecode-journal", &[]),
    ("livecode-sandbox", &["livecode-protocol"]),
    ("livecode-supervisor", &["livecode-protocol", "livecode-journal", "livecode-sandbox"]),
    ("livecode-server", &["livecode-protocol", "livecode-journal"]),
    ("livecode", &["livecode-protocol", "livecode-sandbox", "livecode-server", "livecode-supervisor"]),
];

/// The sources, where they are at hand: the second run of these tests, as an ordinary user, is of the same binary.
fn crates() -> Option<std::path::PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    fs::read_dir(&folder).is_ok().then_some(folder)
}

fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push((path.display().to_string(), fs::read_to_string(&path).expect("text")));
        }
    }
}

#[test]
fn crates_use_only_what_they_may() {
    let Some(crates) = crates() else { return };
    for (name, may_use) in MAY_USE {
        let manifest = fs::read_to_string(crates.join(name).join("Cargo.toml")).expect("a manifest");
        for line in manifest.lines().filter(|line| line.starts_with("livecode") && line.contains("workspace"))
        {
            let used = line.split(['.', ' ']).next().expect("a name");
            assert!(may_use.contains(&used), "{name} must not use {used}");
        }
    }
}

#[test]
fn the_sandbox_alone_is_unsafe_and_files_are_short() {
    let Some(crates) = crates() else { return };
    let mut all = vec![];
    sources(&crates, &mut all);
    assert!(all.len() > 40, "{} files", all.len());
    for (path, text) in all {
        let is_unsafe = text.lines().any(|line| {
            let code = line.trim_start();
            !code.starts_with("//")
                && (code.contains("unsafe {") || code.contains("unsafe fn") || code.contains("unsafe impl"))
        });
        assert!(!is_unsafe || path.contains("livecode-sandbox/src/kernel/sys/"), "unsafe in {path}");
        assert!(text.lines().count() <= 600, "{path} is too long");
    }
}
