//! What is done at the same moment: sessions made, trimmed, counted and taken up again while others look.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::FileExt as _,
    thread,
};

use serde_json::{Value, json};

use crate::common::{PATIENCE, Server, eventually};

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

/// Who reads slowly is not cut short, and told all is well, because what is read is dropped meanwhile.
#[test]
fn what_is_trimmed_under_a_reader_is_read_to_its_end() {
    const BYTES: usize = 16_000_000;
    let server = Server::start_with(&["--keep-output-ms", "300"]);
    let code = format!("import sys; sys.stdout.write('x' * {BYTES})");
    let id = server.create_id("python", &code);
    // It reads nothing yet, and a connection holds far less than all.
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
    assert_eq!(messages.last().expect("messages")["msgtype"], "exitstatus");
    assert_eq!(slow.close_code(), Some(1000));
    // Who comes now is told what is missing.
    let late = server.stream(&id, "?after=0").rest();
    let kinds: Vec<_> = late.iter().map(|message| message["msgtype"].as_str().unwrap_or_default()).collect();
    assert_eq!(kinds, ["welcome", "gap", "exitstatus"]);
}

#[test]
fn many_at_once_pass_no_limit() {
    for (limits, most) in [(["--sessions-per-owner-max", "4"], 4), (["--sessions-max", "6"], 6)] {
        let server = Server::start_with(&[limits[0], limits[1], "--sessions-running-max", "1"]);
        let made = thread::scope(|scope| {
            let tries: Vec<_> = (0..48).map(|_| scope.spawn(|| create(&server, "sleep 60"))).collect();
            tries.into_iter().map(|made| made.join().expect("an answer")).collect::<Vec<_>>()
        });
        assert_eq!(made.iter().filter(|status| **status == 201).count(), most, "{limits:?}: {made:?}");
    }
}

/// A server that comes back starts nothing beside what runs already.
#[test]
fn no_more_run_after_a_restart_than_before() {
    let mut server = Server::start_with(&["--sessions-running-max", "2"]);
    for _ in 0..12 {
        assert_eq!(create(&server, "sleep 600"), 201);
    }
    eventually("two run", || (running(&server) == 2).then_some(()));
    for _ in 0..3 {
        server.kill();
        server.start_again();
        let begun = || {
            let sessions = std::fs::read_dir(server.data().join("sessions")).expect("sessions");
            sessions.flatten().filter(|session| session.path().join("state.json").exists()).count()
        };
        // Nothing announces that nothing is started: a second is what it takes several times over.
        let until = std::time::Instant::now() + std::time::Duration::from_secs(1);
        while std::time::Instant::now() < until {
            assert_eq!(begun(), 2, "more were started");
            thread::park_timeout(std::time::Duration::from_millis(20));
        }
        assert_eq!(running(&server), 2);
    }
}

/// A stream of lines is silent while its program is: only the kernel can find out that its reader has vanished.
#[test]
fn a_silent_connection_is_watched_by_the_kernel() {
    let server = Server::start();
    let stream = TcpStream::connect(server.address()).expect("the server listens");
    let port = |address: std::net::SocketAddr| format!("{:04X}", address.port());
    let (ours, theirs) =
        (port(stream.local_addr().expect("bound")), port(stream.peer_addr().expect("connected")));
    // proc_pid_net(5): local and remote address, state, queues, and which timer runs; 02 is that of keep-alive.
    eventually("a keep-alive timer", || {
        let table = std::fs::read_to_string("/proc/net/tcp").expect("a table of connections");
        table.lines().find_map(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            let is_it =
                fields[1].ends_with(&format!(":{theirs}")) && fields[2].ends_with(&format!(":{ours}"));
            (is_it && fields[5].starts_with("02:")).then_some(())
        })
    });
}

/// An answer that ends as it should is whole; where the journal cannot be read on, it is broken off.
#[test]
fn an_answer_that_is_not_whole_does_not_end_as_if_it_were() {
    let server = Server::start();
    let id = server.create_id("python", "print('x' * 1000, flush=True)\ninput()");
    server.stream(&id, "").read_until("xxx");
    let journal = server.data().join("sessions").join(&id).join("journal");
    let journal = std::fs::File::options().write(true).open(journal).expect("a journal");
    journal.write_all_at(&[0xff; 100], 500).expect("damaged");
    for accept in ["text/event-stream", "application/x-ndjson"] {
        let mut client = TcpStream::connect(server.address()).expect("the server listens");
        client.set_read_timeout(Some(PATIENCE)).expect("a positive duration");
        let request =
            format!("GET /sessions/{id}/stream HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n\r\n");
        client.write_all(request.as_bytes()).expect("sent");
        let mut answer = vec![];
        let _ = client.read_to_end(&mut answer); // a reset breaks it off too
        let answer = String::from_utf8_lossy(&answer);
        assert!(!answer.ends_with("0\r\n\r\n"), "{accept}: {answer}");
    }
}
