//! Rows about crashes: of the server, of supervisors, of the machine.

use std::{fs, time::Duration};

use serde_json::{Value, json};

use crate::{
    attack::{Attack, Method, Verdict, attack},
    common::{Run, Server, eventually, id},
    fixture::{Fixture, ms, time_scale},
    machine::{assert_gone, kill, mark, processes, session_folder, supervisor},
};

pub fn attacks() -> Vec<Attack> {
    use Method::Check;
    vec![
        attack(50, "kill -9 the server in mid-output", Check(server_killed)),
        attack(51, "kill -9 the supervisor", Check(supervisor_killed)),
        attack(52, "kill -9 the server during create or delete", Check(server_killed_during_requests)),
        attack(53, "the journal's disk is full", Check(disk_full)),
        attack(54, "torn tail of a journal", Check(torn_tail)),
        attack(55, "reconnect at N; two readers", Check(reconnect)),
        attack(56, "restart by the service manager", Check(restart)),
        attack(57, "take away an isolation feature", Check(without_a_feature)),
    ]
}

/// A program that prints 1,500 numbers.
const COUNT: &str =
    "import sys, time\nfor n in range(1500):\n    print(n, flush=True)\n    time.sleep(0.0005)";

/// The output of [`COUNT`].
fn count_output() -> String {
    (0..1500).map(|n| format!("{n}\n")).collect()
}

/// A program continues while the server is killed and restarted.
fn server_killed(_: &Fixture) -> Verdict {
    let mut server = Server::start();
    let session = server.create_id("python", COUNT);
    server.stream(&session, "").read_until("\n100\n");
    server.kill();
    server.start_again();
    let run = Run::collect(server.stream(&session, ""));
    assert_eq!((run.exitstatus, run.stdout == count_output()), (0, true));
    Verdict::Holds
}

/// After its supervisor is killed, a session is lost and its processes are killed.
fn supervisor_killed(fixture: &Fixture) -> Verdict {
    let mark = mark();
    let fields = json!({"args": [mark]});
    let code = "import os, time\nfor _ in range(3):\n    if os.fork() == 0: os.setsid()\nprint('up', flush=True)\ntime.sleep(60)";
    let session = fixture.start("python", code, fields);
    let mut stream = fixture.server.stream(&id(&session), "");
    stream.read_until("up");
    kill(supervisor(&fixture.server, &id(&session)));
    let last = stream.rest().pop().expect("a last message");
    assert_eq!((&last["exitstatus"], &last["reason"]), (&json!(255), &json!("lost")), "{last}");
    assert_gone(&mark, ms(1000));
    Verdict::Holds
}

/// The server is killed at different points of creations and deletions. Each session is then in
/// one state, and nothing of it is left after its deletion.
fn server_killed_during_requests(_: &Fixture) -> Verdict {
    let mut server = Server::start();
    let mark = mark();
    for round in [0, 2, 4, 5, 6, 7u64] {
        let body = json!({"runtime": "bash", "code": "sleep 300", "args": [mark]}).to_string();
        let address = server.address().to_owned();
        let ids: Vec<_> = (0..3)
            .map(|_| id(&server.create(&json!({"runtime": "bash", "code": "sleep 300", "args": [mark]}))))
            .collect();
        let requests: Vec<_> = (0..6)
            .map(|n| {
                let (address, body, delete) = (address.clone(), body.clone(), ids.get(n).cloned());
                std::thread::spawn(move || {
                    use std::io::{Read as _, Write as _};
                    let Ok(mut tcp) = std::net::TcpStream::connect(&address) else { return };
                    let request = match delete {
                        Some(id) => format!("DELETE /sessions/{id} HTTP/1.1\r\nHost: {address}\r\n\r\n"),
                        None => format!(
                            "POST /sessions HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                            body.len()
                        ),
                    };
                    let _ = tcp.write_all(request.as_bytes()); // the server may have been killed
                    let _ = tcp.read(&mut [0; 100]);
                })
            })
            .collect();
        std::thread::park_timeout(Duration::from_micros(300 * (1 << round)));
        server.kill();
        requests.into_iter().for_each(|thread| thread.join().expect("no request panics"));
        server.start_again();
    }
    for session in server.get("/sessions").json().as_array().expect("a list") {
        let state = session["state"].as_str().unwrap_or_default();
        assert!(["queued", "running", "ended"].contains(&state), "{session}");
        // On an emulated machine the server's timeout may pass before the session ends. The server
        // then answers 503, and the client must try again.
        let mut statuses =
            (0..time_scale()).map(|_| server.delete(&format!("/sessions/{}", id(session))).status);
        assert_eq!(statuses.find(|status| *status != 503), Some(204));
    }
    assert_gone(&mark, ms(1000));
    eventually("all folders are gone", || {
        let left = |name| fs::read_dir(server.data().join(name)).map_or(0, Iterator::count);
        (left("sessions") + left("trash") == 0).then_some(())
    });
    Verdict::Holds
}

