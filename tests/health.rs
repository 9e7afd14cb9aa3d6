//! `/healthz` says whether new sessions are taken, and why not; `/livez` that the process lives.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::{
    common::{Run, Server, eventually, logged::LoggedServer},
    docs::document,
};

const SLEEPER: &str = "import time\ntime.sleep(600)";

/// The status, `status` and reasons' codes of `/healthz`, without what depends on the machine.
fn health(server: &Server) -> (u16, String, Vec<String>) {
    let response = server.get("/healthz");
    let document = response.json();
    let reasons = document["reasons"].as_array().expect("a list").iter();
    let codes: Vec<String> = reasons
        .filter(|reason| reason["detail"].as_str().is_some_and(|detail| !detail.is_empty()))
        .map(|reason| reason["code"].as_str().expect("a code").to_owned())
        .filter(|code| code != "sandbox_degraded")
        .collect();
    let status = document["status"].as_str().expect("a status");
    // A machine that cannot enforce every limit is always degraded.
    let is_degraded_machine = !document["degraded"].as_array().expect("a list").is_empty();
    let status = if is_degraded_machine && codes.is_empty() { "ok" } else { status };
    assert_eq!(response.header("retry-after").is_some(), response.status == 503, "{document}");
    (response.status, status.to_owned(), codes)
}

fn expect(server: &Server, status: u16, word: &str, codes: &[&str]) {
    let wanted = (status, word.to_owned(), codes.iter().map(|code| (*code).to_owned()).collect());
    eventually(&format!("the health is {wanted:?}"), || (health(server) == wanted).then_some(()));
}

/// The codes of refusal, with the number of refusals of each, from `/metrics`.
fn refused(server: &Server, reason: &str) -> f64 {
    let line = format!("livecode_sessions_refused_total{{reason=\"{reason}\"}} ");
    let text = server.get("/metrics").text();
    text.lines().find_map(|text| text.strip_prefix(&line)?.parse().ok()).expect("the metric exists")
}

/// The free and the total bytes of the disk that the servers of the tests use.
fn disk() -> (u64, u64) {
    let disk = rustix::fs::statvfs(std::env::temp_dir()).expect("the folder exists");
    (disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize)
}

fn sleeper() -> Value {
    json!({"runtime": "python", "code": SLEEPER})
}

#[test]
fn a_server_that_takes_sessions_is_ok() {
    let server = Server::start();
    expect(&server, 200, "ok", &[]);
    let document = server.get("/healthz").json();
    let is_degraded = !document["degraded"].as_array().expect("a list").is_empty();
    assert_eq!(document["status"], if is_degraded { "degraded" } else { "ok" }, "{document}");
    let codes: Vec<_> = document["reasons"].as_array().expect("a list").iter().map(|r| &r["code"]).collect();
    assert_eq!(codes.contains(&&json!("sandbox_degraded")), is_degraded, "{document}");
}

#[test]
fn a_full_disk_makes_the_server_unavailable_and_a_nearly_full_one_degraded() {
    let (free, total) = disk();
    let with_min_free = |bytes: u64| Server::start_with(&["--disk-min-free-bytes", &bytes.to_string()]);
    let server = with_min_free(free.midpoint(total));
    expect(&server, 503, "unavailable", &["disk_full"]);
    server.post("/sessions", &sleeper()).problem_with_code(507, "disk_full");
    assert_eq!(refused(&server, "disk_full"), 1.0);
    assert_eq!(server.get("/livez").json(), json!({"status": "alive"}));
    let shown = server.get("/metrics").text();
    let shown = shown.lines().find_map(|line| line.strip_prefix("livecode_disk_free_bytes "));
    let shown: f64 = shown.expect("the metric exists").parse().expect("a number");
    assert!(shown > 0.0 && shown < total as f64, "{shown}");
    // A bad health is no refused request.
    assert!(
        server.get("/metrics").text().contains("livecode_requests_refused_total{reason=\"unavailable\"} 0\n")
    );

    let server = with_min_free(free / 2);
    expect(&server, 200, "degraded", &["disk_low"]);
    assert_eq!(server.post("/sessions", &sleeper()).status, 201);
}

#[test]
fn a_server_that_drains_is_unavailable_and_alive() {
    let server = Server::start_with(&["--drain"]);
    let id = server.create_id("python", SLEEPER);
    kill_process(Pid::from_raw(server.pid() as i32).expect("a pid"), Signal::TERM).expect("the server runs");
    expect(&server, 503, "unavailable", &["server_stopping"]);
    server.post("/sessions", &sleeper()).problem_with_code(503, "server_stopping");
    assert_eq!(server.get("/livez").status, 200);
    assert_eq!(refused(&server, "server_stopping"), 1.0);
    assert_eq!(server.delete(&format!("/sessions/{id}")).status, 204);
    eventually("the drained server stops", || server.try_get("/livez").is_none().then_some(()));
}

