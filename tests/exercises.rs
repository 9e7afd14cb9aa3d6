//! Exercises, which a teacher keeps on the server, and their hidden cases.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};

use crate::{
    common::{Server, binary, eventually, http::Response, id, processes},
    users::{User, new_token},
};

/// A word that no client may ever see.
const SECRET: &str = "sesame-4711";

pub fn put(server: &Server, exercise: &str, contents: &Value) -> Response {
    let headers = [("content-type", "application/json")];
    server.request("PUT", &format!("/exercises/{exercise}"), &headers, contents.to_string().as_bytes())
}

/// Puts a new exercise.
pub fn keep(server: &Server, exercise: &str, contents: &Value) {
    let response = put(server, exercise, contents);
    assert_eq!(response.status, 201, "{}", response.text());
}

/// The messages of a session with this request, until its end.
pub fn grade(server: &Server, request: &Value) -> (String, Vec<Value>) {
    let id = id(&server.create(request));
    let messages = server.stream(&id, "?after=0&notices=1").rest();
    (id, messages)
}

/// The names of the cases among these messages, and whether each has passed.
pub fn results(messages: &[Value]) -> Vec<(&str, bool)> {
    let cases = messages.iter().filter(|message| message["msgtype"] == "case");
    cases.map(|case| (case["name"].as_str().expect("a name"), case["passed"] == true)).collect()
}

/// An exercise in Bash with these cases.
pub fn bash(cases: &Value) -> Value {
    json!({"runtime": "bash", "cases": cases})
}

#[test]
fn an_exercise_is_put_shown_listed_replaced_and_deleted() {
    let server = Server::start();
    let first =
        bash(&json!([{"stdin": "1", "expected": "1"}, {"stdin": "2", "expected": "2", "hidden": true}]));
    let response = put(&server, "echo.v1", &first);
    assert_eq!(response.header("location"), Some(&*server.url("/exercises/echo.v1")));
    let made = response.json();
    assert_eq!(
        ["id", "version", "cases", "hidden", "contents"].map(|field| made[field].clone()),
        [json!("echo.v1"), json!(1), json!(2), json!(1), Value::Null],
    );
    let shown = server.get("/exercises/echo.v1").json();
    assert_eq!((&shown["contents"]["runtime"], &shown["created"]), (&json!("bash"), &made["created"]));
    assert_eq!(shown["contents"]["cases"][1]["hidden"], true);
    // The same contents change nothing, however they are written.
    let spaced = format!("  {}\n", serde_json::to_string_pretty(&first).expect("plain data"));
    let again = server.request("PUT", "/exercises/echo.v1", &[], spaced.as_bytes());
    assert_eq!((again.status, &again.json()["version"]), (200, &json!(1)));
    let second = bash(&json!([{"stdin": "3", "expected": "3"}]));
    let replaced = put(&server, "echo.v1", &second);
    assert_eq!((replaced.status, &replaced.json()["version"]), (200, &json!(2)));
    assert_eq!(server.get("/exercises/echo.v1").json()["contents"]["cases"][0]["stdin"], "3");
    keep(&server, "another", &second);
    let list = server.get("/exercises").json();
    let ids: Vec<_> = list.as_array().expect("a list").iter().map(id).collect();
    assert_eq!(ids, ["another", "echo.v1"]);
    let page = server.get("/exercises?limit=1");
    assert_eq!(
        (page.json()[0]["id"].clone(), page.json().as_array().map(Vec::len)),
        (json!("another"), Some(1))
    );
    let link = page.header("link").expect("a link to the next page").to_owned();
    let next = link.trim_start_matches('<').split('>').next().expect("a URL").to_owned();
    let next = server.get(next.strip_prefix(&server.url("")).expect("the server's own"));
    assert_eq!((&next.json()[0]["id"], next.header("link")), (&json!("echo.v1"), None));
    assert_eq!(server.delete("/exercises/echo.v1").status, 204);
    // No version names two different contents.
    let again = put(&server, "echo.v1", &second);
    assert_eq!((again.status, &again.json()["version"]), (201, &json!(3)));
    assert_eq!(put(&server, "echo.v1", &first).json()["version"], 4);
    assert_eq!(server.delete("/exercises/echo.v1").status, 204);
    for response in [server.delete("/exercises/echo.v1"), server.get("/exercises/echo.v1")] {
        response.problem_with_code(404, "no_such_exercise");
    }
}

