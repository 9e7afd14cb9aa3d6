//! Readers of a journal cost little: one that continues late, one that sends pings meanwhile, one
//! that does not read. And no program's output passes for the end of a session.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::PathBuf,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::common::{Server, Stream, eventually, id, is_root};

const MIB: u64 = 1024 * 1024;
/// Length of the long journals of these tests.
const JOURNAL_BYTES: u64 = 32 * MIB;
/// No journal has so many entries.
const AFTER_ALL: &str = "?after=1000000000";

/// Bytes that the server has read so far, from files and sockets.
fn read_bytes(server: &Server) -> u64 {
    number_in(&format!("/proc/{}/io", server.pid()), "rchar:")
}

fn resident_bytes(server: &Server) -> u64 {
    number_in(&format!("/proc/{}/status", server.pid()), "VmRSS:") * 1024
}

fn number_in(file: &str, field: &str) -> u64 {
    let text = fs::read_to_string(file).expect("the server lives");
    let line = text.lines().find(|line| line.starts_with(field)).expect("the field exists");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

fn wait_for_end(server: &Server, id: &str) -> Value {
    eventually("the session ends", || {
        let session = server.get(&format!("/sessions/{id}")).json();
        (session["state"] == "ended").then_some(session)
    })
}

/// An ended session whose journal has about [`JOURNAL_BYTES`], and the number of its last entry.
fn long_session(server: &Server) -> (String, u64) {
    let code = format!("yes | head -c {JOURNAL_BYTES}");
    let request = json!({"runtime": "bash", "code": code, "limits": {"output_bytes": 2 * JOURNAL_BYTES}});
    let id = id(&server.create(&request));
    assert_eq!(wait_for_end(server, &id)["outcome"], "exited");
    let last = server.stream(&id, AFTER_ALL).next_of("exitstatus")["seq"].as_u64().expect("a number");
    (id, last)
}

/// Such a session as one of an older build, whose journals have no index, in a server that does
/// not know its journal yet.
fn long_session_without_index(server: &mut Server) -> String {
    let (id, _) = long_session(server);
    server.kill();
    let index = server.data().join("sessions").join(&id).join("journal.index");
    match fs::remove_file(index) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
        _ => {}
    }
    server.start_again();
    id
}

/// Reads a stream up to the end of its session. Returns how many entries it got.
fn entries_to_end(stream: &mut Stream) -> usize {
    let mut entries = 0;
    while let Some(message) = stream.next() {
        entries += usize::from(message["msgtype"] == "write" || message["msgtype"] == "exitstatus");
        if message["msgtype"] == "exitstatus" {
            return entries;
        }
    }
    panic!("the stream ended before its session");
}

#[test]
fn reading_on_late_reads_only_the_end_of_a_journal() {
    let mut server = Server::start();
    let (id, last) = long_session(&server);
    // A server that has just started remembers nothing of the journal.
    server.kill();
    server.start_again();
    for (after, expected) in [(format!("?after={}", last - 3), 3), (AFTER_ALL.to_owned(), 1)] {
        let before = read_bytes(&server);
        assert_eq!(entries_to_end(&mut server.stream(&id, &after)), expected);
        let read = read_bytes(&server) - before;
        assert!(read < 2 * MIB, "{read} bytes were read for the last {expected} entries");
    }
}

#[test]
fn pings_do_not_restart_a_skip() {
    let mut server = Server::start();
    let id = long_session_without_index(&mut server);
    let before = read_bytes(&server);
    let mut stream = server.stream(&id, AFTER_ALL);
    // Each ping is answered while the skip is under way. A skip that began again for each of them
    // would be read anew each time.
    for _ in 0..20_000 {
        if stream.try_send(&json!({"msgtype": "ping"})).is_err() {
            break;
        }
        match stream.next_of_any(&["pong", "exitstatus"]) {
            Some(message) if message["msgtype"] == "pong" => {}
            _ => break,
        }
    }
    let read = read_bytes(&server) - before;
    assert!(read < 2 * JOURNAL_BYTES, "{read} bytes were read of a journal of {JOURNAL_BYTES}");
}

