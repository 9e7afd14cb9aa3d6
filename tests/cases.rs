//! Cases: a program that is compiled once, and run in a sandbox of its own for each case.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::{
    common::{Server, eventually, id, processes},
    compiled::Workshop,
    docs::{blocks, document},
};

/// The messages of a session with cases.
pub struct Graded {
    pub id: String,
    pub messages: Vec<Value>,
}

impl Graded {
    pub fn of(server: &Server, request: &Value) -> Self {
        let id = id(&server.create(request));
        let messages = server.stream(&id, "?after=0").rest();
        Self { id, messages }
    }

    fn of_type(&self, msgtype: &str) -> Vec<&Value> {
        self.messages.iter().filter(|message| message["msgtype"] == msgtype).collect()
    }

    /// The entry of each case.
    pub fn cases(&self) -> Vec<&Value> {
        self.of_type("case")
    }

    /// The names of the cases that have passed.
    pub fn passed(&self) -> Vec<&str> {
        let passed = self.cases().into_iter().filter(|case| case["passed"] == true);
        passed.map(|case| case["name"].as_str().expect("a name")).collect()
    }

    pub fn case(&self, name: &str) -> &Value {
        let found = self.cases().into_iter().find(|case| case["name"] == name);
        found.unwrap_or_else(|| panic!("no case {name:?} among {:?}", self.messages))
    }

    /// The numbers of cases that have passed, have failed and were not run.
    pub fn summary(&self) -> [u64; 3] {
        let [summary] = self.of_type("cases")[..] else { panic!("one summary: {:?}", self.messages) };
        ["passed", "failed", "skipped"].map(|field| summary[field].as_u64().unwrap_or(0))
    }

    pub fn exit(&self) -> (i64, Option<&str>) {
        let [exit] = self.of_type("exitstatus")[..] else { panic!("one exit: {:?}", self.messages) };
        (exit["exitstatus"].as_i64().expect("an exit status"), exit["reason"].as_str())
    }
}

/// A request with cases that a program in Bash gets.
pub fn bash(code: &str, cases: &Value) -> Value {
    json!({"runtime": "bash", "code": code, "cases": cases})
}

#[test]
fn each_case_is_an_entry_in_order_and_the_last_one_sums_up() {
    let server = Server::start();
    let code = "read a b; echo $((a + b)); echo \"$1\" >&2; exit $((a == 7))";
    let graded = Graded::of(
        &server,
        &bash(
            code,
            &json!([
                {"name": "small", "stdin": "1 2\n", "args": ["x"], "expected": "3\n"},
                {"stdin": "20 30\n", "expected": "51\n"},
                {"name": "status", "stdin": "7 0\n", "expected": "7\n"},
                {"name": "free", "stdin": "1 1\n"},
            ]),
        ),
    );
    let shown = |case: &Value| {
        let fields = ["name", "passed", "outcome", "exitstatus", "stdout", "stderr", "truncated"];
        fields.map(|field| case[field].clone())
    };
    assert_eq!(
        graded.cases().into_iter().map(shown).collect::<Vec<_>>(),
        [
            [json!("small"), json!(true), json!("exited"), json!(0), json!("3\n"), json!("x\n"), Value::Null],
            [json!("2"), json!(false), json!("exited"), json!(0), json!("50\n"), json!("\n"), Value::Null],
            [
                json!("status"),
                json!(false),
                json!("exited"),
                json!(1),
                json!("7\n"),
                json!("\n"),
                Value::Null
            ],
            [json!("free"), json!(true), json!("exited"), json!(0), json!("2\n"), json!("\n"), Value::Null],
        ]
    );
    for case in graded.cases() {
        let taken = case["time_taken"].as_f64().expect("a time in seconds");
        assert!((0.0..10.0).contains(&taken), "{case}");
    }
    assert_eq!((graded.summary(), graded.exit()), ([2, 2, 0], (1, None)));
    // The entries are numbered without a gap, and nothing else is printed.
    let numbers: Vec<_> = graded.messages.iter().filter_map(|message| message["seq"].as_u64()).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
    let document = server.get(&format!("/sessions/{}", graded.id)).json();
    assert_eq!((&document["outcome"], &document["exitstatus"]), (&json!("exited"), &json!(1)));
    assert!(document["usage"]["wall_ms"].as_u64().is_some_and(|ms| ms > 0), "{document}");
}

