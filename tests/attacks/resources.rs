//! Rows about the resources that a program may use.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::{
    attack::{Attack, Method, Verdict, attack},
    common::{Run, Server, eventually, id},
    fixture::{Fixture, assert_held, ms, request, time_scale},
    machine::{assert_gone, mark, peak_kib, processes, supervisor},
};

const MIB: u64 = 1 << 20;
/// The limit of a supervisor's memory in KiB, whatever its program does. The program's pages do
/// not count.
const SUPERVISOR_MAX_KIB: u64 = 40 * 1024;

pub fn attacks() -> Vec<Attack> {
    use Method::{Check, CheckAlone, Python};
    vec![
        attack(21, "fork bomb", Check(fork_bomb)),
        attack(21, "processes that write errors, and are killed", Check(error_storm)),
        attack(22, "fork and setsid, the parent exits", Check(survivors)),
        attack(23, "keep forking while being killed", Check(runaways)),
        attack(24, "touch 10x the memory limit", Check(memory)),
        attack(24, "the same by a family of processes", Check(family)),
        attack(25, "fill the disk", Check(disk)),
        attack(25, "fill memory by memfd", Check(memfd)),
        attack(26, "a million empty files", Python(include_str!("programs/r26_inodes.py"))),
        attack(27, "output flood", Check(output_flood)),
        attack(28, "flood while the client never reads", Check(unread_flood)),
        attack(29, "CPU loops beside a neighbour", CheckAlone(cpu_loops)),
        attack(30, "deaf to signals, mute", Check(stubborn)),
        attack(31, "limits that make no sense", Check(limits)),
        attack(32, "descriptors, threads, arguments, depth", Check(exhaust)),
        attack(34, "A at its process limit, B forks", Check(process_limits)),
        attack(35, "reuse a cgroup or uid with a survivor", Check(reuse)),
        attack(44, "a line of 10 MB", Check(long_line)),
    ]
}

/// Asserts that a small program of another session works. Returns its time.
fn assert_hello(fixture: &Fixture) -> Duration {
    let began = Instant::now();
    let run = fixture.server.run_code("bash", "echo hello");
    assert_eq!((&*run.stdout, run.exitstatus), ("hello\n", 0), "another session fails: {run:?}");
    began.elapsed()
}

/// A fork bomb reaches its process limit, and other sessions run meanwhile.
fn fork_bomb(fixture: &Fixture) -> Verdict {
    let fields = json!({"args": ["40"], "limits": {"processes": 40, "cpu_ms": 20_000}});
    let session = fixture.start("c", include_str!("programs/r21_fork_bomb.c"), fields);
    let mut stream = fixture.server.stream(&id(&session), "");
    assert_eq!(stream.read_until("bounded"), "bounded\n");
    for _ in 0..5 {
        assert_hello(fixture);
    }
    assert_eq!(fixture.server.delete(&format!("/sessions/{}", id(&session))).status, 204);
    fixture.bounded(&new_document(fixture))
}

/// The document of a new session that has run, for its field `degraded`.
fn new_document(fixture: &Fixture) -> serde_json::Value {
    fixture.run("bash", "true", json!({})).1
}

/// Processes wait to write to standard error, and are killed in any state of that. Other sessions
/// run meanwhile, and the supervisor's memory stays small.
fn error_storm(fixture: &Fixture) -> Verdict {
    let server = Server::start();
    let mark = mark();
    let fields = json!({"args": ["30", mark], "limits": {"processes": 40, "cpu_ms": 60_000}});
    let session = server.create(&request("c", include_str!("programs/r21_error_storm.c"), fields));
    server.stream(&id(&session), "").read_until("storm\nstorm\n");
    let pid = supervisor(&server, &id(&session));
    for _ in 0..5 {
        assert_hello(fixture);
        let run = server.run_code("bash", "echo hello");
        assert_eq!((&*run.stdout, run.exitstatus), ("hello\n", 0), "another session fails: {run:?}");
        let peak = peak_kib(pid).unwrap_or(0);
        assert!(peak < SUPERVISOR_MAX_KIB, "the supervisor had {peak} KiB");
    }
    assert_eq!(server.delete(&format!("/sessions/{}", id(&session))).status, 204);
    assert_gone(&mark, Duration::ZERO);
    Verdict::Holds
}

/// Processes in sessions of their own are killed when their parent exits.
fn survivors(fixture: &Fixture) -> Verdict {
    let mark = mark();
    let code = include_str!("programs/r22_survivors.c");
    let (run, _) = fixture.run("c", code, json!({"args": ["exit", "20", mark]}));
    assert_eq!((&*run.stdout, run.exitstatus), ("ready 20\n", 0), "{run:?}");
    assert_gone(&mark, ms(1000));
    Verdict::Holds
}

/// Processes that fork while they are being killed are killed too.
fn runaways(fixture: &Fixture) -> Verdict {
    let mark = mark();
    let fields = json!({"args": [mark], "limits": {"cpu_ms": 60_000}});
    let session = fixture.start("c", include_str!("programs/r23_runaways.c"), fields);
    fixture.server.stream(&id(&session), "").read_until("ready");
    eventually("the processes run", || (!processes(&mark).is_empty()).then_some(()));
    assert_eq!(fixture.server.delete(&format!("/sessions/{}", id(&session))).status, 204);
    assert_gone(&mark, Duration::ZERO);
    Verdict::Holds
}

