//! What waits costs nothing: counted in how often the kernel had to wake somebody, not in time.

use std::{collections::HashMap, fs, path::PathBuf, time::Duration};

use serde_json::{Value, json};

use crate::common::{Server, Stream, id};

/// How long is looked.
const LOOK: Duration = Duration::from_secs(3);
/// How often one process may be woken meanwhile. Where no cgroup counts, a supervisor has to look itself: at memory after 25 ms, 50, …
/// and then each 400 ms, 11 times; at CPU time after 10 ms, 20, … 1 s, 8 times; and each look may wait for another process's lock.
const MAX_WAKEUPS: u64 = 30;

/// How often each thread of a process gave up the processor to wait (proc_pid_status(5)).
fn waits(pid: u64) -> HashMap<PathBuf, u64> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("it runs").flatten();
    let waits = threads.filter_map(|thread| {
        let status = fs::read_to_string(thread.path().join("status")).ok()?; // it may have ended
        let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
        Some((thread.path(), count.trim().parse().expect("a number")))
    });
    waits.collect()
}

/// How often a process was woken since.
fn wakeups(pid: u64, before: &HashMap<PathBuf, u64>) -> u64 {
    let now = waits(pid);
    let woken = |(thread, count): (_, &u64)| count.saturating_sub(before.get(thread).copied().unwrap_or(0));
    now.iter().map(woken).sum()
}

fn supervisor(server: &Server, id: &str) -> u64 {
    let path = server.data().join("sessions").join(id).join("state.json");
    let state: Value = serde_json::from_slice(&fs::read(path).expect("a state")).expect("JSON");
    state["pid"].as_u64().expect("a process number")
}

#[test]
fn a_program_that_waits_wakes_nobody() {
    let server = Server::start();
    let sleeps = "print('up', flush=True)\nimport time\ntime.sleep(600)";
    // What has almost used up its CPU time is looked at most often.
    let worked =
        "import time\nwhile time.process_time() < 0.93: pass\nprint('up', flush=True)\ntime.sleep(600)";
    let watch = |request: &Value| -> (String, Stream) {
        let id = id(&server.create(request));
        let mut stream = server.stream(&id, "");
        stream.read_until("up");
        (id, stream)
    };
    let watched = [
        watch(&json!({"runtime": "python", "code": sleeps})),
        watch(&json!({"runtime": "bash", "code": "echo up\nread"})),
        watch(&json!({"runtime": "python", "code": worked, "limits": {"cpu_ms": 1000}})),
    ];
    // Nobody need be connected to it either.
    let (alone, stream) = watch(&json!({"runtime": "python", "code": sleeps}));
    drop(stream);

    let ids = watched.iter().map(|(id, _)| id).chain([&alone]);
    let mut processes: Vec<_> = ids.map(|id| supervisor(&server, id)).collect();
    processes.push(u64::from(server.pid()));
    let before: Vec<_> = processes.iter().map(|pid| (*pid, waits(*pid))).collect();
    std::thread::park_timeout(LOOK);
    let woken: Vec<_> = before.iter().map(|(pid, before)| wakeups(*pid, before)).collect();
    assert!(
        woken.iter().all(|count| *count <= MAX_WAKEUPS),
        "woken so often in {LOOK:?}: {woken:?}, the server last"
    );
}
