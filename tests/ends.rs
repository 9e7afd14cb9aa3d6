//! How a session has ended, in words and with the limit that ended it.

use serde_json::{Value, json};

use crate::common::{Run, Server, id, is_root};

/// Runs a program to its end; returns the session's document.
fn ended(server: &Server, request: &Value) -> Value {
    let id = id(&server.create(request));
    Run::collect(server.stream(&id, ""));
    server.get(&format!("/sessions/{id}")).json()
}

/// Runs a program to its end; returns `limit` and `detail` of the session's document.
fn end_of(server: &Server, runtime: &str, code: &str, fields: &Value) -> (Value, String) {
    let mut request = json!({"runtime": runtime, "code": code});
    request.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
    let document = ended(server, &request);
    let detail = document["detail"].as_str().unwrap_or_else(|| panic!("no detail: {document}"));
    (document["limit"].clone(), detail.to_owned())
}

#[test]
fn a_limit_that_ends_a_session_is_named_with_its_value_and_in_words() {
    let server = Server::start();
    // On a busy machine, a program that computes may get no processor for as long as that.
    let impatient = Server::start_with(&["--idle-ms", "700"]);
    let cases = [
        (
            "import time\nwhile True: print(1, flush=True); time.sleep(0.1)",
            json!({"timeout": 500}),
            "wall_ms",
            500,
            "longer than 500 milliseconds",
        ),
        ("input()", json!({}), "idle_ms", 700, "For 700 milliseconds the program printed nothing"),
        (
            "while True: pass",
            json!({"limits": {"cpu_ms": 100}}),
            "cpu_ms",
            100,
            "100 milliseconds of processor time",
        ),
        (
            "x = bytearray(300_000_000)",
            json!({"limits": {"memory_bytes": 67_108_864}}),
            "memory_bytes",
            67_108_864,
            "more than 64 MiB of memory",
        ),
        (
            "while True: print('again and again')",
            json!({"limits": {"output_bytes": 4096}}),
            "output_bytes",
            4096,
            "printed more than 4 KiB",
        ),
    ];
    // Without cgroups, the limit of memory is one of each process, and Python ends with a MemoryError.
    for (code, fields, name, value, words) in
        cases.into_iter().filter(|(_, _, name, ..)| is_root() || *name != "memory_bytes")
    {
        let server = if name == "idle_ms" { &impatient } else { &server };
        let (limit, detail) = end_of(server, "python", code, &fields);
        assert_eq!(limit, json!({"name": name, "value": value}), "{detail}");
        assert!(detail.contains(words), "{detail}");
    }
}

/// The files are taken between the limit and the end of the session.
#[test]
fn a_limit_is_named_also_if_files_are_kept() {
    let server = Server::start();
    let code = "open('a.txt', 'w').write('kept')\nwhile True: pass";
    let limits = json!({"cpu_ms": 200});
    let request = json!({"runtime": "python", "code": code, "limits": limits, "collect": ["*.txt"]});
    let document = ended(&server, &request);
    assert_eq!(document["limit"], json!({"name": "cpu_ms", "value": 200}), "{document}");
    let files = server.get(&format!("/sessions/{}/files", id(&document))).json();
    assert_eq!(files["files"][0]["name"], "a.txt", "{files}");
}

#[test]
fn a_compiler_that_reaches_a_limit_is_told_apart_from_the_program() {
    let server = Server::start();
    let code = "#include <iostream>\n#include <map>\n#include <regex>\nint main() { std::cout << 1; }";
    let (limit, detail) = end_of(&server, "cpp", code, &json!({"timeout": 50}));
    assert_eq!(limit, json!({"name": "wall_ms", "value": 50, "compiling": true}));
    assert_eq!(detail, "Compiling the program took longer than 50 milliseconds.");
}

#[test]
fn other_ends_have_words_and_no_limit() {
    let server = Server::start();
    for (code, words) in [
        ("exit 0", "ran to its end."),
        ("exit 3", "exit status 3."),
        ("kill -SEGV $$", "signal 11 (SIGSEGV): it used memory"),
        ("kill -FPE $$", "divide a whole number by zero?"),
    ] {
        let (limit, detail) = end_of(&server, "bash", code, &json!({}));
        assert!(limit.is_null() && detail.contains(words), "{limit} {detail}");
    }
    let running = server.create(&json!({"runtime": "python", "code": "input()"}));
    let document = server.get(&format!("/sessions/{}", id(&running))).json();
    assert!(document["detail"].is_null() && document["limit"].is_null(), "{document}");
}

#[test]
fn the_words_outlast_the_server_and_stand_in_the_list() {
    let mut server = Server::start();
    let request = json!({"runtime": "python", "code": "while True: pass", "limits": {"cpu_ms": 100}});
    let document = ended(&server, &request);
    server.kill();
    server.start_again();
    let path = format!("/sessions/{}", id(&document));
    assert_eq!(server.get(&path).json()["detail"], document["detail"]);
    assert_eq!(server.get("/sessions").json()[0]["limit"], json!({"name": "cpu_ms", "value": 100}));
}
