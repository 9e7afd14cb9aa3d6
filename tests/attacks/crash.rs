//! Rows about what dies in the middle.

use std::{fs, time::Duration};

use serde_json::{Value, json};

use crate::{
    common::{Run, Server, eventually, id},
    machine::{assert_gone, kill, mark, processes, session_folder, supervisor},
    suite::{Attack, Place, Verdict, Way, attack, ms, scale},
};

pub fn attacks() -> Vec<Attack> {
    use Way::Check;
    vec![
        attack(50, "kill -9 the server in mid-output", Check(server_dies)),
        attack(51, "kill -9 the supervisor", Check(supervisor_dies)),
        attack(52, "kill -9 the server during create or delete", Check(dies_between)),
        attack(53, "the journal's disk is full", Check(disk_full)),
        attack(54, "torn tail of a journal", Check(torn_tail)),
        attack(55, "reconnect at N; two readers", Check(reconnect)),
        attack(56, "restart by the service manager", Check(restart)),
        attack(57, "take away an isolation feature", Check(without_a_feature)),
    ]
}

const COUNT: &str =
    "import sys, time\nfor n in range(1500):\n    print(n, flush=True)\n    time.sleep(0.0005)";

fn counted() -> String {
    (0..1500).map(|n| format!("{n}\n")).collect()
}

fn server_dies(_: &Place) -> Verdict {
    let mut server = Server::start();
    let session = server.create_id("python", COUNT);
    server.stream(&session, "").read_until("\n100\n");
    server.kill();
    server.start_again();
    let run = Run::collect(server.stream(&session, ""));
    assert_eq!((run.exitstatus, run.stdout == counted()), (0, true));
    Verdict::Holds
}

fn supervisor_dies(place: &Place) -> Verdict {
    let mark = mark();
    let fields = json!({"args": [mark]});
    let code = "import os, time\nfor _ in range(3):\n    if os.fork() == 0: os.setsid()\nprint('up', flush=True)\ntime.sleep(60)";
    let session = place.start("python", code, fields);
    let mut stream = place.server.stream(&id(&session), "");
    stream.read_until("up");
    kill(supervisor(&place.server, &id(&session)));
    let last = stream.rest().pop().expect("an end");
    assert_eq!((&last["exitstatus"], &last["reason"]), (&json!(255), &json!("lost")), "{last}");
    assert_gone(&mark, ms(1000));
    Verdict::Holds
}

/// Wherever in a start or an end the server is killed, each session ends in one state, and nothing stays.
fn dies_between(_: &Place) -> Verdict {
    let mut server = Server::start();
    let mark = mark();
    for round in [0, 2, 4, 5, 6, 7u64] {
        let body = json!({"runtime": "bash", "code": "sleep 300", "args": [mark]}).to_string();
        let address = server.address().to_owned();
        let ids: Vec<_> = (0..3)
            .map(|_| id(&server.create(&json!({"runtime": "bash", "code": "sleep 300", "args": [mark]}))))
            .collect();
        let asking: Vec<_> = (0..6)
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
                    let _ = tcp.write_all(request.as_bytes()); // the server may be dead by now
                    let _ = tcp.read(&mut [0; 100]);
                })
            })
            .collect();
        std::thread::park_timeout(Duration::from_micros(300 * (1 << round)));
        server.kill();
        asking.into_iter().for_each(|thread| thread.join().expect("nothing there panics"));
        server.start_again();
    }
    for session in server.get("/sessions").json().as_array().expect("a list") {
        let state = session["state"].as_str().unwrap_or_default();
        assert!(["queued", "running", "ended"].contains(&state), "{session}");
        // Where the machine emulates, the server's patience may end before the session does: then it says to try again.
        let mut statuses = (0..scale()).map(|_| server.delete(&format!("/sessions/{}", id(session))).status);
        assert_eq!(statuses.find(|status| *status != 503), Some(204));
    }
    assert_gone(&mark, ms(1000));
    eventually("all folders are gone", || {
        let left = |name| fs::read_dir(server.data().join(name)).map_or(0, Iterator::count);
        (left("sessions") + left("trash") == 0).then_some(())
    });
    Verdict::Holds
}

/// The data directory on a disk of a few megabytes, seen by the server alone.
fn disk_full(place: &Place) -> Verdict {
    let unshare: &[&str] = if place.column.is_root {
        &["unshare", "--mount"]
    } else {
        &["unshare", "--user", "--map-current-user", "--keep-caps", "--mount"]
    };
    let drop = if place.column.is_root { "" } else { "setpriv --ambient-caps -all --inh-caps -all" };
    let script = format!("mount -t tmpfs -o size=3M,mode=0700 none \"$6\" && exec {drop} \"$@\"");
    let wrapper: Vec<&str> = unshare.iter().copied().chain(["sh", "-c", &script, "sh"]).collect();
    let server = Server::start_by(&wrapper, &["--disk-min-free-bytes", "1"]);
    let code =
        "import sys\nfor n in range(80_000): print('line', n, 'x' * 40)\nprint('drained', file=sys.stderr)";
    let session = server.create(&json!({"runtime": "python", "code": code, "limits": {"cpu_ms": 60_000}}));
    let mut stream = server.stream(&id(&session), "");
    let messages = stream.rest();
    let last = messages.last().expect("an end");
    assert_eq!(
        (&last["msgtype"], &last["exitstatus"]),
        (&json!("exitstatus"), &json!(0)),
        "the program drains: {last}"
    );
    let gap = messages.iter().find(|message| message["msgtype"] == "gap").expect("the gap is marked");
    assert!(gap["from"].as_u64() <= gap["to"].as_u64(), "{gap}");
    // Others go on, once there is room again: a supervisor syncs its journal before it lets go of it, and nobody waits for that.
    assert_eq!(server.delete(&format!("/sessions/{}", id(&session))).status, 204);
    eventually("others go on", || {
        let session = server.post("/sessions", &json!({"runtime": "bash", "code": "echo on"}));
        (session.status == 201 && Run::collect(server.stream(&id(&session.json()), "")).stdout == "on\n")
            .then_some(())
    });
    Verdict::Holds
}

