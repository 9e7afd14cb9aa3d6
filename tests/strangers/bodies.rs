//! Bytes that strangers send are held within one budget, parsed without excess, and given up in
//! time.

use std::io::Write as _;

use serde_json::{Value, json};

use super::connection::{CONTINUATION, Connection, PONG, TEXT, frame, memory, metric, reset_memory_peak};
use crate::common::{Server, eventually, guest::Guest, id};

const MIB: usize = 1024 * 1024;

/// A server whose byte budget is 12 MiB: 9 MiB for guests, 3 MiB for each address.
fn small_budget() -> Server {
    Server::start_with_environment(&[
        ("LIVECODE_BODY_MAX_BYTES", "1048576"),
        ("LIVECODE_HELD_BYTES_MAX", "12582912"),
        ("LIVECODE_HELD_BYTES_PER_ADDRESS_PERCENT", "25"),
    ])
}

/// A connection with a body of 1 MiB of which the last byte is missing.
fn unfinished_body(server: &Server, last: u8, (path, headers, start): (&str, &str, &str)) -> Connection {
    let headers = format!("{headers}content-length: {MIB}\r\n");
    let body = format!("{start}{}", " ".repeat(MIB - 1 - start.len()));
    Connection::request(server, last, &format!("POST {path}"), &headers, body.as_bytes())
}

/// Asserts that the byte budget refuses a request.
fn refused(connection: &mut Connection) {
    let response = connection.response().expect("an answer");
    assert_eq!((response.status, response.code().as_str()), (503, "held_bytes_full"));
    assert!(response.head.contains("\r\nretry-after: "), "{}", response.head);
}

/// Waits until the server has given everything back.
fn nothing_is_held(server: &Server) {
    eventually("nothing is held", || (metric(server, "livecode_held_bytes") == 0).then_some(()));
}

#[test]
fn unfinished_bodies_are_bounded_for_each_address_and_in_all() {
    let server = small_budget();
    let json = "content-type: application/json\r\n";
    let kinds = [
        ("/sessions", json, "{"),
        ("/exec", json, "{"),
        ("/runtimes/python", "", "#"),
        (
            "/runtimes/bash",
            "content-type: multipart/form-data; boundary=b\r\n",
            "--b\r\ncontent-disposition: form-data; name=a\r\n\r\n",
        ),
    ];
    for kind in kinds {
        let mut held = vec![];
        let mut hold = |last: u8| {
            held.push(unfinished_body(&server, last, kind));
            let bytes = (held.len() * (MIB - 1)) as u64;
            eventually("it is held", || (metric(&server, "livecode_held_bytes") >= bytes).then_some(()));
        };
        for last in [2, 3] {
            (0..3).for_each(|_| hold(last));
            // Three fit into the share of an address.
            refused(&mut unfinished_body(&server, last, kind));
        }
        // The rest of the guests' part is for those who hold little.
        hold(4);
        refused(&mut unfinished_body(&server, 4, kind));
        [5, 6].into_iter().for_each(hold);
        // The guests' part is taken, but not that of the local user.
        refused(&mut unfinished_body(&server, 7, kind));
        let run = server.run_code("bash", &format!("echo local # {}", " ".repeat(MIB / 2)));
        assert_eq!(run.stdout, "local\n");
        drop(held);
        nothing_is_held(&server);
    }
    assert!(metric(&server, "livecode_held_bytes_refused_total") >= 16);
}

