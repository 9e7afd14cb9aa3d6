//! Quotas: what a user or an address may create in a minute and use in a day.

use std::time::UNIX_EPOCH;

use serde_json::{Value, json};

use crate::common::{Run, Server, Stream, eventually, guest::Guest, id};

/// Runs a test of what is counted by the day. It is repeated if a day has begun meanwhile.
pub fn within_a_day(test: fn()) {
    let today = || UNIX_EPOCH.elapsed().expect("the clock is right").as_secs() / (24 * 60 * 60);
    let before = today();
    let result = std::panic::catch_unwind(test);
    match result {
        _ if today() != before => test(),
        Ok(()) => {}
        Err(panicked) => std::panic::resume_unwind(panicked),
    }
}

/// Creates a session of a guest, and waits until it has ended and was counted.
fn run_to_end(server: &Server, guest: &Guest, code: &str) -> String {
    let session = id(&guest.create(server, code));
    Run::collect(server.stream(&session, ""));
    session
}

fn refusal(server: &Server, guest: &Guest) -> Option<(Value, u64)> {
    let response = guest.post(server, &json!({"runtime": "bash", "code": "true"}));
    match response.status {
        201 => None,
        429 => {
            let after = response.header("retry-after").expect("a time").parse().expect("seconds");
            let problem = response.json();
            assert_eq!(problem["code"], "quota_exceeded", "{problem}");
            Some((problem["detail"].clone(), after))
        }
        status => panic!("{status}: {}", String::from_utf8_lossy(&response.body)),
    }
}

#[test]
fn creations_are_limited_by_the_minute() {
    let server = Server::start_with(&["--guest-creations-per-min", "3", "--user-creations-per-min", "1"]);
    let (greedy, other) = (Guest::at(2), Guest::at(3));
    // A new token gives nothing more, nor does another endpoint.
    for digit in ['a', 'b', 'c'] {
        assert_eq!(refusal(&server, &greedy.with_token(digit)), None);
    }
    let (detail, after) = refusal(&server, &greedy.with_token('d')).expect("the quota is used up");
    assert_eq!(detail, format!("you may create 3 sessions in a minute; try again in {after} s"));
    assert!((1..=20).contains(&after), "{after}");
    let exec = greedy.request(&server, "POST", "/exec", br#"{"runtime":"bash","code":"true"}"#);
    assert_eq!((exec.status, &exec.json()["code"]), (429, &json!("quota_exceeded")));
    let mut websocket = Stream::try_connect(server.address(), "/livecode", &[]).expect("it is upgraded");
    websocket.send(&json!({"msgtype": "exec", "runtime": "bash", "code": "echo hello"}));
    websocket.read_until("hello"); // the local user's
    assert_eq!(refusal(&server, &other), None);
    for _ in 0..5 {
        server.create_id("bash", "true");
    }
}

#[test]
fn usage_is_limited_by_the_day_and_remembered() {
    within_a_day(limit_and_remember_usage);
}

fn limit_and_remember_usage() {
    let arguments = ["--guest-output-bytes-per-day", "1000", "--guest-cpu-ms-per-day", "1000000"];
    let mut server = Server::start_with(&arguments);
    let (greedy, other) = (Guest::at(2), Guest::at(3));
    run_to_end(&server, &other, "echo hello");
    run_to_end(&server, &greedy, "head -c 2000 /dev/zero | tr '\\0' x");
    // A session counts a moment after its end.
    let (detail, after) = eventually("the output is counted", || refusal(&server, &greedy));
    assert!(detail.as_str().is_some_and(|detail| detail.contains("1000 bytes in a day")), "{detail}");
    assert!((1..=86_400).contains(&after), "{after}");
    assert_eq!(refusal(&server, &other), None);

    server.stop();
    server.start_again();
    assert!(refusal(&server, &greedy).is_some(), "after a restart");
    assert_eq!(refusal(&server, &other), None);
    // A session that ends while no server runs is counted by the next one.
    let late = id(&other.create(&server, "read line; head -c 2000 /dev/zero | tr '\\0' x"));
    let mut stream = server.stream(&late, "");
    stream.send(&json!({"msgtype": "input", "id": 1, "data": "go\n"}));
    stream.next_of("ack");
    drop(stream);
    server.stop();
    server.start_again();
    eventually("the output is counted", || refusal(&server, &other));
    server.stop();
    server.start_again_with(&[]);
    assert_eq!(refusal(&server, &greedy), None, "without the quota");
}

#[test]
fn sessions_of_guests_write_nothing_to_the_database() {
    let server = Server::start_with(&["--guest-creations-per-min", "100"]);
    let written = || {
        ["control.sqlite", "control.sqlite-wal"].map(|name| {
            let file = std::fs::metadata(server.data().join(name)).ok()?;
            Some((file.len(), file.modified().expect("a time")))
        })
    };
    let before = written();
    assert!(before[0].is_some(), "the control store is there");
    run_to_end(&server, &Guest::at(2), "echo hello");
    assert_eq!(written(), before);
}