#[test]
fn twenty_cases_of_a_c_program_take_one_compilation() {
    let server = Server::start();
    let code = "#include <stdio.h>\nint main(void) { int a, b; scanf(\"%d %d\", &a, &b); printf(\"%d\\n\", a + b); }\n";
    let case = |number: u64| json!({"stdin": format!("{number} {number}\n"), "expected": format!("{}\n", 2 * number)});
    let cases: Vec<_> = (0..20).map(case).collect();
    let request = json!({"runtime": "c", "code": code, "cases": cases, "stages": true});
    // The first session compiles the program, the second finds it in the cache.
    for cached in [false, true] {
        let graded = Graded::of(&server, &request);
        assert_eq!((graded.summary(), graded.exit()), ([20, 0, 0], (0, None)), "{:?}", graded.messages);
        let document = server.get(&format!("/sessions/{}", graded.id)).json();
        assert_eq!(document["compile"]["cached"], cached, "{document}");
    }
}

/// The compile step of this runtime makes another program each time.
#[test]
fn what_was_compiled_once_is_what_each_case_runs() {
    let workshop = Workshop::new();
    let code = "echo echo $(cat /proc/sys/kernel/random/uuid) > /tmp/out/main.sh; echo once >&2";
    let request = json!({"runtime": "workshop", "code": code, "cases": [{}, {}, {"files": [
        {"filename": "make.sh", "contents": "not compiled"}]}]});
    for arguments in [&[][..], &["--compile-cache-bytes", "0"]] {
        let server = workshop.serve(arguments);
        let graded = Graded::of(&server, &request);
        assert_eq!((graded.summary(), graded.exit()), ([3, 0, 0], (0, None)), "{:?}", graded.messages);
        let printed: Vec<_> = graded.cases().iter().map(|case| &case["stdout"]).collect();
        assert!(printed[0].as_str().is_some_and(|uuid| uuid.len() == 37), "{printed:?}");
        assert!(printed.iter().all(|other| *other == printed[0]), "{printed:?}");
        // The compiler's words are output of the session.
        let [once] = graded.of_type("write")[..] else { panic!("{:?}", graded.messages) };
        assert_eq!(once["data"], "once\n");
        // A cached result is used by a session without cases, and one of a session without cases
        // here.
        let cached = server.run(&json!({"runtime": "workshop", "code": code}));
        assert_eq!(json!(cached.stdout) == *printed[0], arguments.is_empty(), "{cached:?}");
    }
}

#[test]
fn a_program_that_cannot_be_compiled_fails_all_cases() {
    let server = Server::start();
    for (stages, reason) in [(true, Some("compile_failed")), (false, None)] {
        let request = json!({"runtime": "c", "code": "int main(void) { return x; }", "stages": stages,
            "cases": [{}, {}]});
        let graded = Graded::of(&server, &request);
        assert_eq!((graded.summary(), graded.exit()), ([0, 2, 0], (1, reason)), "{:?}", graded.messages);
        assert!(graded.cases().is_empty());
        let errors = graded.of_type("write");
        assert!(errors.iter().any(|write| write["data"].to_string().contains("undeclared")), "{errors:?}");
    }
}

/// Then the supervisor makes each sandbox by itself.
#[test]
fn cases_need_no_warm_sandboxes() {
    let server = Server::start_with(&["--warm", "off"]);
    let case = |number: u64| json!({"stdin": number.to_string(), "expected": format!("{number}0")});
    let cases: Vec<_> = (0..10).map(case).collect();
    let code = "import time; time.sleep(0.02); print(input(), 0, sep='')";
    let graded = Graded::of(&server, &json!({"runtime": "python", "code": code, "cases": cases}));
    assert_eq!((graded.summary(), graded.exit()), ([10, 0, 0], (0, None)), "{:?}", graded.messages);
}

/// A program that does what its input says.
const MISBEHAVING: &str = r#"
import os, time
what = input()
if what == "fork bomb":
    while True:
        try:
            os.fork()
        except OSError:
            pass
elif what == "hang":
    time.sleep(1000)
elif what == "memory bomb":
    hoard = []
    while True:
        hoard.append(bytearray(1 << 20))
