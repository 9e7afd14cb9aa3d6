//! What was compiled before: the same program is compiled once, whatever changes compiles it again, and nothing that a
//! session does changes what a later one gets.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use serde_json::{Value, json};

use crate::common::{Run, Server, eventually, id, is_root};

/// A server with a runtime whose compile step runs the source itself, with bash: whatever a compiler could be brought to do,
/// this does. The program is what that leaves as `/tmp/out/main.sh`.
struct Workshop {
    folder: tempfile::TempDir,
}

impl Workshop {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let own = folder.path().join("workshop");
        fs::create_dir(&own).expect("a folder");
        fs::write(own.join("compile.sh"), "mkdir /tmp/out\n. \"$1\"\n").expect("room");
        let toml = "title = 'Workshop'\nfile = 'make.sh'\neditor_mode = 'sh'\ninstall = 'nothing'\n\
                    compile = [['bash', '/runtimes/workshop/compile.sh', '{source}']]\n\
                    artefacts = ['/tmp/out']\nrun = ['bash', '/tmp/out/main.sh']\n";
        fs::write(own.join("runtime.toml"), toml).expect("room");
        // Every session may read it, whoever that is.
        for path in [folder.path(), &own] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it is ours");
        }
        Self { folder }
    }

    fn serve(&self, arguments: &[&str]) -> Server {
        let folder = self.folder.path().to_str().expect("text");
        Server::start_with(&[&["--runtimes-dir", folder], arguments].concat())
    }
}

/// Runs a request, and returns what it did and where its program came from.
fn run(server: &Server, request: &Value) -> (Run, String) {
    let session = server.create(request);
    let run = Run::collect(server.stream(&id(&session), ""));
    let session = server.get(&format!("/sessions/{}", id(&session))).json();
    (run, session["compiled"].as_str().unwrap_or("not at all").to_owned())
}

fn make(server: &Server, code: &str) -> (Run, String) {
    run(server, &json!({"runtime": "workshop", "code": code}))
}

fn figure(server: &Server, name: &str) -> f64 {
    let text = server.get("/metrics").text();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in\n{text}"))
}

