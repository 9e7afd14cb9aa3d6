//! Limits: each one ends in its own outcome or in an error of the program, and the session reports
//! its usage.

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::common::{Run, Server, cgroups::groups, eventually, id, is_root};

/// Runs a Python program with further request fields; returns the run and the session's document.
fn run(server: &Server, code: &str, fields: Value) -> (Run, Value) {
    let mut request = json!({"runtime": "python", "code": code});
    request.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
    let session = server.create(&request);
    let run = Run::collect(server.stream(&id(&session), ""));
    (run, server.get(&format!("/sessions/{}", id(&session))).json())
}

fn ended(run: &Run) -> (i64, Option<&str>) {
    (run.exitstatus, run.reason.as_deref())
}

/// Asserts that the session is reported as degraded. Here an ordinary user has no cgroup, so
/// nothing limits all processes of a session together.
fn assert_degraded(session: &Value, expected: &str) {
    let degraded = session["degraded"].as_array().expect("a list of missing limits");
    assert!(
        degraded.iter().any(|sentence| sentence.as_str().is_some_and(|text| text.contains(expected))),
        "{session}"
    );
}

#[test]
fn wall_clock_limit() {
    let server = Server::start();
    let ignores_sigterm = "import os, signal, sys, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nos.close(1)\ntime.sleep(60)";
    let (run, session) = run(&server, ignores_sigterm, json!({"timeout": 500}));
    assert_eq!(ended(&run), (124, Some("timeout")));
    assert_eq!(session["outcome"], "timeout");
    let wall_ms = session["usage"]["wall_ms"].as_u64().expect("milliseconds");
    assert!((300..10_000).contains(&wall_ms), "{wall_ms}");
}

/// How many of the server's sessions are deprioritised.
fn deprioritised(server: &Server) -> usize {
    let files = groups(server.data()).into_iter().map(|group| format!("{group}/cpu.idle"));
    files.filter_map(|file| fs::read_to_string(file).ok()).filter(|idle| idle.trim() == "1").count()
}

/// A program that computes for long is deprioritised (`cpu.idle`, Linux 5.15) until it waits
/// again. An ordinary user has no cgroup here, so only root can test this.
#[test]
fn a_busy_program_is_deprioritised() {
    if !is_root() {
        return;
    }
    let server = Server::start();
    let deprioritised = || deprioritised(&server);
    let code = "import signal\nrests = []\nsignal.signal(signal.SIGINT, lambda *_: rests.append(1))\ninput('waits')\nwhile not rests: pass\ninput()";
    let id = server.create_id("python", code);
    let mut stream = server.stream(&id, "");
    stream.read_until("waits");
    eventually("the waiting program is not deprioritised", || (deprioritised() == 0).then_some(()));
    stream.send(&json!({"msgtype": "input", "data": "compute\n"}));
    eventually("the busy program is deprioritised", || (deprioritised() == 1).then_some(()));
    stream.send(&json!({"msgtype": "signal", "signal": "interrupt"}));
    eventually("the program is no longer deprioritised", || (deprioritised() == 0).then_some(()));
    stream.send(&json!({"msgtype": "input", "data": "end\n"}));
    let run = Run::collect(stream);
    assert_eq!(run.exitstatus, 0, "{run:?}");
}

/// A deprioritised program is killed as fast as any other, even while other processes use every
/// processor.
/// None of these cases computes for long. An ordinary user has no cgroup here.
#[test]
fn many_short_cases_are_deprioritised_as_one_long_program_is() {
    if !is_root() {
        return;
    }
    let server = Server::start_with(&["--cases-max", "1000"]);
    let cases = vec![json!({}); 1000];
    let id = id(&server.create(&json!({"runtime": "bash", "code": "true", "cases": cases})));
    eventually("a case is deprioritised", || (deprioritised(&server) > 0).then_some(()));
    assert_eq!(server.delete(&format!("/sessions/{id}")).status, 204);
}

#[test]
fn a_deprioritised_program_is_killed_without_delay() {
    let server = Server::start();
    let code =
        "import os\nfor _ in range(6):\n    os.fork()\nprint('computes', flush=True)\nwhile True: pass";
    let limits = json!({"cpu_ms": 60_000, "processes": 100});
    let session = id(&server.create(&json!({"runtime": "python", "code": code, "limits": limits})));
    server.stream(&session, "").read_until(&"computes\n".repeat(64));
    if is_root() {
        eventually("the busy program is deprioritised", || (deprioritised(&server) == 1).then_some(()));
    }
    let others_end = Instant::now() + Duration::from_secs(10);
    let is_over = AtomicBool::new(false);
    let duration = std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) && Instant::now() < others_end {
                    std::hint::spin_loop();
                }
            });
        }
        let began = Instant::now();
        let status = server.delete(&format!("/sessions/{session}")).status;
        is_over.store(true, Ordering::Relaxed);
        assert_eq!(status, 204);
        began.elapsed()
    });
    // The server force-kills a supervisor that has not ended its session after 5 s.
    assert!(duration < Duration::from_secs(5), "{duration:?}");
}

