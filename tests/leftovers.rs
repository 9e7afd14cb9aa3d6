//! After sessions have ended, in every way there is, nothing is left of them on the machine.

use std::{
    collections::HashMap,
    fs,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::common::{PATIENCE, Run, Server, cgroups::groups, eventually, id, is_root};

const SESSIONS: usize = 200;

/// Every way a session can end, cheaply.
fn ways() -> Vec<Value> {
    let python = |code: &str| json!({"runtime": "python", "code": code});
    let with = |mut request: Value, name: &str, value: Value| {
        request[name] = value;
        request
    };
    let mut ways = vec![
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
        json!({"runtime": "bash", "code": "echo hi"}),
    ];
    if is_root() {
        ways.push(with(python("x = b'x' * (200 << 20)"), "limits", json!({"memory_bytes": 32 << 20})));
        ways.push(with(python("while True: pass"), "limits", json!({"cpu_ms": 50})));
    }
    ways
}

/// What of this server's is on the machine.
#[derive(Debug, PartialEq)]
struct Traces {
    processes: usize,
    cgroups: usize,
    mounts: usize,
    descriptors: usize,
    folders: Vec<String>,
}

impl Traces {
    fn take(server: &Server) -> Self {
        let data = server.data().to_string_lossy().into_owned();
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts").lines().count();
        let descriptors = fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("descriptors").count();
        let mut folders = vec![];
        for name in ["sessions", "trash"] {
            let entries = fs::read_dir(server.data().join(name)).expect("a folder").flatten();
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

/// The server's spawners and all below them, and whatever has lost its parent and shows this server's data directory.
fn processes(server: u32, data: &str) -> usize {
    let all = fs::read_dir("/proc").expect("processes").flatten().filter_map(|entry| {
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
fn nothing_is_left_over() {
    let server = Server::start();
    // One session of each way first: what a server keeps for itself is there after these.
    let warm_up = |request: &Value| {
        let id = id(&server.create(request));
        Run::collect(server.stream(&id, ""));
        server.delete(&format!("/sessions/{id}"));
    };
    ways().iter().for_each(warm_up);
    let before = eventually("the server comes to rest", || {
        let traces = Traces::take(&server);
        // Two spawners, and for each a maker, of which one is the template; a supervisor that waits, and the first process of its
        // sandbox; and in that of the template who is to be the program.
        let rests = traces.processes == 9 && traces.folders.is_empty();
        rests.then_some(traces)
    });

    let ways = ways();
    for batch in 0..SESSIONS / 20 {
        let ids: Vec<_> = (0..20).map(|n| id(&server.create(&ways[(batch * 20 + n) % ways.len()]))).collect();
        for (n, id) in ids.iter().enumerate() {
            if n % 5 == 0 {
                // Some are forgotten while they run, or before.
                assert_eq!(server.delete(&format!("/sessions/{id}")).status, 204);
            } else {
                Run::collect(server.stream(id, ""));
                assert_eq!(server.delete(&format!("/sessions/{id}")).status, 204);
            }
        }
    }
    let mut last = Traces::take(&server);
    let until = Instant::now() + PATIENCE;
    while last != before && Instant::now() < until {
        std::thread::park_timeout(Duration::from_millis(20));
        last = Traces::take(&server);
        // A connection of the test's own may have been open when the server was first looked at.
        last.descriptors = last.descriptors.max(before.descriptors);
    }
    assert_eq!(last, before, "something is left over");
}

/// A server that ends takes along what it made outside its data directory.
#[test]
fn a_server_leaves_no_group_behind() {
    let mut server = Server::start();
    Run::collect(server.stream(&server.create_id("python", "print(1)"), ""));
    let data = server.data().to_owned();
    assert_eq!(groups(&data).is_empty(), !is_root(), "{:?}", groups(&data));
    server.kill();
    eventually("its groups are gone", || groups(&data).is_empty().then_some(()));
}
