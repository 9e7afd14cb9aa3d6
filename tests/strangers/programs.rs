//! Work that the server and a supervisor do for a program is charged to that program.

use std::{fs, path::PathBuf};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use crate::common::{Run, Server, cgroups::groups, eventually, id, is_root};

const MIB: u64 = 1024 * 1024;

/// The head of a Python program that writes to its message channel with `send`.
const SEND: &str = "import os, sys\ndef send(data):\n    while data: data = data[os.write(3, data):]\n";

/// The pid of a session's supervisor, once it has written its identity.
fn supervisor(server: &Server, session: &str) -> u32 {
    let path = server.data().join("sessions").join(session).join("state.json");
    let identity = eventually("the session has a supervisor", || {
        serde_json::from_slice::<Value>(&fs::read(&path).ok()?).ok()
    });
    identity["pid"].as_u64().and_then(|pid| pid.try_into().ok()).expect("a pid")
}

/// CPU time of a process in milliseconds (proc_pid_stat(5), fields 14 and 15).
fn cpu_ms(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    let ticks: u64 =
        rest.split_whitespace().skip(11).take(2).filter_map(|text| text.parse::<u64>().ok()).sum();
    Some(ticks * 1000 / rustix::param::clock_ticks_per_second())
}

/// The outcome of a session that has ended, and the CPU time that it was charged.
fn outcome(server: &Server, session: &str) -> (String, u64) {
    let document = server.get(&format!("/sessions/{session}")).json();
    let cpu_ms = document["usage"]["cpu_ms"].as_u64().expect("milliseconds");
    (document["outcome"].as_str().expect("an outcome").to_owned(), cpu_ms)
}

/// Writing these lines costs a program far less than reading them costs its supervisor.
#[test]
fn the_cost_of_output_counts_as_cpu_time_of_the_program() {
    let server = Server::start();
    for lines in [r"b'\n' * 65536", r#"b'{"msgtype":"write"}\n' * 3000"#, r"b'x\n' * 32768"] {
        let code = format!("{SEND}lines = {lines}\nwhile True: send(lines)");
        let request = json!({"runtime": "python", "code": code, "timeout": 20_000,
            "limits": {"cpu_ms": 400, "output_bytes": 64 << 20}});
        // A worker that serves several sessions one after the other has used CPU time before.
        let session = id(&server.create(&request));
        let pid = supervisor(&server, &session);
        let before_ms = cpu_ms(pid).unwrap_or(0);
        let mut spent_ms = 0;
        eventually("the session ends", || {
            spent_ms = cpu_ms(pid).map_or(spent_ms, |now_ms| now_ms.saturating_sub(before_ms).max(spent_ms));
            (server.get(&format!("/sessions/{session}")).json()["state"] == "ended").then_some(())
        });
        let (outcome, charged_ms) = outcome(&server, &session);
        assert_eq!(outcome, "cpu", "{lines}: {charged_ms} ms charged, {spent_ms} ms of the supervisor");
        // The part that is not charged is a small part of the limit.
        assert!(charged_ms + 100 >= spent_ms, "{lines}: {charged_ms} of {spent_ms} ms");
    }
}

#[test]
fn a_program_is_told_of_few_refused_lines_and_how_many_more_there_were() {
    const LINES: usize = 100_000;
    let server = Server::start();
    let run = server.run_code("python", &format!("{SEND}send(b'x\\n' * {LINES})"));
    assert!(run.stderr.len() < 256 * 1024, "{} bytes of notes", run.stderr.len());
    let told = |line: &str| -> usize {
        match line.strip_prefix("livecode: ").and_then(|note| note.split_once(' ')) {
            Some(("a", _)) => 1,
            Some((count, "more messages were not sent")) => count.parse().expect("a count"),
            _ => panic!("{line}"),
        }
    };
    assert_eq!(run.stderr.lines().map(told).sum::<usize>(), LINES);
    assert_eq!(run.exitstatus, 0);
}

/// A client that reads a message with a recursive parser would exhaust its stack or give up.
#[test]
fn the_depth_of_a_message_is_bounded() {
    let server = Server::start();
    let code = format!(
        "{SEND}for levels in (98, 99, 100_000):\n    \
         nested = b'[' * levels + b']' * levels\n    \
         send(b'{{\"msgtype\":\"deep\",\"x\":' + nested + b'}}\\n')\n    \
         print('--MSG-- {{\"msgtype\":\"printed\",\"x\":' + nested.decode() + '}}', flush=True)\n"
    );
    // Each message is nested one level deeper than its field `x`.
    let run = server.run_code("python", &code);
    let count = |msgtype| run.messages.iter().filter(|message| message["msgtype"] == msgtype).count();
    assert_eq!((count("deep"), count("printed")), (2, 2), "{}", run.stderr);
    assert_eq!(run.stderr.matches("nested more than 100 levels deep").count(), 1, "{}", run.stderr);
    // A line on standard output that is no valid message is output.
    assert!(run.stdout.starts_with("--MSG-- {\"msgtype\":\"printed\",\"x\":[[["), "{}", run.stdout.len());
}

