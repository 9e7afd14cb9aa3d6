//! Each payer has its share of sessions, places in queues, connections and disk space.

use std::fs;

use serde_json::{Value, json};

use crate::common::{Server, guest::Guest, id};

/// A program that tells that it runs, and goes on until its input ends.
const WAITS: &str = "echo up; cat";

/// The document of a session, as the local user sees it.
fn document(server: &Server, session: &Value) -> Value {
    server.get(&format!("/sessions/{}", id(session))).json()
}

/// Waits until a session's program has written something.
fn await_output(server: &Server, session: &Value) {
    server.stream(&id(session), "").read_until("up\n");
}

/// Deletes a session and waits until it is gone.
fn delete(server: &Server, session: &Value) {
    assert_eq!(server.delete(&format!("/sessions/{}", id(session))).status, 204);
}

#[test]
fn a_newcomer_runs_while_another_address_has_all_that_it_may() {
    let server = Server::start_with(&["--sessions-running-max", "8"]);
    let flood: Vec<_> = (0..12).map(|_| Guest::at(2).create(&server, WAITS)).collect();
    await_output(&server, &flood[3]);
    await_output(&server, &Guest::at(3).create(&server, WAITS));
    await_output(&server, &Guest::at(4).create(&server, WAITS));
    assert_eq!(document(&server, &flood[11])["state"], "queued");
}

#[test]
fn the_local_user_runs_while_guests_have_all_that_they_may() {
    let server = Server::start_with(&["--sessions-running-max", "4"]);
    for guest in 2..8 {
        for _ in 0..4 {
            Guest::at(guest).create(&server, WAITS);
        }
    }
    let own = server.create(&json!({"runtime": "bash", "code": WAITS}));
    await_output(&server, &own);
}

#[test]
fn the_place_in_the_queue_is_told_and_payers_have_their_turns() {
    let mut server = Server::start_with(&["--sessions-running-max", "1"]);
    let running = server.create(&json!({"runtime": "bash", "code": WAITS}));
    await_output(&server, &running);
    assert_eq!(document(&server, &running)["queue_position"], Value::Null);
    let (one, other) = (Guest::at(2).with_token('1'), Guest::at(2).with_token('2'));
    let waiting = [
        one.create(&server, WAITS),
        one.create(&server, WAITS),
        one.create(&server, WAITS),
        other.create(&server, WAITS),
        Guest::at(3).create(&server, WAITS),
    ];
    let places = [1, 4, 5, 3, 2];
    let is_told = |server: &Server| {
        for (session, place) in waiting.iter().zip(places) {
            let document = document(server, session);
            assert_eq!((&document["state"], &document["queue_position"]), (&json!("queued"), &json!(place)));
        }
    };
    assert_eq!(waiting[0]["queue_position"], 1);
    is_told(&server);
    // A server that starts again finds the payers and the owners in the sessions' records.
    server.kill();
    server.start_again();
    is_told(&server);
    delete(&server, &running);
    let mut order: Vec<_> = waiting.iter().zip(places).collect();
    order.sort_by_key(|(_, place)| *place);
    for (session, _) in order {
        await_output(&server, session);
        delete(&server, session);
    }
}

#[test]
fn sessions_beyond_the_queue_are_refused_and_leave_nothing() {
    let limits = ["--sessions-running-max", "1", "--sessions-queued-max", "8"];
    let server = Server::start_with(&limits);
    let running = server.create(&json!({"runtime": "bash", "code": WAITS}));
    await_output(&server, &running);
    let request = json!({"runtime": "bash", "code": WAITS});
    for _ in 0..4 {
        Guest::at(2).create(&server, WAITS);
    }
    let folders = || fs::read_dir(server.data().join("sessions")).expect("the folder of sessions").count();
    let before = folders();
    for token in ['1', '2', '3'] {
        let refused = Guest::at(2).with_token(token).post(&server, &request);
        assert_eq!((refused.status, refused.json()["code"].as_str()), (503, Some("run_queue_full")));
        assert!(refused.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().is_ok()));
    }
    assert_eq!(folders(), before);
    Guest::at(3).create(&server, WAITS);
    server.create(&request);
    let metrics = server.get("/metrics").text();
    let count =
        |name: &str| metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u32>().ok());
    assert_eq!(count("livecode_sessions_waiting "), Some(6));
    assert_eq!(count("livecode_requests_refused_total{reason=\"queue_full\"} "), Some(3));
}