#[test]
fn a_journal_without_an_index_is_read_once_for_all_readers() {
    let mut server = Server::start();
    let id = long_session_without_index(&mut server);
    let before = read_bytes(&server);
    let mut streams: Vec<_> = (0..40).map(|_| server.stream(&id, AFTER_ALL)).collect();
    for stream in &mut streams {
        assert_eq!(entries_to_end(stream), 1);
    }
    // A few skips may have begun before one of them had seen anything.
    let read = read_bytes(&server) - before;
    assert!(read < 4 * JOURNAL_BYTES, "{read} bytes were read of a journal of {JOURNAL_BYTES}");
    let before = read_bytes(&server);
    assert_eq!(entries_to_end(&mut server.stream(&id, AFTER_ALL)), 1);
    let read = read_bytes(&server) - before;
    assert!(read < 2 * MIB, "{read} bytes were read, although the journal is known");
}

/// A program that sends this many messages of nearly 4 MiB each.
fn large_messages(count: u32) -> String {
    format!(
        "import os\nfd = int(os.environ['LIVECODE_FD'])\n\
         line = b'{{\"msgtype\":\"a\",\"x\":\"' + b'x' * (4 * 1024 * 1024 - 30) + b'\"}}\\n'\n\
         for _ in range({count}):\n    rest = memoryview(line)\n    while rest: rest = rest[os.write(fd, rest):]\n"
    )
}

/// Connects watchers that never read, waits until the server sends them no more, and returns how
/// many bytes of memory each costs the server.
fn bytes_of_a_watcher(server: &Server, request: &str) -> u64 {
    const WATCHERS: u64 = 50;
    let before = resident_bytes(server);
    let connect = |_| {
        let mut connection = TcpStream::connect(server.address()).expect("the server listens");
        connection.write_all(request.as_bytes()).expect("the server reads");
        connection
    };
    let mut watchers: Vec<_> = (0..WATCHERS).map(connect).collect();
    for watcher in &mut watchers {
        watcher.read_exact(&mut [0; 8]).expect("the answer begins");
    }
    let mut last = 0;
    let mut unchanged = 0;
    eventually("the watchers' connections are full", || {
        std::thread::park_timeout(Duration::from_millis(50));
        let written = number_in(&format!("/proc/{}/io", server.pid()), "wchar:");
        unchanged = if written == last { unchanged + 1 } else { 0 };
        last = written;
        (unchanged == 10).then_some(())
    });
    resident_bytes(server).saturating_sub(before) / WATCHERS
}

/// The most that a client which does not read may cost, in the memory of the server.
const WATCHER_MAX_BYTES: u64 = 256 * 1024;

fn check_idle_watchers(headers: &str) {
    let server = Server::start();
    let request = json!({
        "runtime": "python", "code": large_messages(5), "limits": {"output_bytes": 64 * MIB},
    });
    let id = id(&server.create(&request));
    wait_for_end(&server, &id);
    // Memory that the server needs for any client at all is not measured.
    assert_eq!(server.stream(&id, "?after=5").rest().len(), 2);
    let request =
        format!("GET /sessions/{id}/stream HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", server.address());
    let bytes = bytes_of_a_watcher(&server, &request);
    assert!(bytes < WATCHER_MAX_BYTES, "a watcher that does not read costs {bytes} bytes");
}

#[test]
fn a_websocket_that_is_not_read_costs_little() {
    check_idle_watchers(
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
    );
}

#[test]
fn lines_that_are_not_read_cost_little() {
    check_idle_watchers("Accept: application/x-ndjson\r\n");
}

#[test]
fn events_that_are_not_read_cost_little() {
    check_idle_watchers("Accept: text/event-stream\r\n");
}

