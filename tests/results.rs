//! Result files: what a program leaves is taken at its end, whatever the end is, and nothing else
//! is ever read.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::PathBuf,
    process::Command,
};

use serde_json::{Value, json};

use crate::common::{Run, Server, binary, eventually, id, is_root};

/// Runs a request to its end. Returns the session's id, its document and the list of its files.
fn run(server: &Server, request: &Value) -> (String, Value, Value) {
    let id = id(&server.create(request));
    Run::collect(server.stream(&id, ""));
    let document = server.get(&format!("/sessions/{id}")).json();
    let list = server.get(&format!("/sessions/{id}/files"));
    assert_eq!(list.status, 200, "{}", list.text());
    (id, document, list.json())
}

/// The names and lengths in a list.
fn lengths(list: &Value) -> BTreeMap<String, u64> {
    let files = list["files"].as_array().expect("a list of files").iter();
    files
        .map(|file| {
            (file["name"].as_str().expect("a name").to_owned(), file["bytes"].as_u64().expect("a length"))
        })
        .collect()
}

/// The names in a list that were refused, with the reasons.
fn refusals(list: &Value) -> BTreeMap<String, String> {
    let refused = list["refused"].as_array().expect("a list").iter();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    refused.map(|file| (text(&file["name"]), text(&file["reason"]))).collect()
}

fn session_folder(server: &Server, id: &str) -> PathBuf {
    server.data().join("sessions").join(id)
}

