//! Each payer has its share of sessions, places in queues, connections and disk space.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::common::{Server, cgroups::groups, eventually, guest::Guest, id, is_root, processes};

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
fn one_program_of_a_payer_gets_more_time_than_each_of_many_of_another() {
    if !is_root() {
        // Only root has a cpu controller on each machine that runs the tests.
        return;
    }
    let server = Server::start();
    // They begin together, however long their creation took.
    let work = "echo up; read -r; for ((i = 0; i < 1000000; i++)); do :; done; echo done";
    let ready = |guest: u8| {
        let session = Guest::at(guest).create(&server, work);
        let mut stream = server.stream(&id(&session), "");
        stream.read_until("up\n");
        (session, stream)
    };
    let mut many: Vec<_> = (0..16).map(|_| ready(2)).collect();
    let (one, mut stream) = ready(3);
    let begin = json!({"msgtype": "input", "data": "\n"});
    many.iter_mut().for_each(|(_, stream)| stream.send(&begin));
    // It begins last, has the same work to do, and ends first.
    stream.send(&begin);
    stream.read_until("done\n");
    for (session, _) in &many {
        let session = document(&server, session);
        assert_eq!(session["state"], "running", "{session}");
    }
    delete(&server, &one);
    for (session, _) in &many {
        delete(&server, session);
    }
}

#[test]
fn a_payer_that_starts_many_waits_beside_others_and_not_alone() {
    let server = Server::start_with(&["--starts-per-payer-per-s", "1"]);
    let is_over = AtomicBool::new(false);
    let (created, started, most) = std::thread::scope(|scope| {
        // Others use the server all the time. Each of them starts once, and does not wait.
        let others = scope.spawn(|| {
            let guests = (3..=99).cycle().take_while(|_| !is_over.load(Ordering::Relaxed));
            // If this test fails meanwhile, they end all the same.
            for guest in guests.take(2000) {
                await_output(&server, &Guest::at(guest).create(&server, "echo up"));
            }
        });
        eventually("another payer is active", || {
            (server.get("/sessions").json()[0]["state"] == "ended").then_some(())
        });
        let begin = Instant::now();
        let created: Vec<_> = (0..60).map(|_| Guest::at(2).create(&server, "echo up")).collect();
        // Time for sixty turns, at least.
        for guest in 100..=219 {
            await_output(&server, &Guest::at(guest).create(&server, "echo up"));
        }
        let started = created.iter().filter(|session| document(&server, session)["state"] != "queued");
        let (started, most) = (started.count() as u64, begin.elapsed().as_secs() + 4);
        is_over.store(true, Ordering::Relaxed);
        others.join().expect("the others run");
        (created, started, most)
    });
    assert!(started <= most, "{started} have started, and at most {most} may");
    // The others are quiet now, and everything starts.
    for session in &created {
        await_output(&server, session);
    }
}

/// The weights on the CPU of the groups of a server's sessions, in the order of their size.
fn cpu_weights(server: &Server) -> Vec<u64> {
    let read =
        |group: &String, file: &str| fs::read_to_string(format!("{group}/{file}")).ok()?.trim().parse().ok();
    let weight = |group: &String| read(group, "cpu.shares").or_else(|| read(group, "cpu.weight"));
    let mut weights: Vec<u64> = groups(server.data()).iter().filter_map(weight).collect();
    weights.sort_unstable();
    weights
}

