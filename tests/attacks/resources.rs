//! Rows about what a program may use up.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::{
    common::{Run, Server, eventually, id},
    machine::{assert_gone, mark, peak_kib, processes, supervisor},
    suite::{Attack, Place, Verdict, Way, assert_held, attack, ms, request, scale},
};

const MIB: u64 = 1 << 20;
/// What a supervisor may have in memory whatever its program does, in KiB: its program's pages are not among them.
const SUPERVISOR_KIB: u64 = 40 * 1024;

pub fn attacks() -> Vec<Attack> {
    use Way::{Alone, Check, Python};
    vec![
        attack(21, "fork bomb", Check(fork_bomb)),
        attack(22, "fork and setsid, the parent exits", Check(survivors)),
        attack(23, "keep forking while being killed", Check(runaways)),
        attack(24, "touch 10x the memory limit", Check(memory)),
        attack(24, "the same by a family of processes", Check(family)),
        attack(25, "fill the disk", Check(disk)),
        attack(25, "fill memory by memfd", Check(memfd)),
        attack(26, "a million empty files", Python(include_str!("programs/r26_inodes.py"))),
        attack(27, "output flood", Check(output_flood)),
        attack(28, "flood while the client never reads", Check(unread_flood)),
        attack(29, "CPU loops beside a neighbour", Alone(cpu_loops)),
        attack(30, "deaf to signals, mute", Check(stubborn)),
        attack(31, "limits that make no sense", Check(limits)),
        attack(32, "descriptors, threads, arguments, depth", Check(exhaust)),
        attack(34, "A at its process limit, B forks", Check(process_limits)),
        attack(35, "reuse a cgroup or uid with a survivor", Check(reuse)),
        attack(44, "a line of 10 MB", Check(long_line)),
    ]
}

fn assert_hello(place: &Place) -> Duration {
    let began = Instant::now();
    let run = place.server.run_code("bash", "echo hello");
    assert_eq!((&*run.stdout, run.exitstatus), ("hello\n", 0), "a neighbour: {run:?}");
    began.elapsed()
}

fn fork_bomb(place: &Place) -> Verdict {
    let fields = json!({"args": ["40"], "limits": {"processes": 40, "cpu_ms": 20_000}});
    let session = place.start("c", include_str!("programs/r21_fork_bomb.c"), fields);
    let mut stream = place.server.stream(&id(&session), "");
    assert_eq!(stream.read_until("bounded"), "bounded\n");
    for _ in 0..5 {
        assert_hello(place);
    }
    assert_eq!(place.server.delete(&format!("/sessions/{}", id(&session))).status, 204);
    place.bounded(&session_document(place, &session))
}

/// A session's `degraded`, which stands in its document once it runs; a session just forgotten is asked by a fresh one.
fn session_document(place: &Place, _: &serde_json::Value) -> serde_json::Value {
    place.run("bash", "true", json!({})).1
}

fn survivors(place: &Place) -> Verdict {
    let mark = mark();
    let code = include_str!("programs/r22_survivors.c");
    let (run, _) = place.run("c", code, json!({"args": ["exit", "20", mark]}));
    assert_eq!((&*run.stdout, run.exitstatus), ("ready 20\n", 0), "{run:?}");
    assert_gone(&mark, ms(1000));
    Verdict::Holds
}

fn runaways(place: &Place) -> Verdict {
    let mark = mark();
    let fields = json!({"args": [mark], "limits": {"cpu_ms": 60_000}});
    let session = place.start("c", include_str!("programs/r23_runaways.c"), fields);
    place.server.stream(&id(&session), "").read_until("ready");
    eventually("they run", || (!processes(&mark).is_empty()).then_some(()));
    assert_eq!(place.server.delete(&format!("/sessions/{}", id(&session))).status, 204);
    assert_gone(&mark, Duration::ZERO);
    Verdict::Holds
}

fn memory(place: &Place) -> Verdict {
    let limit = 48 * MIB;
    let code = include_str!("programs/r24_memory.py");
    for extra in [&[][..], &["shared"]] {
        let mut args = vec![limit.to_string()];
        args.extend(extra.iter().map(|word| (*word).to_owned()));
        let (run, session) =
            place.run("python", code, json!({"args": args, "limits": {"memory_bytes": limit}}));
        assert_eq!(run.stdout, "start\n", "{run:?}");
        assert_ne!(session["outcome"], "lost");
        if place.column.has_cgroups() {
            assert_eq!((run.exitstatus, run.reason.as_deref()), (137, Some("memory")), "{run:?}");
            let peak = session["usage"]["memory_peak_bytes"].as_u64().expect("a peak");
            assert!(peak <= limit, "{peak}");
        } else {
            assert!(
                run.stderr.contains("MemoryError") || session["outcome"] == "memory",
                "{extra:?}: {run:?}"
            );
        }
    }
    place.bounded(&session_document(place, &json!(null)))
}