#[test]
fn cpu_time_limit() {
    let server = Server::start();
    let (one, session) = run(&server, "while True: pass", json!({"limits": {"cpu_ms": 1000}}));
    assert_eq!(ended(&one), (152, Some("cpu")));
    assert_eq!(session["outcome"], "cpu");
    let used_ms = session["usage"]["cpu_ms"].as_u64().expect("milliseconds");
    assert!((900..3000).contains(&used_ms), "{used_ms}");
    // The CPU time of all processes counts together.
    let many = "import os\nfor _ in range(4):\n    if os.fork() == 0:\n        while True: pass\nos.wait()";
    let (many, session) = run(&server, many, json!({"limits": {"cpu_ms": 1000}}));
    assert_eq!(ended(&many), (152, Some("cpu")));
    let used_ms = session["usage"]["cpu_ms"].as_u64().expect("milliseconds");
    assert!((900..3000).contains(&used_ms), "{used_ms}");
    if !is_root() {
        assert_degraded(&session, "CPU time is limited per process");
    }
}

#[test]
fn memory_limit() {
    let server = Server::start();
    let code = "print('start')\nx = bytearray(640 * 1024 * 1024)\nfor i in range(0, len(x), 4096): x[i] = 1\nprint('never')";
    let (run, session) = run(&server, code, json!({"limits": {"memory_bytes": 64 << 20}}));
    assert_eq!(run.stdout, "start\n");
    if is_root() {
        assert_eq!(ended(&run), (137, Some("memory")));
        assert_eq!(session["outcome"], "memory");
        assert!(session["usage"]["memory_peak_bytes"].as_u64().expect("bytes") <= 64 << 20);
    } else {
        assert!(run.stderr.contains("MemoryError"), "{run:?}");
    }
}

/// Each process stays below the limit, but all of them together exceed it.
#[test]
fn memory_limit_of_several_processes() {
    let server = Server::start();
    let code = "import os, time\nfor _ in range(4):\n    if os.fork() == 0:\n        x = b'x' * (40 << 20)\n        \
                time.sleep(60)\nos.wait()\nprint('carries on')\ntime.sleep(60)";
    let (run, session) = run(&server, code, json!({"limits": {"memory_bytes": 96 << 20}}));
    assert_eq!(ended(&run), (137, Some("memory")), "{run:?}");
    assert_eq!(session["outcome"], "memory");
    if !is_root() {
        assert_degraded(&session, "memory is limited per process");
    }
}

/// The kernel kills one process. The whole session ends, although the parent of that process would
/// carry on.
#[test]
fn memory_limit_of_a_child() {
    let server = Server::start();
    if !is_root() {
        // Without a cgroup the child meets a limit of its own, and no other process is affected.
        let code = "import os\npid = os.fork()\nif pid == 0:\n    x = b'x' * (640 << 20)\nprint(os.waitpid(pid, 0)[1] >> 8)";
        let (run, _) = run(&server, code, json!({"limits": {"memory_bytes": 64 << 20}}));
        assert_eq!(run.stdout, "1\n");
        assert!(run.stderr.contains("MemoryError"), "{run:?}");
        return;
    }
    let code = "import os, time\nif os.fork() == 0:\n    x = b'x' * (640 << 20)\nos.wait()\nprint('carries on')\ntime.sleep(60)";
    let (run, _) = run(&server, code, json!({"limits": {"memory_bytes": 64 << 20}}));
    assert_eq!(ended(&run), (137, Some("memory")));
}

#[test]
fn process_limit() {
    let server = Server::start();
    let code = "import os, time\nn = 0\ntry:\n    while True:\n        if os.fork() == 0: time.sleep(60)\n        n += 1\n\
                except OSError as e:\n    print(n < 20, e.strerror)\n    raise SystemExit(3)";
    let (run, _) = run(&server, code, json!({"limits": {"processes": 16}}));
    assert_eq!((run.stdout.trim(), ended(&run)), ("True Resource temporarily unavailable", (3, None)));
}

#[test]
fn output_limit() {
    let server = Server::start();
    let code = "while True: print('x' * 99)";
    let (run, session) = run(&server, code, json!({"limits": {"output_bytes": 100_000}}));
    assert_eq!(ended(&run), (137, Some("output")));
    assert_eq!(session["outcome"], "output");
    assert_eq!(run.stdout.len(), 100_000);
}