#[test]
fn a_server_that_starts_again_weighs_what_has_changed_meanwhile() {
    if !is_root() {
        // Only root has a cpu controller on each machine that runs the tests.
        return;
    }
    let mut server = Server::start_with(&["--warm", "off"]);
    let one = Guest::at(3).create(&server, WAITS);
    await_output(&server, &one);
    let lasting = Guest::at(2).create(&server, WAITS);
    await_output(&server, &lasting);
    // A program may be deprioritised for a moment when it starts, and has a weight of 3 at most
    // then.
    let whole = eventually("both have the same weight", || match cpu_weights(&server)[..] {
        [one, other] if one == other && one >= 100 => Some(one),
        _ => None,
    });
    // These end while no server runs. No other test waits for so long.
    let mark = format!("sleep 1000{}", std::process::id());
    let short: Vec<_> =
        (0..7).map(|_| Guest::at(2).create(&server, &format!("echo up; exec {mark}"))).collect();
    for session in &short {
        await_output(&server, session);
    }
    eventually("the sessions share a weight", || {
        (cpu_weights(&server).iter().filter(|weight| **weight <= whole / 4).count() == 8).then_some(())
    });
    server.kill();
    eventually("the short programs have ended", || {
        for pid in processes(&mark.replace(' ', "\0")) {
            // It may have ended meanwhile.
            let _ = kill_process(Pid::from_raw(pid as i32).expect("a pid"), Signal::KILL);
        }
        (cpu_weights(&server).len() == 2).then_some(())
    });
    server.start_again();
    eventually("the last one has its weight back", || (cpu_weights(&server) == [whole, whole]).then_some(()));
    delete(&server, &one);
    delete(&server, &lasting);
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

/// Creates a session of a guest and waits until it has ended and is torn down; returns its id.
fn run_to_end(server: &Server, guest: &Guest, code: &str) -> String {
    let session = id(&guest.create(server, code));
    server.stream(&session, "").rest();
    session
}

fn status(server: &Server, session: &str) -> u16 {
    server.get(&format!("/sessions/{session}")).status
}

#[test]
fn retention_takes_the_sessions_of_the_payer_who_keeps_the_most() {
    let sizes = ["--keep-max-bytes", "500000", "--keep-ms", "800000", "--keep-output-ms", "800000"];
    let server = Server::start_with(&sizes);
    let oldest = run_to_end(&server, &Guest::at(2), "echo small");
    let large: Vec<_> =
        (0..6).map(|_| run_to_end(&server, &Guest::at(3), "head -c 150000 /dev/zero | tr '\\0' x")).collect();
    eventually("the sessions take no more than they may", || {
        (status(&server, &large[2]) == 404).then_some(())
    });
    assert_eq!(status(&server, &oldest), 200, "the oldest session of all is not that of the greediest payer");
    assert_eq!(status(&server, &large[5]), 200, "the newest session is kept");
}

#[test]
fn a_server_that_keeps_all_sessions_that_it_may_forgets_those_of_the_greediest() {
    let server = Server::start_with(&["--sessions-max", "6", "--sessions-per-address-max", "5"]);
    let oldest = run_to_end(&server, &Guest::at(2), "true");
    let others: Vec<_> = (0..9).map(|_| run_to_end(&server, &Guest::at(3), "true")).collect();
    assert_eq!(status(&server, &oldest), 200);
    assert_eq!((status(&server, &others[3]), status(&server, &others[8])), (404, 200));
    let newer = run_to_end(&server, &Guest::at(2), "true");
    run_to_end(&server, &Guest::at(2), "true");
    assert_eq!(
        (status(&server, &oldest), status(&server, &newer), status(&server, &others[5])),
        (200, 200, 404)
    );
}

#[test]
fn a_list_is_read_page_by_page() {
    let server = Server::start();
    let (guest, other) = (Guest::at(2).with_token('1'), Guest::at(2).with_token('2'));
    let mut newest_first: Vec<_> = (0..5).map(|_| run_to_end(&server, &guest, "true")).collect();
    run_to_end(&server, &other, "true");
    newest_first.reverse();
    let mut found = vec![];
    let mut sizes = vec![];
    let mut path = Some("/sessions?limit=2".to_owned());
    while let Some(at) = path {
        let page = guest.request(&server, "GET", &at, b"");
        assert_eq!(page.status, 200);
        let documents = page.json();
        let documents = documents.as_array().expect("a list");
        sizes.push(documents.len());
        found.extend(documents.iter().map(id));
        path = page.header("link").map(|link| {
            let (url, relation) = link.split_once('>').expect("a link");
            assert_eq!(relation, "; rel=\"next\"");
            url.trim_start_matches("<http://127.0.0.1").to_owned()
        });
    }
    assert_eq!((found, sizes), (newest_first.clone(), vec![2, 2, 1]));
    let whole = guest.request(&server, "GET", "/sessions", b"");
    assert_eq!(whole.header("link"), None);
    let whole = whole.json();
    assert_eq!(whole.as_array().expect("a list").iter().map(id).collect::<Vec<_>>(), newest_first);
    for query in ["limit=0", "limit=x", "limit=2&cursor=1", "cursor=x-y", "state=over", "runtime=a%20b"] {
        let refused = guest.request(&server, "GET", &format!("/sessions?{query}"), b"");
        assert_eq!((refused.status, &refused.json()["code"]), (422, &json!("invalid_field")), "{query}");
    }
}

#[test]
fn a_list_is_filtered_by_state_and_runtime() {
    let server = Server::start();
    let guest = Guest::at(2).with_token('1');
    let ended = run_to_end(&server, &guest, "true");
    let running: Vec<_> = (0..3).map(|_| id(&guest.create(&server, "sleep 600"))).collect();
    let python = guest.post(&server, &json!({"runtime": "python", "code": "input()"})).json();
    let list = |query: &str| {
        let answer = guest.request(&server, "GET", &format!("/sessions?{query}"), b"");
        assert_eq!(answer.status, 200, "{query}");
        let ids: Vec<_> = answer.json().as_array().expect("a list").iter().map(id).collect();
        (ids, answer.header("link").map(str::to_owned))
    };
    eventually("the programs run", || (list("state=running").0.len() == 4).then_some(()));
    assert_eq!(list("state=ended"), (vec![ended], None));
    assert_eq!(list("runtime=python"), (vec![id(&python)], None));
    assert_eq!(list("runtime=perl&state=running"), (vec![], None));
    // A page has as many as it may, whatever lies between, and its link keeps the filters.
    let (page, link) = list("state=running&runtime=bash&limit=2");
    assert_eq!(page, [running[2].clone(), running[1].clone()]);
    let link = link.expect("there are more");
    let (_, query) = link.split_once('?').expect("a query");
    let rest = list(query.split_once('>').expect("a link").0);
    assert_eq!(rest, (vec![running[0].clone()], None));
}

/// Puts `count` copies of an ended session into the data directory of a server that is stopped.
fn copy_session(server: &Server, session: &str, count: u32) {
    let sessions = server.data().join("sessions");
    let from = sessions.join(session);
    let record: Value =
        serde_json::from_slice(&fs::read(from.join("session.json")).expect("a record")).expect("JSON");
    for number in 0..count {
        let copy = format!("{number:032x}");
        let to = sessions.join(&copy);
        fs::create_dir(&to).expect("the folder is new");
        let mut record = record.clone();
        record["id"] = json!(copy);
        fs::write(to.join("session.json"), record.to_string()).expect("the record is written");
        for file in ["journal", "order.json"] {
            fs::copy(from.join(file), to.join(file)).expect("the file is copied");
        }
    }
}

/// CPU time of the server, in clock ticks.
fn cpu_ticks(server: &Server) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", server.pid())).expect("the server runs");
    let fields: Vec<_> = stat.rsplit(") ").next().expect("fields").split(' ').collect();
    fields[11..13].iter().map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
}

