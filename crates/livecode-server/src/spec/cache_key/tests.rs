use livecode_protocol::{
    SessionId,
    run_spec::{SessionLimits, Step, StepLimits},
};

use super::*;

fn run_spec(toolchain: &Path) -> RunSpec {
    let limits = StepLimits { cpu_ms: 1, memory_bytes: 1, processes: 1 };
    let step = |words: &[&str]| Step { argv: words.iter().map(|word| (*word).to_owned()).collect(), limits };
    RunSpec {
        id: SessionId::from_random([7; 16]),
        slot: 1,
        compile: vec![step(&["cc", "-o", "/tmp/program", "main.c"])],
        run: step(&["/tmp/program", "argument"]),
        env: vec![("LANG".into(), "C".into()), ("PATH".into(), "/opt/cc/bin:/usr/bin".into())],
        files: vec![RunFile { name: "main.c".parse().unwrap(), contents: Contents::Text("x".into()) }],
        stdin: None,
        stored: None,
        mounts: vec![
            Mount { source: toolchain.to_owned(), target: "/opt/cc".into() },
            Mount { source: toolchain.join("runtimes"), target: OPERATOR_RUNTIMES.into() },
        ],
        root: None,
        limits: SessionLimits {
            wall_ms: 1,
            output_bytes: 1,
            disk_bytes: 1,
            disk_files: 1,
            cpu_millicores: 1,
            idle_ms: None,
            disk_reserve_bytes: None,
        },
        echo: false,
        diagnostics: false,
        cache: None,
        stages: false,
        collect: None,
        cases: None,
    }
}

fn inputs() -> CacheKeyInputs {
    CacheKeyInputs {
        runtime: "c".into(),
        artefacts: vec!["/tmp/program".into()],
        requires: vec!["cc".into()],
        search_path: "/opt/cc/bin:/usr/bin".into(),
    }
}

#[test]
fn every_input_of_the_compiler_changes_the_key() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("bin")).unwrap();
    fs::create_dir_all(folder.path().join("runtimes/c")).unwrap();
    let compiler = folder.path().join("bin/cc");
    fs::write(&compiler, "1").unwrap();
    let first = run_spec(folder.path());
    let key_of = |run_spec: &RunSpec| inputs().key(&Owner::Local, run_spec).unwrap();
    let key = key_of(&first);
    assert_eq!(key.len(), 64);
    assert_eq!(key_of(&first), key);

    type Change = fn(&mut RunSpec);
    let changes: [Change; 8] = [
        |run_spec| run_spec.files[0].contents = Contents::Text("y".into()),
        |run_spec| run_spec.files[0].contents = Contents::Base64("x".into()),
        |run_spec| run_spec.files[0].name = "other.c".parse().unwrap(),
        |run_spec| {
            run_spec.files.push(RunFile { name: "a.h".parse().unwrap(), contents: Contents::Text("".into()) })
        },
        |run_spec| run_spec.compile[0].argv.insert(1, "-O2".into()),
        |run_spec| run_spec.env[0].1 = "en".into(),
        |run_spec| run_spec.compile.push(run_spec.compile[0].clone()),
        |run_spec| run_spec.limits.disk_bytes = 2,
    ];
    let mut keys = vec![key.clone()];
    for change in changes {
        let mut changed = first.clone();
        change(&mut changed);
        keys.push(key_of(&changed));
    }
    keys.push(inputs().key(&Owner::Guest("a".into()), &first).unwrap());
    keys.push(CacheKeyInputs { runtime: "cpp".into(), ..inputs() }.key(&Owner::Local, &first).unwrap());
    keys.push(
        CacheKeyInputs { artefacts: vec!["/tmp/x".into()], ..inputs() }.key(&Owner::Local, &first).unwrap(),
    );
    fs::write(&compiler, "22").unwrap();
    keys.push(key_of(&first));
    // A package manager replaces a file: the new one has the same size here, and its modification
    // time is set to that of the old one.
    let time = fs::metadata(&compiler).unwrap().modified().unwrap();
    fs::write(folder.path().join("bin/new"), "33").unwrap();
    fs::rename(folder.path().join("bin/new"), &compiler).unwrap();
    fs::File::open(&compiler).unwrap().set_modified(time).unwrap();
    keys.push(key_of(&first));
    fs::write(folder.path().join("runtimes/c/helper"), "").unwrap();
    keys.push(key_of(&first));
    let distinct: std::collections::BTreeSet<_> = keys.iter().collect();
    assert_eq!(distinct.len(), keys.len(), "{keys:?}");
}

#[test]
fn inputs_of_the_program_alone_do_not_change_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let first = run_spec(folder.path());
    let mut other = first.clone();
    other.id = SessionId::from_random([8; 16]);
    other.slot = 9;
    other.run.argv.push("another".into());
    other.stdin = Some(Contents::Text("input".into()));
    other.limits.wall_ms = 100;
    other.run.limits.memory_bytes = 100;
    let guest = |token: &str| Owner::Guest(token.into());
    assert_eq!(inputs().key(&guest("a"), &first), inputs().key(&guest("b"), &other));
}

#[test]
fn a_search_path_of_the_request_is_not_looked_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = run_spec(folder.path());
    first.env[1].1 = format!("/usr/..{}:/opt/cc/bin:/usr/bin", folder.path().display());
    assert_eq!(inputs().key(&Owner::Local, &first), None);
}

#[test]
fn a_runtime_with_too_many_files_has_no_key() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("runtimes/c");
    fs::create_dir_all(&own).unwrap();
    (0..=MAX_RUNTIME_FILES).for_each(|number| fs::write(own.join(number.to_string()), "").unwrap());
    assert_eq!(inputs().key(&Owner::Local, &run_spec(folder.path())), None);
}

#[test]
fn each_change_of_a_large_folder_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("a/b")).unwrap();
    let newest = || {
        let (mut files_left, mut newest) = (MAX_INSPECTED_FILES, (0, 0));
        find_newest_change(folder.path(), &mut files_left, &mut newest);
        (files_left, newest)
    };
    let mut all = vec![newest()];
    fs::write(folder.path().join("a/b/file"), "").unwrap();
    all.push(newest());
    fs::rename(folder.path().join("a/b/file"), folder.path().join("file")).unwrap();
    all.push(newest());
    fs::remove_file(folder.path().join("file")).unwrap();
    all.push(newest());
    assert!(all.windows(2).all(|pair| pair[0] != pair[1]), "{all:?}");
    // There is a limit to the search.
    let (mut files_left, mut newest) = (1, (0, 0));
    find_newest_change(folder.path(), &mut files_left, &mut newest);
    assert_eq!(files_left, 0);
}
