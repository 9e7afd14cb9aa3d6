//! What the server and a supervisor do for a program is charged to that program.

use std::fs;

use serde_json::{Value, json};

use crate::common::{Server, eventually, id};

/// The head of a Python program that writes to its message channel with `send`.
const SEND: &str = "import os, sys\ndef send(data):\n    while data: data = data[os.write(3, data):]\n";

/// The pid of a session's supervisor, once it has written its identity.
fn supervisor(server: &Server, session: &str) -> u32 {
    let path = server.data().join("sessions").join(session).join("state.json");
    let identity = eventually("the session has a supervisor", || {
        serde_json::from_slice::<Value>(&fs::read(&path).ok()?).ok()
    });
    identity["pid"].as_u64().and_then(|pid| pid.try_into().ok()).expect("a pid")
}

/// CPU time of a process in milliseconds (proc_pid_stat(5), fields 14 and 15).
fn cpu_ms(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    let ticks: u64 =
        rest.split_whitespace().skip(11).take(2).filter_map(|text| text.parse::<u64>().ok()).sum();
    Some(ticks * 1000 / rustix::param::clock_ticks_per_second())
}

/// The outcome of a session that has ended, and the CPU time that it was charged.
fn outcome(server: &Server, session: &str) -> (String, u64) {
    let document = server.get(&format!("/sessions/{session}")).json();
    let cpu_ms = document["usage"]["cpu_ms"].as_u64().expect("milliseconds");
    (document["outcome"].as_str().expect("an outcome").to_owned(), cpu_ms)
}

/// Writing these lines costs a program far less than reading them costs its supervisor.
#[test]
fn the_cost_of_output_counts_as_cpu_time_of_the_program() {
    let server = Server::start();
    for lines in [r"b'\n' * 65536", r#"b'{"msgtype":"write"}\n' * 3000"#, r"b'x\n' * 32768"] {
        let code = format!("{SEND}lines = {lines}\nwhile True: send(lines)");
        let request = json!({"runtime": "python", "code": code, "timeout": 8000,
            "limits": {"cpu_ms": 1000, "output_bytes": 64 << 20}});
        // A worker that serves several sessions one after the other has used CPU time before.
        let session = id(&server.create(&request));
        let pid = supervisor(&server, &session);
        let before_ms = cpu_ms(pid).unwrap_or(0);
        let mut spent_ms = 0;
        eventually("the session ends", || {
            spent_ms = cpu_ms(pid).map_or(spent_ms, |now_ms| now_ms.saturating_sub(before_ms).max(spent_ms));
            (server.get(&format!("/sessions/{session}")).json()["state"] == "ended").then_some(())
        });
        let (outcome, charged_ms) = outcome(&server, &session);
        assert_eq!(outcome, "cpu", "{lines}: {charged_ms} ms charged, {spent_ms} ms of the supervisor");
        // What is not charged is less than a tenth of the limit.
        assert!(charged_ms + 100 >= spent_ms, "{lines}: {charged_ms} of {spent_ms} ms");
    }
}

#[test]
fn a_program_is_told_of_few_refused_lines_and_how_many_more_there_were() {
    const LINES: usize = 100_000;
    let server = Server::start();
    let run = server.run_code("python", &format!("{SEND}send(b'x\\n' * {LINES})"));
    assert!(run.stderr.len() < 256 * 1024, "{} bytes of notes", run.stderr.len());
    let told = |line: &str| -> usize {
        match line.strip_prefix("livecode: ").and_then(|note| note.split_once(' ')) {
            Some(("a", _)) => 1,
            Some((count, "more messages were not sent")) => count.parse().expect("a count"),
            _ => panic!("{line}"),
        }
    };
    assert_eq!(run.stderr.lines().map(told).sum::<usize>(), LINES);
    assert_eq!(run.exitstatus, 0);
}

/// A client that reads a message with a recursive parser would exhaust its stack or give up.
#[test]
fn the_depth_of_a_message_is_bounded() {
    let server = Server::start();
    let code = format!(
        "{SEND}for levels in (98, 99, 100_000):\n    \
         nested = b'[' * levels + b']' * levels\n    \
         send(b'{{\"msgtype\":\"deep\",\"x\":' + nested + b'}}\\n')\n    \
         print('--MSG-- {{\"msgtype\":\"printed\",\"x\":' + nested.decode() + '}}', flush=True)\n"
    );
    // Each message is nested one level deeper than its field `x`.
    let run = server.run_code("python", &code);
    let count = |msgtype| run.messages.iter().filter(|message| message["msgtype"] == msgtype).count();
    assert_eq!((count("deep"), count("printed")), (2, 2), "{}", run.stderr);
    assert_eq!(run.stderr.matches("nested more than 100 levels deep").count(), 1, "{}", run.stderr);
    // A line on standard output that is no valid message is output.
    assert!(run.stdout.starts_with("--MSG-- {\"msgtype\":\"printed\",\"x\":[[["), "{}", run.stdout.len());
}
