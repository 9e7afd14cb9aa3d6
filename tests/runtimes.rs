//! Every runtime as its users see it: its example, its test mode, and what else its documentation
//! promises.

use serde_json::{Value, json};

use crate::{
    common::{Run, Server, id, is_root},
    languages::LARGE,
};

/// The runtimes that this machine can run. For root, as whom the tests run in CI, only large ones
/// may be missing.
fn available(server: &Server) -> Vec<Value> {
    let runtimes = server.get("/runtimes").json().as_array().expect("a list").clone();
    let (installed, missing): (Vec<_>, Vec<_>) =
        runtimes.into_iter().partition(|runtime| runtime["available"] == true);
    let is_large = |runtime: &Value| LARGE.iter().any(|name| runtime["name"] == *name);
    assert!(missing.iter().all(is_large) || !is_root(), "{missing:?}");
    installed
}

#[test]
fn every_example_runs() {
    let server = Server::start();
    for runtime in available(&server) {
        let run =
            server.run(&json!({"runtime": runtime["name"], "code": runtime["example"], "stdin": "Ada\n"}));
        // The example of mypy contains a type error.
        let is_checker = runtime["name"] == "mypy";
        assert_eq!(run.exitstatus, i64::from(is_checker), "{runtime}: {run:?}");
        assert!(!run.stdout.is_empty() || !run.messages.is_empty(), "{runtime}: {run:?}");
    }
}

#[test]
fn the_canvas_draws_in_the_documented_form() {
    let server = Server::start();
    let code = "circle(100, 100, 50)\nline(1, 2, 3.5, 4)\nrect(1, 2, 3, 4, fill='red')\nclear()";
    let mut stream = server.stream(&server.create_id("python-canvas", code), "");
    stream.next();
    for expected in [
        r#"{"msgtype":"draw","shape":"circle","args":[100,100,50]}"#,
        r#"{"msgtype":"draw","shape":"line","args":[1,2,3.5,4]}"#,
        r#"{"msgtype":"draw","shape":"rect","args":[1,2,3,4],"style":{"fill":"red"}}"#,
        r#"{"msgtype":"draw","shape":"clear","args":[]}"#,
    ] {
        assert_eq!(stream.next_text(), expected);
    }
}

#[test]
fn a_bash_prompt_is_shown_only_for_the_sessions_input() {
    let server = Server::start();
    let code = r#"
read -rp 'no ' a <<< here
echo piped | { read -p 'no ' b; echo "$a $b"; }
IFS=: read -p 'yes ' c d
echo "$c $d $(echo "read -p 'child ' x; echo \$x" > c.sh; bash c.sh)"
"#;
    let run = server.run(&json!({"runtime": "bash", "code": code, "stdin": "1:2\n3\n"}));
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("here piped\n1 2 3\n", "yes child "));
}

#[test]
fn pipes_between_commands_are_not_slowed_down() {
    let server = Server::start();
    // One write per line would be 3 million writes.
    let code = "seq 3000000 | grep -c 7 > /dev/null; [ $SECONDS -lt 3 ] && echo fast";
    assert_eq!(server.run_code("bash", code).stdout, "fast\n");
}

#[test]
fn a_javascript_program_ends_when_it_waits_for_nothing() {
    let server = Server::start();
    let code = "process.stdin.once('data', (data) => { console.log(`${data}`); process.stdin.pause(); });";
    let mut stream = server.stream(&server.create_id("javascript", code), "");
    stream.send(&json!({"msgtype": "input", "data": "x"}));
    // The program ends although its input is still open.
    assert_eq!(Run::collect(stream).exitstatus, 0);
}

#[test]
fn javascript_modules_import_livecode() {
    let server = Server::start();
    let code = "import { send, events } from 'livecode';\nsend({ msgtype: 'ready' });\n\
                for await (const { data } of events()) { console.log(data); break; }";
    let request = json!({"runtime": "javascript", "files": [{"filename": "main.mjs", "contents": code}],
                         "env": {"FALCON_SOURCE_FILE": "main.mjs"}});
    let mut stream = server.stream(&id(&server.create(&request)), "");
    stream.next_of("ready");
    stream.send(&json!({"msgtype": "event", "event": "click", "data": 7}));
    stream.read_until("7\n");
    assert_eq!(stream.next_of("exitstatus")["exitstatus"], 0);
}

/// Runs the tests in Python files. Returns the JSON object that they print, after checking that
/// they print nothing else.
fn python_tests(server: &Server, files: &[(&str, &str)]) -> Value {
    let files: Vec<_> = files
        .iter()
        .map(|(filename, contents)| json!({"filename": filename, "contents": contents}))
        .collect();
    let run = server.run(&json!({"runtime": "python", "mode": "test", "files": files}));
    let results: Value = serde_json::from_str(&run.stdout).expect("one JSON object");
    assert_eq!((run.stderr.as_str(), run.exitstatus), ("", i64::from(results["outcome"] != "passed")));
    results
}