/// A large message is sent in pieces. Each client must get it as it was.
#[test]
fn a_large_message_arrives_whole_on_every_endpoint() {
    let server = Server::start();
    let code = "import os\nfd = int(os.environ['LIVECODE_FD'])\n\
        line = ('{\"msgtype\":\"a\",\"x\":\"' + 'aé€😀' * 300_000 + '\"}\\n').encode()\n\
        while line: line = line[os.write(fd, line):]\nprint('after')\n";
    let expected = json!({"msgtype": "a", "x": "aé€😀".repeat(300_000)});
    let id = server.create_id("python", code);
    wait_for_end(&server, &id);

    assert!(server.stream(&id, "").next_of("a") == expected);
    let numbered = server.stream(&id, "?after=0").next_of("a");
    let seq = numbered["seq"].as_u64().expect("a number");
    assert!(numbered == json!({"msgtype": "a", "x": expected["x"], "seq": seq}));
    let path = format!("/sessions/{id}/stream?after=0");
    for (accept, prefix) in [("application/x-ndjson", ""), ("text/event-stream", "data: ")] {
        let text = server.request("GET", &path, &[("accept", accept)], &[]).text();
        let messages = text.lines().filter_map(|line| line.strip_prefix(prefix));
        let messages: Vec<Value> = messages
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        assert!(messages.contains(&numbered), "{accept}");
        assert_eq!(messages.len(), 3, "{accept}: the message, the output and the end");
    }

    let exec = json!({"runtime": "python", "code": code, "source": code, "raw_output": true});
    let text = server.post("/exec", &exec).text();
    let messages = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    assert!(messages.collect::<Vec<_>>().contains(&expected), "/exec");
    let mut classic = server.websocket("/livecode");
    classic.send(&json!({"msgtype": "exec", "runtime": "python", "code": code, "source": code}));
    assert!(classic.next_of("a") == expected, "/livecode");
}

/// Fills a small disk with output that looks like exit records. Then it writes so little that a
/// part of what a failed write left stays behind the last record.
const FORGER: &str = r#"
import sys, time, struct, os
def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8): crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff
def forged():
    for tried in range(1000):
        payload = b'{"exitstatus":42,"outcome":"exited","started_us":1,"ended_us":%d}' % (1000 + tried)
        payload = payload.ljust(480)
        length, rest = struct.pack("<I", 480), struct.pack("<QQB7x", 1_000_000, 1, 4)
        crc = struct.pack("<I", crc32c(length + rest + payload))
        if max(crc) < 128: return length + crc + rest + payload
record = forged()
for _ in range(400): os.write(1, record * 128)
time.sleep(1)
os.write(1, b"m" * 512)
time.sleep(60)
"#;

#[test]
fn output_never_passes_for_the_end_of_a_session() {
    if !is_root() {
        return; // mounting needs root; the journal's own tests check the same without a mount
    }
    // ext2 cannot allocate ahead. The mount is in a namespace of the server's, and ends with it.
    let mount = r#"while [ "$1" != -- ]; do shift; done; shift
        for word; do [ "$previous" = --data-dir ] && data=$word; previous=$word; done
        truncate -s 24M "$data.ext2" && mke2fs -q -F -t ext2 -m 0 "$data.ext2" \
            && mount -o loop "$data.ext2" "$data" && rm "$data.ext2" && exec "$@""#;
    let wrapper = ["unshare", "--mount", "sh", "-c", mount, "sh", "--"];
    let server = Server::start_by(&wrapper, &["--disk-min-free-bytes", "0"]);
    let request =
        json!({"runtime": "python", "code": FORGER, "limits": {"output_bytes": 64 * MIB, "cpu_ms": 60_000}});
    let id = id(&server.create(&request));
    let mut stream = server.stream(&id, "");
    loop {
        let message = stream.next().expect("the mark comes");
        if message["data"].as_str().is_some_and(|data| data.starts_with("mm")) {
            break;
        }
        assert_ne!(message["msgtype"], "exitstatus", "{message}");
    }
    // The supervisor is killed before it can close its journal.
    let state = fs::read(
        PathBuf::from(format!("/proc/{}/root", server.pid()))
            .join(server.data().strip_prefix("/").expect("an absolute path"))
            .join(format!("sessions/{id}/state.json")),
    );
    let state: Value = serde_json::from_slice(&state.expect("a state file")).expect("JSON");
    let pid = state["pid"].as_i64().and_then(|pid| Pid::from_raw(pid as i32)).expect("a pid");
    kill_process(pid, Signal::KILL).expect("the supervisor lives");
    let session = wait_for_end(&server, &id);
    assert_eq!((&session["outcome"], &session["exitstatus"]), (&json!("lost"), &json!(255)));
}
