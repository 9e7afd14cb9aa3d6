//! A start that fails for want of a resource is tried again, and nothing is killed by mistake.

use std::{fs, path::PathBuf};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::{
    cases::{Graded, bash},
    common::{Run, Server, eventually, id, is_root, processes},
};

/// Makes the caller a guest.
const GUEST: (&str, &str) = ("origin", "https://elsewhere.example");

/// A group of cgroup v1 that limits the number of processes. It is removed on drop, when the
/// server and its processes are gone.
struct PidsGroup(PathBuf);

impl PidsGroup {
    /// `None` if this machine has no such hierarchy, or if the user may not make groups.
    fn new(name: &str) -> Option<Self> {
        let path = PathBuf::from(format!("/sys/fs/cgroup/pids/livecode-test-{name}-{}", std::process::id()));
        (is_root() && fs::create_dir(&path).is_ok()).then(|| Self(path))
    }

    /// A server whose processes all belong to the group.
    fn start_server(&self, arguments: &[&str]) -> Server {
        let enter = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", self.0.display());
        Server::start_by(&["sh", "-c", &enter, "sh"], arguments)
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.0.join(file)).expect("the group exists")
    }

    /// Lets no further process be made.
    fn close(&self) {
        fs::write(self.0.join("pids.max"), "1").expect("a number is valid");
    }

    fn open(&self) {
        fs::write(self.0.join("pids.max"), "max").expect("`max` is valid");
    }

    /// How many forks the limit has prevented.
    fn prevented(&self) -> u64 {
        let events = self.read("pids.events");
        events.split_whitespace().last().and_then(|count| count.parse().ok()).expect("a number")
    }
}

impl Drop for PidsGroup {
    fn drop(&mut self) {
        self.open();
        eventually("the group is empty", || fs::remove_dir(&self.0).ok());
    }
}

fn document(server: &Server, id: &str) -> Value {
    server.get(&format!("/sessions/{id}")).json()
}

#[test]
fn sessions_wait_while_no_process_can_be_forked() {
    let Some(group) = PidsGroup::new("fork") else { return };
    let server = group.start_server(&["--warm", "off"]);
    assert_eq!(server.run_code("bash", "echo warm").stdout, "warm\n");
    group.close();
    let ids: Vec<_> =
        (0..10).map(|n| server.create_id("bash", &format!("read line; echo {n} $line"))).collect();
    // An input that comes before the start is neither lost nor delivered twice.
    let mut streams: Vec<_> = ids.iter().map(|id| server.stream(id, "")).collect();
    for stream in &mut streams {
        stream.send(&json!({"msgtype": "input", "data": "hello\n"}));
    }
    let before = group.prevented();
    eventually("each session was tried more than five times", || {
        (group.prevented() >= before + 60).then_some(())
    });
    for id in &ids {
        assert_eq!(document(&server, id)["state"], "queued");
    }
    let cancelled = server.create_id("bash", "echo never");
    assert_eq!(server.delete(&format!("/sessions/{cancelled}")).status, 204);
    group.open();
    for (n, stream) in streams.into_iter().enumerate() {
        let run = Run::collect(stream);
        assert_eq!((&*run.stdout, run.exitstatus), (&*format!("{n} hello\n"), 0), "{run:?}");
    }
}

#[test]
fn sessions_beyond_the_number_of_processes_run_one_after_the_other() {
    let Some(group) = PidsGroup::new("few") else { return };
    let server = group.start_server(&[]);
    assert_eq!(server.run_code("python", "print(1)").stdout, "1\n");
    let current: u64 = group.read("pids.current").trim().parse().expect("a number");
    fs::write(group.0.join("pids.max"), (current + 4).to_string()).expect("a number is valid");
    let code = "import time\ntime.sleep(0.3)\nprint('ok')";
    let ids: Vec<_> = (0..20).map(|_| server.create_id("python", code)).collect();
    for id in &ids {
        let run = Run::collect(server.stream(id, ""));
        assert_eq!((&*run.stdout, run.exitstatus), ("ok\n", 0), "{run:?}");
    }
    assert!(group.prevented() > 0, "the limit was never reached");
}

