//! Invalid input is answered with a clear error and leaves nothing behind.

use serde_json::{Value, json};

use crate::common::{Run, Server, id};

fn session_count(server: &Server) -> usize {
    std::fs::read_dir(server.data().join("sessions")).expect("the folder can be read").count()
}

#[test]
fn invalid_json_is_400() {
    let server = Server::start();
    let json_type = [("content-type", "application/json")];
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    for body in ["", "{", "{'a':1}", "nonsense", &deep, "{}{}"] {
        let response = server.request("POST", "/sessions", &json_type, body.as_bytes());
        response.problem_with_code(400, "malformed_request");
    }
    assert_eq!(session_count(&server), 0);
}

#[test]
fn a_body_not_declared_as_json_is_415() {
    let server = Server::start();
    let body = json!({"runtime": "python", "code": "print(1)"}).to_string();
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
    {
        let headers = [("content-type", content_type)];
        let response = server.request("POST", "/sessions", &headers, body.as_bytes());
        response.problem_with_code(415, "unsupported_media_type");
    }
    let response = server.request("POST", "/sessions", &[], body.as_bytes());
    response.problem_with_code(415, "unsupported_media_type");
    assert_eq!(session_count(&server), 0);
}

#[test]
fn a_wrong_field_is_422_and_named() {
    let server = Server::start();
    let with = |name: &str, value: Value| {
        let mut request = json!({"runtime": "python", "code": "print(1)"});
        request[name] = value;
        request
    };
    let cases = [
        (json!({"runtime": "cobol", "code": ""}), "runtime"),
        (json!({"code": ""}), "runtime"),
        (json!({"runtime": "python"}), "code"),
        (with("code", json!(1)), "code"),
        (with("args", json!(["a", 1])), "args[1]"),
        (with("files", json!([{"filename": "../x", "contents": ""}])), "files[0].filename"),
        (with("files", json!([{"filename": "/x", "contents": ""}])), "files[0].filename"),
        (with("files", json!([{"filename": "a\u{0}b", "contents": ""}])), "files[0].filename"),
        (with("files", json!([{"filename": "-rf", "contents": ""}])), "files[0].filename"),
        (with("files", json!([{"filename": "x"}])), "files[0]"),
        (with("mode", json!("best")), "mode"),
        (with("timeout", json!(-1)), "timeout"),
        (with("timeout", json!(0)), "timeout"),
        (with("timeout", json!(1.5)), "timeout"),
        (with("timeout", json!(3_600_001)), "timeout"),
        (with("limits", json!({"cpu_ms": 60_001})), "limits.cpu_ms"),
        (with("limits", json!({"memory_bytes": 1u64 << 54})), "limits.memory_bytes"),
        (with("limits", json!({"processes": 0})), "limits.processes"),
        (with("limits", json!({"output_bytes": 1u64 << 40})), "limits.output_bytes"),
        (with("limits", json!({"disk_bytes": "big"})), "limits.disk_bytes"),
        (with("limits", json!({"colour": 1})), "limits.colour"),
        (with("env", json!({"A B": "x"})), "env.A B"),
        (with("timout", json!(1)), "timout"),
    ];
    for (request, field) in cases {
        let problem = server.post("/sessions", &request).problem_with_code(422, "invalid_field");
        assert_eq!(problem["field"], field, "{request}: {problem}");
    }
    assert_eq!(session_count(&server), 0);
}

#[test]
fn unknown_and_malformed_ids_are_404() {
    let server = Server::start();
    for id in ["d953d41febcc", "0123456789abcdef0123456789abcdef", "..", "%2e%2e", "x%00y"] {
        for (method, path) in [("GET", ""), ("DELETE", ""), ("GET", "/stream")] {
            let response = server.request(method, &format!("/sessions/{id}{path}"), &[], &[]);
            assert_eq!(response.status, 404, "{method} {id}{path}: {}", response.text());
            response.problem_with_code(404, "no_such_session");
        }
    }
    server.get("/nothing/here").problem_with_code(404, "not_found");
}