elif what == "crash":
    os.abort()
elif what == "flood":
    while True:
        print("x" * 1000)
elif what == "leave a trace":
    open("/tmp/trace", "w").close()
    open("trace", "w").close()
    if os.fork() == 0:
        os.setsid()
        time.sleep(1000)
    print("left")
elif what == "cheat":
    print("left")
else:
    print(os.path.exists("/tmp/trace"), os.path.exists("trace"), sorted(os.listdir(".")))
"#;

#[test]
fn a_program_that_misbehaves_fails_its_case_alone() {
    let server = Server::start();
    let clean = "False False ['main.py']\n";
    let what = ["fork bomb", "hang", "memory bomb", "crash", "flood", "leave a trace", "cheat"];
    let mut cases = vec![];
    for what in what {
        let timeout = if ["fork bomb", "hang"].contains(&what) { 1500 } else { 20_000 };
        let expected = if what == "cheat" { "right\n" } else { "left\n" };
        cases.push(
            json!({"name": what, "stdin": format!("{what}\n"), "expected": expected, "timeout": timeout}),
        );
        let name = format!("after {what}");
        cases.push(json!({"name": name, "stdin": "look\n", "expected": clean, "compare": "exact"}));
    }
    let limits = json!({"memory_bytes": 64 << 20});
    let request = json!({"runtime": "python", "code": MISBEHAVING, "cases": cases, "limits": limits});
    let graded = Graded::of(&server, &request);
    let mut passed: Vec<_> = what.iter().map(|what| format!("after {what}")).collect();
    passed.insert(5, "leave a trace".into());
    assert_eq!(graded.passed(), passed, "{:?}", graded.messages);
    assert_eq!((graded.summary(), graded.exit()), ([8, 6, 0], (1, None)));
    let outcome = |name: &str| graded.case(name)["outcome"].as_str().expect("an outcome").to_owned();
    assert!(["timeout", "cpu"].contains(&&*outcome("fork bomb")), "{}", outcome("fork bomb"));
    assert_eq!(outcome("hang"), "timeout");
    // Without a cgroup, the program gets a MemoryError.
    assert!(["memory", "exited"].contains(&&*outcome("memory bomb")), "{}", outcome("memory bomb"));
    assert_eq!((&*outcome("crash"), &graded.case("crash")["exitstatus"]), ("signalled", &json!(134)));
    assert_eq!((&*outcome("flood"), &graded.case("flood")["truncated"]), ("output", &json!(true)));
    assert_eq!(outcome("cheat"), "exited");
}

#[test]
fn output_is_compared_as_the_case_says() {
    let server = Server::start();
    let way = |compare: &str, stdin: &str| json!({"name": format!("{compare} {stdin:?}"), "stdin": stdin, "expected": "a 1.5\nb\n", "compare": compare});
    let printed = ["a 1.5\nb\n", "a 1.5  \nb\n\n", "a\n1.5 b", "a 1.50000001\nb\n", "a 1.6\nb\n"];
    let compares = ["exact", "trimmed", "tokens", "floats"];
    let cases: Vec<_> = printed.iter().flat_map(|text| compares.map(|compare| way(compare, text))).collect();
    let mut request = bash("cat", &json!(cases));
    request["cases"].as_array_mut().expect("a list").push(json!(
        {"name": "tolerant", "stdin": "a 1.6\nb\n", "expected": "a 1.5\nb\n", "compare": "floats", "tolerance": 0.1}
    ));
    let graded = Graded::of(&server, &request);
    let passed: Vec<_> = graded.cases().iter().map(|case| case["passed"] == true).collect();
    let mut expected = vec![];
    for least in [0, 1, 2, 3, 4] {
        expected.extend((0..4).map(|compare| compare >= least));
    }
    expected.push(true);
    assert_eq!(passed, expected, "{:?}", graded.messages);
}