#[test]
fn a_start_that_never_succeeds_ends_as_timeout_and_says_why() {
    let Some(group) = PidsGroup::new("never") else { return };
    let server = group.start_server(&["--warm", "off", "--start-timeout-ms", "500"]);
    assert_eq!(server.get("/healthz").status, 200); // all of its threads have been started
    group.close();
    let id = server.create_id("bash", "echo never");
    let run = Run::collect(server.stream(&id, ""));
    assert_eq!((run.exitstatus, run.reason.as_deref()), (124, Some("timeout")), "{run:?}");
    assert!(run.stderr.starts_with("livecode: the program could not be started: "), "{run:?}");
    group.open();
    assert_eq!(server.run_code("bash", "echo again").stdout, "again\n");
}

/// A session of three cases, if its request has no others. The program of the first one has ended,
/// and what comes next cannot be started.
struct HeldUp {
    id: String,
    server: Server,
    group: PidsGroup,
}

impl HeldUp {
    /// `None` if this machine cannot limit processes by cgroups. `mark` is a number that no other
    /// test has, and `fields` are further ones of the request.
    fn new(name: &str, mark: &str, fields: &Value) -> Option<Self> {
        let group = PidsGroup::new(name)?;
        let server = group.start_server(&[]);
        assert_eq!(server.run_code("bash", "echo warm").stdout, "warm\n");
        let mark = format!("{mark}{}", std::process::id());
        let mut request = bash(
            "read time; exec sleep $time",
            &json!([{"stdin": mark, "timeout": 60_000}, {"stdin": "0"}, {"stdin": "0"}]),
        );
        request.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
        let id = id(&server.create(&request));
        let first = eventually("the first case runs", || processes(&format!("sleep\0{mark}")).pop());
        group.close();
        let before = group.prevented();
        let pid = Pid::from_raw(first as i32).expect("a pid");
        kill_process(pid, Signal::TERM).expect("the program runs");
        eventually("the next sandbox was tried more than three times", || {
            (group.prevented() >= before + 5).then_some(())
        });
        Some(Self { id, server, group })
    }

    fn graded(&self) -> Graded {
        let messages = self.server.stream(&self.id, "?after=0").rest();
        Graded { id: self.id.clone(), messages }
    }
}

#[test]
fn cases_wait_while_no_process_can_be_forked() {
    let Some(held_up) = HeldUp::new("cases", "71", &json!({})) else { return };
    assert_eq!(document(&held_up.server, &held_up.id)["state"], "running");
    held_up.group.open();
    let graded = held_up.graded();
    assert_eq!((graded.passed(), graded.exit()), (vec!["2", "3"], (1, None)), "{:?}", graded.messages);
    assert_eq!(graded.case("1")["outcome"], "signalled");
}

#[test]
fn a_checker_waits_while_no_process_can_be_forked() {
    let fields = json!({
        // The program goes on when its child was killed.
        "code": "read time; sleep $time; echo done",
        "checker": {"runtime": "bash", "code": "grep -q done output"},
        "cases": [{"stdin": format!("74{}", std::process::id()), "timeout": 60_000, "compare": "checker"}],
    });
    let Some(held_up) = HeldUp::new("checker", "74", &fields) else { return };
    held_up.group.open();
    let graded = held_up.graded();
    assert_eq!((graded.passed(), graded.exit()), (vec!["1"], (0, None)), "{:?}", graded.messages);
}

#[test]
fn a_session_whose_case_cannot_be_started_is_cancelled() {
    let Some(held_up) = HeldUp::new("cancel", "72", &json!({})) else { return };
    let mut stream = held_up.server.stream(&held_up.id, "?after=0");
    assert_eq!(held_up.server.delete(&format!("/sessions/{}", held_up.id)).status, 204);
    let graded = Graded { id: held_up.id.clone(), messages: stream.rest() };
    assert_eq!((graded.summary(), graded.exit()), ([0, 1, 2], (137, Some("cancelled"))));
}

#[test]
fn a_case_that_cannot_be_started_in_time_ends_its_session() {
    let Some(held_up) = HeldUp::new("late", "73", &json!({"total_timeout": 6000})) else { return };
    let graded = held_up.graded();
    assert_eq!((graded.summary(), graded.exit()), ([0, 1, 2], (124, Some("timeout"))));
}