/// Resident memory of the server, in KiB.
fn resident_kib(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("the server runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn a_list_costs_nothing_for_the_sessions_of_others() {
    const SESSIONS: u32 = 1_500;
    const REQUESTS: usize = 600;
    const UNREAD: usize = 24;
    let mut server = Server::start();
    let session = run_to_end(&server, &Guest::at(2).with_token('1'), "true");
    server.stop();
    copy_session(&server, &session, SESSIONS);
    server.start_again();
    let stranger = Guest::at(3).with_token('2');
    let stream = stranger.connect(&server);
    let ticks_of = |path: &str| {
        let before = cpu_ticks(&server);
        for _ in 0..REQUESTS {
            assert_eq!(stranger.request_on(&stream, "GET", path, b"").status, 200);
        }
        cpu_ticks(&server) - before
    };
    let (of_healthz, of_list) = (ticks_of("/healthz"), ticks_of("/sessions"));
    // Ticks are hundredths of a second, so small numbers of them vary.
    assert!(of_list <= 3 * of_healthz + 20, "{of_list} ticks for lists, {of_healthz} for /healthz");

    // The whole list is still one array, and costs little while nobody reads it.
    let listed = server.get("/sessions").json();
    assert_eq!(listed.as_array().expect("a list").len(), SESSIONS as usize + 1);
    let before = resident_kib(&server);
    let unread: Vec<_> = (0..UNREAD)
        .map(|_| {
            let mut stream = Guest::at(4).connect(&server);
            stream
                .write_all(b"GET /sessions HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                .expect("the request is sent");
            // The first byte comes when the list is being written.
            stream.peek(&mut [0]).expect("an answer");
            stream
        })
        .collect();
    let grown = resident_kib(&server).saturating_sub(before);
    assert!(grown < 12 * 1024, "{} lists that nobody reads take {grown} KiB", unread.len());
    server.kill(); // nothing runs, and thousands of deletions would take long
}

/// Opens a websocket on `/livecode` as a guest; returns the status of the answer.
fn open_livecode(server: &Server, guest: &Guest, headers: &str) -> (u16, TcpStream) {
    let mut stream = guest.connect(server);
    let head = guest.head("GET", "/livecode");
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
    let _ = stream.write_all(format!("{head}{headers}{upgrade}\r\n").as_bytes());
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).expect("the server answers at once");
    let status = String::from_utf8_lossy(&answer[9..]).parse().expect("a status");
    (status, stream)
}

#[test]
fn idle_sockets_of_one_address_leave_connections_for_others() {
    let server = Server::start_with(&["--connections-max", "30"]);
    // The first address is also that of the local user.
    for address in [1, 2] {
        let sockets: Vec<_> = (0..32).map(|_| open_livecode(&server, &Guest::at(address), "")).collect();
        let open = sockets.iter().filter(|(status, _)| *status == 101).count();
        let refused = sockets.iter().filter(|(status, _)| *status == 503).count();
        assert_eq!((open, refused), (15, 17), "127.0.0.{address}");
        assert_eq!(server.get("/healthz").status, 200);
        assert_eq!(Guest::at(3).request(&server, "GET", "/healthz", b"").status, 200);
        let refused = Guest::at(address).request(&server, "GET", "/healthz", b"");
        assert_eq!((refused.status, &refused.json()["code"]), (503, &json!("too_many_connections")));
        assert_eq!(refused.header("retry-after"), Some("5"));
        drop(sockets);
        eventually("the closed connections no longer count", || {
            (Guest::at(address).request(&server, "GET", "/healthz", b"").status == 200).then_some(())
        });
    }
}

#[test]
fn the_clients_of_a_proxy_have_their_own_connections() {
    let server =
        Server::start_with(&["--connections-max", "16", "--trusted-proxy", "127.0.0.2", "--allow-anonymous"]);
    let proxy = Guest::at(2);
    let open = |client: &str| open_livecode(&server, &proxy, &format!("X-Forwarded-For: {client}\r\n"));
    let one: Vec<_> = (0..9).map(|_| open("192.0.2.1")).collect();
    assert_eq!(
        one.iter().map(|(status, _)| *status).collect::<Vec<_>>(),
        [[101; 8].as_slice(), &[503]].concat()
    );
    assert_eq!(open("192.0.2.2").0, 101);
    let network = [open("2001:db8::1"), open("2001:db8::2"), open("2001:db8::3")];
    assert!(network.iter().all(|(status, _)| *status == 101), "{network:?}");
}

#[test]
fn a_websocket_without_a_program_is_closed() {
    let server = Server::start_with(&["--exec-timeout-ms", "300"]);
    let mut socket = server.websocket("/livecode");
    socket.next_of("welcome");
    socket.send(&json!({"msgtype": "ping"}));
    socket.next_of("pong");
    assert_eq!(socket.next(), None);
    assert_eq!(socket.close_code(), Some(1008));
    // A program that was sent in time is not affected.
    let mut socket = server.websocket("/livecode");
    socket.send(&json!({"msgtype": "exec", "runtime": "bash", "code": "sleep 1; echo done"}));
    socket.read_until("done");
}

#[test]
fn a_connection_without_a_further_request_is_closed() {
    let timeouts = ["--header-timeout-ms", "300"];
    let server = Server::start_with(&timeouts);
    let mut stream = Guest::at(2).connect(&server);
    assert_eq!(Guest::at(2).request_on(&stream, "GET", "/healthz", b"").status, 200);
    assert_eq!(stream.read(&mut [0]).expect("the server closes the connection"), 0);
    // A response that takes longer is not cut.
    let session = server.create_id("bash", "sleep 1; echo done");
    let lines = server.lines(
        "GET",
        &format!("/sessions/{session}/stream"),
        &[("accept", "application/x-ndjson")],
        b"",
    );
    assert!(lines.last().is_some_and(|line| line.contains("exitstatus")));
}

#[test]
fn a_client_that_leaves_during_a_creation_leaves_no_program() {
    let server = Server::start();
    let guest = Guest::at(2).with_token('a');
    let body = json!({"runtime": "bash", "code": "sleep 50", "raw_output": true}).to_string();
    for _ in 0..30 {
        let stream = guest.connect(&server);
        let mut writer = &stream;
        let head = guest.head("POST", "/exec");
        let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
        writer.write_all(request.as_bytes()).expect("the server reads");
        // The connection is closed here, at another moment of the creation each time.
        drop(stream);
    }
    eventually("no program is left", || {
        let metrics = server.get("/metrics").text();
        let value = |name: &str| {
            let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.and_then(|number| number.parse::<f64>().ok()).expect("the metric")
        };
        let is_done = value("livecode_sessions_running") + value("livecode_sessions_waiting") == 0.0
            && value("livecode_sessions_kept") == 0.0;
        is_done.then_some(())
    });
}
