//! The server's figures: who may read them, what they say, and that each is documented.

use std::{collections::BTreeSet, process::Command};

use serde_json::json;

use crate::{
    common::{Run, Server, eventually},
    docs::document,
};

const TOKEN: &str = "a token of sixteen bytes or more";

/// The value of a figure, with its labels as they are written.
fn value(server: &Server, name: &str) -> f64 {
    let answer = server.get("/metrics");
    assert_eq!(answer.status, 200);
    let text = answer.text();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in\n{text}"))
}

/// Names of the figures that a text in Prometheus' format declares.
fn names(text: &str) -> BTreeSet<String> {
    let declared = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    declared.map(str::to_owned).collect()
}

#[test]
fn each_figure_is_documented_and_each_documented_one_is_there() {
    let server = Server::start();
    let answer = server.get("/metrics");
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4"));
    let document = document("docs/operating.md");
    let rows =
        document.lines().filter_map(|line| line.strip_prefix("| `livecode_")?.split(['`', '{']).next());
    let documented: BTreeSet<String> = rows.map(|rest| format!("livecode_{rest}")).collect();
    assert_eq!(names(&answer.text()), documented);
    assert!(documented.len() > 10);
}

#[test]
fn it_counts_what_happens() {
    let server = Server::start();
    let id = server.create_id("python", "print('x' * 1000)");
    let run = Run::collect(server.stream(&id, ""));
    assert_eq!(run.stdout.len(), 1001);
    server.post("/sessions", &json!({"runtime": "nonsense", "code": ""})).problem(422);
    let sleeper = server.create_id("python", "print('up', flush=True)\nimport time\ntime.sleep(600)");
    let mut stream = server.stream(&sleeper, "");
    stream.read_until("up");

    assert_eq!(value(&server, "livecode_sessions_created_total"), 2.0);
    // How a session ended is told to its watchers before its task has let go of it.
    eventually("one session runs", || (value(&server, "livecode_sessions_running") == 1.0).then_some(()));
    eventually("one reader follows", || (value(&server, "livecode_watchers") == 1.0).then_some(()));
    assert_eq!(value(&server, "livecode_sessions_waiting"), 0.0);
    assert_eq!(value(&server, "livecode_sessions_kept"), 2.0);
    assert_eq!(value(&server, "livecode_sessions_ended_total{outcome=\"exited\"}"), 1.0);
    assert_eq!(value(&server, "livecode_sessions_ended_total{outcome=\"cancelled\"}"), 0.0);
    assert_eq!(value(&server, "livecode_requests_refused_total{reason=\"invalid\"}"), 1.0);
    for name in ["livecode_session_start_seconds", "livecode_session_first_entry_seconds"] {
        assert_eq!(value(&server, &format!("{name}_count")), 2.0, "{name}");
        let sum = value(&server, &format!("{name}_sum"));
        assert!(sum > 0.0 && sum < 60.0, "{name}: {sum}");
    }
    assert_eq!(value(&server, "livecode_session_run_seconds_count"), 1.0);
    // The line and its frame; the closing entry; what the sleeper said.
    let sent = value(&server, "livecode_stream_sent_bytes_total");
    assert!(sent > 1050.0 && sent < 1500.0, "{sent}");
    assert!(value(&server, "livecode_stream_sent_messages_total") >= 3.0);
    let written = value(&server, "livecode_journal_written_bytes_total");
    assert!(written > 1500.0 && written < 4000.0, "{written}");

    assert_eq!(server.delete(&format!("/sessions/{sleeper}")).status, 204);
    stream.rest();
    assert_eq!(value(&server, "livecode_sessions_ended_total{outcome=\"cancelled\"}"), 1.0);
    eventually("none runs", || (value(&server, "livecode_sessions_running") == 0.0).then_some(()));
    assert_eq!(value(&server, "livecode_sessions_kept"), 1.0);
}

#[test]
fn a_spawner_that_is_started_again_is_counted() {
    let server = Server::start();
    assert_eq!(value(&server, "livecode_spawner_restarts_total"), 0.0);
    let killed = Command::new("pkill").args(["-KILL", "-P", &server.pid().to_string()]).status();
    assert!(killed.expect("pkill runs").success());
    // Who waited ahead of its session may take the first; then there is nobody left.
    eventually("it is counted", || {
        assert_eq!(server.run_code("bash", "echo 1").stdout, "1\n");
        (value(&server, "livecode_spawner_restarts_total") == 1.0).then_some(())
    });
}

#[test]
fn not_everybody_may_read_them() {
    let token = TOKEN.replace(' ', "-");
    let bearer = format!("Bearer {token}");
    let server = Server::start_with_environment(&[("LIVECODE_METRICS_TOKEN", &token)]);
    let get = |headers: &[(&str, &str)]| server.request("GET", "/metrics", headers, &[]);
    assert_eq!(get(&[]).status, 200, "the local user");
    for stranger in [("origin", "https://elsewhere.example"), ("x-forwarded-for", "192.0.2.1")] {
        get(&[stranger]).problem(403);
        get(&[stranger, ("authorization", "Bearer 0123456789abcdef0123456789abcdef")]).problem(403);
        get(&[stranger, ("authorization", token.as_str())]).problem(403);
        assert_eq!(get(&[stranger, ("authorization", bearer.as_str())]).status, 200);
    }
    // Without a token there is none to know.
    let server = Server::start();
    let stranger = [("x-forwarded-for", "192.0.2.1"), ("authorization", "Bearer ")];
    server.request("GET", "/metrics", &stranger, &[]).problem(403);
}