#[test]
fn disk_limit() {
    let server = Server::start();
    let bytes = "try:\n    open('big', 'wb').write(b'x' * (8 << 20))\nexcept OSError as e: print(e.strerror)";
    let (large, _) = run(&server, bytes, json!({"limits": {"disk_bytes": 1 << 20}}));
    assert!(["No space left on device\n", "File too large\n"].contains(&&*large.stdout), "{large:?}");
    let files = "try:\n    for n in range(100000): open(f'/tmp/{n}', 'w').close()\nexcept OSError as e: print(n < 5000, e.strerror)";
    let (many, _) = run(&server, files, json!({}));
    assert_eq!(many.stdout, "True No space left on device\n", "{many:?}");
}

#[test]
fn output_that_nobody_reads_ends_at_the_limit() {
    let server = Server::start();
    let session = server.create(&json!({
        "runtime": "python", "code": "import sys\nwhile True: sys.stdout.write('x' * 65536)",
    }));
    let path = format!("/sessions/{}", id(&session));
    let ended = crate::common::eventually("the session ends", || {
        let session = server.get(&path).json();
        (session["state"] == "ended").then_some(session)
    });
    assert_eq!(ended["outcome"], "output");
}

#[test]
fn one_line_of_ten_megabytes() {
    let server = Server::start();
    let (run, _) = run(&server, "print('x' * 10_000_000)", json!({}));
    assert_eq!(run.stdout.len(), 10_000_001);
}

/// Compile steps have limits of their own. They come from the runtime whatever the request asks
/// for its program, and never exceed the server's maxima.
#[test]
fn limits_of_compile_steps() {
    let folder = tempfile::tempdir().expect("a temporary folder is created");
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path(), everybody).expect("the folder is ours");
    let runtime = |name: &str, compile: &str, limits: &str| {
        let folder = folder.path().join(name);
        std::fs::create_dir(&folder).expect("the folder can be created");
        let manifest = format!(
            "title = 'X'\nfile = 'main.py'\neditor_mode = 'python'\ninstall = ''\nrun = ['/usr/bin/python3', '{{source}}']\n\
             compile = [['/usr/bin/python3', '-c', '''{compile}''']]\n[compile_limits]\n{limits}\n"
        );
        std::fs::write(folder.join("runtime.toml"), manifest).expect("the file can be written");
    };
    let memory = "x = bytearray(100 << 20)\nfor i in range(0, len(x), 4096): x[i] = 1";
    let forks = "import os, time\nfor _ in range(9):\n    if os.fork() == 0: time.sleep(9)";
    runtime("loops", "while True: pass", "cpu_ms = 500");
    runtime("takes", memory, "memory_bytes = 33554432");
    runtime("takes-more", memory, "memory_bytes = 536870912");
    runtime("forks", forks, "processes = 4");
    let path = folder.path().to_str().expect("a path in UTF-8");
    let compiled = |server: &Server, runtime: &str, limits: Value| {
        let request = json!({"runtime": runtime, "code": "print('ran')", "limits": limits});
        Run::collect(server.stream(&id(&server.create(&request)), ""))
    };
    // Either the kernel refuses the memory to one process, or it ends the session for lack of
    // memory.
    let lacks_memory = |run: &Run| {
        run.stdout.is_empty()
            && (run.reason.as_deref() == Some("memory") || run.stderr.contains("MemoryError"))
    };

    let server = Server::start_with(&["--runtimes-dir", path]);
    let generous = json!({"cpu_ms": 20_000, "memory_bytes": 1 << 30, "processes": 200});
    let run = compiled(&server, "loops", generous.clone());
    assert_eq!((&*run.stdout, ended(&run)), ("", (152, Some("cpu"))), "{run:?}");
    let run = compiled(&server, "takes", generous.clone());
    assert!(lacks_memory(&run), "{run:?}");
    let run = compiled(&server, "forks", generous);
    assert!(run.stdout.is_empty() && run.stderr.contains("temporarily unavailable"), "{run:?}");
    // The limits that a request sets for its program do not apply to compile steps.
    let run = compiled(&server, "takes-more", json!({"memory_bytes": 64 << 20}));
    assert_eq!(run.stdout, "ran\n", "{run:?}");
    // The limits that the operator sets do apply.
    let strict = ["--runtimes-dir", path, "--memory-max-bytes", "67108864", "--memory-bytes", "67108864"];
    let run = compiled(&Server::start_with(&strict), "takes-more", json!({}));
    assert!(lacks_memory(&run), "{run:?}");
}
