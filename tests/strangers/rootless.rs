//! A server that is an ordinary user shares that user's limits with its sessions, and has no
//! cgroup for their memory if none is delegated to it.

use serde_json::json;

use crate::common::{Server, eventually, id, is_root};

/// A server that is an ordinary user. If the tests run as root, nothing else has this user, and
/// `number` differs for each test of this process.
pub fn ordinary_server(number: u32) -> Server {
    if !is_root() {
        return Server::start();
    }
    // Far above the uids of accounts, and below those of the sessions of a server that is root.
    let uid = 100_000_000 + std::process::id() % 10_000_000 * 8 + number;
    // The folder of the binary may be closed to other users than root.
    let script = format!(
        "data=$6 && install -m 755 \"$1\" \"$data/binary\" && chown -R {uid}:{uid} \"$data\" && shift && \
         exec env HOME=\"$data\" setpriv --reuid {uid} --regid {uid} --clear-groups \"$data/binary\" \"$@\""
    );
    Server::start_by(&["sh", "-c", &script, "sh"], &[])
}

/// Memory that is not in the pages of a process counts against the limit of its session.
#[test]
fn memory_counts_wherever_a_program_hides_it() {
    let server = ordinary_server(1);
    let limits = json!({"memory_bytes": 64 << 20, "disk_bytes": 512 << 20, "cpu_ms": 30_000});
    let hoards = include_str!("programs/hoards.py");
    let ways = ["tmpfs", "unix", "unix_closed", "tcp", "udp", "shared_in_secret"];
    let mut sessions: Vec<_> = ways
        .map(|way| (way, json!({"runtime": "python", "code": hoards, "args": [way], "limits": limits})))
        .into();
    let page_tables = include_str!("programs/page_tables.c");
    sessions.push(("page tables", json!({"runtime": "c", "code": page_tables, "limits": limits})));
    let mut unlimited = vec![];
    for (way, request) in sessions {
        let session = id(&server.create(&request));
        let mut stream = server.stream(&session, "");
        let mut output = String::new();
        while let Some(message) = stream.next() {
            output += message["data"].as_str().unwrap_or_default();
            if output.contains("taken") {
                break;
            }
        }
        // A sample ends the program, which itself would wait for longer than this.
        let path = format!("/sessions/{session}");
        let ended = eventually(way, || {
            let session = server.get(&path).json();
            (session["state"] == "ended").then_some(session)
        });
        if ended["outcome"] != "memory" {
            unlimited.push(format!("{way}: {} {output}", ended["outcome"]));
        }
        server.delete(&format!("/sessions/{session}"));
    }
    assert!(unlimited.is_empty(), "{unlimited:#?}");
}

/// One session cannot use up the inotify instances that the user of the server has.
#[test]
fn inotify_instances_are_limited_for_each_session() {
    let server = ordinary_server(2);
    let code = "import ctypes, time\nlibc = ctypes.CDLL(None)\nn = 0\nwhile n < 1000 and libc.inotify_init1(0) >= 0: n += 1\n\
                print('instances', n, flush=True)\ntime.sleep(60)";
    for _ in 0..3 {
        let session = server.create_id("python", code);
        assert_eq!(server.stream(&session, "").read_until("\n"), "instances 16\n");
    }
}
