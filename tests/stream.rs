//! The stream of a session: replay, resuming, several clients, input, and readers without a
//! websocket.

use std::io::{Read as _, Write as _};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::common::{Run, Server, Stream, eventually, id, processes};

const COUNTING: &str = "import time\nfor n in range(50):\n    print(n)\n    time.sleep(0.1)\n";

/// The standard output in `messages`, joined.
fn stdout(messages: &[Value]) -> String {
    let writes = messages.iter().filter(|message| message["file"] == "stdout");
    writes.map(|message| message["data"].as_str().expect("data")).collect()
}

#[test]
fn a_cut_stream_resumes_where_it_stopped() {
    let server = Server::start();
    let id = server.create_id("python", COUNTING);
    let mut first = server.stream(&id, "?after=0");
    let mut before = vec![];
    while before.len() < 10 {
        let message = first.next().expect("a further message");
        if message["msgtype"] != "welcome" {
            before.push(message);
        }
    }
    // The connection is dropped without a close frame.
    drop(first);
    let seq = before.last().expect("ten messages")["seq"].as_u64().expect("a number");
    assert_eq!(seq, 10, "entries should be numbered from 1: {before:?}");
    // Two seconds pass until another client sees number 30.
    server.stream(&id, "").read_until("\n30\n");

    let mut second = server.stream(&id, &format!("?after={seq}"));
    assert_eq!(second.next().expect("a message")["msgtype"], "welcome");
    let after = second.rest();
    assert_eq!(second.close_code(), Some(1000));
    let expected: String = (0..50).map(|n| format!("{n}\n")).collect();
    assert_eq!(stdout(&before) + &stdout(&after), expected);
    let numbers: Vec<u64> =
        before.iter().chain(&after).map(|m| m["seq"].as_u64().expect("a number")).collect();
    assert!(numbers.iter().copied().eq(1..=numbers.len() as u64), "{numbers:?}");
}

#[test]
fn reading_after_the_end_returns_the_exit_status() {
    let server = Server::start();
    let id = server.create_id("python", "print(1)");
    Run::collect(server.stream(&id, ""));
    for after in [2, 3, 1_000_000] {
        let messages = server.stream(&id, &format!("?after={after}")).rest();
        assert_eq!(
            messages[1..],
            [json!({"msgtype": "exitstatus", "exitstatus": 0, "seq": 2})],
            "after {after}"
        );
    }
    for wrong in ["-1", "x", "1.5", ""] {
        let refused =
            Stream::try_connect(server.address(), &format!("/sessions/{id}/stream?after={wrong}"), &[]);
        assert_eq!(refused.err(), Some(422), "after={wrong}");
    }
}

#[test]
fn every_client_receives_everything() {
    let server = Server::start();
    let id = server.create_id("python", "name = input()\nprint('hello', name)");
    let mut clients: Vec<_> = (0..5).map(|_| server.stream(&id, "")).collect();
    clients[3].send(&json!({"msgtype": "input", "data": "you\n"}));
    for client in &mut clients {
        assert_eq!(stdout(&client.rest()), "hello you\n");
    }
}

#[test]
fn a_prompt_is_sent_before_anything_is_typed() {
    let server = Server::start();
    let id = server.create_id("python", "name = input('name? ')\nprint(f'hello, {name}')");
    let mut stream = server.stream(&id, "");
    assert_eq!(stream.read_until("name? "), "name? ");
    stream.send(&json!({"msgtype": "input", "data": "world\n"}));
    assert_eq!(stdout(&stream.rest()), "hello, world\n");
}

#[test]
fn input_ends_after_a_message_with_eof() {
    let server = Server::start();
    // The program runs until it gets an event, so that it is still alive when the last input is
    // refused.
    let code = "import sys\nprint(len(sys.stdin.read()))\nopen(3).readline()";
    let id = server.create_id("python", code);
    let mut stream = server.stream(&id, "");
    stream.send(&json!({"msgtype": "input", "data": "abc"}));
    stream.send(&json!({"msgtype": "input", "data": "déf", "eof": true}));
    stream.send(&json!({"msgtype": "input", "data": "more", "id": 9}));
    let error = stream.next_of("error");
    assert!(error["error"].as_str().expect("a text").contains("closed"), "{error}");
    assert_eq!(error["code"], "input_closed");
    assert_eq!(error["msg"], json!({"msgtype": "input", "data": "more", "id": 9}));
    stream.send(&json!({"msgtype": "event", "event": "go"}));
    stream.rest();
    assert_eq!(stdout(&server.stream(&id, "").rest()), "6\n");
}