#[test]
fn a_pupil_sends_a_program_and_nothing_that_the_exercise_fixes() {
    let server = Server::start();
    let mut exercise = bash(&json!([{"name": "sum", "stdin": "2 3", "expected": "5"}]));
    exercise["files"] = json!([{"filename": "lib/add.sh", "contents": "add() { echo $(($1 + $2)); }"}]);
    exercise["limits"] = json!({"processes": 20});
    keep(&server, "sum", &exercise);
    let code = "source lib/add.sh; read a b; add $a $b";
    let (session, messages) = grade(&server, &json!({"exercise": "sum", "code": code}));
    assert_eq!(results(&messages), [("sum", true)], "{messages:?}");
    let document = server.get(&format!("/sessions/{session}")).json();
    assert_eq!(document["exercise"], json!({"id": "sum", "version": 1}));
    assert_eq!((&document["runtime"], document["usage"].is_object()), (&json!("bash"), true), "{document}");
    // The main file can stand among the files.
    let files = json!([{"filename": "main.sh", "contents": code}]);
    let (_, messages) = grade(&server, &json!({"exercise": "sum", "files": files}));
    assert_eq!(results(&messages), [("sum", true)]);

    let refused = |fields: Value, code: &str, field: &str| {
        let mut request = json!({"exercise": "sum", "code": "true"});
        request.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
        let problem = server.post("/sessions", &request).problem_with_code(422, code);
        assert_eq!(problem["field"], field, "{problem}");
    };
    for (field, value) in [
        ("runtime", json!("bash")),
        ("code_filename", json!("x")),
        ("command", json!(["true"])),
        ("args", json!([])),
        ("env", json!({})),
        ("stdin", json!("")),
        ("mode", json!("exec")),
        ("collect", json!(["*"])),
        ("cases", json!([{}])),
        ("checker", json!({})),
        ("stop_on_first_failure", json!(true)),
        ("total_timeout", json!(1000)),
        ("timeout", json!(1000)),
        ("limits", json!({})),
    ] {
        refused(json!({field: value}), "fixed_by_exercise", field);
    }
    let own = json!([{"filename": "a", "contents": ""}, {"filename": "lib/add.sh", "contents": ""}]);
    refused(json!({"files": own}), "fixed_by_exercise", "files[1].filename");
    refused(json!({"code": null}), "invalid_field", "code");
    refused(json!({"files": [{"filename": "../x", "contents": ""}]}), "invalid_field", "files[0].filename");
    refused(json!({"exercise": "no such id!"}), "invalid_field", "exercise");
    let unknown = server.post("/sessions", &json!({"exercise": "unknown", "code": "true"}));
    unknown.problem_with_code(404, "no_such_exercise");
    // Where the exercise has the main file, the program is one of the files.
    exercise["files"] = json!([{"filename": "main.sh", "contents": "source own.sh"}]);
    keep(&server, "own", &exercise);
    let request = json!({"exercise": "own", "code": code});
    assert_eq!(
        server.post("/sessions", &request).problem_with_code(422, "fixed_by_exercise")["field"],
        "code"
    );
    let files = json!([{"filename": "own.sh", "contents": "read a b; echo $((a + b))"}]);
    let (_, messages) = grade(&server, &json!({"exercise": "own", "files": files}));
    assert_eq!(results(&messages), [("sum", true)]);
}

