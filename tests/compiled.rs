//! The compile cache: an unchanged program is compiled once, every change that the compiler sees
//! compiles it again, and no session can change what a later one gets.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use serde_json::{Value, json};

use crate::common::{Run, Server, eventually, id, is_root};

/// A folder with a runtime whose compile step runs the source itself with bash, so that a test can
/// do whatever a compiler might be made to do. The program is the artefact `/tmp/out/main.sh`.
pub struct Workshop {
    folder: tempfile::TempDir,
}

impl Workshop {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder is created");
        let own = folder.path().join("workshop");
        fs::create_dir(&own).expect("the folder can be created");
        fs::write(own.join("compile.sh"), "mkdir /tmp/out\n. \"$1\"\n").expect("the file can be written");
        let toml = "title = 'Workshop'\nfile = 'make.sh'\neditor_mode = 'sh'\ninstall = 'nothing'\n\
                    compile = [['bash', '/runtimes/workshop/compile.sh', '{source}']]\n\
                    artefacts = ['/tmp/out']\nrun = ['bash', '/tmp/out/main.sh']\n";
        fs::write(own.join("runtime.toml"), toml).expect("the file can be written");
        // Sessions run as other users, and each of them must be able to read the folder.
        for path in [folder.path(), &own] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("the folder is ours");
        }
        Self { folder }
    }

    pub fn serve(&self, arguments: &[&str]) -> Server {
        let folder = self.folder.path().to_str().expect("a path in UTF-8");
        Server::start_with(&[&["--runtimes-dir", folder], arguments].concat())
    }
}

/// Runs a request; returns the run and the session's `compiled` field (`fresh` or `cached`), or
/// `not compiled` if it has none.
fn run(server: &Server, request: &Value) -> (Run, String) {
    let session = server.create(request);
    let run = Run::collect(server.stream(&id(&session), ""));
    let session = server.get(&format!("/sessions/{}", id(&session))).json();
    (run, session["compiled"].as_str().unwrap_or("not compiled").to_owned())
}

fn run_workshop(server: &Server, code: &str) -> (Run, String) {
    run(server, &json!({"runtime": "workshop", "code": code}))
}

fn metric(server: &Server, name: &str) -> f64 {
    let text = server.get("/metrics").text();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in\n{text}"))
}

/// File names of the cache's entries.
fn cache_entries(server: &Server) -> Vec<String> {
    let folder = fs::read_dir(server.data().join("cache")).expect("the folder can be read");
    folder.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// A compile step with a different result each time it runs.
const RANDOM_OUTPUT: &str = "echo echo $(cat /proc/sys/kernel/random/uuid) > /tmp/out/main.sh";

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
        let (first, origin) = run(&server, &request);
        assert_eq!(
            (&*origin, &*first.stdout, first.exitstatus),
            ("fresh", "hi\n", 0),
            "{runtime}: {first:?}"
        );
        assert_eq!(first.stderr.contains("unused"), *runtime != "go", "{first:?}");
        for _ in 0..2 {
            // The compiler's warnings are repeated when its result comes from the cache.
            assert_eq!(run(&server, &request), (first.clone(), "cached".into()), "{runtime}");
        }
    }
    let count = programs.len() as f64;
    assert_eq!(metric(&server, "livecode_programs_compiled_total{from=\"compiler\"}"), count);
    assert_eq!(metric(&server, "livecode_programs_compiled_total{from=\"cache\"}"), 2.0 * count);
    assert_eq!(metric(&server, "livecode_compile_cache_evicted_total"), 0.0);
    let bytes = metric(&server, "livecode_compile_cache_bytes");
    assert!(bytes > 4096.0 * count && bytes < 50e6, "{bytes}");
    assert_eq!(cache_entries(&server).len(), programs.len());
    let folder = server.data().join("cache");
    let mode = |path: &Path| fs::metadata(path).expect("the file exists").permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    cache_entries(&server).iter().for_each(|name| assert_eq!(mode(&folder.join(name)), 0o600));
    // A runtime without a compile step has no `compiled` field.
    assert_eq!(run(&server, &json!({"runtime": "bash", "code": "echo hi"})).1, "not compiled");
}

#[test]
fn the_compile_step_does_not_run_again_after_a_restart() {
    let workshop = Workshop::new();
    let mut server = workshop.serve(&[]);
    let (first, origin) = run_workshop(&server, RANDOM_OUTPUT);
    assert_eq!((origin.as_str(), first.stdout.len()), ("fresh", 37), "{first:?}");
    assert_eq!(run_workshop(&server, RANDOM_OUTPUT), (first.clone(), "cached".into()));
    assert_eq!(server.stop().code(), Some(0));
    fs::write(server.data().join("cache/.new-0123"), "what a supervisor that was killed left")
        .expect("the file can be written");
    server.start_again();
    assert_eq!(run_workshop(&server, RANDOM_OUTPUT), (first, "cached".into()));
    assert_eq!(cache_entries(&server).len(), 1);
    assert!(metric(&server, "livecode_compile_cache_bytes") >= 4096.0);
}

