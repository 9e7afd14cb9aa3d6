//! Programs, connections and clients that do nothing, or too much, are ended in time.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use serde_json::json;

use crate::common::{Run, Server, Stream, WAIT_TIMEOUT, id};

const ELSEWHERE: (&str, &str) = ("origin", "https://elsewhere.example");

#[test]
fn an_idle_session_ends() {
    let server = Server::start_with(&["--idle-ms", "2000"]);
    let idle = server.create_id("python", "import time\ntime.sleep(60)");
    // Connecting again and reading does not count as activity.
    let mut run = None;
    while run.is_none() {
        let mut stream = server.stream(&idle, "");
        assert_eq!(stream.next().expect("a welcome")["msgtype"], "welcome");
        if server.get(&format!("/sessions/{idle}")).json()["state"] == "ended" {
            run = Some(Run::collect(server.stream(&idle, "")));
        }
    }
    let run = run.expect("the session has ended");
    assert_eq!((run.exitstatus, run.reason.as_deref()), (124, Some("timeout")));

    // Output counts as activity, and so do CPU time and input.
    let writes = "import time\nfor _ in range(30):\n    print('x', flush=True)\n    time.sleep(0.1)\n";
    // The program computes so long that the CPU time of its start alone would not keep it alive.
    let computes = "import time\nend = time.monotonic() + 5\nwhile time.monotonic() < end: pass\n";
    // The CPU time of children counts too, even if it is lost because no process waits for them.
    let forks = "import os, signal, time\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\nend = time.monotonic() + 5\n\
                 while time.monotonic() < end:\n    if os.fork() == 0:\n        until = time.monotonic() + 0.3\n        \
                 while time.monotonic() < until: pass\n        os._exit(0)\n    try: os.wait()\n    except ChildProcessError: pass\n";
    let writing = server.create_id("python", writes);
    let computing = server.create_id("python", computes);
    let forking = server.create_id("python", forks);
    let reading = server.create_id("python", "for _ in range(30): input()");
    let mut stream = server.stream(&reading, "");
    for number in 0..30 {
        stream.send(&json!({"msgtype": "input", "data": "x\n", "id": number}));
        assert_eq!(stream.next_of("ack")["id"], number);
        // This interval keeps the session alive.
        std::thread::park_timeout(std::time::Duration::from_millis(100));
    }
    for id in [writing, reading, computing, forking] {
        let run = Run::collect(server.stream(&id, ""));
        assert_eq!((run.exitstatus, run.reason), (0, None));
    }
}

#[test]
fn a_session_document_has_the_time_of_the_last_activity() {
    let server = Server::start();
    let id = server.create_id("python", "print('up', flush=True)\ninput()");
    server.stream(&id, "").read_until("up");
    let first = server.get(&format!("/sessions/{id}")).json();
    assert!(first["active"].as_str() >= first["created"].as_str(), "{first}");
    let mut stream = server.stream(&id, "");
    stream.send(&json!({"msgtype": "input", "data": "\n", "id": 1}));
    stream.next_of("ack");
    Run::collect(server.stream(&id, ""));
    assert!(server.get(&format!("/sessions/{id}")).json().get("active").is_none());
}

/// Sends part of a request; returns everything that the server sends until it closes the
/// connection.
fn read_until_closed(server: &Server, part: &str) -> String {
    let mut tcp = TcpStream::connect(server.address()).expect("the server listens");
    tcp.set_read_timeout(Some(WAIT_TIMEOUT)).expect("a positive duration");
    tcp.write_all(part.as_bytes()).expect("the server accepts the bytes");
    let mut response = String::new();
    tcp.read_to_string(&mut response).expect("the server closes the connection in time");
    response
}