#[test]
fn a_wrong_exercise_is_refused() {
    let server = Server::start_with(&["--exercises-per-owner-max", "2", "--exercise-max-bytes", "300"]);
    let with = |fields: Value| {
        let mut exercise = bash(&json!([{}]));
        exercise.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
        exercise
    };
    for (exercise, field) in [
        (with(json!({"runtime": null})), "runtime"),
        (with(json!({"runtime": "cobol"})), "runtime"),
        (with(json!({"cases": null})), "cases"),
        (with(json!({"cases": []})), "cases"),
        (with(json!({"cases": [{}, {"timeout": 1}]})), "cases[1].timeout"),
        (with(json!({"cases": [{"hidden": "yes"}]})), "cases[0].hidden"),
        (with(json!({"cases": [{"files": [{"filename": "main.sh/x", "contents": ""}]}]})), "cases[0].files"),
        (with(json!({"files": [{"filename": "../x", "contents": ""}]})), "files[0].filename"),
        (with(json!({"limits": {"cpu_ms": u64::MAX}})), "limits.cpu_ms"),
        (with(json!({"total_timeout": 1})), "total_timeout"),
        (with(json!({"code": "true"})), "code"),
    ] {
        let problem = put(&server, "wrong", &exercise).problem_with_code(422, "invalid_field");
        assert_eq!(problem["field"], field, "{problem}");
    }
    for id in ["-x", "a%20b", "a%2Fb", "%ff", &"x".repeat(101)] {
        assert_eq!(put(&server, id, &with(json!({}))).problem_with_code(422, "invalid_field")["field"], "id");
    }
    put(&server, "wrong", &json!([])).problem(422);
    server.request("PUT", "/exercises/wrong", &[], b"{").problem_with_code(400, "malformed_request");
    let large = with(json!({"cases": [{"expected": "x".repeat(300)}]}));
    put(&server, "large", &large).problem_with_code(413, "body_too_large");
    assert_eq!(server.get("/exercises").json(), json!([]));
    keep(&server, "a", &with(json!({})));
    keep(&server, "b", &with(json!({})));
    put(&server, "c", &with(json!({}))).problem_with_code(429, "too_many_exercises");
    assert_eq!(put(&server, "b", &with(json!({"timeout": 100}))).status, 200);
    assert_eq!(server.delete("/exercises/a").status, 204);
    keep(&server, "c", &with(json!({})));
    for query in ["limit=0", "cursor=%20"] {
        server.get(&format!("/exercises?{query}")).problem_with_code(422, "invalid_field");
    }
    // Cases of a session's own request hide nothing.
    let request = json!({"runtime": "bash", "code": "true", "cases": [{"hidden": true}]});
    let problem = server.post("/sessions", &request).problem_with_code(422, "invalid_field");
    assert_eq!(problem["field"], "cases[0].hidden");
}