#[test]
fn changes_that_the_compiler_sees_compile_again_and_others_do_not() {
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
    let compile = |request: Value| run(&server, &request);
    let input_and_args = |text: &str| json!({"stdin": format!("{text}\n"), "args": [text]});
    let (first, origin) = compile(with("echo 1", input_and_args("a")));
    assert_eq!((first.stdout.as_str(), origin.as_str()), ("a a\n1\n", "fresh"), "{first:?}");
    let (second, origin) = compile(with("echo 1", input_and_args("b")));
    assert_eq!((second.stdout.as_str(), origin.as_str()), ("b b\n1\n", "cached"), "{second:?}");
    let limits =
        json!({"stdin": "c\n", "timeout": 9000, "limits": {"cpu_ms": 9000, "memory_bytes": 200 << 20}});
    assert_eq!(compile(with("echo 1", limits)).1, "cached");

    let (changed, origin) = compile(with("echo 2", input_and_args("a")));
    assert_eq!((changed.stdout.as_str(), origin.as_str()), ("a a\n2\n", "fresh"), "{changed:?}");
    assert_eq!(compile(with("echo 1", json!({"env": {"CFLAGS": "-O2"}}))).1, "fresh");
    assert_eq!(compile(with("echo 1", json!({"env": {"CFLAGS": "-O2"}}))).1, "cached");
    assert_eq!(compile(with("echo 1", json!({"limits": {"disk_bytes": 1 << 20}}))).1, "fresh");
    let renamed = json!({"files": [file("make.sh", code), file("b.h", "echo 1")]});
    assert_eq!(compile(with("", renamed)).1, "fresh");
    // Results compiled for the local user are not shared with strangers.
    let guest = |body: &Value| {
        let headers = [("x-forwarded-for", "192.0.2.1"), ("content-type", "application/json")];
        let response = server.request("POST", "/sessions", &headers, body.to_string().as_bytes());
        assert_eq!(response.status, 201, "{}", response.text());
        let session = response.json();
        Run::collect(server.stream(&id(&session), ""));
        server.get(&format!("/sessions/{}", id(&session))).json()["compiled"].clone()
    };
    let request = with("echo 1", input_and_args("a"));
    assert_eq!((guest(&request), guest(&request)), (json!("fresh"), json!("cached")));
    assert_eq!(compile(request).1, "cached");
}

#[test]
fn a_changed_toolchain_compiles_again() {
    let workshop = Workshop::new();
    let server = workshop.serve(&[]);
    assert_eq!(run_workshop(&server, RANDOM_OUTPUT).1, "fresh");
    assert_eq!(run_workshop(&server, RANDOM_OUTPUT).1, "cached");
    let tool = workshop.folder.path().join("workshop/compile.sh");
    fs::write(tool, "mkdir /tmp/out; echo echo changed > /tmp/out/main.sh\n")
        .expect("the file can be written");
    let (run, origin) = run_workshop(&server, RANDOM_OUTPUT);
    assert_eq!((run.stdout.as_str(), origin.as_str()), ("changed\n", "fresh"));
}

#[test]
fn artefacts_that_cannot_be_cached_are_compiled_each_time() {
    let workshop = Workshop::new();
    let server = workshop.serve(&["--compile-cache-entry-bytes", "100000"]);
    let main = "echo echo hi > /tmp/out/main.sh";
    for (case, extra) in [
        ("a link out of the folder", "ln -s /etc/passwd /tmp/out/x"),
        ("a link to a folder", "ln -s /usr/lib /tmp/out/x"),
        ("a hard link outside", "ln /tmp/out/main.sh /tmp/y"),
        ("a hard link from outside", "echo > /tmp/y; ln /tmp/y /tmp/out/x"),
        ("a folder that is a link", "mv /tmp/out /tmp/real; ln -s real /tmp/out"),
        ("a pipe", "mkfifo /tmp/out/x"),
        ("a file that cannot be read", "echo > /tmp/out/x; chmod 0 /tmp/out/x"),
        ("a name with a newline", "touch $'/tmp/out/a\\nb'"),
        ("a name that is an option", "touch -- /tmp/out/-x"),
        ("a name that is not UTF-8", "touch $'/tmp/out/\\xff'"),
        (
            "a name that is too long",
            "x=$(printf 'x%.0s' {1..250}); d=/tmp/out/$x/$x/$x/$x/$x; mkdir -p $d; touch $d/x",
        ),
        (
            "a folder that is too deep",
            "d=/tmp/out; for i in {1..20}; do d=$d/x; done; mkdir -p $d; touch $d/y",
        ),
        ("a file that is too large", "truncate -s 1M /tmp/out/x"),
        ("too many files", "for i in {1..1001}; do echo > /tmp/out/$i; done"),
        ("too much compiler output", "printf 'x%.0s' {1..20000} >&2"),
    ] {
        for _ in 0..2 {
            let (run, origin) = run_workshop(&server, &format!("{main}\n{extra}"));
            assert_eq!((&*run.stdout, &*origin, run.exitstatus), ("hi\n", "fresh", 0), "{case}: {run:?}");
        }
        assert!(cache_entries(&server).is_empty(), "{case}: {:?}", cache_entries(&server));
    }
    // Results of a failed compile step are not cached either.
    for _ in 0..2 {
        let (run, origin) = run_workshop(&server, &format!("{main}; echo no >&2; exit 3"));
        assert_eq!((&*run.stderr, &*origin, run.exitstatus), ("no\n", "not compiled", 3));
    }
    let (run, _) = run_workshop(&server, "rmdir /tmp/out");
    assert_eq!(run.exitstatus, 127, "{run:?}");
    assert!(cache_entries(&server).is_empty());
    // After all these cases the cache still works.
    assert_eq!(
        (run_workshop(&server, main).1, run_workshop(&server, main).1),
        ("fresh".into(), "cached".into())
    );
}