/// A line is small, and finds room beside the bodies of others.
#[test]
fn a_guest_types_while_others_hold_the_budget() {
    let server = small_budget();
    let session = id(&Guest::at(8).create(&server, "cat"));
    let mut typist = Connection::websocket(&server, 8, &format!("/sessions/{session}/stream"));
    let kind = ("/sessions", "content-type: application/json\r\n", "{");
    let held: Vec<_> = [2, 2, 2, 3, 3, 3, 4].map(|last| unfinished_body(&server, last, kind)).into();
    let bytes = (held.len() * (MIB - 1)) as u64;
    eventually("they are held", || (metric(&server, "livecode_held_bytes") >= bytes).then_some(()));
    typist
        .send_frame(TEXT, true, br#"{"msgtype":"input","id":1,"data":"a line\n"}"#)
        .expect("the server reads");
    let answers = std::iter::from_fn(|| typist.next_frame());
    let mut answers = answers.map(|(_, answer)| String::from_utf8_lossy(&answer).into_owned());
    let answer = answers.find(|answer| answer.contains("write") || answer.contains("error"));
    assert!(answer.as_ref().is_some_and(|answer| answer.contains(r#""data":"a line\n""#)), "{answer:?}");
    assert_eq!(server.delete(&format!("/sessions/{session}")).status, 204);
}

/// A tree of values would take more than thirty times the memory of this text.
#[test]
fn a_body_of_many_small_values_takes_little_memory() {
    let server = Server::start();
    let values = format!("[{}1]", "1,".repeat(3 * MIB));
    let nested = format!("[{}[]]", "[[],{}],".repeat(MIB / 2));
    let many = format!("[{}\"\"]", "\"\",".repeat(2 * MIB));
    let post = |path: &str, body: &str| {
        server.request("POST", path, &[("content-type", "application/json")], body.as_bytes())
    };
    for (path, body, status) in [
        ("/exec", format!(r#"{{"runtime":"bash","code":"echo ok","other":{values}}}"#), 200),
        ("/exec", format!(r#"{{"runtime":"bash","code":"echo ok","other":{nested}}}"#), 200),
        ("/exec", format!(r#"{{"runtime":"bash","code":"echo ok","args":{many}}}"#), 422),
        ("/sessions", format!(r#"{{"runtime":"bash","code":"echo ok","other":{values}}}"#), 422),
        ("/sessions", format!(r#"{{"runtime":"bash","code":"echo ok","args":{many}}}"#), 422),
        ("/sessions", format!(r#"{{"runtime":"bash","code":"echo ok","files":{many}}}"#), 422),
        ("/sessions", values, 422),
        ("/sessions", format!("{{\"runtime\":{nested}"), 400),
    ] {
        reset_memory_peak(&server);
        let before = memory(&server, "VmRSS");
        let response = post(path, &body);
        let taken = memory(&server, "VmHWM").saturating_sub(before);
        assert_eq!(response.status, status, "{path} {body:.80}: {}", response.text());
        assert!(taken < 4 * body.len() as u64, "{path} {body:.80}: {taken} bytes for {}", body.len());
    }
}

#[test]
fn a_request_with_two_hosts_is_refused() {
    let server = Server::start();
    let host = format!("host: {}\r\n", server.address());
    for headers in [host.as_str(), "host: elsewhere.example\r\n"] {
        let response = Connection::request(&server, 2, "GET /healthz", headers, b"").response();
        let response = response.expect("an answer");
        assert_eq!((response.status, response.code().as_str()), (400, "malformed_request"));
    }
}

/// A websocket with the first fragment of a message, `length` bytes of it.
fn unfinished_message(server: &Server, last: u8, path: &str, length: usize) -> Connection {
    let mut connection = Connection::websocket(server, last, path);
    connection.send_frame(TEXT, false, &vec![b' '; length]).expect("the server reads");
    connection
}

#[test]
fn unfinished_messages_are_bounded_for_each_address_and_in_all() {
    let server = small_budget();
    let is_held = |bytes: usize| {
        eventually("it is held", || (metric(&server, "livecode_held_bytes") >= bytes as u64).then_some(()));
    };
    let length = MIB - 1000;
    let mut held = vec![];
    let mut hold = |last: u8| {
        held.push(unfinished_message(&server, last, "/livecode", length));
        is_held(held.len() * length);
    };
    let refused = |last: u8, words: &str| {
        let (code, reason) =
            unfinished_message(&server, last, "/livecode", length).close_frame().expect("a close frame");
        assert!(code == 1008 && reason.contains(words), "{code} {reason}");
    };
    for last in [2, 3] {
        (0..3).for_each(|_| hold(last));
        refused(last, "for you");
    }
    // The rest of the guests' part is for those who hold little.
    hold(4);
    refused(4, "all clients");
    [5, 6].into_iter().for_each(hold);
    refused(7, "all clients");
    assert_eq!(server.run_code("bash", "echo local").stdout, "local\n");
    // A message that is completed is answered, and gives its bytes back.
    held.truncate(1);
    eventually("one is held", || (metric(&server, "livecode_held_bytes") < 2 * length as u64).then_some(()));
    held[0].send_frame(CONTINUATION, true, b"{\"msgtype\":\"ping\"}").expect("the server reads");
    let pong = std::iter::from_fn(|| held[0].next_frame()).find(|(_, text)| text.ends_with(b"\"pong\"}"));
    assert!(pong.is_some());
    nothing_is_held(&server);
    held[0].send_frame(TEXT, true, b"{\"msgtype\":\"ping\"}").expect("the connection is open");
    assert!(held[0].next_frame().is_some_and(|(_, text)| text.ends_with(b"\"pong\"}")));
}

/// A stranger that answers pings, or sends a byte now and then, is not silent. Its message takes
/// too long all the same.
#[test]
fn a_message_that_takes_too_long_is_given_up() {
    let server = Server::start_with_environment(&[("LIVECODE_BODY_TIMEOUT_MS", "700")]);
    let session = server.create(&json!({"runtime": "bash", "code": "sleep 60"}));
    let stream = format!("/sessions/{}/stream", id(&session));
    let guests = json!({"runtime": "bash", "code": "sleep 60"}).to_string();
    let headers = format!("content-type: application/json\r\ncontent-length: {}\r\n", guests.len());
    let created = Connection::request(&server, 2, "POST /sessions", &headers, guests.as_bytes()).response();
    let created: Value = serde_json::from_slice(&created.expect("an answer").body).expect("JSON");
    let guests_stream = format!("/sessions/{}/stream", id(&created));
    assert_ne!(stream, guests_stream);
    for path in ["/livecode", guests_stream.as_str()] {
        for start in [
            frame(TEXT, false, 10, b"0123456789"), // a fragment
            frame(TEXT, true, 1000, b"012"),       // a frame of which the rest is missing
            vec![0x81],                            // the first byte of a frame
        ] {
            let is_complete_frame = start.len() == 16;
            let mut connection = Connection::websocket(&server, 2, path);
            connection.send(&start).expect("the server reads");
            let mut tcp = connection.tcp.try_clone().expect("a socket");
            let pongs = std::thread::spawn(move || {
                let more = if is_complete_frame { frame(PONG, true, 0, b"") } else { vec![] };
                // Ends when the server closes the connection.
                while !more.is_empty() && tcp.write_all(&more).is_ok() {
                    std::thread::park_timeout(std::time::Duration::from_millis(20));
                }
            });
            let (code, reason) = connection.close_frame().expect("a close frame");
            assert!(code == 1008 && reason.contains("in time"), "{path} {code} {reason}");
            drop(connection.tcp.shutdown(std::net::Shutdown::Both));
            pongs.join().expect("no panic");
        }
    }
}

/// Sends frames until the connection breaks. Returns how many bytes that took, at most `max`.
fn flood(connection: &mut Connection, max: usize) -> usize {
    let frames = frame(TEXT, true, 0, b"").repeat(10_000);
    let mut sent = 0;
    while sent < max && connection.send(&frames).is_ok() {
        sent += frames.len();
    }
    sent
}

#[test]
fn after_a_close_frame_little_is_read() {
    let server = Server::start();
    const MAX_BYTES: usize = 128 * MIB;
    for last_words in [&b""[..], br#"{"msgtype":"quit"}"#, &[b' '; 300 * 1024]] {
        let mut connection = Connection::websocket(&server, 2, "/livecode");
        if !last_words.is_empty() {
            connection.send_frame(TEXT, true, last_words).expect("the server reads");
        }
        let sent = flood(&mut connection, MAX_BYTES);
        assert!(sent < MAX_BYTES, "{:.20}: {sent} bytes were read", String::from_utf8_lossy(last_words));
    }
}

/// The numbers of an event would take thirty times its text as a tree of values.
#[test]
fn messages_for_sessions_that_have_not_begun_are_bounded() {
    let server = Server::start_with_environment(&[("LIVECODE_SESSIONS_RUNNING_MAX", "1")]);
    let running = server.create_id("bash", "sleep 60");
    let queued: Vec<_> = (0..4).map(|_| server.create_id("bash", "sleep 60")).collect();
    let numbers = "1,".repeat(30_000);
    reset_memory_peak(&server);
    let before = memory(&server, "VmRSS");
    let mut streams = vec![];
    let mut accepted = 0;
    for session in &queued {
        let mut stream = server.stream(session, "");
        let mut refused = 0;
        for number in 0..100 {
            stream.send_text(&format!(
                r#"{{"msgtype":"event","event":"e","data":[{numbers}1],"id":{number}}}"#
            ));
        }
        stream.send(&json!({"msgtype": "ping"}));
        while let Some(message) = stream.next().filter(|message| message["msgtype"] != "pong") {
            if message["msgtype"] == "error" {
                assert_eq!(message["code"], "queue_full");
                refused += 1;
            }
        }
        assert!((50..100).contains(&refused), "{refused}");
        accepted += 100 - refused;
        streams.push(stream);
    }
    let taken = memory(&server, "VmHWM").saturating_sub(before) as usize;
    assert!(taken < 32 * MIB, "{taken} bytes for {accepted} messages of {}", numbers.len());
    drop(streams);
    for session in queued.iter().chain([&running]) {
        server.delete(&format!("/sessions/{session}"));
    }
    nothing_is_held(&server);
}

#[test]
fn an_answer_that_is_not_read_takes_no_memory() {
    let server = Server::start();
    let code = "head -c 12000000 /dev/zero | tr '\\0' x";
    let headers = format!("content-length: {}\r\n", code.len());
    let post = |last| Connection::request(&server, last, "POST /runtimes/bash", &headers, code.as_bytes());
    let whole = post(2).response().expect("an answer");
    assert_eq!((whole.status, whole.body.len()), (200, 12_000_000));
    assert!(whole.body.iter().all(|byte| *byte == b'x'));
    let before = memory(&server, "VmRSS");
    let unread: Vec<_> = (0..10).map(|_| post(2)).collect();
    for connection in &unread {
        let mut first = [0];
        assert_eq!(connection.tcp.peek(&mut first).expect("an answer"), 1);
    }
    let taken = memory(&server, "VmRSS").saturating_sub(before) as usize;
    assert!(taken < 40 * MIB, "{taken} bytes for ten answers");
}

/// A stranger who has gone away leaves nothing behind, however large its bodies were.
#[test]
fn the_memory_of_large_bodies_is_given_back() {
    let server = Server::start();
    let multipart = "content-type: multipart/form-data; boundary=b\r\n";
    let start = "--b\r\ncontent-disposition: form-data; name=a\r\n\r\n";
    let headers = format!("{multipart}content-length: {}\r\n", 16 * MIB);
    let body = format!("{start}{}", " ".repeat(15 * MIB));
    let upload = || {
        let mut connection =
            Connection::request(&server, 2, "POST /runtimes/bash", &headers, body.as_bytes());
        // All of it has been read when the connection is closed.
        drop(connection.tcp.shutdown(std::net::Shutdown::Write));
        connection.response()
    };
    upload(); // whatever the server sets up at the first request is there now
    let before = memory(&server, "VmRSS");
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| (0..3).for_each(|_| drop(upload())));
        }
    });
    nothing_is_held(&server);
    eventually("the memory is given back", || {
        (memory(&server, "VmRSS") < before + 16 * MIB as u64).then_some(())
    });
}