/// The resident size of a process and its peak, in bytes (proc_pid_status(5)).
fn resident_bytes(pid: u32) -> [u64; 2] {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    ["VmRSS:", "VmHWM:"].map(|name| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a field");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    })
}

/// A file that the program does not read, and 15 MiB of input.
#[test]
fn a_supervisor_and_init_hold_nothing_of_a_large_request() {
    const LARGE: u64 = 15 * MIB;
    let server = Server::start();
    let large = || "x".repeat(LARGE as usize);
    let start = |fields: Value| {
        let code = "print('up', flush=True)\nopen(3).readline()";
        let mut request = json!({"runtime": "python", "code": code, "limits": {"memory_bytes": 48 * MIB}});
        request.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
        let session = id(&server.create(&request));
        let mut stream = server.stream(&session, "");
        assert_eq!(stream.next_of("write")["data"], "up\n");
        let bytes = resident_bytes(supervisor(&server, &session));
        stream.send(&json!({"msgtype": "event", "event": "go"}));
        assert_eq!(Run::collect(stream).exitstatus, 0);
        let document = server.get(&format!("/sessions/{session}")).json();
        assert_eq!(document["outcome"], "exited", "{document}");
        // Nothing else has a use for the stored contents.
        assert!(!session_folder(&server, &session).join("contents").exists());
        (bytes, document["usage"]["memory_peak_bytes"].as_u64())
    };
    let (small, small_peak) = start(json!({}));
    let files = json!([{"filename": "large", "contents": large()}]);
    for (fields, file_bytes) in [(json!({"files": files}), LARGE), (json!({"stdin": large()}), 0)] {
        let (bytes, peak) = start(fields);
        for (bytes, small) in bytes.into_iter().zip(small) {
            assert!(bytes <= small + 2 * MIB, "{bytes} bytes instead of {small}");
        }
        // Memory that init holds is counted as memory of the session, and so are the files
        // themselves.
        if let (true, Some(peak), Some(small_peak)) = (is_root(), peak, small_peak) {
            assert!(peak <= small_peak + file_bytes + 2 * MIB, "{peak} bytes instead of {small_peak}");
        }
    }
}

fn session_folder(server: &Server, session: &str) -> PathBuf {
    server.data().join("sessions").join(session)
}

/// A program that prints digests of its files and of its input, the request for it, and what
/// it prints.
fn digests(filler: &str) -> (Value, String) {
    let binary: Vec<u8> = (0..200_000_u32).map(|n| (n * 7 / 3) as u8).collect();
    let text = filler.repeat(100_000);
    let stdin = "line\n".repeat(50_000);
    let code = "import sys\n\
                def show(data): print(len(data), sum(n * byte for n, byte in enumerate(data, 1)))\n\
                for name in ('binary', 'folder/text', 'empty'): show(open(name, 'rb').read())\n\
                show(sys.stdin.buffer.read())\n";
    let request = json!({"runtime": "python", "code": code, "stdin": stdin, "files": [
        {"filename": "binary", "contents": BASE64_STANDARD.encode(&binary), "encoding": "base64"},
        {"filename": "folder/text", "contents": text},
        {"filename": "empty", "contents": ""},
    ]});
    let shown = [&binary, text.as_bytes(), b"", stdin.as_bytes()];
    let shown = shown.map(|data| format!("{} {}\n", data.len(), weighted_sum(data)));
    (request, shown.concat())
}

fn weighted_sum(data: &[u8]) -> u64 {
    (1..).zip(data).map(|(n, byte)| n * u64::from(*byte)).sum()
}

/// A queued session has not been read by a supervisor when its server dies. Servers of earlier
/// builds wrote all contents into `order.json`.
#[test]
fn large_requests_survive_a_restart_while_they_are_queued() {
    let mut server = Server::start_with(&["--sessions-running-max", "1"]);
    let (request, expected) = digests("ä€");
    assert_eq!(server.run(&request).stdout, expected);

    let waits = json!({"runtime": "python", "code": "open(3).readline()", "timeout": 60_000});
    let first = id(&server.create(&waits));
    let [stored, inline] = [(); 2].map(|()| id(&server.create(&request)));
    server.kill();
    let order_path = session_folder(&server, &inline).join("order.json");
    let mut order: Value = serde_json::from_slice(&fs::read(&order_path).expect("a run spec")).expect("JSON");
    let contents_path = session_folder(&server, &inline).join("contents");
    let contents = fs::read(&contents_path).expect("stored contents");
    assert!(fs::metadata(&order_path).expect("a run spec").len() < 4096);
    let as_inline = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => json!({"text": text}),
        Err(_) => json!({"base64": BASE64_STANDARD.encode(bytes)}),
    };
    let described = order.as_object_mut().expect("an object").remove("stored").expect("stored contents");
    let mut rest = &contents[..];
    let mut files = vec![];
    for file in described["files"].as_array().expect("a list") {
        let (bytes, after) = rest.split_at(file["bytes"].as_u64().expect("a length") as usize);
        files.push(json!({"name": file["name"], "contents": as_inline(bytes)}));
        rest = after;
    }
    assert_eq!(described["stdin_bytes"], rest.len());
    (order["files"], order["stdin"]) = (json!(files), as_inline(rest));
    fs::write(&order_path, order.to_string()).expect("the run spec is replaced");
    fs::remove_file(&contents_path).expect("the contents are removed");

    server.start_again();
    server.stream(&first, "").send(&json!({"msgtype": "event", "event": "go"}));
    for session in [stored, inline] {
        let run = Run::collect(server.stream(&session, ""));
        assert_eq!(run.stdout, expected, "{}", run.stderr);
        assert!(!session_folder(&server, &session).join("contents").exists());
    }
}