#[test]
fn python_test_results_are_one_json_object() {
    let server = Server::start();
    let tests = "
import os, pytest
def test_right():
    print('noise')
    os.system('echo more of it >&2')
def test_wrong():
    assert 1 == 2, 'not equal'
@pytest.fixture
def broken():
    yield
    raise RuntimeError('teardown')
def test_teardown(broken):
    pass
";
    let results = python_tests(&server, &[("test_x.py", tests), ("test_y.py", "import nosuch")]);
    assert_eq!(results["outcome"], "failed");
    // pytest runs no test at all if one file cannot be imported.
    assert_eq!(results["testcases"][0]["error_message"], "ModuleNotFoundError: No module named 'nosuch'");

    let results = python_tests(&server, &[("test_x.py", tests)]);
    let cases = results["testcases"].as_array().expect("a list");
    let outcomes: Vec<_> = cases.iter().map(|case| (&case["name"], &case["outcome"])).collect();
    let expected = [("test_right", "passed"), ("test_wrong", "failed"), ("test_teardown", "failed")];
    assert_eq!(json!(outcomes), json!(expected));
    assert_eq!(cases[1]["filename"], "test_x.py");
    assert!(cases[1]["error_message"].as_str().is_some_and(|text| text.contains("not equal")));
    assert!(cases[1]["error_detail"].as_str().is_some_and(|text| text.contains("assert 1 == 2")));
    assert_eq!((&results["stats"]["tests"], &results["stats"]["passed"]), (&json!(3), &json!(1)));

    let passed = python_tests(&server, &[("test_x.py", "def test_right(): pass")]);
    assert_eq!((&passed["outcome"], &passed["stats"]["failed"]), (&json!("passed"), &json!(0)));
    let conftest = python_tests(&server, &[("conftest.py", "def x(:"), ("test_x.py", "")]);
    assert!(
        conftest["testcases"][0]["error_detail"].as_str().is_some_and(|text| text.contains("SyntaxError"))
    );
}

#[test]
fn go_tests_and_several_files() {
    let server = Server::start();
    if !available(&server).iter().any(|runtime| runtime["name"] == "go") {
        // An ordinary user's machine may lack Go.
        return;
    }
    let files = json!([
        {"filename": "main.go", "contents": "package main\nfunc main() { println(two()) }"},
        {"filename": "two.go", "contents": "package main\nfunc two() int { return 2 }"},
        {"filename": "two_test.go",
         "contents": "package main\nimport \"testing\"\nfunc TestTwo(t *testing.T) { if two() != 2 { t.Fail() } }"},
    ]);
    let run = server.run(&json!({"runtime": "golang", "files": files}));
    assert_eq!((run.stderr.as_str(), run.exitstatus), ("2\n", 0));
    let test = server.run(&json!({"runtime": "golang", "files": files, "mode": "test"}));
    assert_eq!(test.exitstatus, 0, "{test:?}");
    assert!(test.stdout.starts_with("ok"), "{test:?}");
}

#[test]
fn a_runtime_sees_what_it_mounts_below_etc() {
    let folder = tempfile::tempdir().expect("a temporary folder is created");
    let own = folder.path().join("mounting");
    std::fs::create_dir_all(own.join("settings")).expect("the folder can be created");
    std::fs::write(own.join("settings/one"), "one ").expect("the file can be written");
    let toml = "title = 'Mounting'\nfile = 'main.sh'\neditor_mode = 'sh'\ninstall = 'nothing'\n\
                run = ['bash', '{source}']\nrequires = ['/etc/deep/settings/one']\n[[mounts]]\n\
                sources = ['./settings']\ntarget = '/etc/deep/settings'\n[[mounts]]\n\
                sources = ['./settings/one']\ntarget = '/etc/file/two'\n[[mounts]]\n\
                sources = ['/etc/os-rel*', '/etc/nsswitch.con*', '/etc/no-such-file']\n";
    std::fs::write(own.join("runtime.toml"), toml).expect("the file can be written");
    let server = Server::start_with(&["--runtimes-dir", folder.path().to_str().expect("a path in UTF-8")]);
    let code = "cat /etc/deep/settings/one /etc/file/two; grep -c ID= /etc/os-release; grep -c : /etc/nsswitch.conf\n\
                echo > /etc/file/two; echo > /etc/deep/settings/x; echo > /etc/x";
    let run = server.run_code("mounting", code);
    assert!(run.stdout.starts_with("one one "), "{run:?}");
    // The file that the sandbox makes is still its own.
    assert!(run.stdout.ends_with("\n3\n"), "{run:?}");
    assert_eq!(run.stderr.matches("Read-only file system").count(), 3, "{run:?}");
}

#[test]
fn mypy_reports_a_type_error() {
    let server = Server::start();
    let run = server.run_code("mypy", "def double(n: int) -> int:\n    return 2 * n\n\ndouble('two')\n");
    assert_eq!(run.exitstatus, 1, "{run:?}");
    assert!(run.stdout.contains("main.py:4: error"), "{run:?}");
}

#[test]
fn standard_streams_can_be_opened_by_name() {
    let server = Server::start();
    let code = "cat /dev/stdin; echo out > /dev/stdout; echo err > /dev/stderr";
    let run = server.run(&json!({"runtime": "bash", "code": code, "stdin": "in\n"}));
    assert_eq!((&*run.stdout, &*run.stderr, run.exitstatus), ("in\nout\n", "err\n", 0));
}
