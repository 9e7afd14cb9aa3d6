//! Concurrency: sessions are created, trimmed, counted and recovered while clients read them.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::FileExt as _,
    thread,
};

use serde_json::{Value, json};

use crate::{
    common::{Server, WAIT_TIMEOUT, eventually},
    users::{User, new_token, token_command},
};

const TOKEN: [(&str, &str); 1] = [("authorization", "Bearer 00112233445566778899aabbccddeeff")];

/// Creates a session and returns the status.
fn create(server: &Server, code: &str) -> u16 {
    let headers = [TOKEN[0], ("content-type", "application/json")];
    let body = json!({"runtime": "bash", "code": code}).to_string();
    server.request("POST", "/sessions", &headers, body.as_bytes()).status
}

fn running(server: &Server) -> usize {
    let sessions = server.request("GET", "/sessions", &TOKEN, b"").json();
    let states = sessions.as_array().expect("a list").iter().map(|session| session["state"].clone());
    states.filter(|state| state == "running").count()
}

/// A slow reader gets the whole output although the journal is trimmed meanwhile. It must not see
/// a shortened stream with a clean end.
#[test]
fn a_journal_trimmed_under_a_reader_is_read_to_its_end() {
    const BYTES: usize = 16_000_000;
    let server = Server::start_with(&["--keep-output-ms", "300"]);
    let code = format!("import sys; sys.stdout.write('x' * {BYTES})");
    let id = server.create_id("python", &code);
    // The client does not read yet, and its connection holds far less than the whole output.
    let mut slow = server.stream(&id, "?after=0");
    let journal = server.data().join("sessions").join(&id).join("journal");
    eventually("the journal is trimmed", || {
        let document = server.get(&format!("/sessions/{id}")).json();
        let length = std::fs::metadata(&journal).map_or(u64::MAX, |metadata| metadata.len());
        (document["state"] == "ended" && length < 10_000).then_some(())
    });
    let messages = slow.rest();
    let written = |message: &Value| message["data"].as_str().map_or(0, str::len);
    assert_eq!(messages.iter().map(written).sum::<usize>(), BYTES);
    assert_eq!(messages.last().expect("a last message")["msgtype"], "exitstatus");
    assert_eq!(slow.close_code(), Some(1000));
    // A client that connects later is told which entries are missing.
    let late = server.stream(&id, "?after=0").rest();
    let kinds: Vec<_> = late.iter().map(|message| message["msgtype"].as_str().unwrap_or_default()).collect();
    assert_eq!(kinds, ["welcome", "gap", "exitstatus"]);
}

#[test]
fn concurrent_requests_do_not_exceed_limits() {
    for (limits, most) in [(["--sessions-per-owner-max", "4"], 4), (["--sessions-max", "6"], 6)] {
        let server = Server::start_with(&[limits[0], limits[1], "--sessions-running-max", "1"]);
        let made = thread::scope(|scope| {
            let tries: Vec<_> = (0..48).map(|_| scope.spawn(|| create(&server, "sleep 60"))).collect();
            tries.into_iter().map(|made| made.join().expect("an answer")).collect::<Vec<_>>()
        });
        assert_eq!(made.iter().filter(|status| **status == 201).count(), most, "{limits:?}: {made:?}");
    }
}

/// A restarted server starts no further session beside those that are running.
#[test]
fn no_more_sessions_run_after_a_restart_than_before() {
    let mut server = Server::start_with(&["--sessions-running-max", "2"]);
    for _ in 0..12 {
        assert_eq!(create(&server, "sleep 600"), 201);
    }
    eventually("two sessions run", || (running(&server) == 2).then_some(()));
    for _ in 0..3 {
        server.kill();
        server.start_again();
        let started = || {
            let sessions = std::fs::read_dir(server.data().join("sessions")).expect("the folder can be read");
            sessions.flatten().filter(|session| session.path().join("state.json").exists()).count()
        };
        // No event reports that nothing is started, so the test watches for a second, which is
        // several times as long as a start takes.
        let until = std::time::Instant::now() + std::time::Duration::from_secs(1);
        while std::time::Instant::now() < until {
            assert_eq!(started(), 2, "further sessions were started");
            thread::park_timeout(std::time::Duration::from_millis(20));
        }
        assert_eq!(running(&server), 2);
    }
}