fn family(place: &Place) -> Verdict {
    let limit = 64 * MIB;
    let fields = json!({
        "args": [limit.to_string()], "limits": {"memory_bytes": limit}, "timeout": 10_000 * scale(),
    });
    let (run, _) = place.run("python", include_str!("programs/r24_family.py"), fields);
    assert_eq!((run.exitstatus, run.reason.as_deref()), (137, Some("memory")), "{run:?}");
    place.bounded(&session_document(place, &json!(null)))
}

fn disk(place: &Place) -> Verdict {
    let limit = 8 * MIB;
    let fields = json!({"limits": {"disk_bytes": limit}, "env": {"LIMIT": limit.to_string()}});
    assert_held(&place.run("python", include_str!("programs/r25_disk.py"), fields).0);
    Verdict::Holds
}

fn memfd(place: &Place) -> Verdict {
    let fields = json!({"limits": {"memory_bytes": 64 * MIB}, "timeout": 20_000 * scale()});
    let (run, session) = place.run("python", include_str!("programs/r25_memfd.py"), fields);
    let is_refused = run.stderr.contains("Error") && session["outcome"] == "exited";
    assert!(run.stdout.is_empty() && (session["outcome"] == "memory" || is_refused), "{run:?} {session}");
    Verdict::Holds
}

fn output_flood(place: &Place) -> Verdict {
    for code in [
        "while True: print('x' * 99)",
        "import os\nwhile True: os.write(1, b'x' * 65536)",
        "import os\nwhile True: os.write(2, b'\\xff\\n')",
    ] {
        let fields = json!({"limits": {"output_bytes": 2 * MIB}});
        let session = place.start("python", code, fields);
        let pid = supervisor(&place.server, &id(&session));
        let stream = place.server.stream(&id(&session), "");
        let watcher = std::thread::spawn(move || {
            let mut peak = 0;
            while let Some(kib) = peak_kib(pid) {
                peak = kib;
                std::thread::park_timeout(Duration::from_millis(5));
            }
            peak
        });
        let run = Run::collect(stream);
        assert_eq!((run.exitstatus, run.reason.as_deref()), (137, Some("output")), "{code}");
        let peak = watcher.join().expect("it only looks");
        assert!(peak < SUPERVISOR_KIB, "the supervisor had {peak} KiB");
    }
    Verdict::Holds
}

fn unread_flood(place: &Place) -> Verdict {
    let session = place.start("python", "import os\nwhile True: os.write(1, b'x' * 65536)", json!({}));
    let path = format!("/sessions/{}", id(&session));
    let unread: Vec<_> = (0..3).map(|_| place.server.stream(&id(&session), "")).collect();
    let ended = eventually("the flood ends", || {
        let session = place.server.get(&path).json();
        (session["state"] == "ended").then_some(session)
    });
    assert_eq!(ended["outcome"], "output");
    assert_hello(place);
    drop(unread);
    Verdict::Holds
}

fn cpu_loops(place: &Place) -> Verdict {
    let loops: Vec<_> = (0..4)
        .map(|_| {
            let code = "import os\nfor _ in range(5): os.fork()\nprint('up', flush=True)\nwhile True: pass";
            let fields = json!({"limits": {"cpu_ms": 60_000, "processes": 300}});
            id(&place.start("python", code, fields))
        })
        .collect();
    for id in &loops {
        place.server.stream(id, "").read_until("up");
    }
    let mut times: Vec<_> = (0..25).map(|_| assert_hello(place)).collect();
    times.sort();
    for id in &loops {
        assert_eq!(place.server.delete(&format!("/sessions/{id}")).status, 204);
    }
    let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
    assert!(worst < ms(2500), "a neighbour took {worst:?}");
    match place.bounded(&session_document(place, &json!(null))) {
        Verdict::Holds => Verdict::HoldsWith(format!(
            "a neighbour's hello beside 4 x 32 loops: median {} ms, worst of 25 {} ms",
            median.as_millis(),
            worst.as_millis()
        )),
        degraded => degraded,
    }
}

