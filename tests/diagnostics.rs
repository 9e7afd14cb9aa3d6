//! The places of errors as data, as the real compilers and interpreters of this machine name them.

use serde_json::{Value, json};

use crate::common::{Server, id};

/// Whether this machine has a runtime.
fn has(server: &Server, runtime: &str) -> bool {
    let runtimes = server.get("/runtimes").json();
    let known = runtimes.as_array().expect("a list").iter();
    known
        .clone()
        .any(|known| known["name"] == runtime && known["available"] != false && known["needs"].is_null())
}

fn run(server: &Server, request: &Value) -> Vec<Value> {
    server.stream(&id(&server.create(request)), "?after=0").rest()
}

/// The diagnostics among messages, as `file:line:column severity`, each with its text.
fn diagnostics(messages: &[Value]) -> Vec<(String, String)> {
    let found = messages.iter().filter(|message| message["msgtype"] == "diagnostic");
    let shown = found.map(|message| {
        let column = message["column"].as_u64().map(|column| format!(":{column}")).unwrap_or_default();
        let file = message["file"].as_str().expect("a file");
        let severity = message["severity"].as_str().expect("a severity");
        let text = message["message"].as_str().expect("a text").to_owned();
        (format!("{file}:{}{column} {severity}", message["line"]), text)
    });
    shown.collect()
}

/// Programs with an error in each language: the runtime, the program, the place of the error, and a
/// word of its text.
const PROGRAMS: [(&str, &str, &str, &str); 14] = [
    ("python", "def f():\n    return 1 / 0\n\nf()", "main.py:2 error", "ZeroDivisionError: division by zero"),
    ("python", "print('a'\nx = 1", "main.py:1 error", "SyntaxError"),
    ("javascript", "let a = 1;\n  foo();", "main.js:2:3 error", "ReferenceError: foo is not defined"),
    ("javascript", "let a = 1;\nlet x = ;", "main.js:2:9 error", "SyntaxError"),
    ("c", "int main(void) {\n    return x;\n}", "main.c:2:12 error", "undeclared"),
    (
        "c",
        "#include <assert.h>\nint main(int n, char **a) {\n    assert(n > 5);\n}",
        "main.c:3 error",
        "n > 5",
    ),
    ("cpp", "int main() {\n    int y;\n    return 0;\n}", "main.cpp:2:9 warning", "unused"),
    ("cpp", "int main() {\n    return x;\n}", "main.cpp:2:12 error", "not declared"),
    ("rust", "fn main() {\n    println!(\"{}\", x);\n}", "main.rs:2:20 error", "cannot find value"),
    ("rust", "fn main() {\n    panic!(\"out of bounds\");\n}", "main.rs:2:5 error", "out of bounds"),
    ("go", "package main\n\nfunc main() {\n\tx()\n}", "main.go:4:2 error", "undefined"),
    (
        "go",
        "package main\n\nfunc main() {\n\tvar a []int\n\ta[len(a)]++\n}",
        "main.go:5 error",
        "index out of range",
    ),
    (
        "java",
        "public class Hello {\n    public static void main(String[] a) {\n        int x = 1\n    }\n}",
        "Main.java:3:18 error",
        "';' expected",
    ),
    (
        "java",
        "public class Hello {\n    public static void main(String[] a) {\n        System.out.print(1 / a.length);\n    }\n}",
        "Main.java:3 error",
        "ArithmeticException",
    ),
];

#[test]
fn each_language_tells_the_place_of_an_error() {
    let server = Server::start();
    let mut seen = 0;
    for (runtime, code, place, word) in PROGRAMS {
        if !has(&server, runtime) {
            continue;
        }
        seen += 1;
        let messages = run(&server, &json!({"runtime": runtime, "code": code, "diagnostics": true}));
        let found = diagnostics(&messages);
        assert!(
            found.len() == 1 && found[0].0 == place && found[0].1.contains(word),
            "{runtime}: {found:?} {messages:?}"
        );
        // The output itself is as it was.
        assert!(messages.iter().any(|message| message["file"] == "stderr" && message["msgtype"] == "write"));
    }
    assert!(seen >= 6, "only {seen} programs were run");
}

#[test]
fn places_are_told_only_where_the_creator_asks() {
    let server = Server::start();
    for fields in [json!({}), json!({"diagnostics": false})] {
        let mut request = json!({"runtime": "python", "code": "1 / 0"});
        request.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
        assert!(diagnostics(&run(&server, &request)).is_empty());
    }
}

/// The cache keeps what a compiler has printed, and a program is not compiled again: its warnings
/// have their places all the same.
#[test]
fn a_cached_compilation_tells_its_places_again() {
    let server = Server::start();
    for stages in [false, true] {
        let code = format!("int main(void) {{\n    int unused;\n    return 0;\n}}\n// {stages}");
        let request = json!({"runtime": "c", "code": code, "diagnostics": true, "stages": stages});
        for compiled in ["fresh", "cached"] {
            let session = id(&server.create(&request));
            let messages = server.stream(&session, "?after=0").rest();
            let places: Vec<_> = diagnostics(&messages).into_iter().map(|(place, _)| place).collect();
            assert_eq!(places, ["main.c:2:9 warning"], "{messages:?}");
            assert_eq!(server.get(&format!("/sessions/{session}")).json()["compiled"], compiled);
        }
    }
}

/// A program may print anything. It finds places in its own files alone, at most 100, and goes on.
#[test]
fn a_program_that_prints_errors_is_bounded() {
    let server = Server::start();
    let code = "import sys\nfor n in range(1, 1000):\n    sys.stderr.write(f'main.py:{n}:1: error: {\"x\" * n}\\n/etc/passwd:1:1: error: y\\n')\n\
                sys.stderr.write('x' * 1_000_000)\nprint('done')";
    let messages = run(&server, &json!({"runtime": "python", "code": code, "diagnostics": true}));
    let found = diagnostics(&messages);
    assert_eq!(found.len(), 100);
    assert!(found.iter().all(|(place, _)| place.starts_with("main.py:")), "{found:?}");
    assert!(messages.iter().any(|message| message["data"] == "done\n"));
}