fn torn_tail(_: &Place) -> Verdict {
    let mut server = Server::start();
    for cut in [1, 33, 100] {
        let session = server.create_id("python", "import time\nfor n in range(50):\n    print(n, flush=True)\n    time.sleep(0.003)\ntime.sleep(60)");
        server.stream(&session, "").read_until("\n49\n");
        server.kill();
        let pid = supervisor(&server, &session);
        kill(pid);
        eventually("the supervisor is gone", || processes_gone(pid));
        let journal = session_folder(&server, &session).join("journal");
        let file = fs::File::options().write(true).open(&journal).expect("the journal");
        // Cut within the last record, which need not be at the end of what is allocated.
        let bytes = fs::read(&journal).expect("the journal");
        let end = bytes.iter().rposition(|byte| *byte != 0).expect("something was written") as u64 + 1;
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

fn processes_gone(pid: u32) -> Option<()> {
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    (state.is_empty() || state.contains(") Z ")).then_some(())
}

fn reconnect(place: &Place) -> Verdict {
    let session = place.server.create_id("python", COUNT);
    let other = place.server.stream(&session, "?after=0");
    let reader = std::thread::spawn(move || numbered(other));
    let (mut seen, mut text) = (0, String::new());
    // Cut again and again, each time after a few more entries.
    for round in 1.. {
        let mut stream = place.server.stream(&session, &format!("?after={seen}"));
        let mut taken = 0;
        let mut ended = false;
        while taken < 40 * round {
            let Some(message) = stream.next() else { break };
            let Some(seq) = message["seq"].as_u64() else { continue };
            assert_eq!(seq, seen + 1, "a gap or a repeat");
            (seen, taken) = (seq, taken + 1);
            text += message["data"].as_str().unwrap_or_default();
            ended |= message["msgtype"] == "exitstatus";
        }
        if ended {
            break;
        }
    }
    assert_eq!(text, counted());
    assert_eq!(reader.join().expect("the other reader"), counted());
    Verdict::Holds
}

fn numbered(mut stream: crate::common::Stream) -> String {
    let (mut seen, mut text) = (0, String::new());
    while let Some(message) = stream.next() {
        if let Some(seq) = message["seq"].as_u64() {
            assert_eq!(seq, seen + 1, "a gap or a repeat");
            seen = seq;
        }
        text += message["data"].as_str().unwrap_or_default();
    }
    text
}

fn restart(_: &Place) -> Verdict {
    let mut server = Server::start();
    let mark = mark();
    let code = "echo up; read line; echo $line";
    let session = id(&server.create(&json!({"runtime": "bash", "code": code, "args": [mark]})));
    let mut stream = server.stream(&session, "");
    stream.read_until("up");
    server.stop();
    assert!(!processes(&mark).is_empty(), "the program lives on");
    server.start_again();
    let mut stream = server.stream(&session, "?after=1");
    stream.send(&json!({"msgtype": "input", "data": "on\n"}));
    assert_eq!(Run::collect(stream).stdout, "on\n");
    Verdict::Holds
}

/// Where no namespaces can be had the server refuses to start, and names what failed. Where a limit cannot be enforced, it
/// says so everywhere.
fn without_a_feature(place: &Place) -> Verdict {
    // As root: without the capability that makes namespaces. As a user: where there may be no user namespace below.
    let wrapper: &[&str] = if place.column.is_root {
        &["setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"]
    } else {
        let script = "echo 0 > /proc/sys/user/max_user_namespaces; exec setpriv --ambient-caps -all --inh-caps -all \"$@\"";
        &["unshare", "--user", "--map-current-user", "--keep-caps", "sh", "-c", script, "sh"]
    };
    let output = Server::output_by(wrapper);
    let words = String::from_utf8_lossy(&output.stderr).to_lowercase();
    assert!(!output.status.success(), "it serves without namespaces");
    assert!(words.contains("namespace") || words.contains("mount"), "{words}");
    // What can be had here is what `/healthz` and each session say.
    let health = place.server.get("/healthz").json();
    let (_, session) = place.run("bash", "true", json!({}));
    let of = |document: &Value| document["degraded"].as_array().cloned().unwrap_or_default();
    assert_eq!(of(&health), of(&session));
    assert_eq!(of(&health).is_empty(), place.column.has_cgroups(), "{health}");
    Verdict::Holds
}