/// The data directory is on a disk of a few megabytes, which only the server sees.
fn disk_full(fixture: &Fixture) -> Verdict {
    let unshare: &[&str] = if fixture.column.is_root {
        &["unshare", "--mount"]
    } else {
        &["unshare", "--user", "--map-current-user", "--keep-caps", "--mount"]
    };
    let drop = if fixture.column.is_root { "" } else { "setpriv --ambient-caps -all --inh-caps -all" };
    let script = format!("mount -t tmpfs -o size=3M,mode=0700 none \"$6\" && exec {drop} \"$@\"");
    let wrapper: Vec<&str> = unshare.iter().copied().chain(["sh", "-c", &script, "sh"]).collect();
    let server = Server::start_by(&wrapper, &["--disk-min-free-bytes", "0"]);
    let code =
        "import sys\nfor n in range(80_000): print('line', n, 'x' * 40)\nprint('drained', file=sys.stderr)";
    let session = server.create(&json!({"runtime": "python", "code": code, "limits": {"cpu_ms": 60_000}}));
    let mut stream = server.stream(&id(&session), "");
    let messages = stream.rest();
    let last = messages.last().expect("a last message");
    assert_eq!(
        (&last["msgtype"], &last["exitstatus"]),
        (&json!("exitstatus"), &json!(0)),
        "the program ends normally: {last}"
    );
    let gap = messages.iter().find(|message| message["msgtype"] == "gap").expect("the gap is reported");
    assert!(gap["from"].as_u64() <= gap["to"].as_u64(), "{gap}");
    // Other sessions run once the disk has free space again. The supervisor syncs its journal
    // before it closes it, and the deletion does not wait for that.
    assert_eq!(server.delete(&format!("/sessions/{}", id(&session))).status, 204);
    eventually("other sessions run", || {
        let session = server.post("/sessions", &json!({"runtime": "bash", "code": "echo on"}));
        (session.status == 201 && Run::collect(server.stream(&id(&session.json()), "")).stdout == "on\n")
            .then_some(())
    });
    Verdict::Holds
}

/// Journals are cut within their last record.
fn torn_tail(_: &Fixture) -> Verdict {
    let mut server = Server::start();
    for cut in [1, 33, 100] {
        let session = server.create_id("python", "import time\nfor n in range(50):\n    print(n, flush=True)\n    time.sleep(0.003)\ntime.sleep(60)");
        server.stream(&session, "").read_until("\n49\n");
        server.kill();
        let pid = supervisor(&server, &session);
        kill(pid);
        eventually("the supervisor has exited", || has_exited(pid));
        let journal = session_folder(&server, &session).join("journal");
        let file = fs::File::options().write(true).open(&journal).expect("the journal");
        // The last record may end before the end of the file, which is allocated ahead.
        let bytes = fs::read(&journal).expect("the journal");
        let end = bytes.iter().rposition(|byte| *byte != 0).expect("a journal with records") as u64 + 1;
        file.set_len(end - cut).expect("a journal that can be cut");
        server.start_again();
        let run = Run::collect(server.stream(&session, ""));
        assert_eq!((run.exitstatus, run.reason.as_deref()), (255, Some("lost")));
        let lines: Vec<_> = run.stdout.lines().collect();
        assert!(lines.len() >= 10 && lines.len() < 50, "cut by {cut}: {}", lines.len());
        assert!(lines.iter().enumerate().all(|(n, line)| *line == n.to_string()), "{lines:?}");
    }
    Verdict::Holds
}

