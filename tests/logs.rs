//! The server's log: one line for the creation of each session and one for its end, in text and in
//! JSON, whatever a program is called or prints, and nothing of the program itself.

use std::io::{BufRead as _, BufReader};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::common::{Run, Server, eventually, guest::Guest, id, logged::LoggedServer, processes};

/// Text that programs print and contain, which must not be in the log.
const SECRET: &str = "XyzzyPlugh";

/// The lines of sessions in a log, by a field that both forms write.
fn session_lines(logged: &LoggedServer, event: &str, id: &str) -> Vec<String> {
    let short = &id[..12];
    let lines = logged.lines().into_iter();
    lines.filter(|line| line.contains(&format!("session {event}")) && line.contains(short)).collect()
}

/// Waits for the line of a session's end, and returns its two lines.
fn both_lines(logged: &LoggedServer, id: &str) -> (String, String) {
    eventually("the end is logged", || session_lines(logged, "ended", id).pop());
    let [created, ended] = ["created", "ended"].map(|event| session_lines(logged, event, id));
    assert_eq!((created.len(), ended.len()), (1, 1), "{created:?} {ended:?}");
    (created[0].clone(), ended[0].clone())
}

/// Asserts that a log has neither colours nor other control characters, no program, and no whole
/// id.
fn assert_clean(logged: &LoggedServer, ids: &[&str]) {
    let text = String::from_utf8(logged.bytes()).expect("the log is UTF-8");
    let control = text.chars().find(|char| char.is_control() && *char != '\n');
    assert_eq!(control, None, "{text}");
    assert!(!text.contains(SECRET), "{text}");
    for id in ids {
        assert!(!text.contains(id), "an id gives access to a session:\n{text}");
    }
}

/// Asserts that a log has nothing but two lines for each session and, at the start, what the machine
/// cannot enforce.
fn assert_only_sessions(lines: &[String], sessions: usize) {
    let count = lines.iter().filter(|line| !line.contains("DEGRADED")).count();
    assert_eq!(count, 2 * sessions, "only sessions are logged: {lines:#?}");
}

/// Programs that try to get into the log: by what they print, by names of files, by messages, by
/// crashing, and by ending in each way.
fn hostile_sessions(server: &Server) -> Vec<String> {
    let forged =
        "\n2026-01-01T00:00:00Z  INFO session created id=000000000000\n{\"level\":\"INFO\"}\n\u{1b}[2J";
    let print = |file: &str| {
        let text = serde_json::to_string(&format!("{SECRET}{forged}\u{9b}31m")).expect("a text");
        format!("import sys\nprint({text}, file=sys.{file}, flush=True)\n")
    };
    let programs = [
        json!({"runtime": "python", "code": print("stdout")}),
        json!({"runtime": "python", "code": print("stderr") + "raise SystemExit(3)"}),
        json!({"runtime": "bash", "code": format!("# {SECRET}\nkill -SEGV $$")}),
        json!({"runtime": "python", "code": format!("open(3, 'w').write('{SECRET}\\n')")}),
        json!({"runtime": "bash", "files": [
            {"filename": format!("{SECRET}\u{1b}[31m\n x\u{9b}.sh"), "contents": "echo"},
        ]}),
        json!({"runtime": "bash", "code": "exit", "args": [SECRET, forged], "env": {(SECRET): forged}}),
        json!({"runtime": "bash", "code": "cat", "stdin": format!("{SECRET}{forged}")}),
        json!({"runtime": "c", "code": format!("#error {SECRET}")}),
    ];
    let mut ids = vec![];
    for program in programs {
        let response = server.post("/sessions", &program);
        if response.status == 201 {
            let id = id(&response.json());
            Run::collect(server.stream(&id, ""));
            ids.push(id);
        } else {
            response.problem(422); // this name is not allowed; the refusal is not logged either
        }
    }
    // Requests that are no programs.
    server.post("/sessions", &json!({"runtime": format!("{SECRET}{forged}"), "code": SECRET})).problem(422);
    server
        .request("POST", "/sessions", &[("content-type", "application/json")], b"{\"code\": \x1b")
        .problem(400);
    ids
}