#[test]
fn who_may_keep_exercises() {
    let config = tempfile::tempdir().expect("a temporary folder is created");
    let path = config.path().join("livecode.toml");
    fs::write(&path, "auth = 'tokens'\n[roles.teacher]\nwrite_exercises = true\n[roles.pupil]\n")
        .expect("a file");
    let server = Server::start_with(&["--config", path.to_str().expect("UTF-8")]);
    let of_role = |name: &str, role: &str| User::with(&server, &new_token(&server, &[name, "--role", role]));
    let (root, ada, bob) = (of_role("root", "admin"), of_role("ada", "teacher"), of_role("bob", "teacher"));
    let mut exercise = bash(&json!([
        {"name": "one", "stdin": SECRET, "hidden": true},
        {"name": "two", "stdin": SECRET, "hidden": true, "compare": "checker", "timeout": 4711},
    ]));
    exercise["checker"] = json!({"runtime": "bash", "code": format!("grep {SECRET} output")});
    assert_eq!(ada.request("PUT", "/exercises/of-ada", &exercise).0, 201);
    // Others have nothing here, whether or not it exists.
    for other in [of_role("carl", "user"), of_role("dora", "pupil")] {
        for method in ["GET", "PUT", "DELETE"] {
            for path in ["/exercises/of-ada", "/exercises/unknown"] {
                let (status, problem) = other.request(method, path, &exercise);
                assert_eq!((status, &problem["code"]), (404, &json!("not_found")), "{method} {path}");
            }
        }
        assert_eq!(other.get("/exercises").0, 404);
    }
    // A teacher has those of its own, an admin all.
    assert_eq!(bob.get("/exercises"), (200, json!([])));
    assert_eq!(bob.get("/exercises/of-ada").1["code"], "no_such_exercise");
    assert_eq!(bob.request("DELETE", "/exercises/of-ada", &Value::Null).1["code"], "no_such_exercise");
    assert_eq!(bob.request("PUT", "/exercises/of-ada", &exercise).1["code"], "forbidden");
    let other = bash(&json!([{}]));
    assert_eq!(bob.request("PUT", "/exercises/of-ada", &other).1["code"], "forbidden");
    assert_eq!(root.get("/exercises/of-ada").1["contents"]["cases"][0]["stdin"], SECRET);
    assert_eq!(root.request("PUT", "/exercises/of-ada", &other).0, 200);
    assert_eq!(ada.get("/exercises").1[0]["version"], 2, "it is still Ada's");
    assert_eq!(ada.request("PUT", "/exercises/of-ada", &exercise).0, 200);

    // Everybody who may have sessions may have one for an exercise.
    let dora = of_role("dora", "pupil");
    let (status, session) =
        dora.request("POST", "/sessions", &json!({"exercise": "of-ada", "code": "read word; echo $word"}));
    assert_eq!(status, 201, "{session}");
    let messages = dora.stream(&id(&session)).expect("its own stream").rest();
    assert_eq!(results(&messages), [("one", true), ("two", true)], "{messages:?}");
    // The export of the pupil has neither hidden cases nor the checker; that of the teacher has
    // all.
    let export = |name: &str| {
        let folder = config.path().join(format!("export-{name}"));
        let mut command = Command::new(binary());
        command.args(["users", "export", name]).arg(&folder).arg("--data-dir").arg(server.data());
        let output = command.env_remove("LIVECODE_SERVER").output().expect("the command runs");
        assert!(output.status.success(), "{output:?}");
        folder
    };
    let of_dora = export("dora");
    assert!(files_with(&of_dora, "of-ada") && !files_with(&of_dora, SECRET));
    let request = of_dora.join("sessions").join(id(&session)).join("request.json");
    let request: Value = serde_json::from_slice(&fs::read(request).expect("a file")).expect("JSON");
    let hidden = &request["cases"]["cases"][1];
    assert_eq!(
        ["name", "compare", "wall_ms"].map(|field| &hidden[field]),
        [&json!("two"), &request["cases"]["cases"][0]["compare"], &json!(0)]
    );
    assert!(files_with(&export("ada"), SECRET));
    // A purge of the teacher deletes the exercise.
    assert_eq!(root.request("DELETE", "/users/ada", &Value::Null).0, 200);
    assert_eq!(root.get("/exercises").1, json!([]));
}

/// Whether some file below a folder has this text.
fn files_with(folder: &Path, text: &str) -> bool {
    fs::read_dir(folder).expect("a folder").flatten().any(|entry| match entry.path() {
        path if path.is_dir() => files_with(&path, text),
        path => {
            let bytes = fs::read(path).expect("a file");
            bytes.windows(text.len()).any(|part| part == text.as_bytes())
        }
    })
}

#[test]
fn guests_run_exercises_and_keep_none() {
    let mut server = Server::start();
    keep(&server, "sum", &bash(&json!([{"stdin": "1", "expected": "1"}])));
    server.stop();
    server.start_again_with(&["--local-user", "none"]);
    for method in ["GET", "PUT", "DELETE"] {
        for path in ["/exercises/sum", "/exercises/unknown"] {
            server.request(method, path, &[], b"{}").problem_with_code(404, "not_found");
        }
    }
    server.get("/exercises").problem_with_code(404, "not_found");
    let (_, messages) = grade(&server, &json!({"exercise": "sum", "code": "cat"}));
    assert_eq!(results(&messages), [("1", true)]);
}