#[test]
fn files_that_the_request_names_can_be_downloaded() {
    let server = Server::start();
    let code = "mkdir -p plots/deep; printf PNG > out.png; printf 'a,b\\n' > plots/1.csv; : > plots/empty.csv\n\
                echo no > plots/deep/2.csv; echo no > .hidden.txt; echo ü > 'größe; \"x\".txt'; exit 3";
    let collect = json!(["out.png", "plots/*.csv", "*.txt", "o*", "missing"]);
    let request = json!({"runtime": "bash", "code": code, "collect": collect});
    let (id, document, list) = run(&server, &request);
    let expected = [("größe; \"x\".txt", 3), ("out.png", 3), ("plots/1.csv", 4), ("plots/empty.csv", 0)];
    let expected: BTreeMap<_, _> = expected.map(|(name, bytes)| (name.to_owned(), bytes)).into();
    assert_eq!(lengths(&list), expected, "{list}");
    assert_eq!((&list["refused"], &list["complete"]), (&json!([]), &json!(true)));
    assert_eq!((&document["exitstatus"], &document["usage"]["collected_bytes"]), (&json!(3), &json!(10)));

    for (name, contents, content_type, saved_as) in [
        ("out.png", "PNG", "image/png", "out.png"),
        ("plots/1.csv", "a,b\n", "text/csv; charset=utf-8", "1.csv"),
        ("plots/empty.csv", "", "text/csv; charset=utf-8", "empty.csv"),
        ("größe; \"x\".txt", "ü\n", "text/plain; charset=utf-8", "gr%C3%B6%C3%9Fe%3B%20%22x%22.txt"),
    ] {
        let link = list["files"].as_array().expect("a list").iter().find(|file| file["name"] == name);
        let link = link.expect("a file")["link"].as_str().expect("a link");
        let path = link.strip_prefix(&server.url("")).expect("a link to this server");
        let file = server.get(path);
        assert_eq!((file.status, file.text().as_str()), (200, contents), "{name}");
        let saved = format!("attachment; filename*=UTF-8''{saved_as}");
        for (header, value) in [
            ("content-type", content_type),
            ("content-disposition", &saved),
            ("x-content-type-options", "nosniff"),
            ("content-security-policy", "default-src 'none'; sandbox"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(file.header(header), Some(value), "{name}: {header}");
        }
    }
    for name in ["plots/deep/2.csv", ".hidden.txt", "missing", "main.sh", "%2e%2e/session.json", "plots"] {
        let answer = server.get(&format!("/sessions/{id}/files/{name}"));
        answer.problem_with_code(404, "no_such_file");
    }
    // The files are gone with their session.
    assert_eq!(server.request("DELETE", &format!("/sessions/{id}"), &[], &[]).status, 204);
    server.get(&format!("/sessions/{id}/files/out.png")).problem_with_code(404, "no_such_session");
    assert!(!session_folder(&server, &id).exists());
}

#[test]
fn a_session_that_names_no_files_leaves_none() {
    let server = Server::start();
    for collect in [json!(null), json!([])] {
        let request = json!({"runtime": "bash", "code": "echo x > out.txt", "collect": collect});
        let (id, document, list) = run(&server, &request);
        assert_eq!(list, json!({"files": [], "refused": [], "complete": true}));
        assert!(document["usage"]["collected_bytes"].is_null(), "{document}");
        let left = fs::read_dir(session_folder(&server, &id)).expect("the folder can be read");
        let left: Vec<_> = left.flatten().map(|entry| entry.file_name()).collect();
        assert!(!left.iter().any(|name| name.to_string_lossy().contains("results")), "{left:?}");
    }
    // A program that runs has left nothing so far.
    let running = id(&server.create(&json!({"runtime": "bash", "code": "read x", "collect": ["*"]})));
    let list = server.get(&format!("/sessions/{running}/files")).json();
    assert_eq!(list, json!({"files": [], "refused": [], "complete": false}));
    server.get(&format!("/sessions/{running}/files/main.sh")).problem_with_code(404, "no_such_file");
}

#[test]
fn wrong_patterns_are_refused() {
    let server = Server::start();
    let create = |collect: Value| {
        server.post("/sessions", &json!({"runtime": "bash", "code": "", "collect": collect}))
    };
    for pattern in
        ["../x", "/etc/passwd", "a//b", "", ".", "a/..", "-rf", "a\nb", "a\u{0}", &"x".repeat(5000)]
    {
        let problem = create(json!(["ok", pattern])).problem_with_code(422, "invalid_field");
        assert_eq!(problem["field"], "collect[1]", "{pattern:?}: {problem}");
    }
    for collect in [json!("*"), json!([1]), json!(vec!["*"; 33])] {
        let problem = create(collect).problem_with_code(422, "invalid_field");
        assert!(problem["field"].as_str().expect("a field").starts_with("collect"), "{problem}");
    }
    assert_eq!(create(json!(vec!["*"; 32])).status, 201);
}

/// Whether the kernel ends a whole sandbox at once if it runs out of memory.
fn ends_sandbox_without_memory() -> bool {
    fs::exists("/sys/fs/cgroup/cgroup.controllers").expect("the file system of cgroups")
}

#[test]
fn the_files_of_a_program_that_was_stopped_are_taken() {
    let server = Server::start();
    let write = "open('out.txt', 'w').write('kept')\n";
    let loops = "while True: pass";
    let mut ends = vec![
        ("timeout", loops, json!({"timeout": 700})),
        ("cpu", loops, json!({"limits": {"cpu_ms": 300}})),
        ("output", "while True: print('x' * 1000)", json!({"limits": {"output_bytes": 10_000}})),
        ("signalled", "import os; os.kill(os.getpid(), 11)", json!({})),
        ("exited", "import os; os._exit(7)", json!({})),
    ];
    // Without cgroups, the limit is one of each process, and Python ends with a MemoryError.
    if is_root() && !ends_sandbox_without_memory() {
        ends.push((
            "memory",
            "x = [b'x' * 1000000 for i in range(100000)]",
            json!({"limits": {"memory_bytes": 50_000_000}}),
        ));
    }
    for (outcome, code, fields) in ends {
        let mut request =
            json!({"runtime": "python", "code": format!("{write}{code}"), "collect": ["out.txt"]});
        request.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
        let (id, document, list) = run(&server, &request);
        assert_eq!(document["outcome"], outcome, "{document}");
        assert_eq!(lengths(&list), [("out.txt".to_owned(), 4)].into(), "{outcome}: {list}");
        assert_eq!(list["complete"], true);
        assert_eq!(server.get(&format!("/sessions/{id}/files/out.txt")).text(), "kept");
    }
}

#[test]
fn a_signal_of_a_client_ends_the_program_and_leaves_its_files() {
    let server = Server::start();
    let code = "echo kept > out.txt; echo ready; sleep 1000";
    let id = id(&server.create(&json!({"runtime": "bash", "code": code, "collect": ["*.txt"]})));
    let mut stream = server.stream(&id, "");
    while let Some(message) = stream.next() {
        if message["data"] == "ready\n" {
            stream.send(&json!({"msgtype": "signal", "signal": "kill"}));
        }
    }
    let list = server.get(&format!("/sessions/{id}/files")).json();
    assert_eq!(lengths(&list), [("out.txt".to_owned(), 5)].into(), "{list}");
}

#[test]
fn files_are_taken_after_compilation_also_if_it_fails() {
    let server = Server::start();
    let right = "#include <stdio.h>\nint main(void) { fputs(\"x\", fopen(\"out.txt\", \"w\")); }\n";
    for _ in 0..2 {
        let (_, document, list) = run(&server, &json!({"runtime": "c", "code": right, "collect": ["*.txt"]}));
        assert_eq!(lengths(&list), [("out.txt".to_owned(), 1)].into(), "{list} {document}");
    }
    let files =
        json!([{"filename": "main.c", "contents": "wrong"}, {"filename": "in.txt", "contents": "in"}]);
    let (_, document, list) =
        run(&server, &json!({"runtime": "c", "files": files, "collect": ["*.txt"], "stages": true}));
    assert_eq!(document["outcome"], "compile_failed");
    assert_eq!(lengths(&list), [("in.txt".to_owned(), 2)].into(), "{list}");
}

/// Plants everything that is no file of its own, and prints which of it the sandbox lets be made.
const PLANT: &str = r#"
import os, socket
os.makedirs("inner", exist_ok=True)
open("good.txt", "w").write("good")
open("inner/good.txt", "w").write("inner")
def attempt(name, make):
    try:
        make()
        print(name, flush=True)
    except OSError:
        pass
attempt("link", lambda: os.symlink("/etc/passwd", "link.txt"))
attempt("dangling", lambda: os.symlink("/nowhere", "dangling.txt"))
attempt("own", lambda: os.symlink("good.txt", "own.txt"))
attempt("proc", lambda: os.symlink("/proc/1/environ", "proc.txt"))
attempt("folder", lambda: os.symlink("/etc", "folder"))
attempt("parent", lambda: os.symlink("..", "parent"))
attempt("hard", lambda: (open("one.txt", "w").write("one"), os.link("one.txt", "two.txt")))
attempt("fifo", lambda: os.mkfifo("fifo.txt"))
attempt("socket", lambda: socket.socket(socket.AF_UNIX).bind("socket.txt"))
attempt("device", lambda: os.mknod("device.txt", 0o20666, os.makedev(1, 5)))
attempt("directory", lambda: os.mkdir("directory.txt"))
attempt("bytes", lambda: open(b"\xff" * 251 + b".txt", "w").write("x"))
attempt("newline", lambda: open("new\nline.txt", "w").write("x"))
attempt("option", lambda: open("-rf.txt", "w").write("x"))
attempt("long", lambda: open("é" * 125 + ".txt", "w").write("long"))
attempt("secret", lambda: (open("secret.txt", "w").write("x"), os.chmod("secret.txt", 0)))
"#;

#[test]
fn links_pipes_devices_and_strange_names_are_refused_or_harmless() {
    let server = Server::start();
    let collect =
        json!(["*.txt", "inner/*", "folder/*", "folder/passwd", "parent/*", "parent/etc/passwd", "proc.txt"]);
    let (id, _, list) = run(&server, &json!({"runtime": "python", "code": PLANT, "collect": collect}));
    let long = format!("{}.txt", "é".repeat(125));
    let taken = [("good.txt", 4), ("inner/good.txt", 5), (&*long, 4)];
    let taken: BTreeMap<_, _> = taken.map(|(name, bytes)| (name.to_owned(), bytes)).into();
    let mut refused: BTreeMap<String, String> = [
        ("link.txt", "not_a_file"),
        ("dangling.txt", "not_a_file"),
        ("own.txt", "not_a_file"),
        ("proc.txt", "not_a_file"),
        ("one.txt", "has_two_names"),
        ("two.txt", "has_two_names"),
        ("fifo.txt", "not_a_file"),
        ("socket.txt", "not_a_file"),
        ("directory.txt", "not_a_file"),
        ("new\nline.txt", "invalid_name"),
        ("-rf.txt", "invalid_name"),
        ("secret.txt", "unreadable"),
    ]
    .map(|(name, reason)| (name.to_owned(), reason.to_owned()))
    .into();
    let bytes_name = format!("{}.txt", "\u{fffd}".repeat(251));
    refused.insert(bytes_name, "invalid_name".into());
    let (found_lengths, found_refusals) = (lengths(&list), refusals(&list));
    // The sandbox may allow none of these at all.
    for name in ["socket.txt", "device.txt"] {
        if !found_refusals.contains_key(name) {
            refused.remove(name);
        }
    }
    assert_eq!(found_lengths, taken, "{list}");
    assert_eq!(found_refusals, refused, "{list}");
    assert_eq!(list["complete"], true);
    // Nothing of the machine or of the sandbox's root is in what was kept.
    let kept = fs::read(session_folder(&server, &id).join("results")).expect("the contents");
    assert_eq!(kept.len(), 13, "{:?}", String::from_utf8_lossy(&kept));
}

#[test]
fn names_that_only_look_alike_are_different() {
    let server = Server::start();
    // The first name is that of the second one as it is shown.
    let code = "import os\nopen(b'd\\xef\\xbf\\xbd', 'w').write('one')\nos.mkdir(b'd\\xff')\n\
                open(b'd\\xff/x', 'w').write('two')\n";
    let collect = json!(["d\u{fffd}", "d*/x"]);
    let (_, _, list) = run(&server, &json!({"runtime": "python", "code": code, "collect": collect}));
    assert_eq!(lengths(&list), [("d\u{fffd}".to_owned(), 3)].into(), "{list}");
    assert_eq!(refusals(&list), [("d\u{fffd}/x".to_owned(), "invalid_name".to_owned())].into());
}

#[test]
fn output_that_is_read_after_the_end_counts() {
    let server = Server::start();
    // F_SETPIPE_SZ: the program ends while most of its output is in the pipe.
    let code = "import fcntl, os\nopen('out.txt', 'w').close()\nfcntl.fcntl(1, 1031, 1 << 20)\n\
                os.write(1, b'x' * (1 << 20))\n";
    let limits = json!({"output_bytes": 600 * 1024});
    let request = json!({"runtime": "python", "code": code, "collect": ["*.txt"], "limits": limits});
    for _ in 0..5 {
        let (_, document, list) = run(&server, &request);
        assert_eq!(document["outcome"], "output", "{document}");
        assert_eq!(lengths(&list), [("out.txt".to_owned(), 0)].into(), "{list}");
    }
}

#[test]
fn a_sparse_file_counts_with_its_length() {
    const DISK_BYTES: u64 = 1 << 41;
    let server = Server::start_with(&["--disk-max-bytes", &DISK_BYTES.to_string()]);
    let code = "import os\nopen('small.bin', 'w').write('x')\n\
                with open('large.bin', 'wb') as file:\n    file.truncate(1 << 40)\n    file.seek(1 << 39)\n    file.write(b'x')\n\
                with open('hole.bin', 'wb') as file:\n    file.truncate(1000000)\n";
    let request = json!({
        "runtime": "python", "code": code, "collect": ["*.bin"], "limits": {"disk_bytes": DISK_BYTES},
    });
    let (id, document, list) = run(&server, &request);
    let expected = [("hole.bin", 1_000_000), ("small.bin", 1)].map(|(name, bytes)| (name.to_owned(), bytes));
    assert_eq!(lengths(&list), expected.into(), "{document} {list}");
    assert_eq!(refusals(&list), [("large.bin".to_owned(), "too_large".to_owned())].into());
    assert_eq!(server.get(&format!("/sessions/{id}/files/hole.bin")).body, vec![0; 1_000_000]);
}

#[test]
fn files_are_bounded_in_number_and_bytes() {
    let server = Server::start_with(&["--disk-files", "20000", "--collect-max-bytes", "1000"]);
    let code = "for i in range(10000): open(f'f{i}', 'w').close()";
    let (_, document, list) =
        run(&server, &json!({"runtime": "python", "code": code, "collect": ["f*", "f*"]}));
    assert_eq!(document["exitstatus"], 0, "{document}");
    assert_eq!((lengths(&list).len(), refusals(&list).len()), (100, 100), "{list}");
    assert!(refusals(&list).values().all(|reason| reason == "too_many"));
    assert_eq!(list["complete"], false);

    let code = "head -c 600 /dev/zero > a; head -c 600 /dev/zero > b; head -c 400 /dev/zero > c";
    let (_, document, list) =
        run(&server, &json!({"runtime": "bash", "code": code, "collect": ["a", "b", "c", "a"]}));
    let expected = [("a", 600), ("c", 400)].map(|(name, bytes)| (name.to_owned(), bytes));
    assert_eq!(lengths(&list), expected.into(), "{list}");
    assert_eq!(refusals(&list), [("b".to_owned(), "too_large".to_owned())].into());
    assert_eq!((&list["complete"], &document["usage"]["collected_bytes"]), (&json!(true), &json!(1000)));

    let server = Server::start_with(&["--collect-files-max", "0"]);
    let (_, _, list) = run(&server, &json!({"runtime": "bash", "code": "echo > a", "collect": ["a"]}));
    assert_eq!((lengths(&list).len(), refusals(&list)["a"].as_str()), (0, "too_many"));
}

#[test]
fn a_file_that_others_go_on_writing_is_taken_once_they_are_dead() {
    let server = Server::start();
    let code = "(trap '' TERM HUP; while :; do echo x >> grow.txt; done) & setsid bash -c 'while :; do echo y >> grow.txt; done' &\n\
                until [ -s grow.txt ]; do :; done; exit 0";
    let (id, document, list) =
        run(&server, &json!({"runtime": "bash", "code": code, "collect": ["grow.txt"]}));
    assert_eq!((&document["outcome"], &document["exitstatus"]), (&json!("exited"), &json!(0)));
    let bytes = lengths(&list)["grow.txt"];
    let file = server.get(&format!("/sessions/{id}/files/grow.txt"));
    assert_eq!(file.body.len() as u64, bytes);
    assert_eq!(server.get(&format!("/sessions/{id}/files/grow.txt")).body, file.body);
}

#[test]
fn result_files_survive_the_death_of_the_server() {
    let mut server = Server::start();
    let code = "echo ready; read line; echo \"$line\" > out.txt";
    let id = id(&server.create(&json!({"runtime": "bash", "code": code, "collect": ["out.txt"]})));
    let mut stream = server.stream(&id, "");
    while stream.next().is_some_and(|message| message["data"] != "ready\n") {}
    drop(stream);
    server.kill();
    server.start_again();
    let mut stream = server.stream(&id, "?after=1");
    stream.send(&json!({"msgtype": "input", "data": "later\n", "id": 1}));
    while stream.next().is_some() {}
    for _ in 0..2 {
        let list = server.get(&format!("/sessions/{id}/files")).json();
        assert_eq!(lengths(&list), [("out.txt".to_owned(), 6)].into(), "{list}");
        assert_eq!(server.get(&format!("/sessions/{id}/files/out.txt")).text(), "later\n");
        server.kill();
        server.start_again();
    }
}

#[test]
fn what_a_killed_supervisor_had_copied_is_removed() {
    let server = Server::start();
    let code = "echo x > out.txt; echo ready; read line";
    let id = id(&server.create(&json!({"runtime": "bash", "code": code, "collect": ["out.txt"]})));
    let mut stream = server.stream(&id, "");
    while stream.next().is_some_and(|message| message["data"] != "ready\n") {}
    let folder = session_folder(&server, &id);
    fs::write(folder.join("results"), "half of a fi").expect("the file can be written");
    let identity: Value =
        serde_json::from_slice(&fs::read(folder.join("state.json")).expect("a file")).expect("JSON");
    let pid =
        identity["pid"].as_i64().and_then(|pid| rustix::process::Pid::from_raw(pid as i32)).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("the supervisor lives");
    while stream.next().is_some() {}
    let list = eventually("the session is torn down", || {
        (!folder.join("results").exists()).then(|| server.get(&format!("/sessions/{id}/files")).json())
    });
    assert_eq!(list, json!({"files": [], "refused": [], "complete": false}));
    let document = server.get(&format!("/sessions/{id}")).json();
    assert_eq!((&document["outcome"], &document["usage"]), (&json!("lost"), &Value::Null));
}

#[test]
fn a_download_that_is_not_read_holds_nothing_of_a_deleted_session() {
    const BYTES: usize = 16_000_000; // more than the kernel keeps for the client
    let server = Server::start();
    let code = format!("head -c {BYTES} /dev/zero > zeros");
    let (id, _, list) = run(&server, &json!({"runtime": "bash", "code": code, "collect": ["zeros"]}));
    assert_eq!(lengths(&list), [("zeros".to_owned(), BYTES as u64)].into());
    let mut client = TcpStream::connect(server.address()).expect("the server listens");
    let request =
        format!("GET /sessions/{id}/files/zeros HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    client.write_all(request.as_bytes()).expect("the server reads");
    client.read_exact(&mut [0; 1000]).expect("the download begins");
    assert_eq!(server.delete(&format!("/sessions/{id}")).status, 204);
    eventually("the server has no file of it", || {
        let open = fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("the server lives");
        let mut open = open.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
        (!open.any(|path| path.to_string_lossy().contains(&id))).then_some(())
    });
    let mut rest = vec![];
    let _ = client.read_to_end(&mut rest); // the connection may be reset
    assert!(rest.len() < BYTES, "{} bytes", rest.len());
}

#[test]
fn a_disk_without_room_costs_the_files_and_not_the_end() {
    let probe = Server::start();
    let disk = rustix::fs::statvfs(probe.data()).expect("the disk can be examined");
    // Four times this much is left to others.
    let min_free_bytes = disk.f_bavail * disk.f_frsize / 3;
    drop(probe);
    let server = Server::start_with(&["--disk-min-free-bytes", &min_free_bytes.to_string()]);
    let code = "echo x > out.txt; echo hello; exit 5";
    let (_, document, list) = run(&server, &json!({"runtime": "bash", "code": code, "collect": ["out.txt"]}));
    assert_eq!((&document["outcome"], &document["exitstatus"]), (&json!("exited"), &json!(5)));
    assert_eq!(refusals(&list), [("out.txt".to_owned(), "disk_full".to_owned())].into(), "{list}");
    assert_eq!((lengths(&list).len(), &document["usage"]["collected_bytes"]), (0, &json!(0)));
}

#[test]
fn the_command_line_writes_the_files_into_a_folder() {
    let server = Server::start();
    let folder = tempfile::tempdir().expect("a temporary folder is created");
    let program = folder.path().join("make.sh");
    fs::write(&program, "mkdir a; echo 1 > a/1.txt; echo 2 > 'b c.txt'; ln -s /etc/passwd l.txt; exit 4")
        .expect("the file can be written");
    let output = Command::new(binary())
        .args(["run", "--collect", "*.txt", "--collect", "a/*", "--output-dir"])
        .arg(folder.path().join("out"))
        .arg(&program)
        .env("LIVECODE_SERVER", server.url(""))
        .output()
        .expect("the command runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{stderr}");
    assert_eq!(stderr, "livecode: l.txt was not taken: not_a_file\n");
    let read =
        |name: &str| fs::read_to_string(folder.path().join("out").join(name)).expect("the file was written");
    assert_eq!((read("a/1.txt"), read("b c.txt")), ("1\n".to_owned(), "2\n".to_owned()));
    let written = fs::read_dir(folder.path().join("out")).expect("the folder was made").count();
    assert_eq!(written, 2);
}

#[test]
fn the_disk_space_of_result_files_counts() {
    let server = Server::start_with(&["--keep-max-bytes", "1500000"]);
    let request = json!({
        "runtime": "bash", "code": "head -c 1000000 /dev/zero > out.bin", "collect": ["out.bin"],
    });
    let [first, second] = [0; 2].map(|_| run(&server, &request).0);
    eventually("the oldest is forgotten", || {
        (server.get(&format!("/sessions/{first}/files")).status == 404).then_some(())
    });
    assert_eq!(server.get(&format!("/sessions/{second}/files/out.bin")).body.len(), 1_000_000);
}