#[test]
fn a_program_cannot_change_cached_artefacts() {
    let workshop = Workshop::new();
    let server = workshop.serve(&[]);
    // The program prints what it was given, and then tries to change all of it.
    let main = r#"cat /tmp/out/*/data; stat -c '%a %h' /tmp/out/sub/data /tmp/out/main.sh; ls /proc/self/fd | wc -l
echo evil > /tmp/out/sub/data; echo echo evil > /tmp/out/main.sh; chmod 777 /tmp/out/*; touch -d @0 /tmp/out/main.sh
rm -rf /tmp/out/sub; ln -s /etc /tmp/out/sub; ln /tmp/out/main.sh /tmp/other"#;
    let code = format!(
        "mkdir /tmp/out/sub; echo data > /tmp/out/sub/data\ncat > /tmp/out/main.sh <<'END'\n{main}\nEND\nchmod 700 /tmp/out/main.sh"
    );
    let (first, origin) = run_workshop(&server, &code);
    assert_eq!(origin, "fresh");
    let (second, origin) = run_workshop(&server, &code);
    assert_eq!((origin.as_str(), second.exitstatus), ("cached", 0), "{second:?}");
    // The cache keeps only whether a file is executable, not its exact mode.
    let visible = |run: &Run| run.stdout.replace("700 1", "755 1");
    assert_eq!(visible(&second), visible(&first));
    for _ in 0..3 {
        assert_eq!(run_workshop(&server, &code), (second.clone(), "cached".into()));
    }
    // A compiled program may replace its own executable.
    let code = "#include <stdio.h>\n#include <unistd.h>\nint main(int n, char **v) { (void)n; puts(\"good\"); unlink(v[0]);\n\
                FILE *f = fopen(v[0], \"w\"); fputs(\"evil\", f); fclose(f); f = fopen(\"/proc/self/exe\", \"r+\"); puts(f ? \"open\" : \"shut\"); }\n";
    for expected in ["fresh", "cached", "cached"] {
        let (run, origin) = run(&server, &json!({"runtime": "c", "code": code}));
        assert_eq!((run.stdout.as_str(), origin.as_str()), ("good\nshut\n", expected), "{run:?}");
    }
}

#[test]
fn processes_left_by_a_compile_step_cannot_change_artefacts() {
    let workshop = Workshop::new();
    let server = workshop.serve(&[]);
    // The process that this compile step leaves behind holds the artefact open, and writes to it
    // for as long as it lives.
    let code = "echo 'sort -u /tmp/out/data; grep -l [T]ERM /proc/[0-9]*/cmdline | wc -l' > /tmp/out/main.sh\necho old > /tmp/out/data\n\
                setsid bash -c 'trap \"\" TERM HUP; exec 9>>/tmp/out/data; echo up > /tmp/up; while :; do echo new >&9; done' &\n\
                until [ -e /tmp/up ]; do :; done; echo old > /tmp/out/data";
    let (first, origin) = run_workshop(&server, code);
    assert_eq!(origin, "fresh", "{first:?}");
    let (second, origin) = run_workshop(&server, code);
    assert_eq!((origin.as_str(), second.exitstatus), ("cached", 0), "{second:?}");
    // Both runs see the artefact as it was when all processes of the compile step had ended, and
    // neither sees such a process.
    assert_eq!(second, first);
    assert_eq!(first.stdout.lines().last(), Some("0"), "{first:?}");
}