#[test]
fn an_incomplete_request_times_out() {
    let server = Server::start_with(&["--header-timeout-ms", "200", "--body-timeout-ms", "200"]);
    assert_eq!(read_until_closed(&server, ""), "");
    read_until_closed(&server, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ");
    let head = "Host: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    for path in ["/sessions", "/exec", "/runtimes/python"] {
        let response = read_until_closed(&server, &format!("POST {path} HTTP/1.1\r\n{head}"));
        assert!(
            response.starts_with("HTTP/1.1 408 ") && response.contains("within 200 ms"),
            "{path}: {response}"
        );
    }
    let parts = "Host: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 100\r\n\r\n--b\r\n";
    let response = read_until_closed(&server, &format!("POST /runtimes/python HTTP/1.1\r\n{parts}"));
    assert!(response.starts_with("HTTP/1.1 408 "), "{response}");
    // A slow request that is complete in time is served, and so is a program that runs longer than
    // the request may take.
    assert_eq!(server.run_code("python", "import time; time.sleep(0.5); print(1)").stdout, "1\n");
}

#[test]
fn a_stranger_who_sends_too_many_messages_is_disconnected() {
    let server = Server::start_with(&["--messages-per-s", "20"]);
    let request = json!({"runtime": "python", "code": "input()"}).to_string();
    let headers = [("content-type", "application/json"), ELSEWHERE];
    let session = server.request("POST", "/sessions", &headers, request.as_bytes()).json();
    for path in [format!("/sessions/{}/stream", id(&session)), "/livecode".to_owned()] {
        let mut stream =
            Stream::try_connect(server.address(), &path, &[ELSEWHERE]).expect("the connection is upgraded");
        for _ in 0..100 {
            stream.send(&json!({"msgtype": "ping"}));
        }
        let pongs = stream.rest().iter().filter(|message| message["msgtype"] == "pong").count();
        assert_eq!(stream.close_code(), Some(1008), "{path}");
        assert!((40..80).contains(&pongs), "{path}: {pongs} answered");
    }
    // The local user's messages are not limited.
    let mut stream = server.websocket("/livecode");
    for _ in 0..200 {
        stream.send(&json!({"msgtype": "ping"}));
    }
    for _ in 0..200 {
        stream.next_of("pong");
    }
}

#[test]
fn a_websocket_that_answers_no_ping_is_closed() {
    let server = Server::start_with(&["--ping-interval-ms", "100"]);
    let session = server.create_id("python", "input()");
    for path in [format!("/sessions/{session}/stream"), "/livecode".to_owned()] {
        // The client never reads, so it answers no ping. The server's bytes are read from the bare
        // connection instead.
        let stream = server.websocket(&path);
        let mut tcp = stream.tcp().try_clone().expect("the socket can be duplicated");
        let mut rest = vec![];
        tcp.read_to_end(&mut rest).expect("the server ends the connection");
        assert!(rest.iter().filter(|byte| **byte == 0x89).count() >= 3, "{path}: pings in {rest:?}");
    }
    let mut answering = server.websocket("/livecode");
    answering.send(&json!({"msgtype": "ping"}));
    answering.next_of("pong");
}

#[test]
fn the_number_of_connections_is_limited() {
    let server = Server::start_with(&["--connections-max", "8"]);
    let session = server.create_id("python", "input()");
    let mut streams: Vec<_> = (0..7).map(|_| server.stream(&session, "")).collect();
    let held = TcpStream::connect(server.address()).expect("the kernel queues the connection");
    // A further connection waits until another one is closed.
    let mut waiting = TcpStream::connect(server.address()).expect("the kernel queues the connection");
    waiting.set_read_timeout(Some(WAIT_TIMEOUT)).expect("a positive duration");
    waiting
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .expect("the request is sent");
    waiting.set_nonblocking(true).expect("the mode of the socket can be set");
    assert_eq!(waiting.read(&mut [0]).expect_err("nothing yet").kind(), std::io::ErrorKind::WouldBlock);
    waiting.set_nonblocking(false).expect("the mode of the socket can be set");
    drop((held, streams.pop()));
    let mut response = String::new();
    waiting.read_to_string(&mut response).expect("an answer");
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
}