/// A process touches ten times its memory limit.
fn memory(fixture: &Fixture) -> Verdict {
    let limit = 48 * MIB;
    let code = include_str!("programs/r24_memory.py");
    for extra in [&[][..], &["shared"]] {
        let mut args = vec![limit.to_string()];
        args.extend(extra.iter().map(|word| (*word).to_owned()));
        let (run, session) =
            fixture.run("python", code, json!({"args": args, "limits": {"memory_bytes": limit}}));
        assert_eq!(run.stdout, "start\n", "{run:?}");
        assert_ne!(session["outcome"], "lost");
        if fixture.column.has_cgroups() {
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
    fixture.bounded(&new_document(fixture))
}

/// Several processes exceed the memory limit together.
fn family(fixture: &Fixture) -> Verdict {
    let limit = 64 * MIB;
    let fields = json!({
        "args": [limit.to_string()], "limits": {"memory_bytes": limit}, "timeout": 10_000 * time_scale(),
    });
    let (run, _) = fixture.run("python", include_str!("programs/r24_family.py"), fields);
    assert_eq!((run.exitstatus, run.reason.as_deref()), (137, Some("memory")), "{run:?}");
    fixture.bounded(&new_document(fixture))
}

/// A program fills its folders up to the disk limit.
fn disk(fixture: &Fixture) -> Verdict {
    let limit = 8 * MIB;
    let fields = json!({"limits": {"disk_bytes": limit}, "env": {"LIMIT": limit.to_string()}});
    assert_held(&fixture.run("python", include_str!("programs/r25_disk.py"), fields).0);
    Verdict::Holds
}

/// A program fills memory with files that have no name.
fn memfd(fixture: &Fixture) -> Verdict {
    let fields = json!({"limits": {"memory_bytes": 64 * MIB}, "timeout": 20_000 * time_scale()});
    let (run, session) = fixture.run("python", include_str!("programs/r25_memfd.py"), fields);
    let is_refused = run.stderr.contains("Error") && session["outcome"] == "exited";
    assert!(run.stdout.is_empty() && (session["outcome"] == "memory" || is_refused), "{run:?} {session}");
    Verdict::Holds
}

/// A flood of output ends at the output limit, and the supervisor's memory stays small.
fn output_flood(fixture: &Fixture) -> Verdict {
    for (code, output_bytes) in [
        ("while True: print('x' * 99)", 2 * MIB),
        ("import os\nwhile True: os.write(1, b'x' * 65536)", 2 * MIB),
        ("import os\nwhile True: os.write(2, b'\\xff\\n' * 32768)", 2 * MIB),
        // Each write to standard error costs the program processor time for its place in the
        // order. With a larger limit, the limit of processor time would be the first that ends
        // this one.
        ("import os\nwhile True: os.write(2, b'\\xff\\n')", 128 * 1024),
    ] {
        let fields = json!({"limits": {"output_bytes": output_bytes}});
        let session = fixture.start("python", code, fields);
        let pid = supervisor(&fixture.server, &id(&session));
        let stream = fixture.server.stream(&id(&session), "");
        let sampler = std::thread::spawn(move || {
            let mut peak = 0;
            while let Some(kib) = peak_kib(pid) {
                peak = kib;
                std::thread::park_timeout(Duration::from_millis(5));
            }
            peak
        });
        let run = Run::collect(stream);
        assert_eq!((run.exitstatus, run.reason.as_deref()), (137, Some("output")), "{code}");
        let peak = sampler.join().expect("the sampler does not panic");
        assert!(peak < SUPERVISOR_MAX_KIB, "the supervisor had {peak} KiB");
    }
    Verdict::Holds
}

/// A flood of output ends although no client reads it, and other sessions run afterwards.
fn unread_flood(fixture: &Fixture) -> Verdict {
    let session = fixture.start("python", "import os\nwhile True: os.write(1, b'x' * 65536)", json!({}));
    let path = format!("/sessions/{}", id(&session));
    let unread: Vec<_> = (0..3).map(|_| fixture.server.stream(&id(&session), "")).collect();
    let ended = eventually("the flood ends", || {
        let session = fixture.server.get(&path).json();
        (session["state"] == "ended").then_some(session)
    });
    assert_eq!(ended["outcome"], "output");
    assert_hello(fixture);
    drop(unread);
    Verdict::Holds
}

/// Another session answers in time beside 128 processes that compute.
fn cpu_loops(fixture: &Fixture) -> Verdict {
    let loops: Vec<_> = (0..4)
        .map(|_| {
            let code = "import os\nfor _ in range(5): os.fork()\nprint('up', flush=True)\nwhile True: pass";
            let fields = json!({"limits": {"cpu_ms": 60_000, "processes": 300}});
            id(&fixture.start("python", code, fields))
        })
        .collect();
    for id in &loops {
        fixture.server.stream(id, "").read_until("up");
    }
    let mut times: Vec<_> = (0..25).map(|_| assert_hello(fixture)).collect();
    times.sort();
    for id in &loops {
        assert_eq!(fixture.server.delete(&format!("/sessions/{id}")).status, 204);
    }
    let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
    assert!(worst < ms(2500), "another session took {worst:?}");
    match fixture.bounded(&new_document(fixture)) {
        Verdict::Holds => Verdict::HoldsWith(format!(
            "hello of another session beside 4 x 32 loops: median {} ms, worst of 25 {} ms",
            median.as_millis(),
            worst.as_millis()
        )),
        degraded => degraded,
    }
}

/// A program that ignores all signals is killed at its time limit.
fn stubborn(fixture: &Fixture) -> Verdict {
    let timeout = 1500 * time_scale();
    let began = Instant::now();
    let (run, session) =
        fixture.run("python", include_str!("programs/r30_stubborn.py"), json!({"timeout": timeout}));
    assert_eq!(
        (&*run.stdout, run.exitstatus, &session["outcome"]),
        ("deaf\n", 124, &json!("timeout")),
        "{run:?}"
    );
    assert!(began.elapsed() < ms(1500 + 2500), "{:?}", began.elapsed());
    Verdict::Holds
}

/// Limits that are not positive integers in range are refused.
fn limits(fixture: &Fixture) -> Verdict {
    let invalid = [
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
    for value in invalid {
        for field in ["timeout", "cpu_ms", "memory_bytes", "processes", "output_bytes", "disk_bytes"] {
            let body = match field {
                "timeout" => format!(r#"{{"runtime":"python","code":"","timeout":{value}}}"#),
                _ => format!(r#"{{"runtime":"python","code":"","limits":{{"{field}":{value}}}}}"#),
            };
            let headers = [("content-type", "application/json")];
            let answer = fixture.server.request("POST", "/sessions", &headers, body.as_bytes());
            // A number that is out of JSON's range may be refused as malformed JSON.
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
    fixture.server.request("POST", "/sessions", &headers, bare).problem(400);
    Verdict::Holds
}

/// Descriptors, threads, arguments and nested folders are limited.
fn exhaust(fixture: &Fixture) -> Verdict {
    let (run, _) = fixture.run("python", include_str!("programs/r32_exhaust.py"), json!({}));
    assert_held(&run);
    assert_hello(fixture);
    Verdict::Holds
}

/// Sessions at their process limits do not keep another session from forking.
fn process_limits(fixture: &Fixture) -> Verdict {
    let code = "import os, time\ntry:\n    while True:\n        if os.fork() == 0: time.sleep(60)\nexcept OSError: print('full', flush=True)\ntime.sleep(60)";
    let sessions: Vec<_> = (0..3).map(|_| id(&fixture.start("python", code, json!({})))).collect();
    for id in &sessions {
        fixture.server.stream(id, "").read_until("full");
    }
    let run = fixture.server.run_code("bash", "for n in $(seq 30); do sleep 0.5 & done; wait; echo forked");
    assert_eq!((&*run.stdout, &*run.stderr), ("forked\n", ""));
    for id in sessions {
        fixture.server.delete(&format!("/sessions/{id}"));
    }
    Verdict::Holds
}

/// Only one session runs at a time, so each reuses the slot of a session that left processes
/// behind.
fn reuse(fixture: &Fixture) -> Verdict {
    let server = Server::start_with(&["--sessions-running-max", "1"]);
    let code = "import os, sys, time\nprint(sorted(int(p) for p in os.listdir('/proc') if p.isdigit()) == [1, os.getpid()], flush=True)\n\
                for _ in range(10):\n    if os.fork() == 0:\n        os.setsid()\n        time.sleep(60)\n";
    let mark = mark();
    let ids: Vec<_> =
        (0..20).map(|_| id(&server.create(&request("python", code, json!({"args": [mark]}))))).collect();
    for (n, id) in ids.iter().enumerate() {
        let run = Run::collect(server.stream(id, ""));
        assert_eq!(run.stdout, "True\n", "session {n} found processes of another session");
        // The end is reported once all processes of the session are gone. Those of the next
        // session may run already.
        assert!(processes(&mark).len() <= 12, "{n}");
    }
    assert_gone(&mark, Duration::ZERO);
    let _ = fixture;
    Verdict::Holds
}

/// A line of 10 MB arrives complete, and the supervisor's memory stays small.
fn long_line(fixture: &Fixture) -> Verdict {
    let session =
        fixture.start("python", "import sys, time\nprint('x' * 10_000_000)\nsys.stdin.readline()", json!({}));
    let mut stream = fixture.server.stream(&id(&session), "");
    let all = stream.read_until("\n");
    assert_eq!(all.len(), 10_000_001);
    let peak = peak_kib(supervisor(&fixture.server, &id(&session))).expect("the supervisor runs");
    assert!(peak < SUPERVISOR_MAX_KIB, "the supervisor had {peak} KiB");
    stream.send(&json!({"msgtype": "input", "data": "\n"}));
    stream.rest();
    Verdict::Holds
}