fn stubborn(place: &Place) -> Verdict {
    let timeout = 1500 * scale();
    let began = Instant::now();
    let (run, session) =
        place.run("python", include_str!("programs/r30_stubborn.py"), json!({"timeout": timeout}));
    assert_eq!(
        (&*run.stdout, run.exitstatus, &session["outcome"]),
        ("deaf\n", 124, &json!("timeout")),
        "{run:?}"
    );
    assert!(began.elapsed() < ms(1500 + 2500), "{:?}", began.elapsed());
    Verdict::Holds
}

fn limits(place: &Place) -> Verdict {
    let senseless = [
        "0",
        "-1",
        "18014398509481984",
        "18446744073709551616",
        "1e400",
        "1.5",
        "\"NaN\"",
        "\"1\"",
        "true",
        "[]",
        "{}",
    ];
    for value in senseless {
        for field in ["timeout", "cpu_ms", "memory_bytes", "processes", "output_bytes", "disk_bytes"] {
            let body = match field {
                "timeout" => format!(r#"{{"runtime":"python","code":"","timeout":{value}}}"#),
                _ => format!(r#"{{"runtime":"python","code":"","limits":{{"{field}":{value}}}}}"#),
            };
            let headers = [("content-type", "application/json")];
            let answer = place.server.request("POST", "/sessions", &headers, body.as_bytes());
            // A number that JSON cannot hold is no JSON.
            let expected: &[u16] = if value == "1e400" { &[400, 422] } else { &[422] };
            assert!(
                expected.contains(&answer.status),
                "{field} {value}: {} {}",
                answer.status,
                answer.text()
            );
        }
    }
    let bare = br#"{"runtime":"python","code":"","timeout":NaN}"#;
    let headers = [("content-type", "application/json")];
    place.server.request("POST", "/sessions", &headers, bare).problem(400);
    Verdict::Holds
}

fn exhaust(place: &Place) -> Verdict {
    let (run, _) = place.run("python", include_str!("programs/r32_exhaust.py"), json!({}));
    assert_held(&run);
    assert_hello(place);
    Verdict::Holds
}

fn process_limits(place: &Place) -> Verdict {
    let code = "import os, time\ntry:\n    while True:\n        if os.fork() == 0: time.sleep(60)\nexcept OSError: print('full', flush=True)\ntime.sleep(60)";
    let sessions: Vec<_> = (0..3).map(|_| id(&place.start("python", code, json!({})))).collect();
    for id in &sessions {
        place.server.stream(id, "").read_until("full");
    }
    let run = place.server.run_code("bash", "for n in $(seq 30); do sleep 0.5 & done; wait; echo forked");
    assert_eq!((&*run.stdout, &*run.stderr), ("forked\n", ""));
    for id in sessions {
        place.server.delete(&format!("/sessions/{id}"));
    }
    Verdict::Holds
}

/// With room for one session at a time, each takes the place of one that left survivors.
fn reuse(place: &Place) -> Verdict {
    let server = Server::start_with(&["--sessions-running-max", "1"]);
    let code = "import os, sys, time\nprint(sorted(int(p) for p in os.listdir('/proc') if p.isdigit()) == [1, os.getpid()], flush=True)\n\
                for _ in range(10):\n    if os.fork() == 0:\n        os.setsid()\n        time.sleep(60)\n";
    let mark = mark();
    let ids: Vec<_> =
        (0..20).map(|_| id(&server.create(&request("python", code, json!({"args": [mark]}))))).collect();
    for (n, id) in ids.iter().enumerate() {
        let run = Run::collect(server.stream(id, ""));
        assert_eq!(run.stdout, "True\n", "session {n} found another's processes");
        // Its end is told when all of it is dead: nobody with its number is alive, but those of the next may be.
        assert!(processes(&mark).len() <= 12, "{n}");
    }
    assert_gone(&mark, Duration::ZERO);
    let _ = place;
    Verdict::Holds
}

fn long_line(place: &Place) -> Verdict {
    let session =
        place.start("python", "import sys, time\nprint('x' * 10_000_000)\nsys.stdin.readline()", json!({}));
    let mut stream = place.server.stream(&id(&session), "");
    let all = stream.read_until("\n");
    assert_eq!(all.len(), 10_000_001);
    let peak = peak_kib(supervisor(&place.server, &id(&session))).expect("the supervisor lives");
    assert!(peak < SUPERVISOR_KIB, "the supervisor had {peak} KiB");
    stream.send(&json!({"msgtype": "input", "data": "\n"}));
    stream.rest();
    Verdict::Holds
}