#[test]
fn an_input_with_an_id_is_delivered_once() {
    let server = Server::start();
    let id = server.create_id("python", "import sys\nfor line in sys.stdin: print(line, end='')");
    let first = json!({"msgtype": "input", "data": "one\n", "id": "a"});
    let mut stream = server.stream(&id, "");
    for _ in 0..3 {
        stream.send(&first);
        assert_eq!(stream.next_of("ack"), json!({"msgtype": "ack", "id": "a"}));
    }
    drop(stream);
    // Ids belong to the session, not to the connection.
    let mut stream = server.stream(&id, "");
    stream.send(&first);
    assert_eq!(stream.next_of("ack")["id"], "a");
    stream.send(&json!({"msgtype": "input", "data": "other\n", "id": "a"}));
    let error = stream.next_of("error");
    assert_eq!((&error["msg"]["data"], &error["code"]), (&json!("other\n"), &json!("delivery_id_conflict")));
    stream.send(&json!({"msgtype": "input", "data": "two\n", "id": 2, "eof": true}));
    let messages = server.stream(&id, "").rest();
    assert_eq!(stdout(&messages), "one\ntwo\n");
}

#[test]
fn signals_reach_the_program() {
    let server = Server::start();
    let code = "import time\ntry:\n    print('ready')\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    print('interrupted')\n";
    let id = server.create_id("python", code);
    let mut stream = server.stream(&id, "");
    stream.read_until("ready");
    stream.send(&json!({"msgtype": "signal", "signal": "interrupt", "id": 1}));
    assert_eq!(stream.next_of("ack")["id"], 1);
    let run = Run::collect(server.stream(&id, ""));
    assert_eq!((&*run.stdout, run.exitstatus), ("ready\ninterrupted\n", 0));

    for (signal, status) in [("terminate", 143), ("kill", 137)] {
        let id = server.create_id("python", "print('ready')\nimport time\ntime.sleep(60)");
        let mut stream = server.stream(&id, "");
        stream.read_until("ready");
        stream.send(&json!({"msgtype": "signal", "signal": signal}));
        let last = stream.rest().pop().expect("a last message");
        assert_eq!(last, json!({"msgtype": "exitstatus", "exitstatus": status, "reason": "signalled"}));
    }
}

#[test]
fn a_signal_sent_before_the_program_starts_waits_for_it() {
    let server = Server::start();
    let code = "#include <unistd.h>\nint main(void) { for (;;) pause(); }";
    // The signal arrives while the program is compiled. It ends the program, not the compiler.
    let mut stream = server.stream(&server.create_id("c", code), "");
    stream.send(&json!({"msgtype": "signal", "signal": "terminate", "id": 1}));
    assert_eq!(stream.next_of("ack")["id"], 1);
    let run = Run::collect(stream);
    assert_eq!((run.exitstatus, run.reason.as_deref()), (143, Some("signalled")), "{run:?}");
}

