//! Exercises, and requests for sessions for them, when something changes: an exercise, its author's
//! credential, the server's settings, runtimes or disk.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::{
    catalogue::Runtimes,
    common::{Server, eventually, http::Response, id, processes},
    exercises::{bash, grade, keep, put, results},
    users::{User, new_token, token_command},
};

/// A word that no pupil may ever see.
const SECRET: &str = "sesame-4712";

/// A runtime whose programs are scripts of bash.
fn script(more: &str) -> String {
    format!(
        "title = 'Script'\nfile = 'main.sh'\neditor_mode = 'shell'\ninstall = 'x'\nrequires = ['bash']\n{more}"
    )
}

#[test]
fn a_session_keeps_the_version_that_it_began_with() {
    let mut server = Server::start_with(&["--sessions-running-max", "1"]);
    let version = |word: &str| bash(&json!([{"stdin": word, "expected": word, "hidden": true}]));
    keep(&server, "word", &version("one"));
    // The session waits behind another one while its exercise changes, and while the server dies.
    let other = server.create_id("bash", "read line");
    let mut blocker = server.stream(&other, "");
    let code = r#"read word; [ "$word" = one ] && echo one"#;
    let first = id(&server.create(&json!({"exercise": "word", "code": code})));
    assert_eq!(put(&server, "word", &version("two")).status, 200);
    assert_eq!(server.delete("/exercises/word").status, 204);
    keep(&server, "kept", &version("one"));
    server.kill();
    server.start_again();
    blocker.rest();
    let mut blocker = server.stream(&other, "");
    blocker.send(&json!({"msgtype": "input", "data": "\n"}));
    let messages = server.stream(&first, "?after=0").rest();
    assert_eq!(results(&messages), [("1", true)], "{messages:?}");
    // An answer means that the exercise is kept.
    assert_eq!(server.get("/exercises/kept").json()["contents"]["cases"][0]["stdin"], "one");
    server.get("/exercises/word").problem_with_code(404, "no_such_exercise");
}

#[test]
fn a_checker_that_cannot_be_started_is_not_told() {
    let runtimes = Runtimes::new();
    runtimes.write("judge", &script(&format!("run = ['./{SECRET}', '{{source}}']\n")));
    let server = runtimes.serve(&[]);
    let mut exercise = bash(&json!([{"name": "open", "compare": "checker"}]));
    exercise["checker"] = json!({"runtime": "judge", "code": "true"});
    keep(&server, "judged", &exercise);
    let (_, messages) = grade(&server, &json!({"exercise": "judged", "code": "true"}));
    assert_eq!(results(&messages), [("open", false)], "{messages:?}");
    let all: String = messages.iter().map(Value::to_string).collect();
    assert!(!all.contains(SECRET) && all.contains("the checker could not be run"), "{all}");
}

#[test]
fn a_repeated_request_outlives_its_exercise() {
    let server = Server::start();
    let create = |code: &str| -> Response {
        let headers = [("content-type", "application/json"), ("idempotency-key", "key")];
        let body = json!({"exercise": "sum", "code": code}).to_string();
        server.request("POST", "/sessions", &headers, body.as_bytes())
    };
    let cases = json!([{"stdin": "1", "expected": "1"}]);
    keep(&server, "sum", &bash(&cases));
    let first = create("cat");
    assert_eq!(first.status, 201, "{}", first.text());
    let repeat = || {
        let again = create("cat");
        assert_eq!((again.status, again.header("idempotency-replayed")), (201, Some("true")));
        assert_eq!(id(&again.json()), id(&first.json()));
        create("true").problem_with_code(422, "idempotency_key_reused");
    };
    // The program would be at odds with the exercise now.
    let mut changed = bash(&cases);
    changed["files"] = json!([{"filename": "main.sh", "contents": "true"}]);
    assert_eq!(put(&server, "sum", &changed).status, 200);
    repeat();
    assert_eq!(server.delete("/exercises/sum").status, 204);
    repeat();
}