#[test]
fn a_long_queue_makes_the_server_degraded_and_a_full_one_unavailable() {
    let server = Server::start_with(&["--sessions-running-max", "1", "--sessions-queued-max", "4"]);
    let create = |count: usize| (0..count).for_each(|_| drop(server.create_id("python", SLEEPER)));
    create(3);
    expect(&server, 200, "ok", &[]);
    create(1);
    expect(&server, 200, "degraded", &["run_queue_long"]);
    create(1);
    expect(&server, 503, "unavailable", &["run_queue_full"]);
    server.post("/sessions", &sleeper()).problem_with_code(503, "run_queue_full");
    assert_eq!(refused(&server, "run_queue_full"), 1.0);
}

#[test]
fn the_first_refusal_of_a_kind_is_logged() {
    let logged = LoggedServer::start(&["--sessions-max", "1"]);
    let server = &logged.server;
    let id = server.create_id("python", SLEEPER);
    expect(server, 503, "unavailable", &["server_full"]);
    for _ in 0..3 {
        server.post("/sessions", &sleeper()).problem_with_code(429, "server_full");
    }
    assert_eq!(refused(server, "server_full"), 3.0);
    let refusals = || logged.lines().into_iter().filter(|line| line.contains("was refused"));
    eventually("the refusal is logged", || refusals().next());
    let lines: Vec<_> = refusals().collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains(" WARN ") && lines[0].contains("reason=\"server_full\""), "{lines:?}");
    assert_eq!(server.delete(&format!("/sessions/{id}")).status, 204);
    expect(server, 200, "ok", &[]);
}

/// The table in the document has exactly the codes that the server may answer.
#[test]
fn every_code_is_documented() {
    let server = Server::start();
    let schema = server.get("/openapi.json").json()["components"]["schemas"]["HealthCode"].clone();
    let known = schema["enum"].as_array().expect("a list").iter();
    let mut known: Vec<_> = known.filter_map(|code| code.as_str().map(str::to_owned)).collect();
    let text = document("docs/operating.md");
    let section = text.split("\n## ").find(|section| section.starts_with("Health\n")).expect("the section");
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let mut documented: Vec<_> = rows.map(|(code, _)| code.to_owned()).collect();
    known.sort();
    documented.sort();
    assert_eq!(documented, known);
}

#[test]
fn liveness_is_told_under_any_host() {
    let server = Server::start();
    for host in ["10.0.0.1:8000", "elsewhere.example", ""] {
        let get = |path: &str| server.request("GET", path, &[("host", host)], &[]);
        assert_eq!(get("/livez").json(), json!({"status": "alive"}), "{host}");
        get("/healthz").problem_with_code(403, "wrong_host");
    }
}

/// promtool finds nothing to complain about, and there is a label only for each runtime of the
/// catalogue.
#[test]
fn metrics_are_valid_and_have_few_labels() {
    let server = Server::start();
    Run::collect(server.stream(&server.create_id("bash", "true"), ""));
    server.post("/sessions", &json!({"runtime": "x\"}\n", "code": ""})).problem(422);
    let text = server.get("/metrics").text();
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool runs");
    promtool.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("promtool reads");
    let output = promtool.wait_with_output().expect("promtool ends");
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && printed.is_empty(), "{printed}");

    let prefix = "livecode_runtime_sessions_created_total{runtime=\"";
    let shown = text.lines().filter_map(|line| line.strip_prefix(prefix)?.split_once("\"} "));
    let mut shown: Vec<_> = shown.map(|(name, count)| (name.to_owned(), count.to_owned())).collect();
    let runtimes = server.get("/runtimes").json();
    let names = runtimes.as_array().expect("a list").iter().filter_map(|runtime| runtime["name"].as_str());
    let count = |name: &str| String::from(if name == "bash" { "1" } else { "0" });
    let mut wanted: Vec<_> = names.chain(["other"]).map(|name| (name.to_owned(), count(name))).collect();
    shown.sort();
    wanted.sort();
    assert_eq!(shown, wanted);
    eventually("no session runs", || {
        let text = server.get("/metrics").text();
        text.contains("livecode_runtime_sessions_running{runtime=\"bash\"} 0\n").then_some(())
    });
}