/// A server whose data directory is a disk of its own, which only its processes see.
fn server_on_small_disk(mebibytes: u32, arguments: &[&str]) -> Server {
    let script = format!("mount -t tmpfs -o size={mebibytes}M,mode=0700 none \"$6\" && exec \"$@\"");
    Server::start_by(&["unshare", "--mount", "sh", "-c", &script, "sh"], arguments)
}

/// The entries of cases count towards the share, which is a mebibyte here.
#[test]
fn cases_that_fill_the_disk_end_their_session() {
    if !is_root() {
        return;
    }
    let server = server_on_small_disk(64, &["--disk-min-free-bytes", "16777216"]);
    // Each of these bytes takes six in the JSON of an entry.
    let cases: Vec<_> = (0..40).map(|_| json!({"stdin": "\u{1}".repeat(16_384)})).collect();
    let id = id(&server.create(&bash("cat", &json!(cases))));
    let graded = Graded { messages: server.stream(&id, "?after=0").rest(), id };
    let [passed, failed, skipped] = graded.summary();
    assert_eq!((failed, graded.exit()), (0, (137, Some("output"))));
    assert!((1..40).contains(&passed) && passed + skipped == 40, "{passed} passed, {skipped} skipped");
    let limit = &server.get(&format!("/sessions/{}", graded.id)).json()["limit"];
    assert_eq!(limit["name"], "disk_share_bytes");
}

#[test]
fn a_session_that_fills_the_disk_is_stopped_and_its_neighbours_are_not() {
    if !is_root() {
        return;
    }
    let server = server_on_small_disk(96, &["--disk-min-free-bytes", "8388608"]);
    let neighbour = server.create_id(
        "python",
        "for n in range(40):\n    input()\n    print('line', n, 'y' * 3000, flush=True)",
    );
    let mut stream = server.stream(&neighbour, "");
    let code = "import os\nwhile True: os.write(1, b'x' * 65536)";
    let request =
        json!({"runtime": "python", "code": code, "limits": {"output_bytes": 1 << 30, "cpu_ms": 60_000}});
    let body = request.to_string();
    let flooder =
        server.request("POST", "/sessions", &[GUEST, ("content-type", "application/json")], body.as_bytes());
    assert_eq!(flooder.status, 201, "{}", flooder.text());
    let flooder = id(&flooder.json());
    let flood = Run::collect(server.stream(&flooder, ""));
    assert_eq!(flood.reason.as_deref(), Some("output"), "{:?}", flood.stderr);
    assert!(flood.stderr.contains("share of the disk"), "{:?}", flood.stderr);
    // It got about half of what is above the reserve of 32 MiB, and all of it is there.
    let mebibytes = flood.stdout.len() >> 20;
    assert!((20..=40).contains(&mebibytes), "{mebibytes} MiB");
    for _ in 0..40 {
        stream.send(&json!({"msgtype": "input", "data": "\n"}));
    }
    let run = Run::collect(stream);
    assert_eq!((run.exitstatus, run.stdout.matches("line").count()), (0, 40));
    assert_eq!(server.run_code("bash", "echo room").stdout, "room\n");
}

/// Each limit, with its smallest value and one below.
#[test]
fn limits_have_a_floor_that_lets_a_small_program_run() {
    const FLOORS: [(&str, u64); 6] = [
        ("cpu_ms", 10),
        ("cpu_millicores", 10),
        ("memory_bytes", 2 << 20),
        ("processes", 1),
        ("output_bytes", 32),
        ("disk_bytes", 16 << 10),
    ];
    let server = Server::start();
    let c = "#include <stdio.h>\nint main(void) { puts(\"hi\"); }";
    assert_eq!(server.run_code("c", c).stdout, "hi\n"); // compiled once
    for (name, floor) in FLOORS {
        let body = |value: u64| json!({"runtime": "bash", "code": "", "limits": {name: value}});
        for value in [0, 1, floor - 1] {
            if value < floor {
                let response = server.post("/sessions", &body(value));
                assert_eq!(response.status, 422, "{name} {value}: {}", response.text());
                let problem = response.json();
                assert_eq!(problem["field"], format!("limits.{name}"), "{problem}");
                let detail = problem["detail"].as_str().unwrap_or_default();
                assert!(detail.contains(&format!("at least {floor}")), "{detail}");
            }
        }
        for (runtime, code) in [("c", c), ("bash", "echo hi")] {
            let run = server.run(&json!({"runtime": runtime, "code": code, "limits": {name: floor}}));
            assert_eq!((&*run.stdout, run.exitstatus), ("hi\n", 0), "{name} {floor} {runtime}: {run:?}");
        }
    }
    let problem =
        server.post("/sessions", &json!({"runtime": "bash", "code": "", "timeout": 9})).problem(422);
    assert_eq!(problem["field"], "timeout");
}

