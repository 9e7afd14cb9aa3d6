//! The protocol of v0.1, as its clients use it today.

use serde_json::{Value, json};

use crate::{
    common::{Server, eventually},
    users::{User, new_token, token_command},
};

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

#[test]
fn the_websocket_speaks_v0_1_exactly() {
    let server = Server::start();
    let mut socket = server.websocket("/livecode");
    assert_eq!(socket.next_text(), r#"{"msgtype":"welcome","message":"welcome to livecode"}"#);
    socket.send_text(r#"{"msgtype":"ping"}"#);
    assert_eq!(socket.next_text(), r#"{"msgtype":"pong"}"#);
    socket.send_text(r#"{"msgtype": "qiut"}"#);
    assert_eq!(
        socket.next_text(),
        r#"{"msgtype":"error","error":"Unknown message type: qiut","msg":{"msgtype":"qiut"}}"#
    );
    socket.send_text(r#"{"msgtype":"exec","runtime":"python","code":"print(\"hello, world!\")"}"#);
    assert_eq!(socket.next_text(), r#"{"msgtype":"write","file":"stdout","data":"hello, world!\n"}"#);
    assert_eq!(socket.next_text(), r#"{"msgtype":"exitstatus","exitstatus":0}"#);
    assert_eq!(socket.next(), None);
    assert_eq!(socket.close_code(), Some(1000));
}

#[test]
fn the_websocket_answers_quit_and_invalid_messages() {
    let server = Server::start();
    let mut socket = server.websocket("/livecode");
    socket.next_of("welcome");
    for wrong in
        [json!({"msgtype": "exec", "code": "x"}), json!({"msgtype": "exec", "runtime": "cobol", "code": "x"})]
    {
        socket.send(&wrong);
        let error = socket.next_of("error");
        assert_eq!(error["msg"], wrong);
        assert!(error["error"].as_str().expect("a text").contains("runtime"), "{error}");
    }
    // A message type that v0.1 does not know is still unknown.
    socket.send(&json!({"msgtype": "input", "data": "x"}));
    assert_eq!(socket.next_of("error")["error"], "Unknown message type: input");
    socket.send_text(r#"{"msgtype":"quit"}"#);
    assert_eq!(socket.next_text(), r#"{"msgtype":"goodbye"}"#);
    assert_eq!(socket.next(), None);
}

#[test]
fn an_event_reaches_the_program_on_the_old_websocket() {
    let server = Server::start();
    let code = "import livecode\nprint('ready')\nevent = livecode.next_event()\nprint(event['event'], event['data'])";
    let mut socket = server.websocket("/livecode");
    socket.send(&json!({"msgtype": "exec", "runtime": "python", "code": code}));
    socket.read_until("ready");
    socket.send(&json!({"msgtype": "event", "event": "mousemove", "data": {"x": 1}}));
    assert_eq!(socket.read_until("\n"), "mousemove {'x': 1}\n");
}

/// The learning-management system opens one websocket per test case, and sends the input as a file
/// named `stdin`.
#[test]
fn a_file_named_stdin_is_standard_input() {
    let server = Server::start();
    for (input, expected) in [("1 2\n", "3\n"), ("40 2\n", "42\n")] {
        let mut socket = server.websocket("/livecode");
        socket.send(&json!({
            "msgtype": "exec", "runtime": "python", "code": "print(sum(map(int, input().split())))",
            "files": [{"filename": "stdin", "contents": input}],
        }));
        let messages = socket.rest();
        assert_eq!(messages[1], json!({"msgtype": "write", "file": "stdout", "data": expected}));
        assert_eq!(messages[2], json!({"msgtype": "exitstatus", "exitstatus": 0}));
    }
}

#[test]
fn without_input_standard_input_ends_at_once() {
    let server = Server::start();
    let response = server
        .post("/exec", &json!({"runtime": "python", "code": "import sys\nprint(repr(sys.stdin.read()))"}));
    assert_eq!(response.text(), "''\n");
}

#[test]
fn exec_returns_the_output() {
    let server = Server::start();
    let code = "import sys\nprint('out', flush=True)\nprint('err', file=sys.stderr)\nraise SystemExit(3)";
    let response = server.post("/exec", &json!({"runtime": "python", "code": code}));
    assert_eq!(response.status, 200);
    assert!(response.header("content-type").expect("a content type").starts_with("text/plain"));
    let mut printed: Vec<_> = response.text().lines().map(str::to_owned).collect();
    printed.sort();
    assert_eq!(printed, ["err", "out"]);
}

/// The course site sends several files, names the one to run in a variable, and its programs print
/// shapes with `--MSG--`.
#[test]
fn exec_returns_messages_on_request() {
    let server = Server::start();
    let shapes = "import json\ndef shape(**kw): print('--MSG--', json.dumps({'msgtype': 'shape', **kw}))\n";
    let start = "from shapes import shape\nprint('drawing')\nshape(tag='circle', r=5)\nprint('done')\n";
    let response = server.post(
        "/exec",
        &json!({
            "runtime": "joy", "code": "raise SystemExit('not this one')", "raw_output": true,
            "env": {"FALCON_SOURCE_FILE": "start.py"},
            "files": [{"filename": "shapes.py", "contents": shapes}, {"filename": "start.py", "contents": start}],
        }),
    );
    let messages = lines(&response.text());
    let shape = json!({"msgtype": "shape", "tag": "circle", "r": 5});
    assert!(messages.contains(&shape), "{messages:?}");
    let written: String = messages.iter().filter_map(|message| message["data"].as_str()).collect();
    assert_eq!(written, "drawing\ndone\n");
    assert_eq!(messages.last().expect("a last message"), &json!({"msgtype": "exitstatus", "exitstatus": 0}));
    assert_eq!(
        messages.iter().position(|m| *m == shape),
        Some(1),
        "the shape should keep its place: {messages:?}"
    );
}

#[test]
fn exec_accepts_all_its_fields() {
    let server = Server::start();
    let response = server.post(
        "/exec",
        &json!({
            "runtime": "python", "code": "print('x')", "code_filename": "a.py",
            "files": [{"filename": "b.py", "contents": "import os; print(os.environ['N'], sorted(os.listdir()))"}],
            "command": ["python", "b.py"], "env": {"N": "5"}, "timeout": 5000, "unknown": "passed over",
        }),
    );
    assert_eq!(response.text(), "5 ['a.py', 'b.py']\n");
}

#[test]
fn exec_streams_its_output() {
    let server = Server::start();
    let code = "import time\nprint('first')\ntime.sleep(8)\nprint('last')";
    let body = json!({"runtime": "python", "code": code}).to_string();
    let began = std::time::Instant::now();
    let mut lines = server.lines("POST", "/exec", &[("content-type", "application/json")], body.as_bytes());
    assert_eq!(lines.next().as_deref(), Some("first"));
    assert!(began.elapsed().as_secs() < 8, "the first line arrived only with the last");
}

#[test]
fn a_closed_connection_ends_its_program() {
    let server = Server::start();
    let session_count =
        || std::fs::read_dir(server.data().join("sessions")).expect("the folder can be read").count();
    let mut socket = server.websocket("/livecode");
    socket.send(&json!({"msgtype": "exec", "runtime": "python", "code": "print('on')\nwhile True: pass"}));
    socket.read_until("on");
    assert_eq!(session_count(), 1);
    drop(socket);
    eventually("the session is gone", || (session_count() == 0).then_some(()));
}

#[test]
fn a_runtime_runs_a_plain_body() {
    let server = Server::start();
    let headers = [
        ("x-falcon-args", "one 'two three' four"),
        ("x-falcon-env", "NAME=world OTHER='a b'"),
        ("origin", "https://elsewhere.example"),
    ];
    let code =
        b"import sys, os\nprint(sys.argv[1:], os.environ['NAME'], os.environ['OTHER'])\nraise SystemExit(4)";
    let response = server.request("POST", "/runtimes/python", &headers, code);
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(response.text(), "['one', 'two three', 'four'] world a b\n");
    assert_eq!(response.header("x-falcon-exit-status"), Some("4"));
    let seconds: f64 = response.header("x-falcon-time-taken").expect("a time").parse().expect("seconds");
    assert!(seconds > 0.0 && seconds < 10.0);
    assert_eq!(response.header("access-control-allow-origin"), Some("*"));
    let exposed = response.header("access-control-expose-headers").expect("exposed headers").to_lowercase();
    assert!(exposed.contains("x-falcon-exit-status") && exposed.contains("x-falcon-time-taken"));

    server.request("POST", "/runtimes/cobol", &[], b"x").problem(404);
    server.request("POST", "/runtimes/python", &[("x-falcon-args", "'")], b"x").problem(422);
    server.request("POST", "/runtimes/python", &[("x-falcon-mode", "best")], b"x").problem(422);
}

const BOUNDARY: &str = "multipart/form-data; boundary=XX";

fn multipart(files: &[(&str, &str)]) -> Vec<u8> {
    let mut body = String::new();
    for (name, contents) in files {
        body += &format!(
            "--XX\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"x\"\r\n\r\n{contents}\r\n"
        );
    }
    (body + "--XX--\r\n").into_bytes()
}

#[test]
fn a_runtime_runs_the_files_of_a_multipart_body() {
    let server = Server::start();
    let body = multipart(&[
        ("main.py", "import tool\nprint(tool.x, input())"),
        ("tool.py", "x = 7"),
        ("stdin", "in\n"),
    ]);
    let response = server.request("POST", "/runtimes/python", &[("content-type", BOUNDARY)], &body);
    assert_eq!((response.status, &*response.text()), (200, "7 in\n"));
    let wrong = multipart(&[("../x", "")]);
    server.request("POST", "/runtimes/python", &[("content-type", BOUNDARY)], &wrong).problem(422);
    server.request("POST", "/runtimes/python", &[("content-type", BOUNDARY)], b"no parts").problem(400);
}

#[test]
fn test_mode_of_python() {
    let server = Server::start();
    let tests = "import pytest\nfrom sums import add\n\ndef test_good():\n    print('noise')\n    assert add(1, 2) == 3\n\n\
                 def test_bad():\n    assert add(1, 1) == 3, 'sums differ'\n";
    let body = multipart(&[("sums.py", "def add(a, b): return a + b"), ("test_sums.py", tests)]);
    let headers = [("content-type", BOUNDARY), ("x-falcon-mode", "test")];
    let response = server.request("POST", "/runtimes/python", &headers, &body);
    let result = response.json();
    assert_eq!(result["outcome"], "failed");
    let stats = &result["stats"];
    assert_eq!((&stats["tests"], &stats["passed"], &stats["failed"]), (&json!(2), &json!(1), &json!(1)));
    assert!(stats["time_taken"].is_number());
    let cases = result["testcases"].as_array().expect("a list");
    assert_eq!((&cases[0]["filename"], &cases[0]["name"]), (&json!("test_sums.py"), &json!("test_good")));
    assert_eq!((&cases[0]["outcome"], &cases[1]["outcome"]), (&json!("passed"), &json!("failed")));
    assert!(cases[0]["time_taken"].is_number() && cases[0]["error_message"].is_null());
    assert!(cases[1]["error_message"].as_str().expect("a text").contains("sums differ"), "{cases:?}");
    assert!(cases[1]["error_detail"].as_str().expect("detail").contains("test_bad"));
    assert_eq!(response.header("x-falcon-exit-status"), Some("1"));

    let body = multipart(&[("test_one.py", "def test_one(): pass")]);
    let passed = server.request("POST", "/runtimes/python", &headers, &body).json();
    assert_eq!(passed["outcome"], "passed");

    let body = multipart(&[("test_one.py", "def test_one(: pass")]);
    let broken = server.request("POST", "/runtimes/python", &headers, &body).json();
    assert_eq!((&broken["outcome"], &broken["stats"]["failed"]), (&json!("failed"), &json!(1)), "{broken}");
}

#[test]
fn falcon_stdin_and_undeclared_json_are_accepted() {
    let server = Server::start();
    let body = json!({
        "runtime": "python", "code": "print(input(), input())", "env": {"FALCON_STDIN": "a\\nb\\n"}
    });
    // Some pages send JSON with another content type.
    let response =
        server.request("POST", "/exec", &[("content-type", "text/plain")], body.to_string().as_bytes());
    assert_eq!(response.text(), "a b\n");
}

#[test]
fn bytes_stay_exact_in_plain_answers_and_become_text_in_messages() {
    let server = Server::start();
    let code = "import sys\nsys.stdout.buffer.write(b'a\\xffb')";
    assert_eq!(server.post("/exec", &json!({"runtime": "python", "code": code})).body, b"a\xffb");
    let raw = server.post("/exec", &json!({"runtime": "python", "code": code, "raw_output": true}));
    let messages = lines(&raw.text());
    assert_eq!(messages[0], json!({"msgtype": "write", "file": "stdout", "data": "a\u{fffd}b"}));
}

#[test]
fn v0_1_has_its_own_wall_clock_limit_and_reports_no_reason() {
    let server = Server::start_with(&["--v01-wall-ms", "1000"]);
    let code = "import time\ntime.sleep(60)";
    let raw = server.post("/exec", &json!({"runtime": "python", "code": code, "raw_output": true}));
    assert_eq!(lines(&raw.text()), [json!({"msgtype": "exitstatus", "exitstatus": 124})]);
}

#[test]
fn a_revoked_token_ends_what_it_runs() {
    let server = Server::start_with(&["--auth", "tokens"]);
    let token = new_token(&server, &["ada"]);
    let ada = User::with(&server, &token);
    let authorization = format!("Bearer {token}");
    let headers = [("authorization", &*authorization)];
    let endless = json!({"runtime": "bash", "code": "echo started; sleep 600"}).to_string();
    let mut lines = server.lines("POST", "/exec", &headers, endless.as_bytes());
    assert_eq!(lines.next().as_deref(), Some("started"));
    let mut websockets = [1, 2].map(|_| {
        let (_, document) = ada.request("POST", "/tickets", &Value::Null);
        let ticket = document["ticket"].as_str().expect("a ticket").to_owned();
        let mut websocket = server.websocket(&format!("/livecode?ticket={ticket}"));
        websocket.next_of("welcome");
        websocket
    });
    let [running, waiting] = &mut websockets;
    running.send(&json!({"msgtype": "exec", "runtime": "bash", "code": "echo started; sleep 600"}));
    running.read_until("started");
    assert!(token_command(server.data(), &["revoke", "ada"]).status.success());
    // One has sent no program yet, and cannot any more.
    assert_eq!((waiting.rest(), waiting.close_code()), (vec![], Some(1008)));
    running.rest();
    assert_eq!(lines.next(), None);
    eventually("the programs are gone", || {
        std::fs::read_dir(server.data().join("sessions"))
            .expect("the sessions")
            .next()
            .is_none()
            .then_some(())
    });
}