/// A program that tells all that it finds by all that it has, and exits with a status of its own.
const TELLTALE: &str = r#"
import json, os, sys, livecode
found = [name for name in sorted(os.listdir(".")) if name != "main.py"]
text = "\n".join([sys.stdin.read(), *sys.argv[1:], *found, *(open(name).read() for name in found)])
print(text, flush=True)
print(text, file=sys.stderr, flush=True)
livecode.send({"msgtype": "told", "text": text})
os.write(int(os.environ["LIVECODE_FD"]), (json.dumps({"msgtype": "raw", "text": text}) + "\n").encode())
print("--MSG--" + json.dumps({"msgtype": "line", "text": text}), flush=True)
for folder in [".", "/tmp"]:
    open(os.path.join(folder, "out.txt"), "w").write(text)
if sys.argv[1:]:
    raise RuntimeError(text)
"#;

/// Everything that a server answers about a session.
fn all_answers(server: &Server, session: &str) -> String {
    let path = format!("/sessions/{session}");
    let mut all = String::new();
    for accept in ["application/x-ndjson", "text/event-stream"] {
        let headers = [("accept", accept)];
        all += &server.request("GET", &format!("{path}/stream?after=0&notices=1"), &headers, &[]).text();
    }
    let share = server.post(&format!("{path}/shares"), &json!({"rights": "join"})).json();
    all += &share.to_string();
    let (_, secret) = share["link"].as_str().and_then(|link| link.split_once("#share=")).expect("a link");
    let redeemed = server.post("/shares/redeem", &json!({"secret": secret}));
    assert_eq!(redeemed.status, 200);
    all += &redeemed.text();
    for path in [&*path, &format!("{path}/files"), &format!("{path}/files/out.txt"), "/sessions", "/quota"] {
        all += &server.get(path).text();
    }
    all
}

#[test]
fn nothing_of_a_hidden_case_comes_out() {
    let server = Server::start();
    let hidden = json!({"name": "secret", "stdin": SECRET, "args": [SECRET], "expected": SECRET, "hidden": true,
        "files": [{"filename": format!("{SECRET}.txt"), "contents": SECRET}]});
    keep(
        &server,
        "tell",
        &json!({"runtime": "python", "cases": [{"name": "open", "stdin": "public"}, hidden, {"name": "last"}]}),
    );
    let request =
        json!({"exercise": "tell", "code": TELLTALE, "echo": true, "diagnostics": true, "stages": true});
    let (session, messages) = grade(&server, &request);
    let all = messages.iter().map(Value::to_string).collect::<String>() + &all_answers(&server, &session);
    // The program can tell what it sees in other cases.
    assert_eq!(results(&messages), [("open", true), ("secret", false), ("last", true)], "{messages:?}");
    assert!(all.contains("public"), "{all}");
    assert!(!all.contains("sesame"), "{all}");
    let cases: Vec<_> = messages.iter().filter(|message| message["msgtype"] == "case").collect();
    let mut shown = cases[1].clone();
    shown.as_object_mut().expect("an object").remove("seq");
    let expected =
        json!({"msgtype": "case", "name": "secret", "hidden": true, "passed": false, "outcome": "exited"});
    assert_eq!(shown, expected);
    let journal = fs::read(server.data().join("sessions").join(&session).join("journal")).expect("a journal");
    assert!(!String::from_utf8_lossy(&journal).contains("sesame"));
    let document = server.get(&format!("/sessions/{session}")).json();
    assert_eq!((&document["usage"], &document["active"]), (&Value::Null, &Value::Null));
    let elapsed = document["elapsed"].as_f64().expect("seconds");
    assert!(elapsed >= 1.0 && elapsed.fract() == 0.0, "{document}");
    assert_eq!((&document["exitstatus"], &document["outcome"]), (&json!(1), &json!("exited")));
}