#[test]
fn a_small_limit_is_refused_or_ends_the_program_but_loses_nothing() {
    let server = Server::start();
    let with = |runtime: &str, code: &str, limits: Value, file_bytes: usize| {
        let files = json!([{"filename": "data", "contents": "x".repeat(file_bytes)}]);
        json!({"runtime": runtime, "code": code, "limits": limits, "files": files})
    };
    // Without cgroups, memory is sampled, and a short program may end before the first sample.
    let over_memory = if is_root() { &["memory"][..] } else { &["memory", "exited"] };
    // With a warm interpreter the sandbox already holds more than the smallest limit of memory.
    server.run_code("python", "pass");
    for (request, allowed) in [
        (json!({"runtime": "bash", "code": "", "limits": {"disk_bytes": 1}}), &["422"][..]),
        (json!({"runtime": "bash", "code": "", "limits": {"memory_bytes": 65536}}), &["422"]),
        (json!({"runtime": "python", "code": "", "limits": {"memory_bytes": 2 << 20}}), over_memory),
        (json!({"runtime": "python", "code": "", "limits": {"memory_bytes": 2 << 20}}), over_memory),
        (with("bash", "echo 1", json!({"memory_bytes": 2 << 20}), 8 << 20), over_memory),
        (with("bash", "", json!({"disk_bytes": 16384}), 0), &["exited"]),
        (with("bash", ":", json!({"disk_bytes": 16384}), 3 * 4096), &["exited"]),
        (with("bash", ":", json!({"disk_bytes": 16384}), 3 * 4096 + 1), &["422"]),
        (with("python", "pass", json!({"processes": 1}), 10), &["exited"]),
    ] {
        let response = server.post("/sessions", &request);
        let outcome = match response.status {
            201 => {
                let id = id(&response.json());
                Run::collect(server.stream(&id, ""));
                document(&server, &id)["outcome"].as_str().unwrap_or_default().to_owned()
            }
            status => status.to_string(),
        };
        assert!(allowed.contains(&&*outcome), "{outcome}: {}", request["limits"]);
    }
}

/// A guest does not learn from the compile cache whether a file exists in a folder of the machine.
#[test]
fn a_search_path_of_a_request_is_not_looked_up() {
    let server = Server::start();
    let folder = tempfile::tempdir().expect("a temporary folder is created");
    let compiled = |path: &str, text: &str| {
        let code = format!("#include <stdio.h>\nint main(void) {{ puts(\"{text}\"); }}");
        let body = json!({"runtime": "c", "code": code, "env": {"PATH": path}}).to_string();
        let headers = [GUEST, ("content-type", "application/json")];
        let session = server.request("POST", "/sessions", &headers, body.as_bytes());
        assert_eq!(session.status, 201, "{}", session.text());
        let id = id(&session.json());
        assert_eq!(Run::collect(server.stream(&id, "")).stdout, format!("{text}\n"));
        document(&server, &id)["compiled"].as_str().unwrap_or_default().to_owned()
    };
    let path = format!("/usr/..{}:/usr/bin:/bin", folder.path().display());
    let without = [compiled(&path, "hidden"), compiled(&path, "hidden")];
    fs::write(folder.path().join("gcc"), "").expect("the file is written");
    fs::write(folder.path().join("cc"), "").expect("the file is written");
    let with = compiled(&path, "hidden");
    assert_eq!(with, without[1], "the server has looked into {}", folder.path().display());
}

#[test]
fn a_program_that_may_have_less_than_its_compiler_left_ends_for_memory() {
    let server = Server::start();
    // The compiled program, which lies in memory, is larger than the limit.
    let code = "char a[24 << 20] = {1}; int main(void) { return a[1]; }";
    for _ in 0..2 {
        let run = server.run(&json!({"runtime": "c", "code": code, "limits": {"memory_bytes": 8 << 20}}));
        assert_ne!(run.reason.as_deref(), Some("lost"), "{run:?}");
    }
}
