//! The server's metrics: who may read them, what they count, and that each one is documented.

use std::{collections::BTreeSet, process::Command};

use serde_json::json;

use crate::{
    common::{Run, Server, eventually},
    docs::document,
};

const TOKEN: &str = "a token of sixteen bytes or more";

/// The value of a metric; `name` includes the labels as they are written.
fn metric(server: &Server, name: &str) -> f64 {
    let response = server.get("/metrics");
    assert_eq!(response.status, 200);
    let text = response.text();
    let metric = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    metric.unwrap_or_else(|| panic!("no {name} in\n{text}"))
}

/// Names of the metrics that a text in Prometheus' format declares.
fn names(text: &str) -> BTreeSet<String> {
    let declared = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    declared.map(str::to_owned).collect()
}

#[test]
fn exported_metrics_and_documented_metrics_are_the_same() {
    let server = Server::start();
    let response = server.get("/metrics");
    assert_eq!(response.header("content-type"), Some("text/plain; version=0.0.4"));
    let document = document("docs/operating.md");
    let rows =
        document.lines().filter_map(|line| line.strip_prefix("| `livecode_")?.split(['`', '{']).next());
    let documented: BTreeSet<String> = rows.map(|rest| format!("livecode_{rest}")).collect();
    assert_eq!(names(&response.text()), documented);
    assert!(documented.len() > 10);
}

#[test]
fn metrics_count_sessions_and_output() {
    let server = Server::start();
    let id = server.create_id("python", "print('x' * 1000)");
    let run = Run::collect(server.stream(&id, ""));
    assert_eq!(run.stdout.len(), 1001);
    server.post("/sessions", &json!({"runtime": "nonsense", "code": ""})).problem(422);
    let sleeper = server.create_id("python", "print('up', flush=True)\nimport time\ntime.sleep(600)");
    let mut stream = server.stream(&sleeper, "");
    stream.read_until("up");

    assert_eq!(metric(&server, "livecode_sessions_created_total"), 2.0);
    // Clients learn of a session's end before its driver has finished, so these gauges follow a
    // little later.
    eventually("one session runs", || (metric(&server, "livecode_sessions_running") == 1.0).then_some(()));
    eventually("one client is counted", || (metric(&server, "livecode_watchers") == 1.0).then_some(()));
    assert_eq!(metric(&server, "livecode_sessions_waiting"), 0.0);
    assert_eq!(metric(&server, "livecode_sessions_kept"), 2.0);
    assert_eq!(metric(&server, "livecode_sessions_ended_total{outcome=\"exited\"}"), 1.0);
    assert_eq!(metric(&server, "livecode_sessions_ended_total{outcome=\"cancelled\"}"), 0.0);
    assert_eq!(metric(&server, "livecode_requests_refused_total{reason=\"invalid\"}"), 1.0);
    for name in ["livecode_session_start_seconds", "livecode_session_first_entry_seconds"] {
        assert_eq!(metric(&server, &format!("{name}_count")), 2.0, "{name}");
        let sum = metric(&server, &format!("{name}_sum"));
        assert!(sum > 0.0 && sum < 60.0, "{name}: {sum}");
    }
    assert_eq!(metric(&server, "livecode_session_run_seconds_count"), 1.0);
    // The bytes are those of the printed line and its frame, the closing entry, and the sleeper's
    // output.
    let sent = metric(&server, "livecode_stream_sent_bytes_total");
    assert!(sent > 1050.0 && sent < 1500.0, "{sent}");
    assert!(metric(&server, "livecode_stream_sent_messages_total") >= 3.0);
    let written = metric(&server, "livecode_journal_written_bytes_total");
    assert!(written > 1500.0 && written < 4000.0, "{written}");

    assert_eq!(server.delete(&format!("/sessions/{sleeper}")).status, 204);
    stream.rest();
    assert_eq!(metric(&server, "livecode_sessions_ended_total{outcome=\"cancelled\"}"), 1.0);
    eventually("no session runs", || (metric(&server, "livecode_sessions_running") == 0.0).then_some(()));
    assert_eq!(metric(&server, "livecode_sessions_kept"), 1.0);
}

#[test]
fn a_spawner_restart_is_counted() {
    let server = Server::start();
    assert_eq!(metric(&server, "livecode_spawner_restarts_total"), 0.0);
    let killed = Command::new("pkill").args(["-KILL", "-P", &server.pid().to_string()]).status();
    assert!(killed.expect("pkill runs").success());
    // An idle worker that outlived its spawner may serve the first of these sessions. The next one
    // needs a new spawner.
    eventually("the restart is counted", || {
        assert_eq!(server.run_code("bash", "echo 1").stdout, "1\n");
        (metric(&server, "livecode_spawner_restarts_total") == 1.0).then_some(())
    });
}

#[test]
fn strangers_need_a_token_to_read_metrics() {
    let token = TOKEN.replace(' ', "-");
    let bearer = format!("Bearer {token}");
    let server = Server::start_with_environment(&[("LIVECODE_METRICS_TOKEN", &token)]);
    let get = |headers: &[(&str, &str)]| server.request("GET", "/metrics", headers, &[]);
    assert_eq!(get(&[]).status, 200, "the local user should need no token");
    for stranger in [("origin", "https://elsewhere.example"), ("x-forwarded-for", "192.0.2.1")] {
        get(&[stranger]).problem(403);
        get(&[stranger, ("authorization", "Bearer 0123456789abcdef0123456789abcdef")]).problem(403);
        get(&[stranger, ("authorization", token.as_str())]).problem(403);
        assert_eq!(get(&[stranger, ("authorization", bearer.as_str())]).status, 200);
    }
    // Without a configured token no stranger is admitted.
    let server = Server::start();
    let stranger = [("x-forwarded-for", "192.0.2.1"), ("authorization", "Bearer ")];
    server.request("GET", "/metrics", &stranger, &[]).problem(403);
}