#[test]
fn a_hidden_case_passes_and_fails_with_the_class_of_its_outcome() {
    let server = Server::start();
    let case = |name: &str| json!({"name": name, "stdin": name, "expected": "right", "hidden": true});
    let mut exercise = bash(&json!(["right", "wrong", "status", "crash", "hang", "flood"].map(case)));
    exercise["timeout"] = json!(1500);
    exercise["limits"] = json!({"output_bytes": 10_000});
    keep(&server, "ends", &exercise);
    let code = r#"
read what
case $what in
right) echo right ;;
wrong) echo wrong ;;
status) echo right; exit 3 ;;
crash) kill -SEGV $$ ;;
hang) sleep 1000 ;;
flood) while :; do echo right; done ;;
esac
"#;
    let (session, messages) = grade(&server, &json!({"exercise": "ends", "code": code}));
    let of_hidden = |message: &Value| ["name", "passed", "outcome"].map(|field| message[field].clone());
    let shown: Vec<_> =
        messages.iter().filter(|message| message["msgtype"] == "case").map(of_hidden).collect();
    let expected = [
        ("right", true, "exited"),
        ("wrong", false, "exited"),
        ("status", false, "exited"),
        ("crash", false, "signalled"),
        ("hang", false, "timeout"),
        ("flood", false, "output"),
    ];
    assert_eq!(shown, expected.map(|(name, passed, outcome)| [json!(name), json!(passed), json!(outcome)]));
    let summary = messages.iter().find(|message| message["msgtype"] == "cases").expect("a summary");
    assert_eq!((&summary["passed"], &summary["failed"]), (&json!(1), &json!(5)));
    let document = server.get(&format!("/sessions/{session}")).json();
    assert_eq!((&document["exitstatus"], &document["limit"]), (&json!(1), &Value::Null), "{document}");
}

/// Neither when an entry comes, nor whether a message is taken, tells what a hidden program does.
#[test]
fn the_time_and_the_messages_of_a_hidden_case_tell_nothing() {
    let mut server = Server::start();
    let mark = format!("88{}", std::process::id());
    keep(
        &server,
        "slow",
        &bash(&json!([
            {"name": "open", "stdin": "0"},
            {"name": "hidden", "stdin": "0", "hidden": true},
            {"name": "slow", "stdin": mark, "timeout": 60_000},
        ])),
    );
    let session = id(&server.create(&json!({"exercise": "slow", "code": "read time; exec sleep $time"})));
    let path = format!("/sessions/{session}");
    let mark = format!("sleep\0{mark}");
    eventually("the last case runs", || (!processes(&mark).is_empty()).then_some(()));
    let mut stream = server.stream(&session, "?after=0");
    stream.send(&json!({"msgtype": "event", "event": "x", "data": 1, "id": 1}));
    let mut seen = vec![];
    let refused = loop {
        match stream.next().expect("a message") {
            message if message["msgtype"] == "error" => break message,
            message => seen.push(message),
        }
    };
    assert_eq!(refused["code"], "input_closed", "{refused}");
    assert_eq!(results(&seen), [("open", true)], "the hidden case is told with the next one");
    assert_eq!(server.get(&path).json()["active"], Value::Null);
    // A server's death loses nothing of it.
    server.kill();
    server.start_again();
    let mut stream = server.stream(&session, "?after=0");
    stream.send(&json!({"msgtype": "signal", "signal": "kill"}));
    let messages = stream.rest();
    assert_eq!(results(&messages), [("open", true), ("hidden", true), ("slow", false)], "{messages:?}");
}

/// The files of a pupil can be at odds with those of a hidden case.
#[test]
fn a_refusal_does_not_name_what_is_hidden() {
    let server = Server::start();
    let file = json!([{"filename": SECRET, "contents": "x".repeat(20_000)}]);
    let mut exercise = bash(&json!([{"hidden": true, "files": file}]));
    exercise["limits"] = json!({"disk_bytes": 40_000});
    keep(&server, "files", &exercise);
    for own in [
        json!([{"filename": format!("{SECRET}/x"), "contents": ""}]),
        json!([{"filename": "large", "contents": "x".repeat(15_000)}]),
    ] {
        let request = json!({"exercise": "files", "code": "true", "files": own});
        let problem = server.post("/sessions", &request).problem_with_code(422, "invalid_field");
        assert_eq!(problem["field"], "exercise", "{problem}");
        assert!(
            !problem.to_string().contains("sesame") && !problem.to_string().contains("20000"),
            "{problem}"
        );
    }
}

