//! Waiting programs cost nothing. The measure is how often the kernel wakes a process, not time.

use std::{collections::HashMap, fs, path::PathBuf, time::Duration};

use serde_json::{Value, json};

use crate::common::{Server, Stream, id};

/// How long the test counts wakeups.
const OBSERVATION: Duration = Duration::from_secs(3);
/// Upper bound of the wakeups of one process in `OBSERVATION`. Where no cgroup counts for it, a
/// supervisor takes samples: of memory at intervals that grow from 25 ms to 400 ms (11 samples),
/// and of CPU time at intervals that grow from 10 ms to 1 s (8 samples). Each sample may also wait
/// for another process's lock.
const MAX_WAKEUPS: u64 = 30;

/// How often each thread of a process has given up the processor to wait (proc_pid_status(5)).
fn voluntary_switches(pid: u64) -> HashMap<PathBuf, u64> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("the process runs").flatten();
    let voluntary_switches = threads.filter_map(|thread| {
        // The thread may have ended.
        let status = fs::read_to_string(thread.path().join("status")).ok()?;
        let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
        Some((thread.path(), count.trim().parse().expect("a number")))
    });
    voluntary_switches.collect()
}

/// How often a process was woken since `before` was taken.
fn wakeups_since(pid: u64, before: &HashMap<PathBuf, u64>) -> u64 {
    let now = voluntary_switches(pid);
    let woken = |(thread, count): (_, &u64)| count.saturating_sub(before.get(thread).copied().unwrap_or(0));
    now.iter().map(woken).sum()
}

fn supervisor(server: &Server, id: &str) -> u64 {
    let path = server.data().join("sessions").join(id).join("state.json");
    let state: Value =
        serde_json::from_slice(&fs::read(path).expect("the state file can be read")).expect("valid JSON");
    state["pid"].as_u64().expect("a pid")
}

#[test]
fn a_waiting_program_causes_almost_no_wakeups() {
    let server = Server::start();
    let sleeps = "print('up', flush=True)\nimport time\ntime.sleep(600)";
    // A session close to its CPU limit is sampled most often.
    let computed =
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
        watch(&json!({"runtime": "python", "code": computed, "limits": {"cpu_ms": 1000}})),
    ];
    // A session without any client is counted too.
    let (unwatched, stream) = watch(&json!({"runtime": "python", "code": sleeps}));
    drop(stream);

    let ids = watched.iter().map(|(id, _)| id).chain([&unwatched]);
    let mut processes: Vec<_> = ids.map(|id| supervisor(&server, id)).collect();
    processes.push(u64::from(server.pid()));
    let before: Vec<_> = processes.iter().map(|pid| (*pid, voluntary_switches(*pid))).collect();
    std::thread::park_timeout(OBSERVATION);
    let woken: Vec<_> = before.iter().map(|(pid, before)| wakeups_since(*pid, before)).collect();
    assert!(
        woken.iter().all(|count| *count <= MAX_WAKEUPS),
        "wakeups within {OBSERVATION:?}: {woken:?}; the last number is the server's"
    );
}
