use livecode_protocol::{
    SessionId,
    run_spec::{SessionLimits, Step, StepLimits},
};

use super::*;

fn order(toolchain: &Path) -> RunSpec {
    let limits = StepLimits { cpu_ms: 1, memory_bytes: 1, processes: 1 };
    let step = |words: &[&str]| Step { argv: words.iter().map(|word| (*word).to_owned()).collect(), limits };
    RunSpec {
        version: 2,
        id: SessionId::from_random([7; 16]),
        slot: 1,
        compile: vec![step(&["cc", "-o", "/tmp/program", "main.c"])],
        run: step(&["/tmp/program", "argument"]),
        env: vec![("LANG".into(), "C".into()), ("PATH".into(), "/opt/cc/bin:/usr/bin".into())],
        files: vec![RunFile { name: "main.c".parse().unwrap(), contents: Contents::Text("x".into()) }],
        stdin: None,
        mounts: vec![
            Mount { source: toolchain.to_owned(), target: "/opt/cc".into() },
            Mount { source: toolchain.join("runtimes"), target: OPERATORS.into() },
        ],
        limits: SessionLimits {
            wall_ms: 1,
            output_bytes: 1,
            disk_bytes: 1,
            disk_files: 1,
            cpu_millicores: 1,
            idle_ms: None,
        },
        cache: None,
    }
}

fn recipe() -> Recipe {
    Recipe { runtime: "c".into(), artefacts: vec!["/tmp/program".into()], requires: vec!["cc".into()] }
}

#[test]
fn whatever_a_compiler_sees_is_in_the_key() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("bin")).unwrap();
    fs::create_dir_all(folder.path().join("runtimes/c")).unwrap();
    let compiler = folder.path().join("bin/cc");
    fs::write(&compiler, "1").unwrap();
    let first = order(folder.path());
    let key_of = |order: &RunSpec| recipe().key(&Owner::Local, order).unwrap();
    let key = key_of(&first);
    assert_eq!(key.len(), 64);
    assert_eq!(key_of(&first), key);

    type Change = fn(&mut RunSpec);
    let changes: [Change; 8] = [
        |order| order.files[0].contents = Contents::Text("y".into()),
        |order| order.files[0].contents = Contents::Base64("x".into()),
        |order| order.files[0].name = "other.c".parse().unwrap(),
        |order| {
            order.files.push(RunFile { name: "a.h".parse().unwrap(), contents: Contents::Text("".into()) })
        },
        |order| order.compile[0].argv.insert(1, "-O2".into()),
        |order| order.env[0].1 = "en".into(),
        |order| order.compile.push(order.compile[0].clone()),
        |order| order.limits.disk_bytes = 2,
    ];
    let mut keys = vec![key.clone()];
    for change in changes {
        let mut changed = first.clone();
        change(&mut changed);
        keys.push(key_of(&changed));
    }
    keys.push(recipe().key(&Owner::Guest("a".into()), &first).unwrap());
    keys.push(Recipe { runtime: "cpp".into(), ..recipe() }.key(&Owner::Local, &first).unwrap());
    keys.push(Recipe { artefacts: vec!["/tmp/x".into()], ..recipe() }.key(&Owner::Local, &first).unwrap());
    fs::write(&compiler, "22").unwrap();
    keys.push(key_of(&first));
    // In its place, with the same size and the time of the one before, as a package manager would put it.
    let time = fs::metadata(&compiler).unwrap().modified().unwrap();
    fs::write(folder.path().join("bin/new"), "33").unwrap();
    fs::rename(folder.path().join("bin/new"), &compiler).unwrap();
    fs::File::open(&compiler).unwrap().set_modified(time).unwrap();
    keys.push(key_of(&first));
    fs::write(folder.path().join("runtimes/c/helper"), "").unwrap();
    keys.push(key_of(&first));
    let different: std::collections::BTreeSet<_> = keys.iter().collect();
    assert_eq!(different.len(), keys.len(), "{keys:?}");
}

#[test]
fn what_only_the_program_sees_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let first = order(folder.path());
    let mut other = first.clone();
    other.id = SessionId::from_random([8; 16]);
    other.slot = 9;
    other.run.argv.push("another".into());
    other.stdin = Some(Contents::Text("input".into()));
    other.limits.wall_ms = 100;
    other.run.limits.memory_bytes = 100;
    let guest = |token: &str| Owner::Guest(token.into());
    assert_eq!(recipe().key(&guest("a"), &first), recipe().key(&guest("b"), &other));
}

#[test]
fn a_runtime_of_too_many_files_has_no_key() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("runtimes/c");
    fs::create_dir_all(&own).unwrap();
    (0..=MAX_RUNTIME_FILES).for_each(|number| fs::write(own.join(number.to_string()), "").unwrap());
    assert_eq!(recipe().key(&Owner::Local, &order(folder.path())), None);
}