/// A checker in Bash. Its verdict is the first word that the program has printed, and it knows the
/// files that it is given.
const CHECKER: &str = r#"
[ "$*" = "input output expected" ] || exit 9
read word rest < output
case $word in
right) [ "$(cat expected)" = "$(cat input)-ok" ] ;;
wrong) echo "not $rest, but $(cat expected)"; echo more; exit 1 ;;
odd) exit 2 ;;
hang) sleep 1000 ;;
crash) kill -KILL $$ ;;
flood) while :; do echo flood; done ;;
look) [ -e /tmp/trace ] && exit 0; ls /code | tr '\n' ' '; exit 1 ;;
esac
"#;

#[test]
fn a_checker_decides_in_a_sandbox_of_its_own() {
    let server = Server::start();
    let case = |word: &str| json!({"name": word, "stdin": word, "expected": format!("{word}-ok"), "compare": "checker"});
    let words = ["right", "wrong", "odd", "hang", "crash", "flood"];
    let mut cases: Vec<_> = words.iter().map(|word| case(word)).collect();
    let mut hidden = case("wrong");
    hidden["name"] = json!("hidden");
    hidden["hidden"] = json!(true);
    cases.push(hidden);
    cases.push(json!({"name": "exact", "stdin": "right", "expected": "right word\n", "compare": "exact"}));
    cases.push(case("status"));
    cases.push(json!({"name": "look", "stdin": "look", "compare": "checker"}));
    let checker =
        json!({"runtime": "bash", "code": CHECKER, "timeout": 1500, "limits": {"output_bytes": 10_000}});
    keep(&server, "checked", &json!({"runtime": "python", "cases": cases, "checker": checker}));
    // The program is another language's, and leaves what the checker must not find.
    let code =
        "open('/tmp/trace', 'w').close()\nword = input()\nprint(word, 'word')\nif word == 'status': exit(1)";
    let (_, messages) = grade(&server, &json!({"exercise": "checked", "code": code}));
    let shown = |message: &Value| ["name", "passed", "outcome", "reason"].map(|field| message[field].clone());
    let shown: Vec<_> = messages.iter().filter(|message| message["msgtype"] == "case").map(shown).collect();
    let reason = "not word, but wrong-ok";
    let expected = [
        ("right", true, "exited", Value::Null),
        ("wrong", false, "exited", json!(reason)),
        ("odd", false, "checker_failed", Value::Null),
        ("hang", false, "checker_failed", Value::Null),
        ("crash", false, "checker_failed", Value::Null),
        ("flood", false, "checker_failed", json!("flood")),
        ("hidden", false, "exited", Value::Null),
        ("exact", true, "exited", Value::Null),
        ("status", false, "exited", Value::Null),
        ("look", false, "exited", json!("expected input main.sh output")),
    ];
    let expected =
        expected.map(|(name, passed, outcome, reason)| [json!(name), json!(passed), json!(outcome), reason]);
    assert_eq!(shown, expected, "{messages:?}");
    let wrong = messages.iter().find(|message| message["name"] == "wrong").expect("a case");
    assert_eq!((&wrong["stdout"], &wrong["exitstatus"]), (&json!("wrong word\n"), &json!(0)));
    let summary = messages.iter().find(|message| message["msgtype"] == "cases").expect("a summary");
    assert_eq!((&summary["passed"], &summary["failed"]), (&json!(2), &json!(8)), "{summary}");
}