#[test]
fn the_least_recently_used_entry_is_evicted() {
    let workshop = Workshop::new();
    let server = workshop.serve(&["--compile-cache-bytes", "1000000"]);
    let program =
        |number: u32| format!("echo echo {number} > /tmp/out/main.sh; truncate -s 300K /tmp/out/data");
    let origin_of = |number: u32| {
        let (run, origin) = run_workshop(&server, &program(number));
        assert_eq!(run.stdout, format!("{number}\n"));
        origin
    };
    for number in 0..3 {
        assert_eq!(origin_of(number), "fresh");
    }
    // This use makes entry 1 the least recently used one.
    assert_eq!(origin_of(0), "cached");
    assert_eq!(origin_of(3), "fresh");
    eventually("an entry is evicted", || {
        (metric(&server, "livecode_compile_cache_evicted_total") >= 1.0).then_some(())
    });
    let bytes = eventually("the cache is within its limit", || {
        let bytes = metric(&server, "livecode_compile_cache_bytes");
        (bytes <= 1e6).then_some(bytes)
    });
    let on_disk: u64 = cache_entries(&server)
        .iter()
        .map(|name| fs::metadata(server.data().join("cache").join(name)).expect("the entry exists").len())
        .sum();
    assert!(on_disk as f64 <= bytes && on_disk > 0, "{on_disk} {bytes}");
    assert_eq!((origin_of(3).as_str(), origin_of(1).as_str()), ("cached", "fresh"));
}

#[test]
fn without_a_cache_everything_is_compiled() {
    let workshop = Workshop::new();
    let mut server = workshop.serve(&[]);
    assert_eq!(run_workshop(&server, RANDOM_OUTPUT).1, "fresh");
    assert_eq!(cache_entries(&server).len(), 1);
    server.stop();
    let folder = workshop.folder.path().to_str().expect("a path in UTF-8");
    server.start_again_with(&["--runtimes-dir", folder, "--compile-cache-bytes", "0"]);
    assert!(cache_entries(&server).is_empty(), "the cache should be empty");
    let runs: Vec<_> = (0..2).map(|_| run_workshop(&server, RANDOM_OUTPUT)).collect();
    assert!(runs.iter().all(|(run, origin)| origin == "fresh" && run.exitstatus == 0), "{runs:?}");
    assert_ne!(runs[0].0, runs[1].0);
    assert!(cache_entries(&server).is_empty());
}

#[test]
fn a_damaged_entry_is_ignored() {
    let workshop = Workshop::new();
    let server = workshop.serve(&[]);
    let (mut last, _) = run_workshop(&server, RANDOM_OUTPUT);
    let path = server.data().join("cache").join(&cache_entries(&server)[0]);
    let whole = fs::read(&path).expect("the entry exists");
    let damages: [fn(&mut Vec<u8>); 4] = [
        Vec::clear,
        |bytes| bytes.truncate(bytes.len() - 1),
        |bytes| bytes.iter_mut().for_each(|byte| *byte = 0),
        // The machine has crashed: the boot id is another one, and the last block was never
        // written.
        |bytes| {
            bytes[24] ^= 1;
            let length = bytes.len();
            bytes[length - 8..].fill(0);
        },
    ];
    for damage in damages {
        let mut bytes = fs::read(&path).expect("the entry exists");
        damage(&mut bytes);
        fs::write(&path, bytes).expect("the file can be written");
        let (run, origin) = run_workshop(&server, RANDOM_OUTPUT);
        assert_eq!((origin.as_str(), run.exitstatus, run.stdout.len()), ("fresh", 0, 37), "{run:?}");
        assert_ne!(run, last);
        last = run;
        assert_eq!(run_workshop(&server, RANDOM_OUTPUT), (last.clone(), "cached".into()));
    }
    // Another boot id alone does not make an entry invalid.
    let mut bytes = whole;
    bytes[24] ^= 1;
    fs::write(&path, &bytes).expect("the file can be written");
    assert_eq!(run_workshop(&server, RANDOM_OUTPUT).1, "cached");
    assert_ne!(
        fs::read(&path).expect("the entry exists")[24],
        bytes[24],
        "the entry should be verified and get this boot's id"
    );
}

#[test]
fn a_killed_server_leaves_no_partial_entry() {
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
        // The server is killed at the moment when the first entry appears.
        eventually("a cache entry appears", || (cache_entries(&server).len() > round * 6).then_some(()));
        server.kill();
        server.start_again();
        for (number, session) in numbers.iter().zip(sessions) {
            let wanted = format!("3000000\n{number}\n");
            assert_eq!(Run::collect(server.stream(&session, "")).stdout, wanted);
            assert_eq!(run_workshop(&server, &program(*number)).0.stdout, wanted);
            assert_eq!(run_workshop(&server, &program(*number)).1, "cached");
        }
    }
    assert!(cache_entries(&server).iter().all(|name| name.len() == 64), "{:?}", cache_entries(&server));
}
