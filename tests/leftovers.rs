//! Sessions that end in every possible way leave nothing behind on the machine.

use std::{
    collections::HashMap,
    fs,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::common::{Run, Server, WAIT_TIMEOUT, cgroups::groups, eventually, id, is_root};

const SESSIONS: usize = 200;

/// One cheap request for each way in which a session can end.
fn endings() -> Vec<Value> {
    let python = |code: &str| json!({"runtime": "python", "code": code});
    let with = |mut request: Value, name: &str, value: Value| {
        request[name] = value;
        request
    };
    let mut endings = vec![
        python("print('exits')"),
        python("raise SystemExit(3)"),
        python("import os; os.kill(os.getpid(), 11)"),
        python(
            "import os\nfor _ in range(5):\n    if os.fork() == 0:\n        os.setsid()\n        import time; time.sleep(60)",
        ),
        with(python("import time; time.sleep(60)"), "timeout", json!(100)),
        with(python("while True: print('x' * 1000)"), "limits", json!({"output_bytes": 10_000})),
        with(python("x"), "command", json!(["no-such-command"])),
        json!({"runtime": "c", "code": "no C at all"}),
        json!({"runtime": "c", "code": "int main(void) { return 0; }", "cases": [{}, {"expected": "x"}, {}]}),
        with(
            with(python("import time; time.sleep(float(input()))"), "stop_on_first_failure", json!(true)),
            "cases",
            json!([{"stdin": "0"}, {"stdin": "60", "timeout": 100}, {"stdin": "0"}]),
        ),
        json!({"runtime": "bash", "code": "echo hi"}),
    ];
    if is_root() {
        endings.push(with(python("x = b'x' * (200 << 20)"), "limits", json!({"memory_bytes": 32 << 20})));
        endings.push(with(python("while True: pass"), "limits", json!({"cpu_ms": 50})));
    }
    endings
}

/// Everything on the machine that exists because of this server.
#[derive(Debug, PartialEq)]
struct Inventory {
    processes: usize,
    cgroups: usize,
    mounts: usize,
    descriptors: usize,
    folders: Vec<String>,
}

impl Inventory {
    fn take(server: &Server) -> Self {
        let data = server.data().to_string_lossy().into_owned();
        let mounts =
            fs::read_to_string("/proc/self/mountinfo").expect("the mounts can be read").lines().count();
        let descriptors = fs::read_dir(format!("/proc/{}/fd", server.pid()))
            .expect("the descriptors can be listed")
            .count();
        let mut folders = vec![];
        for name in ["sessions", "trash"] {
            let entries = fs::read_dir(server.data().join(name)).expect("the folder can be read").flatten();
            folders.extend(entries.map(|entry| entry.file_name().to_string_lossy().into_owned()));
        }
        Self {
            processes: processes(server.pid(), &data),
            cgroups: groups(server.data()).len(),
            mounts,
            descriptors,
            folders,
        }
    }
}

/// Counts the server's descendants (its spawners and all processes below them), and processes that
/// have lost their parent but name this server's data directory.
fn processes(server: u32, data: &str) -> usize {
    let all = fs::read_dir("/proc").expect("/proc can be read").flatten().filter_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let parent: u32 = stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        Some((pid, (parent, line.contains("spawner") && line.contains(data))))
    });
    let all: HashMap<u32, (u32, bool)> = all.collect();
    let is_below = |mut pid: u32| {
        while let Some((parent, _)) = all.get(&pid) {
            if *parent == server {
                return true;
            }
            pid = *parent;
        }
        false
    };
    all.iter().filter(|(pid, (_, is_ours))| *is_ours || is_below(**pid)).count()
}

#[test]
fn ended_sessions_leave_nothing_behind() {
    let server = Server::start();
    // One session of each kind runs first, so that everything the server keeps for itself exists.
    let warm_up = |request: &Value| {
        let id = id(&server.create(request));
        Run::collect(server.stream(&id, ""));
        server.delete(&format!("/sessions/{id}"));
    };
    endings().iter().for_each(warm_up);
    let before = eventually("the server is at rest", || {
        let inventory = Inventory::take(&server);
        // Each of the two spawners accounts for four processes: itself, its zygote (one of the two
        // is the interpreter zygote), an idle worker, and the init of that worker's warm sandbox.
        // The ninth process is the pre-forked program in the warm sandbox for Python.
        let is_at_rest = inventory.processes == 9 && inventory.folders.is_empty();
        is_at_rest.then_some(inventory)
    });

    let endings = endings();
    for batch in 0..SESSIONS / 20 {
        let ids: Vec<_> =
            (0..20).map(|n| id(&server.create(&endings[(batch * 20 + n) % endings.len()]))).collect();
        for (n, id) in ids.iter().enumerate() {
            if n % 5 == 0 {
                // Some sessions are deleted while they run, or before they start.
                assert_eq!(server.delete(&format!("/sessions/{id}")).status, 204);
            } else {
                Run::collect(server.stream(id, ""));
                assert_eq!(server.delete(&format!("/sessions/{id}")).status, 204);
            }
        }
    }
    let mut last = Inventory::take(&server);
    let until = Instant::now() + WAIT_TIMEOUT;
    while last != before && Instant::now() < until {
        std::thread::park_timeout(Duration::from_millis(20));
        last = Inventory::take(&server);
        // A connection of the test itself may have been open when the first counts were taken.
        last.descriptors = last.descriptors.max(before.descriptors);
    }
    assert_eq!(last, before, "the ended sessions left something behind");
}

/// When a server is killed, everything that it made outside its data directory is removed.
#[test]
fn a_killed_server_leaves_no_cgroup_behind() {
    let mut server = Server::start();
    Run::collect(server.stream(&server.create_id("python", "print(1)"), ""));
    let data = server.data().to_owned();
    assert_eq!(groups(&data).is_empty(), !is_root(), "{:?}", groups(&data));
    server.kill();
    eventually("the cgroups of the server are gone", || groups(&data).is_empty().then_some(()));
}