/// Also with a compiled program, without warm sandboxes, and in a request of its own.
#[test]
fn a_checker_follows_compiled_programs_and_cold_starts() {
    let checker = json!({"runtime": "python", "files": [{"filename": "main.py", "contents":
        "import sys\nfrom own import near\nread = [float(open(name).read()) for name in sys.argv[1:]]\n\
         sys.exit(not near(*read))"},
        {"filename": "own.py", "contents": "def near(given, printed, expected): return abs(printed - expected) < given"}]});
    let case =
        |given: &str, expected: &str| json!({"stdin": given, "expected": expected, "compare": "checker"});
    let code = "#include <stdio.h>\nint main(void) { puts(\"3\"); }\n";
    let request = json!({"runtime": "c", "code": code, "checker": checker,
        "cases": [case("0.5", "3.2"), case("0.1", "3.2"), case("2", "4")]});
    for arguments in [&[][..], &["--warm", "off"]] {
        let server = Server::start_with(arguments);
        let (_, messages) = grade(&server, &request);
        assert_eq!(results(&messages), [("1", true), ("2", false), ("3", true)], "{messages:?}");
    }
}

#[test]
fn a_client_reaches_no_checker_and_its_time_counts() {
    let server = Server::start();
    let mark = format!("89{}", std::process::id());
    let checker =
        json!({"runtime": "bash", "code": "read time < input; exec sleep $time", "timeout": 60_000});
    let cases = json!([{"stdin": mark, "compare": "checker"}, {"stdin": "0"}]);
    let mut request = json!({"runtime": "bash", "code": "cat", "cases": cases, "checker": checker});
    request["total_timeout"] = json!(2500);
    let session = id(&server.create(&request));
    let mark = format!("sleep\0{mark}");
    eventually("the checker runs", || (!processes(&mark).is_empty()).then_some(()));
    let mut stream = server.stream(&session, "?after=0");
    stream.send(&json!({"msgtype": "event", "event": "x", "data": 1}));
    assert_eq!(stream.next_of("error")["code"], "input_closed");
    // A signal does not end it, but the time of all cases does.
    stream.send(&json!({"msgtype": "signal", "signal": "kill"}));
    let messages = stream.rest();
    let case = messages.iter().find(|message| message["msgtype"] == "case").expect("a case");
    assert_eq!((&case["passed"], &case["outcome"]), (&json!(false), &json!("timeout")), "{messages:?}");
    let exit = messages.last().expect("an exit");
    assert_eq!((&exit["exitstatus"], &exit["reason"]), (&json!(124), &json!("timeout")));
    eventually("no process of it is left", || processes(&mark).is_empty().then_some(()));
}

#[test]
fn a_wrong_checker_is_refused() {
    let server = Server::start();
    let checker = |fields: Value| {
        let mut checker = json!({"runtime": "bash", "code": "true"});
        checker.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
        json!({"checker": checker, "cases": [{"compare": "checker"}]})
    };
    let file = |name: &str| json!({"files": [{"filename": name, "contents": ""}]});
    for (fields, field) in [
        (json!({"cases": [{}, {"compare": "checker"}]}), "cases[1].compare"),
        (json!({"cases": [{}], "checker": {"runtime": "bash", "code": ""}}), "checker"),
        (json!({"checker": {"runtime": "bash", "code": ""}}), "checker"),
        (checker(json!({"runtime": null})), "checker.runtime"),
        (checker(json!({"runtime": "c"})), "checker.runtime"),
        (checker(json!({"code": null})), "checker.code"),
        (checker(json!({"timeout": 1})), "checker.timeout"),
        (checker(json!({"limits": {"disk_bytes": 1_000_000}})), "checker.limits.disk_bytes"),
        (checker(json!({"stdin": ""})), "checker.stdin"),
        (checker(file("output")), "checker.files"),
        (checker(file("input/x")), "checker.files"),
    ] {
        let mut request = json!({"runtime": "bash", "code": "true"});
        request.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
        let problem = server.post("/sessions", &request).problem_with_code(422, "invalid_field");
        assert_eq!(problem["field"], field, "{problem}");
    }
}
