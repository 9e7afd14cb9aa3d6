//! Bad input: a clear error, and nothing left behind.

use serde_json::{Value, json};

use crate::common::{Run, Server, id};

fn sessions(server: &Server) -> usize {
    std::fs::read_dir(server.data().join("sessions")).expect("a folder").count()
}

#[test]
fn what_is_no_json_is_400() {
    let server = Server::start();
    let json_type = [("content-type", "application/json")];
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    for body in ["", "{", "{'a':1}", "nonsense", &deep, "{}{}"] {
        let answer = server.request("POST", "/sessions", &json_type, body.as_bytes());
        answer.problem_with_code(400, "malformed_request");
    }
    assert_eq!(sessions(&server), 0);
}

#[test]
fn what_does_not_say_it_is_json_is_415() {
    let server = Server::start();
    let body = json!({"runtime": "python", "code": "print(1)"}).to_string();
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
    {
        let headers = [("content-type", content_type)];
        let answer = server.request("POST", "/sessions", &headers, body.as_bytes());
        answer.problem_with_code(415, "unsupported_media_type");
    }
    let answer = server.request("POST", "/sessions", &[], body.as_bytes());
    answer.problem_with_code(415, "unsupported_media_type");
    assert_eq!(sessions(&server), 0);
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
    assert_eq!(sessions(&server), 0);
}

#[test]
fn unknown_and_malformed_ids_are_404() {
    let server = Server::start();
    for id in ["d953d41febcc", "0123456789abcdef0123456789abcdef", "..", "%2e%2e", "x%00y"] {
        for (method, path) in [("GET", ""), ("DELETE", ""), ("GET", "/stream")] {
            let answer = server.request(method, &format!("/sessions/{id}{path}"), &[], &[]);
            assert_eq!(answer.status, 404, "{method} {id}{path}: {}", answer.text());
            answer.problem_with_code(404, "no_such_session");
        }
    }
    server.get("/nothing/here").problem_with_code(404, "not_found");
}

#[test]
fn a_wrong_method_is_405_and_says_which_is_right() {
    let server = Server::start();
    for (method, path, allowed) in [
        ("PUT", "/sessions", "POST"),
        ("DELETE", "/sessions", "GET"),
        ("POST", "/healthz", "GET"),
        ("GET", "/exec", "POST"),
        ("PATCH", "/sessions/0123456789abcdef0123456789abcdef", "DELETE"),
    ] {
        let answer = server.request(method, path, &[], &[]);
        answer.problem_with_code(405, "method_not_allowed");
        assert!(answer.header("allow").expect("Allow").contains(allowed), "{method} {path}");
    }
}

#[test]
fn a_body_over_the_limit_is_413() {
    let server = Server::start_with(&["--body-max-bytes", "1000"]);
    let large = json!({"runtime": "python", "code": "#".repeat(2000)});
    server.post("/sessions", &large).problem_with_code(413, "body_too_large");
    server.post("/exec", &large).problem_with_code(413, "body_too_large");
    let answer = server.request("POST", "/runtimes/python", &[], "#".repeat(2000).as_bytes());
    answer.problem_with_code(413, "body_too_large");
    assert_eq!(sessions(&server), 0);
}

#[test]
fn a_program_that_does_not_compile_says_why() {
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
        assert_eq!(run.reason, None, "{runtime}: its compiler exited by itself");
    }
}

/// Rust's toolchain is in root's home on some machines, where an ordinary user cannot read it.
fn available(server: &Server, runtime: &str) -> bool {
    let runtimes = server.get("/runtimes").json();
    let found = runtimes.as_array().expect("a list").iter().find(|known| known["name"] == runtime);
    let available = found.expect("a known runtime")["available"] == true;
    assert!(available || !crate::common::is_root(), "{runtime} is missing: {runtimes}");
    available
}

#[test]
fn a_command_that_does_not_exist_is_the_programs_mistake() {
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
fn two_servers_do_not_share_a_folder() {
    let server = Server::start();
    let second = std::process::Command::new(crate::common::binary())
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(server.data())
        .output()
        .expect("the binary starts");
    assert!(!second.status.success());
    let words = String::from_utf8_lossy(&second.stderr);
    assert!(words.contains(&server.pid().to_string()) && words.contains(server.address()), "{words}");
}

#[test]
fn a_wrong_setting_stops_the_start_and_names_itself() {
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
        let words = String::from_utf8_lossy(&output.stderr).to_lowercase();
        assert!(words.contains(word), "{arguments:?}: {words}");
    }
}

#[test]
fn an_ended_session_refuses_what_comes_late() {
    let server = Server::start();
    let session = server.create(&json!({"runtime": "python", "code": "print(1)"}));
    Run::collect(server.stream(&id(&session), ""));
    let mut late = server.stream(&id(&session), "?after=1");
    late.send(&json!({"msgtype": "input", "data": "x", "id": 1}));
    // It is told the end, and perhaps that it is late; never that its input was taken.
    assert!(late.rest().iter().all(|message| message["msgtype"] != "ack"));
}