#[test]
fn a_case_has_files_and_arguments_of_its_own() {
    let server = Server::start();
    // Contents of this size stand in a file of their own on the server.
    let large = "x".repeat(100_000);
    let mut request = bash(
        "cat data/in.txt; echo \"$@\"; ls; wc -c < large",
        &json!([
            {"name": "own", "args": ["b"], "files": [{"filename": "data/in.txt", "contents": "replaced "}]},
            {"name": "shared", "args": ["c d", "e"]},
            {"name": "more", "files": [{"filename": "z", "contents": "AA==", "encoding": "base64"}]},
            {"name": "shared again", "args": ["f"]},
        ]),
    );
    request["args"] = json!(["a"]);
    request["files"] = json!([{"filename": "data/in.txt", "contents": "shared "},
        {"filename": "large", "contents": large}]);
    for large in [100_000, 1] {
        request["files"][1]["contents"] = json!("x".repeat(large));
        let graded = Graded::of(&server, &request);
        let printed: Vec<_> =
            graded.cases().iter().map(|case| case["stdout"].as_str().expect("text")).collect();
        assert_eq!(
            printed,
            [
                format!("replaced a b\ndata\nlarge\nmain.sh\n{large}\n"),
                format!("shared a c d e\ndata\nlarge\nmain.sh\n{large}\n"),
                format!("shared a\ndata\nlarge\nmain.sh\nz\n{large}\n"),
                format!("shared a f\ndata\nlarge\nmain.sh\n{large}\n"),
            ],
            "{:?}",
            graded.messages
        );
    }
}

#[test]
fn after_a_failure_no_case_is_run_if_the_request_says_so() {
    let server = Server::start();
    let mut request = bash(
        "cat",
        &json!([
            {"name": "good", "stdin": "1", "expected": "1"},
            {"name": "bad", "stdin": "1", "expected": "2"},
            {"name": "never", "stdin": "1", "expected": "1"},
        ]),
    );
    request["stop_on_first_failure"] = json!(true);
    let graded = Graded::of(&server, &request);
    assert_eq!((graded.cases().len(), graded.summary(), graded.exit()), (2, [1, 1, 1], (1, None)));
}

#[test]
fn a_long_output_is_shown_in_part_and_compared_whole() {
    let server = Server::start();
    let long = "é".repeat(20_000);
    let code = "cat; for n in {1..5000}; do echo error; done >&2";
    let graded = Graded::of(
        &server,
        &bash(
            code,
            &json!([
                {"name": "right", "stdin": format!("{long}!"), "expected": format!("{long}!")},
                {"name": "wrong", "stdin": format!("{long}!"), "expected": format!("{long}?")},
            ]),
        ),
    );
    assert_eq!(graded.passed(), ["right"]);
    for case in graded.cases() {
        assert_eq!((case["stdout"].as_str(), &case["truncated"]), (Some(&*"é".repeat(8192)), &json!(true)));
        assert_eq!(case["stderr"].as_str().map(str::len), Some(4096));
    }
    // A request's limit of output is that of each case.
    let mut request = bash("cat", &json!([{"stdin": "123"}, {"stdin": "1".repeat(33)}]));
    request["limits"] = json!({"output_bytes": 32});
    let graded = Graded::of(&server, &request);
    let outcomes: Vec<_> = graded.cases().iter().map(|case| case["outcome"].as_str()).collect();
    assert_eq!((outcomes, graded.exit()), (vec![Some("exited"), Some("output")], (1, None)));
}

/// Six cases that take their time.
fn slow_cases() -> Value {
    let case = |number: u64| json!({"stdin": number.to_string(), "expected": number.to_string()});
    bash("cat; sleep 0.2", &json!((0..6).map(case).collect::<Vec<_>>()))
}

#[test]
fn a_cut_connection_loses_no_result() {
    let server = Server::start();
    let id = id(&server.create(&slow_cases()));
    let mut messages = vec![];
    let mut seq = 0;
    loop {
        // Each connection is cut after one message.
        let mut stream = server.stream(&id, &format!("?after={seq}"));
        assert_eq!(stream.next().expect("welcome")["msgtype"], "welcome");
        let message = stream.next().expect("a message");
        seq = message["seq"].as_u64().expect("a number");
        let is_last = message["msgtype"] == "exitstatus";
        messages.push(message);
        if is_last {
            break;
        }
    }
    let graded = Graded { id, messages };
    assert_eq!((graded.passed().len(), graded.summary(), graded.exit()), (6, [6, 0, 0], (0, None)));
}