#[test]
fn a_wrong_method_is_405_and_names_the_allowed_ones() {
    let server = Server::start();
    for (method, path, allowed) in [
        ("PUT", "/sessions", "POST"),
        ("DELETE", "/sessions", "GET"),
        ("POST", "/healthz", "GET"),
        ("GET", "/exec", "POST"),
        ("PATCH", "/sessions/0123456789abcdef0123456789abcdef", "DELETE"),
    ] {
        let response = server.request(method, path, &[], &[]);
        response.problem_with_code(405, "method_not_allowed");
        assert!(response.header("allow").expect("an Allow header").contains(allowed), "{method} {path}");
    }
}

#[test]
fn a_body_over_the_limit_is_413() {
    let server = Server::start_with(&["--body-max-bytes", "1000"]);
    let large = json!({"runtime": "python", "code": "#".repeat(2000)});
    server.post("/sessions", &large).problem_with_code(413, "body_too_large");
    server.post("/exec", &large).problem_with_code(413, "body_too_large");
    let response = server.request("POST", "/runtimes/python", &[], "#".repeat(2000).as_bytes());
    response.problem_with_code(413, "body_too_large");
    assert_eq!(session_count(&server), 0);
}

#[test]
fn compiler_errors_are_shown() {
    let server = Server::start();
    for (runtime, code, word) in [
        ("c", "int main(void) { return x; }", "undeclared"),
        ("cpp", "int main() { return x; }", "not declared"),
        ("go", "package main\nfunc main() { x }", "undefined"),
        ("rust", "fn main() { x }", "cannot find"),
    ] {
        if !available(&server, runtime) {
            continue;
        }
        let run = server.run_code(runtime, code);
        assert!(run.stderr.contains(word) && run.stdout.is_empty(), "{runtime}: {run:?}");
        assert_ne!(run.exitstatus, 0, "{runtime}");
        assert_eq!(run.reason, None, "{runtime}: the compiler should exit by itself");
    }
}

/// Whether a runtime is available. On some machines Rust's toolchain is in root's home, where an
/// ordinary user cannot read it.
fn available(server: &Server, runtime: &str) -> bool {
    let runtimes = server.get("/runtimes").json();
    let found = runtimes.as_array().expect("a list").iter().find(|known| known["name"] == runtime);
    let available = found.expect("a known runtime")["available"] == true;
    assert!(available || !crate::common::is_root(), "{runtime} is missing: {runtimes}");
    available
}

#[test]
fn a_missing_command_is_reported_as_the_programs_error() {
    let server = Server::start();
    for (command, status, word) in
        [("no-such-command", 127, "No such file"), ("/code/main.py", 126, "denied")]
    {
        let run = server.run(&json!({"runtime": "python", "code": "", "command": [command]}));
        assert_eq!(run.exitstatus, status);
        assert!(run.stderr.contains(command) && run.stderr.contains(word), "{}", run.stderr);
    }
}

#[test]
fn two_servers_cannot_share_a_data_directory() {
    let server = Server::start();
    let second = std::process::Command::new(crate::common::binary())
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(server.data())
        .output()
        .expect("the binary starts");
    assert!(!second.status.success());
    let printed = String::from_utf8_lossy(&second.stderr);
    assert!(printed.contains(&server.pid().to_string()) && printed.contains(server.address()), "{printed}");
}

#[test]
fn a_wrong_setting_is_named_and_stops_the_start() {
    for (arguments, variable, word) in [
        (&["--wall-ms", "soon"][..], None, "--wall-ms"),
        (&["--wall-ms", "0"], None, "wall_ms"),
        (&["--config", "/no/such/file"], None, "/no/such/file"),
        (&[], Some(("LIVECODE_CPU_MS", "soon")), "cpu_ms"),
    ] {
        let output = std::process::Command::new(crate::common::binary())
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .envs(variable)
            .output()
            .expect("the binary starts");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let printed = String::from_utf8_lossy(&output.stderr).to_lowercase();
        assert!(printed.contains(word), "{arguments:?}: {printed}");
    }
}

#[test]
fn an_ended_session_refuses_late_input() {
    let server = Server::start();
    let session = server.create(&json!({"runtime": "python", "code": "print(1)"}));
    Run::collect(server.stream(&id(&session), ""));
    let mut late = server.stream(&id(&session), "?after=1");
    late.send(&json!({"msgtype": "input", "data": "x", "id": 1}));
    // The session reports its end, and may report an error; it never acknowledges the input.
    assert!(late.rest().iter().all(|message| message["msgtype"] != "ack"));
}