#[test]
fn a_session_has_two_lines_in_the_log() {
    let logged = LoggedServer::start(&[]);
    let server = &logged.server;
    let ids = hostile_sessions(server);
    assert!(ids.len() > 5, "{ids:?}");
    for id in &ids {
        let (created, ended) = both_lines(&logged, id);
        for line in [&created, &ended] {
            assert!(
                line.contains("  INFO session ") && line.contains("client=127.0.0.1 owner=local"),
                "{line}"
            );
        }
        for field in ["outcome=\"", "exitstatus=", "wall_ms=", "output_bytes="] {
            assert!(ended.contains(field) && !created.contains(field), "{field} in\n{created}\n{ended}");
        }
    }
    let (_, ended) = both_lines(&logged, &ids[1]);
    assert!(ended.contains("runtime=\"python\" outcome=\"exited\" exitstatus=3 wall_ms="), "{ended}");
    assert_clean(&logged, &ids.iter().map(String::as_str).collect::<Vec<_>>());
    assert_only_sessions(&logged.lines(), ids.len());
}

#[test]
fn each_line_of_a_json_log_is_a_document() {
    let logged = LoggedServer::start(&["--log-format", "json"]);
    let server = &logged.server;
    let ids = hostile_sessions(server);
    for id in &ids {
        let (created, ended) = both_lines(&logged, id);
        let [created, ended]: [Value; 2] =
            [created, ended].map(|line| serde_json::from_str(&line).expect("a document"));
        assert_eq!((&created["level"], &created["message"]), (&json!("INFO"), &json!("session created")));
        assert_eq!((&ended["level"], &ended["message"]), (&json!("INFO"), &json!("session ended")));
        let session = server.get(&format!("/sessions/{id}")).json();
        for document in [&created, &ended] {
            assert_eq!(document["id"], id[..12]);
            assert_eq!(document["runtime"], session["runtime"]);
            assert_eq!((&document["client"], &document["owner"]), (&json!("127.0.0.1"), &json!("local")));
            assert!(document["timestamp"].as_str().expect("a time").ends_with('Z'), "{document}");
        }
        assert_eq!(ended["outcome"], session["outcome"]);
        assert_eq!(ended["exitstatus"], session["exitstatus"]);
        for field in ["wall_ms", "cpu_ms", "memory_peak_bytes", "output_bytes"] {
            assert_eq!(ended[field], session["usage"][field], "{field} in {ended} and {session}");
        }
    }
    let lines = logged.lines();
    for line in &lines {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
    assert_clean(&logged, &ids.iter().map(String::as_str).collect::<Vec<_>>());
    assert_only_sessions(&lines, ids.len());
}

/// Reports of other processes than the server are JSON, too.
#[test]
fn spawners_and_supervisors_log_in_the_same_form() {
    let logged = LoggedServer::start(&["--log-format", "json", "--warm", "off"]);
    // No sandbox can be made without these files.
    let folder = logged.server.data().join("support");
    let moved = logged.server.data().join("moved");
    std::fs::rename(&folder, &moved).expect("the folder can be moved");
    let id = logged.server.create_id("bash", "exit 4");
    let line = eventually("the failure is logged", || {
        logged.lines().into_iter().find(|line| line.contains("livecode supervisor: "))
    });
    let document: Value = serde_json::from_str(&line).expect("a document");
    assert_eq!(document["level"], "WARN", "{document}");
    assert!(document["message"].as_str().expect("a text").contains("sandbox"), "{document}");
    std::fs::rename(&moved, &folder).expect("the folder can be moved back");
    assert_eq!(Run::collect(logged.server.stream(&id, "")).exitstatus, 4);
    both_lines(&logged, &id);
    for line in logged.lines() {
        serde_json::from_str::<Value>(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
}

#[test]
fn a_guest_is_named_by_its_address_and_a_digest_of_its_token() {
    let logged = LoggedServer::start(&["--trusted-proxy", "127.0.0.2", "--allow-anonymous"]);
    let guest = Guest::at(3).with_token('a');
    let ids = [(); 2].map(|()| id(&guest.create(&logged.server, "exit 7")));
    let other = id(&Guest::at(4).with_token('b').create(&logged.server, "exit 7"));
    let lines = ids.each_ref().map(|id| both_lines(&logged, id));
    for (created, ended) in &lines {
        assert!(
            created.contains("client=127.0.0.3 ") && ended.contains("client=127.0.0.3 "),
            "{created} {ended}"
        );
        let owner = owner_of(created).expect("an owner");
        assert!(owner.starts_with("guest:") && owner.len() == 18, "{owner}");
        assert_eq!(owner_of(&lines[0].0), Some(owner));
    }
    let (created, _) = both_lines(&logged, &other);
    assert_ne!(owner_of(&created), owner_of(&lines[0].0));
    let text = logged.lines().join("\n");
    for token in ["a".repeat(32), "b".repeat(32)] {
        assert!(!text.contains(&token), "{text}");
    }
}

fn owner_of(line: &str) -> Option<&str> {
    line.split(" owner=").nth(1)?.split(' ').next()
}

/// A session may end while no server runs, or under another server than it began under.
#[test]
fn an_end_is_logged_once_whichever_server_sees_it() {
    let mut logged = LoggedServer::start(&[]);
    let seen = logged.server.create_id("bash", "true");
    let mark = format!("{}.25", 100_000 + std::process::id());
    let short = logged.server.create_id("bash", &format!("echo up; exec sleep {mark}"));
    let long = logged.server.create_id("bash", "read line; echo $line");
    both_lines(&logged, &seen);
    logged.server.stream(&short, "").read_until("up\n");
    let sleep = eventually("the program sleeps", || {
        processes("sleep").into_iter().find(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line == format!("sleep\0{mark}\0").as_bytes()
        })
    });
    logged.server.kill();
    kill_process(Pid::from_raw(sleep as i32).expect("a pid"), Signal::KILL).expect("the program runs");
    let journal = logged.server.data().join("sessions").join(&short).join("journal");
    eventually("the session ends without a server", || {
        let bytes = std::fs::read(&journal).ok()?;
        bytes.windows(10).any(|window| window == b"exitstatus").then_some(())
    });
    assert!(session_lines(&logged, "ended", &short).is_empty());
    logged.server.start_again();
    let (_, ended) = both_lines(&logged, &short);
    assert!(ended.contains("outcome=\"signalled\" exitstatus=137 "), "{ended}");
    let mut stream = logged.server.stream(&long, "");
    stream.send(&json!({"msgtype": "input", "data": "go\n"}));
    stream.rest();
    both_lines(&logged, &long);
    for _ in 0..2 {
        logged.server.stop();
        logged.server.start_again();
    }
    for id in [&seen, &short, &long] {
        both_lines(&logged, id);
    }
}

#[test]
fn a_json_log_has_the_reason_why_the_server_does_not_start() {
    let server = Server::start();
    let output = std::process::Command::new(crate::common::binary())
        .args(["serve", "--log-format", "json", "--listen", server.address(), "--data-dir"])
        .arg(server.data())
        .output()
        .expect("the binary starts");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).expect("UTF-8");
    let last: Value = serde_json::from_str(text.lines().last().expect("a line")).expect("a document");
    assert_eq!(last["level"], "ERROR", "{text}");
    assert!(last["message"].as_str().expect("a text").contains("cannot listen"), "{text}");
}

/// The line that a server prints once it listens is a document like those of the log, since systemd
/// and containers put both into one stream.
#[test]
fn the_first_line_of_a_json_server_is_like_its_log() {
    let folder = tempfile::tempdir().expect("a temporary folder is created");
    let mut child = std::process::Command::new(crate::common::binary())
        .args(["serve", "--log-format", "json", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(folder.path())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut line = String::new();
    let read = BufReader::new(child.stdout.take().expect("the stream is piped")).read_line(&mut line);
    child.kill().expect("the server runs");
    let log = child.wait_with_output().expect("the child has not been reaped").stderr;
    read.expect("the line is UTF-8");
    let document: Value = serde_json::from_str(&line).expect("a document");
    assert!(document["urls"][0].as_str().expect("a text").starts_with("http://127.0.0.1:"), "{document}");
    for line in String::from_utf8(log).expect("the log is UTF-8").lines().chain([line.trim_end()]) {
        let document: Value = serde_json::from_str(line).expect("a document");
        let timestamp = document["timestamp"].as_str().unwrap_or_else(|| panic!("no timestamp: {document}"));
        // 2026-01-01T00:00:00.000000Z
        assert!(timestamp.len() == 27 && timestamp.ends_with('Z'), "{document}");
        assert!(document["level"].is_string() && document["message"].is_string(), "{document}");
    }
}