/// Names of what is in the folder of entries.
fn entries(server: &Server) -> Vec<String> {
    let folder = fs::read_dir(server.data().join("cache")).expect("a folder");
    folder.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// What is different each time the compile step runs.
const RANDOM: &str = "echo echo $(cat /proc/sys/kernel/random/uuid) > /tmp/out/main.sh";

#[test]
fn the_same_program_is_compiled_once() {
    let server = Server::start();
    let programs = [
        ("c", "#include <stdio.h>\nint main(void) { int unused; puts(\"hi\"); }\n"),
        ("cpp", "#include <iostream>\nint main() { int unused; std::cout << \"hi\\n\"; }\n"),
        ("rust", "fn main() { let unused = 1; println!(\"hi\"); }\n"),
        ("go", "package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println(\"hi\") }\n"),
    ];
    let runtimes = server.get("/runtimes").json();
    let is_here = |name: &str| {
        runtimes.as_array().expect("a list").iter().any(|one| one["name"] == name && one["available"] == true)
    };
    let programs: Vec<_> = programs.into_iter().filter(|(name, _)| is_here(name)).collect();
    assert!(programs.len() == 4 || !is_root(), "{programs:?}");
    for (runtime, code) in &programs {
        let request = json!({"runtime": runtime, "code": code});
        let (first, from) = run(&server, &request);
        assert_eq!((&*from, &*first.stdout, first.exitstatus), ("fresh", "hi\n", 0), "{runtime}: {first:?}");
        assert_eq!(first.stderr.contains("unused"), *runtime != "go", "{first:?}");
        for _ in 0..2 {
            // What the compiler warned of is said again.
            assert_eq!(run(&server, &request), (first.clone(), "cached".into()), "{runtime}");
        }
    }
    let count = programs.len() as f64;
    assert_eq!(figure(&server, "livecode_programs_compiled_total{from=\"compiler\"}"), count);
    assert_eq!(figure(&server, "livecode_programs_compiled_total{from=\"cache\"}"), 2.0 * count);
    assert_eq!(figure(&server, "livecode_compile_cache_evicted_total"), 0.0);
    let bytes = figure(&server, "livecode_compile_cache_bytes");
    assert!(bytes > 4096.0 * count && bytes < 50e6, "{bytes}");
    assert_eq!(entries(&server).len(), programs.len());
    let folder = server.data().join("cache");
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    entries(&server).iter().for_each(|name| assert_eq!(mode(&folder.join(name)), 0o600));
    // What is not compiled comes from nowhere.
    assert_eq!(run(&server, &json!({"runtime": "bash", "code": "echo hi"})).1, "not at all");
}

#[test]
fn the_compile_step_does_not_run_again_even_on_the_next_server() {
    let workshop = Workshop::new();
    let mut server = workshop.serve(&[]);
    let (first, from) = make(&server, RANDOM);
    assert_eq!((from.as_str(), first.stdout.len()), ("fresh", 37), "{first:?}");
    assert_eq!(make(&server, RANDOM), (first.clone(), "cached".into()));
    assert_eq!(server.stop().code(), Some(0));
    fs::write(server.data().join("cache/.new-0123"), "what a supervisor that was killed left").expect("room");
    server.start_again();
    assert_eq!(make(&server, RANDOM), (first, "cached".into()));
    assert_eq!(entries(&server).len(), 1);
    assert!(figure(&server, "livecode_compile_cache_bytes") >= 4096.0);
}

#[test]
fn what_a_compiler_sees_compiles_again_and_what_the_program_sees_does_not() {
    let workshop = Workshop::new();
    let server = workshop.serve(&[]);
    let code = "echo 'read line; echo \"$line $1\"' > /tmp/out/main.sh; cat *.h >> /tmp/out/main.sh 2>&1; echo \"# $CFLAGS\" >> /tmp/out/main.sh";
    let file = |name: &str, contents: &str| json!({"filename": name, "contents": contents});
    let with = |header: &str, fields: Value| {
        let mut request = json!({"runtime": "workshop", "stdin": "",
            "files": [file("make.sh", code), file("a.h", &format!("{header}\n"))]});
        request.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
        request
    };
    let from = |request: Value| run(&server, &request);
    let say = |text: &str| json!({"stdin": format!("{text}\n"), "args": [text]});
    let (first, how) = from(with("echo 1", say("a")));
    assert_eq!((first.stdout.as_str(), how.as_str()), ("a a\n1\n", "fresh"), "{first:?}");
    let (second, how) = from(with("echo 1", say("b")));
    assert_eq!((second.stdout.as_str(), how.as_str()), ("b b\n1\n", "cached"), "{second:?}");
    let limits =
        json!({"stdin": "c\n", "timeout": 9000, "limits": {"cpu_ms": 9000, "memory_bytes": 200 << 20}});
    assert_eq!(from(with("echo 1", limits)).1, "cached");

    let (changed, how) = from(with("echo 2", say("a")));
    assert_eq!((changed.stdout.as_str(), how.as_str()), ("a a\n2\n", "fresh"), "{changed:?}");
    assert_eq!(from(with("echo 1", json!({"env": {"CFLAGS": "-O2"}}))).1, "fresh");
    assert_eq!(from(with("echo 1", json!({"env": {"CFLAGS": "-O2"}}))).1, "cached");
    assert_eq!(from(with("echo 1", json!({"limits": {"disk_bytes": 1 << 20}}))).1, "fresh");
    let renamed = json!({"files": [file("make.sh", code), file("b.h", "echo 1")]});
    assert_eq!(from(with("", renamed)).1, "fresh");
    // What one kind of user has had compiled is not for the other.
    let guest = |body: &Value| {
        let headers = [("x-forwarded-for", "192.0.2.1"), ("content-type", "application/json")];
        let answer = server.request("POST", "/sessions", &headers, body.to_string().as_bytes());
        assert_eq!(answer.status, 201, "{}", answer.text());
        let session = answer.json();
        Run::collect(server.stream(&id(&session), ""));
        server.get(&format!("/sessions/{}", id(&session))).json()["compiled"].clone()
    };
    let request = with("echo 1", say("a"));
    assert_eq!((guest(&request), guest(&request)), (json!("fresh"), json!("cached")));
    assert_eq!(from(request).1, "cached");
}

#[test]
fn another_toolchain_compiles_again() {
    let workshop = Workshop::new();
    let server = workshop.serve(&[]);
    assert_eq!(make(&server, RANDOM).1, "fresh");
    assert_eq!(make(&server, RANDOM).1, "cached");
    let tool = workshop.folder.path().join("workshop/compile.sh");
    fs::write(tool, "mkdir /tmp/out; echo echo changed > /tmp/out/main.sh\n").expect("room");
    let (run, from) = make(&server, RANDOM);
    assert_eq!((run.stdout.as_str(), from.as_str()), ("changed\n", "fresh"));
}

#[test]
fn what_cannot_be_kept_is_compiled_each_time() {
    let workshop = Workshop::new();
    let server = workshop.serve(&["--compile-cache-entry-bytes", "100000"]);
    let main = "echo echo hi > /tmp/out/main.sh";
    for (what, more) in [
        ("a link out of the folder", "ln -s /etc/passwd /tmp/out/x"),
        ("a link to a folder", "ln -s /usr/lib /tmp/out/x"),
        ("another name", "ln /tmp/out/main.sh /tmp/y"),
        ("the other name", "echo > /tmp/y; ln /tmp/y /tmp/out/x"),
        ("a folder that is a link", "mv /tmp/out /tmp/real; ln -s real /tmp/out"),
        ("a pipe", "mkfifo /tmp/out/x"),
        ("what cannot be read", "echo > /tmp/out/x; chmod 0 /tmp/out/x"),
        ("a name with a newline", "touch $'/tmp/out/a\\nb'"),
        ("a name that is an option", "touch -- /tmp/out/-x"),
        ("a name that is no text", "touch $'/tmp/out/\\xff'"),
        (
            "a name that is too long",
            "x=$(printf 'x%.0s' {1..250}); mkdir -p /tmp/out/$x/$x; touch /tmp/out/$x/$x/x",
        ),
        ("too deep", "d=/tmp/out; for i in {1..20}; do d=$d/x; done; mkdir -p $d; touch $d/y"),
        ("too large", "truncate -s 1M /tmp/out/x"),
        ("too many", "for i in {1..1001}; do echo > /tmp/out/$i; done"),
        ("too much said", "printf 'x%.0s' {1..20000} >&2"),
    ] {
        for _ in 0..2 {
            let (run, from) = make(&server, &format!("{main}\n{more}"));
            assert_eq!((&*run.stdout, &*from, run.exitstatus), ("hi\n", "fresh", 0), "{what}: {run:?}");
        }
        assert!(entries(&server).is_empty(), "{what}: {:?}", entries(&server));
    }
    // Nor is what a step has left that failed.
    for _ in 0..2 {
        let (run, from) = make(&server, &format!("{main}; echo no >&2; exit 3"));
        assert_eq!((&*run.stderr, &*from, run.exitstatus), ("no\n", "not at all", 3));
    }
    let (run, _) = make(&server, "rmdir /tmp/out");
    assert_eq!(run.exitstatus, 127, "{run:?}");
    assert!(entries(&server).is_empty());
    // All that, and still.
    assert_eq!((make(&server, main).1, make(&server, main).1), ("fresh".into(), "cached".into()));
}

#[test]
fn a_program_cannot_change_what_the_next_one_gets() {
    let workshop = Workshop::new();
    let server = workshop.serve(&[]);
    // It does what it can to all that it was given, and says what it was before.
    let main = r#"cat /tmp/out/*/data; stat -c '%a %h' /tmp/out/sub/data /tmp/out/main.sh; ls /proc/self/fd | wc -l
echo evil > /tmp/out/sub/data; echo echo evil > /tmp/out/main.sh; chmod 777 /tmp/out/*; touch -d @0 /tmp/out/main.sh
rm -rf /tmp/out/sub; ln -s /etc /tmp/out/sub; ln /tmp/out/main.sh /tmp/other"#;
    let code = format!(
        "mkdir /tmp/out/sub; echo data > /tmp/out/sub/data\ncat > /tmp/out/main.sh <<'END'\n{main}\nEND\nchmod 700 /tmp/out/main.sh"
    );
    let (first, from) = make(&server, &code);
    assert_eq!(from, "fresh");
    let (second, from) = make(&server, &code);
    assert_eq!((from.as_str(), second.exitstatus), ("cached", 0), "{second:?}");
    let words = |run: &Run| run.stdout.replace("700 1", "755 1"); // whether it may be executed is what is kept
    assert_eq!(words(&second), words(&first));
    for _ in 0..3 {
        assert_eq!(make(&server, &code), (second.clone(), "cached".into()));
    }
    // A compiled program may replace itself.
    let code = "#include <stdio.h>\n#include <unistd.h>\nint main(int n, char **v) { (void)n; puts(\"good\"); unlink(v[0]);\n\
                FILE *f = fopen(v[0], \"w\"); fputs(\"evil\", f); fclose(f); f = fopen(\"/proc/self/exe\", \"r+\"); puts(f ? \"open\" : \"shut\"); }\n";
    for from in ["fresh", "cached", "cached"] {
        let (run, how) = run(&server, &json!({"runtime": "c", "code": code}));
        assert_eq!((run.stdout.as_str(), how.as_str()), ("good\nshut\n", from), "{run:?}");
    }
}

#[test]
fn nothing_that_a_compile_step_leaves_running_writes_on() {
    let workshop = Workshop::new();
    let server = workshop.serve(&[]);
    // It would change what was compiled for as long as it lives, and holds the file open.
    let code = "echo 'sort -u /tmp/out/data; grep -l [T]ERM /proc/[0-9]*/cmdline | wc -l' > /tmp/out/main.sh\necho old > /tmp/out/data\n\
                setsid bash -c 'trap \"\" TERM HUP; exec 9>>/tmp/out/data; echo up > /tmp/up; while :; do echo new >&9; done' &\n\
                until [ -e /tmp/up ]; do :; done; echo old > /tmp/out/data";
    let (first, from) = make(&server, code);
    assert_eq!(from, "fresh", "{first:?}");
    let (second, from) = make(&server, code);
    assert_eq!((from.as_str(), second.exitstatus), ("cached", 0), "{second:?}");
    // Both see what was there when all of it had ended, and nobody who is not theirs.
    assert_eq!(second, first);
    assert_eq!(first.stdout.lines().last(), Some("0"), "{first:?}");
}

#[test]
fn the_least_recently_used_makes_room() {
    let workshop = Workshop::new();
    let server = workshop.serve(&["--compile-cache-bytes", "1000000"]);
    let program =
        |number: u32| format!("echo echo {number} > /tmp/out/main.sh; truncate -s 300K /tmp/out/data");
    let from = |number: u32| {
        let (run, from) = make(&server, &program(number));
        assert_eq!(run.stdout, format!("{number}\n"));
        from
    };
    for number in 0..3 {
        assert_eq!(from(number), "fresh");
    }
    assert_eq!(from(0), "cached"); // used again, so 1 has been left alone for longest
    assert_eq!(from(3), "fresh");
    eventually("one makes room", || {
        (figure(&server, "livecode_compile_cache_evicted_total") >= 1.0).then_some(())
    });
    let bytes = eventually("it is within its bound", || {
        let bytes = figure(&server, "livecode_compile_cache_bytes");
        (bytes <= 1e6).then_some(bytes)
    });
    let on_disk: u64 = entries(&server)
        .iter()
        .map(|name| fs::metadata(server.data().join("cache").join(name)).expect("an entry").len())
        .sum();
    assert!(on_disk as f64 <= bytes && on_disk > 0, "{on_disk} {bytes}");
    assert_eq!((from(3).as_str(), from(1).as_str()), ("cached", "fresh"));
}

#[test]
fn without_a_cache_everything_is_compiled() {
    let workshop = Workshop::new();
    let mut server = workshop.serve(&[]);
    assert_eq!(make(&server, RANDOM).1, "fresh");
    assert_eq!(entries(&server).len(), 1);
    server.stop();
    let folder = workshop.folder.path().to_str().expect("text");
    server.start_again_with(&["--runtimes-dir", folder, "--compile-cache-bytes", "0"]);
    assert!(entries(&server).is_empty(), "what was kept is gone");
    let runs: Vec<_> = (0..2).map(|_| make(&server, RANDOM)).collect();
    assert!(runs.iter().all(|(run, from)| from == "fresh" && run.exitstatus == 0), "{runs:?}");
    assert_ne!(runs[0].0, runs[1].0);
    assert!(entries(&server).is_empty());
}

#[test]
fn a_damaged_entry_is_no_entry() {
    let workshop = Workshop::new();
    let server = workshop.serve(&[]);
    let (mut last, _) = make(&server, RANDOM);
    let path = server.data().join("cache").join(&entries(&server)[0]);
    let whole = fs::read(&path).expect("an entry");
    let damages: [fn(&mut Vec<u8>); 4] = [
        Vec::clear,
        |bytes| bytes.truncate(bytes.len() - 1),
        |bytes| bytes.iter_mut().for_each(|byte| *byte = 0),
        // As after a machine went down: the boot is another, and the last block was never written.
        |bytes| {
            bytes[24] ^= 1;
            let length = bytes.len();
            bytes[length - 8..].fill(0);
        },
    ];
    for damage in damages {
        let mut bytes = fs::read(&path).expect("an entry");
        damage(&mut bytes);
        fs::write(&path, bytes).expect("room");
        let (run, from) = make(&server, RANDOM);
        assert_eq!((from.as_str(), run.exitstatus, run.stdout.len()), ("fresh", 0, 37), "{run:?}");
        assert_ne!(run, last);
        last = run;
        assert_eq!(make(&server, RANDOM), (last.clone(), "cached".into()));
    }
    // Another boot alone is none.
    let mut bytes = whole;
    bytes[24] ^= 1;
    fs::write(&path, &bytes).expect("room");
    assert_eq!(make(&server, RANDOM).1, "cached");
    assert_ne!(fs::read(&path).expect("an entry")[24], bytes[24], "it was found right, in this boot");
}

#[test]
fn a_server_that_is_killed_leaves_no_half_entry() {
    let workshop = Workshop::new();
    let mut server = workshop.serve(&[]);
    let program = |number: usize| {
        format!(
            "head -c 3000000 /dev/zero > /tmp/out/zeros; echo 'wc -c < /tmp/out/zeros; echo {number}' > /tmp/out/main.sh"
        )
    };
    for round in 0..3 {
        let numbers: Vec<usize> = (0..6).map(|number| round * 10 + number).collect();
        let sessions: Vec<_> =
            numbers.iter().map(|number| server.create_id("workshop", &program(*number))).collect();
        // At the moment when the first begins to be kept.
        eventually("an entry begins", || (entries(&server).len() > round * 6).then_some(()));
        server.kill();
        server.start_again();
        for (number, session) in numbers.iter().zip(sessions) {
            let wanted = format!("3000000\n{number}\n");
            assert_eq!(Run::collect(server.stream(&session, "")).stdout, wanted);
            assert_eq!(make(&server, &program(*number)).0.stdout, wanted);
            assert_eq!(make(&server, &program(*number)).1, "cached");
        }
    }
    assert!(entries(&server).iter().all(|name| name.len() == 64), "{:?}", entries(&server));
}