#[test]
fn a_killed_server_loses_no_result() {
    let mut server = Server::start();
    let id = id(&server.create(&slow_cases()));
    server.stream(&id, "?after=0").next_of("case");
    server.kill();
    server.start_again();
    let messages = server.stream(&id, "?after=0").rest();
    let graded = Graded { id, messages };
    assert_eq!((graded.passed().len(), graded.summary(), graded.exit()), (6, [6, 0, 0], (0, None)));
}

#[test]
fn a_session_is_deleted_in_the_middle_of_its_cases() {
    let server = Server::start();
    let mark = format!("86{}", std::process::id());
    let cases = json!([{"stdin": "0"}, {"stdin": mark, "timeout": 60_000}, {"stdin": "0"}]);
    let id = id(&server.create(&bash("read time; exec sleep $time", &cases)));
    let mut stream = server.stream(&id, "?after=0");
    assert_eq!(stream.next_of("case")["passed"], true);
    let mark = format!("sleep\0{mark}");
    eventually("the second case runs", || (!processes(&mark).is_empty()).then_some(()));
    assert_eq!(server.delete(&format!("/sessions/{id}")).status, 204);
    assert!(processes(&mark).is_empty());
    let graded = Graded { id, messages: stream.rest() };
    assert_eq!(graded.exit(), (137, Some("cancelled")));
    assert_eq!(graded.case("2")["outcome"], "cancelled");
    assert_eq!(graded.summary(), [1, 1, 1]);
}

#[test]
fn a_signal_reaches_the_case_that_runs_and_no_further_case_is_run() {
    let server = Server::start();
    let cases = json!([{"stdin": "60", "timeout": 60_000}, {"stdin": "0"}]);
    let id = id(&server.create(&bash("read time; exec sleep $time", &cases)));
    let mut stream = server.stream(&id, "?after=0");
    // Nobody types anything for a case.
    stream.send(&json!({"msgtype": "input", "data": "0\n"}));
    assert_eq!(stream.next_of("error")["code"], "input_closed");
    stream.send(&json!({"msgtype": "signal", "signal": "kill"}));
    let graded = Graded { id, messages: stream.rest() };
    assert_eq!(graded.case("1")["outcome"], "signalled");
    assert_eq!((graded.summary(), graded.exit()), ([0, 1, 1], (1, None)));
}

/// The process that supervises a session.
pub fn supervisor(server: &Server, id: &str) -> Pid {
    let state = server.data().join("sessions").join(id).join("state.json");
    let state: Value = serde_json::from_slice(&std::fs::read(state).expect("a file")).expect("valid JSON");
    state["pid"].as_i64().and_then(|pid| Pid::from_raw(pid as i32)).expect("a pid")
}

/// The entries of a dead supervisor stay, and nothing of it goes on.
#[test]
fn a_killed_supervisor_costs_the_cases_that_have_not_ended() {
    let server = Server::start();
    let mark = format!("87{}", std::process::id());
    let cases = json!([{"stdin": "0"}, {"stdin": mark, "timeout": 60_000}, {"stdin": "0"}]);
    let id = id(&server.create(&bash("read time; exec sleep $time", &cases)));
    let mut stream = server.stream(&id, "?after=0");
    let first = stream.next_of("case");
    let mark = format!("sleep\0{mark}");
    eventually("the second case runs", || (!processes(&mark).is_empty()).then_some(()));
    kill_process(supervisor(&server, &id), Signal::KILL).expect("the supervisor runs");
    let graded = Graded { id: id.clone(), messages: [vec![first], stream.rest()].concat() };
    assert_eq!((graded.passed(), graded.exit()), (vec!["1"], (255, Some("lost"))));
    eventually("no process of it is left", || processes(&mark).is_empty().then_some(()));
}

#[test]
fn all_cases_together_have_a_limit_of_time() {
    let server = Server::start();
    let mut request = bash(
        "read time; sleep $time",
        &json!([
            {"stdin": "0"}, {"stdin": "60", "timeout": 60_000}, {"stdin": "0"}
        ]),
    );
    request["total_timeout"] = json!(1500);
    let graded = Graded::of(&server, &request);
    assert_eq!((graded.summary(), graded.exit()), ([1, 1, 1], (124, Some("timeout"))));
    assert_eq!(graded.case("2")["outcome"], "timeout");
    let document = server.get(&format!("/sessions/{}", graded.id)).json();
    assert_eq!(document["limit"], json!({"name": "wall_ms", "value": 1500}));
}