/// Init is given the contents of the files and the cached artefacts at once.
#[test]
fn a_large_compiled_program_runs_fresh_and_cached() {
    let server = Server::start();
    let code = "#include <stdio.h>\nint main(void) { FILE *f = fopen(\"large\", \"r\"); fseek(f, 0, SEEK_END);\n\
                printf(\"%ld\\n\", ftell(f)); }";
    let large = "y".repeat(300_000);
    let request = json!({"runtime": "c", "code": code, "files": [{"filename": "large", "contents": large}]});
    for compiled in ["fresh", "cached"] {
        let session = id(&server.create(&request));
        let run = Run::collect(server.stream(&session, ""));
        assert_eq!(run.stdout, "300000\n", "{compiled}: {}", run.stderr);
        assert_eq!(server.get(&format!("/sessions/{session}")).json()["compiled"], compiled);
    }
}

/// A session whose `disk_bytes` differ is given the warm sandbox of its supervisor, and no second
/// one.
#[test]
fn a_session_of_another_size_has_one_sandbox() {
    let server = Server::start();
    let request = |code: &str| json!({"runtime": "python", "code": code, "timeout": 60_000, "limits": {"disk_bytes": MIB}});
    let session = id(&server.create(&request("print('up', flush=True)\nopen(3).readline()")));
    let mut stream = server.stream(&session, "");
    assert_eq!(stream.next_of("write")["data"], "up\n");
    if !is_root() {
        return; // an ordinary user has no cgroups here
    }
    let pid = supervisor(&server, &session);
    let own_groups = || -> Vec<String> {
        groups(server.data()).into_iter().filter(|group| group.contains(&format!("-{pid}-"))).collect()
    };
    let names = || -> std::collections::BTreeSet<_> {
        own_groups().iter().map(|group| group.rsplit('/').next().map(str::to_owned)).collect()
    };
    assert_eq!(names().len(), 1, "{:?}", names());
    assert_eq!(server.request("DELETE", &format!("/sessions/{session}"), &[], &[]).status, 204);
    // The supervisor may have made the next warm sandbox by now, whose group has the same name.
    assert!(names().len() <= 1, "{:?}", names());
}

/// A terminal that shows the log obeys no escape sequence, and a name with a newline makes no line
/// that looks like one of the server's.
#[test]
fn control_characters_are_escaped_in_the_log() {
    let folder = tempfile::tempdir().expect("a temporary folder is created");
    let log = folder.path().join("log");
    let script = format!(r#"RUST_LOG=warn exec "$0" "$@" 2>>'{}'"#, log.display());
    let mut server = Server::start_by(&["sh", "-c", &script], &[]);
    server.stop();
    let session = server.data().join("sessions").join("\u{1b}[31mred\r\n\u{9b}5mfalse line");
    fs::create_dir(session).expect("the folder is created");
    server.start_again();
    let is_warned = || fs::read_to_string(&log).ok().filter(|text| text.contains("false line"));
    let text = eventually("the server warns of a session that cannot be read", is_warned);
    assert!(text.contains(r"\u{1b}[31mred\r\n\u{9b}5mfalse line"), "{text:?}");
    assert!(!text.contains(|letter: char| letter.is_control() && letter != '\n'), "{text:?}");
}