#[test]
fn no_exercise_is_looked_up_for_a_request_that_cannot_succeed() {
    let server = Server::start_with(&["--auth", "tokens", "--user-creations-per-min", "1"]);
    let ada = User::new(&server, "ada");
    let request = |more: Value| {
        let mut request = json!({"exercise": "unknown", "code": "true"});
        request.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let (status, problem) = ada.request("POST", "/sessions", &request);
        (status, problem["code"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(request(json!({"stdin": ""})), (422, "fixed_by_exercise".to_owned()));
    assert_eq!(request(json!({"code": null})), (422, "invalid_field".to_owned()));
    assert_eq!(request(json!({})), (404, "no_such_exercise".to_owned()));
    ada.create("true");
    assert_eq!(request(json!({})), (429, "quota_exceeded".to_owned()));
}

#[test]
fn an_exercise_that_fits_no_more_is_not_the_pupils_fault() {
    let mut server = Server::start();
    let file = json!([{"filename": SECRET, "contents": ""}]);
    keep(&server, "two", &bash(&json!([{"hidden": true, "files": file}, {"hidden": true}])));
    server.stop();
    server.start_again_with(&["--cases-max", "1"]);
    let problem = server.post("/sessions", &json!({"exercise": "two", "code": "true"}));
    let problem = problem.problem_with_code(422, "invalid_field");
    let detail = problem["detail"].as_str().expect("a text");
    assert!(
        problem["field"] == "exercise" && detail.contains("does not fit this server any more"),
        "{problem}"
    );
}

#[test]
fn the_exercises_of_an_author_are_bounded_together() {
    let server = Server::start_with(&["--exercises-per-owner-max-bytes", "2000"]);
    let of = |bytes: usize| bash(&json!([{"expected": "x".repeat(bytes)}]));
    keep(&server, "a", &of(1_000));
    keep(&server, "b", &of(100));
    for exercise in ["b", "c"] {
        put(&server, exercise, &of(1_000)).problem_with_code(429, "too_many_exercises");
    }
    server.get("/exercises/c").problem_with_code(404, "no_such_exercise");
    assert_eq!(server.get("/exercises/b").json()["version"], 1);
    assert_eq!(server.delete("/exercises/a").status, 204);
    keep(&server, "c", &of(1_000));
}

#[test]
fn no_exercise_is_kept_on_a_full_disk() {
    let disk = rustix::fs::statvfs(std::env::temp_dir()).expect("the disk can be examined");
    let (free, total) = (disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize);
    let server = Server::start_with(&["--disk-min-free-bytes", &free.midpoint(total).to_string()]);
    put(&server, "a", &bash(&json!([{}]))).problem_with_code(507, "disk_full");
    assert_eq!(server.get("/exercises").json(), json!([]));
}

/// The version of a runtime is asked for when the first exercise names it, and when a server does
/// not know it any more.
#[test]
fn an_exercise_names_versions_that_are_not_known_yet() {
    let runtimes = Runtimes::new();
    for name in ["one", "other"] {
        let more = "run = ['bash', '{source}']\nexample = 'echo x'\nversion = ['echo', '4.5.6']\n";
        runtimes.write(name, &script(more));
    }
    let mut server = runtimes.serve(&[]);
    let exercise = json!({
        "runtime": "one@4.5",
        "files": [{"filename": "main.sh", "contents": "source own.sh"}],
        "cases": [{"name": "checked", "compare": "checker"}],
        "checker": {"runtime": "other@4", "code": "grep -q right output"},
    });
    keep(&server, "versions", &exercise);
    let request =
        json!({"exercise": "versions", "files": [{"filename": "own.sh", "contents": "echo right"}]});
    assert_eq!(results(&grade(&server, &request).1), [("checked", true)]);
    server.stop();
    fs::remove_file(server.data().join("runtime-checks.json")).expect("the results are there");
    server.start_again();
    assert_eq!(results(&grade(&server, &request).1), [("checked", true)]);
}

#[test]
fn a_credential_that_ends_before_the_exercise_is_kept_does_not_keep_it() {
    let runtimes = Runtimes::new();
    let mark = format!("87{}", std::process::id());
    let version = format!("version = ['bash', '-c', 'sleep {mark}; echo 4.5.6']\n");
    runtimes.write("slow", &script(&format!("run = ['bash', '{{source}}']\nexample = 'echo x'\n{version}")));
    let server = runtimes.serve(&["--auth", "tokens"]);
    let root = User::with(&server, &new_token(&server, &["root", "--role", "admin"]));
    let other = User::with(&server, &new_token(&server, &["other", "--role", "admin"]));
    let list = token_command(server.data(), &["list", "--json"]);
    let tokens: Vec<Value> = serde_json::from_slice(&list.stdout).expect("JSON");
    let token = id(tokens.iter().find(|token| token["user"] == "root").expect("its token"));
    let mark = format!("sleep\0{mark}");
    let exercise = json!({"runtime": "slow@4", "cases": [{}]});
    std::thread::scope(|scope| {
        let put = scope.spawn(|| root.request("PUT", "/exercises/late", &exercise));
        let sleeper =
            eventually("the runtime is asked for its version", || processes(&mark).first().copied());
        let revoked = other.request("DELETE", &format!("/tokens/{token}"), &Value::Null);
        assert!([200, 204].contains(&revoked.0), "{revoked:?}");
        let sleeper = Pid::from_raw(sleeper.cast_signed()).expect("a valid pid");
        kill_process(sleeper, Signal::KILL).expect("it runs");
        let (status, problem) = put.join().expect("an answer");
        assert_eq!((status, &problem["code"]), (401, &json!("unauthorized")), "{problem}");
    });
    assert_eq!(other.get("/exercises"), (200, json!([])));
}