/// A stream of lines is silent while its program is silent, so only the kernel can detect that its
/// reader has vanished.
#[test]
fn a_silent_connection_has_a_keep_alive_timer() {
    let server = Server::start();
    let stream = TcpStream::connect(server.address()).expect("the server listens");
    let port = |address: std::net::SocketAddr| format!("{:04X}", address.port());
    let (ours, theirs) = (
        port(stream.local_addr().expect("the socket is bound")),
        port(stream.peer_addr().expect("the socket is connected")),
    );
    // The fields of a line are those of proc_pid_net(5): local and remote address, state, queues,
    // timer. Timer 02 is the keep-alive timer.
    eventually("the connection has a keep-alive timer", || {
        let table = std::fs::read_to_string("/proc/net/tcp").expect("the table of connections can be read");
        table.lines().find_map(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            let is_ours =
                fields[1].ends_with(&format!(":{theirs}")) && fields[2].ends_with(&format!(":{ours}"));
            (is_ours && fields[5].starts_with("02:")).then_some(())
        })
    });
}

/// A response that ends cleanly is complete. If the journal cannot be read to its end, the server
/// breaks the response off.
#[test]
fn an_incomplete_response_does_not_end_cleanly() {
    let server = Server::start();
    let id = server.create_id("python", "print('x' * 1000, flush=True)\ninput()");
    server.stream(&id, "").read_until("xxx");
    let journal = server.data().join("sessions").join(&id).join("journal");
    let journal = std::fs::File::options().write(true).open(journal).expect("a journal");
    journal.write_all_at(&[0xff; 100], 500).expect("the journal can be overwritten");
    for accept in ["text/event-stream", "application/x-ndjson"] {
        let mut client = TcpStream::connect(server.address()).expect("the server listens");
        client.set_read_timeout(Some(WAIT_TIMEOUT)).expect("a positive duration");
        let request =
            format!("GET /sessions/{id}/stream HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n\r\n");
        client.write_all(request.as_bytes()).expect("the request is sent");
        let mut response = vec![];
        // A reset connection is a broken-off response too.
        let _ = client.read_to_end(&mut response);
        let response = String::from_utf8_lossy(&response);
        assert!(!response.ends_with("0\r\n\r\n"), "{accept}: {response}");
    }
}

/// A request whose body is still to come makes nothing when its credential has ended.
#[test]
fn a_token_that_is_revoked_while_a_body_arrives_makes_nothing() {
    let server = Server::start_with(&["--auth", "tokens"]);
    let watcher = User::with(&server, &new_token(&server, &["watcher", "--role", "admin"]));
    let mallory = new_token(&server, &["mallory", "--role", "admin"]);
    let session = crate::common::id(&User::with(&server, &mallory).create("true"));
    let tokens = watcher.get("/tokens").1;
    let own = tokens.as_array().expect("a list").iter().find(|token| token["user"] == "watcher");
    let rotate = format!("/tokens/{}/rotate", own.expect("the token")["id"].as_str().expect("an id"));
    let program = json!({"runtime": "bash", "code": "true"}).to_string();
    let requests = [
        ("/tokens", json!({"user": "eve", "role": "admin"}).to_string()),
        (&*rotate, "{}".to_owned()),
        (&*format!("/sessions/{session}/shares"), json!({"rights": "join"}).to_string()),
        ("/sessions", program.clone()),
        ("/exec", program),
        ("/runtimes/bash", "true".to_owned()),
    ];
    let connections = requests.each_ref().map(|(path, body)| {
        let mut stream = TcpStream::connect(server.address()).expect("the server listens");
        stream.set_read_timeout(Some(WAIT_TIMEOUT)).expect("a positive duration");
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {mallory}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\
             Connection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).expect("the server reads");
        // The server says so when it begins to read the body, after it has looked at the token.
        let mut asked = [0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
        stream.read_exact(&mut asked).expect("the server answers");
        assert!(asked.starts_with(b"HTTP/1.1 100 "), "{path}");
        stream.write_all(&body.as_bytes()[..body.len() - 1]).expect("the server reads");
        stream
    });
    assert!(token_command(server.data(), &["revoke", "mallory"]).status.success());
    for (mut stream, (path, body)) in connections.into_iter().zip(&requests) {
        // The server may have answered already.
        let _ = stream.write_all(&body.as_bytes()[body.len() - 1..]);
        let mut answer = vec![];
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("unauthorized"), "{path}: {answer}");
    }
    assert_eq!(watcher.ids(), [session.as_str()]);
    let left = watcher.get("/tokens").1;
    assert_eq!(left.as_array().map(Vec::len), Some(1), "{left}");
}