#[test]
fn a_request_with_wrong_cases_is_refused() {
    let server = Server::start_with(&["--cases-max", "3", "--cases-max-bytes", "1000"]);
    let with = |fields: Value| {
        let mut request = bash("cat", &json!([{}]));
        request.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
        request
    };
    let case = |case: Value| with(json!({"cases": [{}, case]}));
    let file = |filename: &str| json!({"files": [{"filename": filename, "contents": ""}]});
    for (request, field, word) in [
        (with(json!({"cases": []})), "cases", "empty"),
        (with(json!({"cases": [{}, {}, {}, {}]})), "cases", "4 cases; at most 3"),
        (case(json!({"stdin": "x".repeat(500), "expected": "x".repeat(501)})), "cases", "1001 bytes"),
        (case(json!({"name": ""})), "cases[1].name", "between 1 and 200"),
        (case(json!({"name": "x".repeat(201)})), "cases[1].name", "between 1 and 200"),
        (case(json!({"compare": "exact"})), "cases[1].compare", "expected"),
        (case(json!({"expected": "1", "tolerance": 1})), "cases[1].tolerance", "floats"),
        (
            case(json!({"expected": "1", "compare": "floats", "tolerance": -1})),
            "cases[1].tolerance",
            "from 0 on",
        ),
        (case(json!({"timeout": 1})), "cases[1].timeout", "at least 10"),
        (case(json!({"args": ["\0"]})), "cases[1].args", "NUL"),
        (case(file("../x")), "cases[1].files[0].filename", "cannot be a file's name"),
        (case(file("stdin")), "cases[1].files", "\"stdin\" of the case"),
        (case(file("main.sh/x")), "cases[1].files", "also a folder"),
        (with(json!({"stdin": "1"})), "stdin", "of its own"),
        (with(json!({"collect": ["x"]})), "collect", "not kept"),
        (with(json!({"mode": "test", "runtime": "python"})), "cases", "\"test\""),
        (with(json!({"cases": null, "total_timeout": 100})), "total_timeout", "only with \"cases\""),
        (with(json!({"cases": null, "stop_on_first_failure": true})), "stop_on_first_failure", "only with"),
        (with(json!({"total_timeout": 1})), "total_timeout", "at least 10"),
    ] {
        let problem = server.post("/sessions", &request).problem_with_code(422, "invalid_field");
        assert_eq!(problem["field"], field, "{problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(word)), "{problem}");
    }
    // An unknown way to compare, and an unknown field, are no case at all.
    for wrong in [json!({"compare": "roughly"}), json!({"input": "1"})] {
        server.post("/sessions", &case(wrong)).problem(422);
    }
}

#[test]
fn the_documented_example_has_the_documented_messages() {
    let server = Server::start();
    let text = document("docs/protocol.md");
    let commands = blocks(&text, "sh");
    let command = commands.iter().find(|block| block.contains("\"cases\"")).expect("an example");
    let body = command.split('\'').nth(3).expect("a body in quotation marks");
    let graded = Graded::of(&server, &serde_json::from_str(body).expect("valid JSON"));
    let examples = blocks(&text, "json");
    let shown = examples.iter().find(|block| block.contains("\"case\"")).expect("an example");
    let shown = shown.lines().map(|line| serde_json::from_str::<Value>(line).expect("valid JSON"));
    let mut sent = graded.messages.clone();
    sent.pop_if(|message| message["msgtype"] == "exitstatus").expect("an exitstatus");
    let sent = sent.into_iter().filter(|message| message["msgtype"] != "welcome");
    // These differ from run to run and from machine to machine.
    let normal = |mut message: Value| {
        let fields = message.as_object_mut().expect("an object");
        for field in ["seq", "memory_peak_bytes"] {
            fields.remove(field);
        }
        for field in ["time_taken", "stderr"] {
            fields.entry(field).and_modify(|value| *value = Value::Null);
        }
        message
    };
    assert_eq!(sent.map(normal).collect::<Vec<_>>(), shown.map(normal).collect::<Vec<_>>());
}