/// Whether a process has exited, as a value for [`eventually`].
fn has_exited(pid: u32) -> Option<()> {
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    (state.is_empty() || state.contains(") Z ")).then_some(())
}

/// A client that reconnects again and again, and a second client, read all entries once and in
/// order.
fn reconnect(fixture: &Fixture) -> Verdict {
    let session = fixture.server.create_id("python", COUNT);
    let other = fixture.server.stream(&session, "?after=0");
    let reader = std::thread::spawn(move || read_in_order(other));
    let (mut seen, mut text) = (0, String::new());
    // Each connection reads some more entries than the one before.
    for round in 1.. {
        let mut stream = fixture.server.stream(&session, &format!("?after={seen}"));
        let mut taken = 0;
        let mut ended = false;
        while taken < 40 * round {
            let Some(message) = stream.next() else { break };
            let Some(seq) = message["seq"].as_u64() else { continue };
            assert_eq!(seq, seen + 1, "an entry is missing or repeated");
            (seen, taken) = (seq, taken + 1);
            text += message["data"].as_str().unwrap_or_default();
            ended |= message["msgtype"] == "exitstatus";
        }
        if ended {
            break;
        }
    }
    assert_eq!(text, count_output());
    assert_eq!(reader.join().expect("the other reader"), count_output());
    Verdict::Holds
}

/// Reads a stream to its end and returns its data. Panics if an entry is missing or repeated.
fn read_in_order(mut stream: crate::common::Stream) -> String {
    let (mut seen, mut text) = (0, String::new());
    while let Some(message) = stream.next() {
        if let Some(seq) = message["seq"].as_u64() {
            assert_eq!(seq, seen + 1, "an entry is missing or repeated");
            seen = seq;
        }
        text += message["data"].as_str().unwrap_or_default();
    }
    text
}

/// The service manager stops and starts the server while a program runs.
fn restart(_: &Fixture) -> Verdict {
    let mut server = Server::start();
    let mark = mark();
    let code = "echo up; read line; echo $line";
    let session = id(&server.create(&json!({"runtime": "bash", "code": code, "args": [mark]})));
    let mut stream = server.stream(&session, "");
    stream.read_until("up");
    server.stop();
    assert!(!processes(&mark).is_empty(), "the program continues");
    server.start_again();
    let mut stream = server.stream(&session, "?after=1");
    stream.send(&json!({"msgtype": "input", "data": "on\n"}));
    assert_eq!(Run::collect(stream).stdout, "on\n");
    Verdict::Holds
}

/// Without namespaces the server refuses to start, and its error names what is missing. If a limit
/// cannot be enforced, `/healthz` and each session report that.
fn without_a_feature(fixture: &Fixture) -> Verdict {
    // Root runs the server without the capability to create namespaces. An ordinary user runs it
    // where no nested user namespace is allowed.
    let wrapper: &[&str] = if fixture.column.is_root {
        &["setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"]
    } else {
        let script = "echo 0 > /proc/sys/user/max_user_namespaces; exec setpriv --ambient-caps -all --inh-caps -all \"$@\"";
        &["unshare", "--user", "--map-current-user", "--keep-caps", "sh", "-c", script, "sh"]
    };
    let output = Server::output_by(wrapper);
    let words = String::from_utf8_lossy(&output.stderr).to_lowercase();
    assert!(!output.status.success(), "it serves without namespaces");
    let names = if fixture.column.is_root { "cap_sys_admin" } else { "namespace" };
    assert!(words.contains(names), "{words}");
    // `/healthz` and each session report the same degradation.
    let health = fixture.server.get("/healthz").json();
    let (_, session) = fixture.run("bash", "true", json!({}));
    let degraded = |document: &Value| document["degraded"].as_array().cloned().unwrap_or_default();
    assert_eq!(degraded(&health), degraded(&session));
    assert_eq!(degraded(&health).is_empty(), fixture.column.has_cgroups(), "{health}");
    Verdict::Holds
}