#[test]
fn ping_quit_and_invalid_messages() {
    let server = Server::start();
    let id = server.create_id("python", "input()");
    let mut stream = server.stream(&id, "");
    assert_eq!(stream.next_text(), r#"{"msgtype":"welcome","message":"welcome to livecode"}"#);
    stream.send_text(r#"{"msgtype":"ping"}"#);
    assert_eq!(stream.next_text(), r#"{"msgtype":"pong"}"#);
    stream.send_text(r#"{"msgtype":"qiut"}"#);
    assert_eq!(
        stream.next_text(),
        r#"{"msgtype":"error","error":"Unknown message type: qiut","msg":{"msgtype":"qiut"},"code":"unknown_message_type"}"#
    );
    for (wrong, code) in [
        (json!({"msgtype": "exec", "runtime": "python", "code": "print(1)"}), "not_supported_here"),
        (json!({"msgtype": "input", "data": 7}), "invalid_message"),
        (json!({"msgtype": "signal", "signal": "hup"}), "invalid_message"),
        (json!({"msgtype": "event"}), "invalid_message"),
        (json!([1, 2]), "malformed_message"),
    ] {
        stream.send(&wrong);
        let error = stream.next().expect("an answer");
        assert_eq!((&error["msgtype"], &error["msg"]), (&json!("error"), &wrong));
        assert_eq!(error["code"], code);
    }
    stream.send_text("not json");
    assert_eq!(stream.next().expect("an answer")["msg"], "not json");
    stream.send_text(r#"{"msgtype":"quit"}"#);
    assert_eq!(stream.next_text(), r#"{"msgtype":"goodbye"}"#);
    assert_eq!(stream.next(), None);
    assert_eq!(stream.close_code(), Some(1000));
    // The message `quit` ended the connection, not the session.
    let state = || (server.get(&format!("/sessions/{id}")).json()["state"] == "running").then_some(());
    eventually("the session still runs", state);
}

#[test]
fn a_message_that_is_too_long_closes_only_its_connection() {
    let server = Server::start();
    let id = server.create_id("python", "input()");
    let mut stream = server.stream(&id, "");
    stream.next_of("welcome");
    stream.send(&json!({"msgtype": "input", "data": "x".repeat(70_000)}));
    stream.rest();
    assert_eq!(stream.close_code(), Some(1009));
    let state = || (server.get(&format!("/sessions/{id}")).json()["state"] == "running").then_some(());
    eventually("the session still runs", state);
}

#[test]
fn bytes_that_are_not_text_are_sent_as_base64() {
    let server = Server::start();
    let id = server.create_id("python", "import sys\nsys.stdout.buffer.write(b'\\xff\\x00\\xfe')");
    let messages = server.stream(&id, "").rest();
    assert_eq!(
        messages[1],
        json!({"msgtype": "write", "file": "stdout", "data": "/wD+", "encoding": "base64"})
    );
}

#[test]
fn characters_are_never_split() {
    let server = Server::start();
    let code = "import sys, time\nfor byte in 'aé€😀'.encode():\n    sys.stdout.buffer.write(bytes([byte]))\n    \
                sys.stdout.buffer.flush()\nprint()\nprint('é€😀' * 50000)";
    let id = server.create_id("python", code);
    let messages = server.stream(&id, "").rest();
    assert!(messages.iter().all(|message| message["encoding"].is_null()));
    assert_eq!(stdout(&messages), format!("aé€😀\n{}\n", "é€😀".repeat(50_000)));
}

#[test]
fn server_sent_events_show_a_running_program() {
    let server = Server::start();
    let id = server.create_id("python", "print('one')\ninput()\nprint('two')");
    let path = format!("/sessions/{id}/stream");
    let mut lines = server.lines("GET", &path, &[("accept", "text/event-stream")], &[]);
    assert_eq!(lines.status, 200);
    // The first output arrives while the program waits for input.
    let first: Vec<_> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
    assert!(first.contains(&"id: 1".to_owned()) || first.contains(&"id:1".to_owned()), "{first:?}");
    let data = |lines: &[String]| -> Value {
        let line = lines.iter().find_map(|line| line.strip_prefix("data:")).expect("data");
        serde_json::from_str(line).expect("valid JSON")
    };
    assert_eq!(data(&first)["data"], "one\n");
    let mut typing = server.stream(&id, "");
    typing.send(&json!({"msgtype": "input", "data": "\n"}));
    let rest: Vec<_> = lines.collect();
    assert!(
        rest.iter().any(|line| line.contains("two")) && rest.iter().any(|line| line.contains("exitstatus"))
    );

    let headers = [("accept", "text/event-stream"), ("last-event-id", "1")];
    let resumed: Vec<_> = server.lines("GET", &path, &headers, &[]).collect();
    assert!(
        resumed.iter().any(|line| line.contains("two")) && !resumed.iter().any(|line| line.contains("one"))
    );
    // Status 204 tells an EventSource that has seen the end not to reconnect (HTML, section 9.2).
    let headers = [("accept", "text/event-stream"), ("last-event-id", "3")];
    assert_eq!(server.request("GET", &path, &headers, &[]).status, 204);
}

#[test]
fn a_stream_can_be_read_as_json_lines() {
    let server = Server::start();
    let id = server.create_id("python", "print('one')\nimport sys\nprint('two', file=sys.stderr)");
    let path = format!("/sessions/{id}/stream");
    let read = |path: &str| -> Vec<Value> {
        let lines = server.lines("GET", path, &[("accept", "application/x-ndjson")], &[]);
        lines.map(|line| serde_json::from_str(&line).expect("valid JSON")).collect()
    };
    let messages = read(&path);
    assert_eq!(messages.last().expect("a last message"), &json!({"msgtype": "exitstatus", "exitstatus": 0}));
    assert_eq!(stdout(&messages), "one\n");
    let after = read(&format!("{path}?after=2"));
    assert_eq!(after, [json!({"msgtype": "exitstatus", "exitstatus": 0, "seq": 3})]);

    let plain = server.get(&path);
    assert_eq!(plain.header("upgrade").map(str::to_lowercase).as_deref(), Some("websocket"));
    plain.problem_with_code(426, "upgrade_required");
}

#[test]
fn a_client_that_does_not_read_delays_no_other() {
    let server = Server::start();
    let session = server.create(&json!({
        "runtime": "python",
        "code": "for n in range(100000): print(n, 'x' * 80)",
        "limits": {"cpu_ms": 60000},
    }));
    let slow = server.stream(&id(&session), "");
    let run = Run::collect(server.stream(&id(&session), ""));
    assert_eq!(run.stdout.lines().count(), 100_000);
    // The slow client has lost nothing either.
    assert_eq!(Run::collect(slow), run);
}

#[test]
fn an_incomplete_frame_is_not_delivered() {
    let server = Server::start();
    let id = server.create_id("python", "print(input())");
    let stream = server.stream(&id, "");
    // These are the first bytes of a masked text frame; the rest is never sent.
    stream.tcp().write_all(&[0x81, 0xfe, 0x00]).expect("the connection is open");
    drop(stream);
    let mut stream = server.stream(&id, "");
    stream.send(&json!({"msgtype": "input", "data": "whole\n"}));
    assert_eq!(stdout(&stream.rest()), "whole\n");
}

#[test]
fn programs_survive_the_servers_death() {
    let mut server = Server::start();
    let id = server.create_id("python", "for n in range(3): print(n)\nprint(input())");
    let mut stream = server.stream(&id, "?after=0");
    stream.read_until("2\n");
    server.kill();
    server.start_again();
    assert_eq!(server.get(&format!("/sessions/{id}")).json()["state"], "running");
    let mut stream = server.stream(&id, "?after=0");
    stream.send(&json!({"msgtype": "input", "data": "on\n"}));
    assert_eq!(stdout(&stream.rest()), "0\n1\n2\non\n");
}

#[test]
fn a_server_that_stops_announces_it_and_leaves_programs_running() {
    let mut server = Server::start();
    let id = server.create_id("python", "print('on')\nprint(input())");
    let mut stream = server.stream(&id, "?after=0");
    stream.read_until("on\n");
    assert!(server.stop().success());
    stream.rest();
    assert_eq!(stream.close_code(), Some(1012), "the close code should tell clients to reconnect");
    server.start_again();
    let mut stream = server.stream(&id, "?after=1");
    stream.send(&json!({"msgtype": "input", "data": "again\n"}));
    assert_eq!(stdout(&stream.rest()), "again\n");
}

/// Plain HTTP has no close code. The response is complete, and its last message says that the
/// server stops, not that the session has ended.
#[test]
fn a_server_that_stops_ends_http_streams_with_goodbye() {
    for (accept, goodbye) in [
        ("text/event-stream", "data: {\"msgtype\":\"goodbye\"}\n\n"),
        ("application/x-ndjson", "{\"msgtype\":\"goodbye\"}\n"),
    ] {
        let mut server = Server::start();
        let id = server.create_id("python", "print('on', flush=True)\nprint(input())");
        let mut client = std::net::TcpStream::connect(server.address()).expect("the server listens");
        client.set_read_timeout(Some(crate::common::wait_timeout())).expect("a positive duration");
        let request =
            format!("GET /sessions/{id}/stream HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n\r\n");
        client.write_all(request.as_bytes()).expect("the request is sent");
        let mut response = vec![];
        while !String::from_utf8_lossy(&response).contains("on\\n") {
            let mut part = [0; 4096];
            let length = client.read(&mut part).expect("the response continues");
            assert!(length > 0, "{accept}: the response ended: {}", String::from_utf8_lossy(&response));
            response.extend_from_slice(&part[..length]);
        }
        assert!(server.stop().success());
        client.read_to_end(&mut response).expect("the response ends without a reset");
        let response = String::from_utf8_lossy(&response);
        assert!(response.ends_with(&format!("{goodbye}\r\n0\r\n\r\n")), "{accept}: {response}");
        assert!(!response.contains("exitstatus"), "{accept}: {response}");
        // A client that reconnects misses nothing.
        server.start_again();
        let mut back = server.stream(&id, "");
        back.send(&json!({"msgtype": "input", "data": "again\n", "id": 1}));
        back.next_of("ack");
        let path = format!("/sessions/{id}/stream?after=1");
        let rest: Vec<_> = server.lines("GET", &path, &[("accept", accept)], b"").collect();
        assert!(rest.iter().any(|line| line.contains("again\\n")), "{accept}: {rest:?}");
        assert!(rest.iter().any(|line| line.contains("exitstatus")), "{accept}: {rest:?}");
    }
}

#[test]
fn a_supervisors_death_ends_its_program_and_is_reported_as_lost() {
    let server = Server::start();
    let mark = format!("mark-{}", std::process::id());
    let code = "import time\nprint('on')\ntime.sleep(60)";
    let id = id(&server.create(&json!({"runtime": "python", "code": code, "args": [mark]})));
    let mut stream = server.stream(&id, "");
    stream.read_until("on\n");
    let state = std::fs::read(server.data().join("sessions").join(&id).join("state.json"))
        .expect("the state file can be read");
    let state: Value = serde_json::from_slice(&state).expect("valid JSON");
    let pid = i32::try_from(state["pid"].as_i64().expect("a number")).expect("a valid pid");
    let is_alive = || !processes(&mark).is_empty();
    assert!(is_alive());
    kill_process(Pid::from_raw(pid).expect("a valid pid"), Signal::KILL).expect("the supervisor runs");
    let last = stream.rest().pop().expect("a last message");
    assert_eq!(last, json!({"msgtype": "exitstatus", "exitstatus": 255, "reason": "lost"}));
    assert_eq!(stdout(&server.stream(&id, "").rest()), "on\n");
    eventually("the program is dead", || (!is_alive()).then_some(()));
}

#[test]
fn a_server_can_be_restarted_at_once() {
    let mut server = Server::start();
    for _ in 0..30 {
        server.kill();
        server.start_again();
    }
    assert_eq!(Run::collect(server.stream(&server.create_id("python", "print(1)"), "")).stdout, "1\n");
}

#[test]
fn a_session_that_waits_tells_its_place_to_those_who_ask() {
    let server = Server::start_with(&["--sessions-running-max", "1"]);
    let first = server.create_id("bash", "cat");
    server.stream(&first, "").next_of("welcome");
    let [second, third] = [1, 2].map(|_| server.create_id("bash", "echo done"));
    let mut told = server.stream(&third, "?notices=1&after=0");
    let headers = [("accept", "application/x-ndjson")];
    let path = format!("/sessions/{third}/stream?notices=1");
    let mut lines = server.lines("GET", &path, &headers, &[]);
    let mut untold = server.stream(&third, "");
    let queued = |position: u64| json!({"msgtype": "queued", "position": position});
    assert_eq!(told.next_of("queued"), queued(2));
    assert_eq!(lines.next().and_then(|line| serde_json::from_str(&line).ok()), Some(queued(2)));
    assert_eq!(server.delete(&format!("/sessions/{second}")).status, 204);
    assert_eq!(told.next_of("queued"), queued(1));
    assert_eq!(server.delete(&format!("/sessions/{first}")).status, 204);
    assert!(told.rest().iter().all(|message| message["msgtype"] != "queued" && message["seq"].is_u64()));
    assert!(lines.any(|line| line.contains("exitstatus")));
    let types: Vec<_> = untold.rest().iter().map(|message| message["msgtype"].clone()).collect();
    assert_eq!(types, ["welcome", "write", "exitstatus"]);
    let refused = server.request("GET", &format!("/sessions/{third}/stream?notices=yes"), &headers, &[]);
    assert_eq!(refused.problem(422)["field"], "notices");
}
