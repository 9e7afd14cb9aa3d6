//! Every command and example in the documents is run, and works.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use crate::common::{Run, Server, Stream, binary, id};

/// Reads a document from the source folder. When the tests run again as an ordinary user, the
/// document is a copy in the working directory.
pub fn document(name: &str) -> String {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name);
    let copy = PathBuf::from(name);
    let path = if copy.exists() { copy } else { sources };
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The code blocks of a document that are in `language`.
pub fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut blocks = vec![];
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix("```").filter(|name| !name.is_empty()) {
            let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
            if name == language {
                blocks.push(block.join("\n"));
            }
        }
    }
    blocks
}

/// All code blocks of a document, each with its language.
fn all_blocks(text: &str) -> Vec<(String, String)> {
    let mut blocks = vec![];
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push((language.to_owned(), block.join("\n")));
        }
    }
    blocks
}

/// Runs a program from a document, sends it mouse and key events, and returns its messages.
fn messages_of(server: &Server, runtime: &str, code: &str) -> Vec<Value> {
    let mut stream = server.stream(&server.create_id(runtime, code), "");
    let send = |stream: &mut Stream, name: &str, data: Value| {
        stream.send(&json!({"msgtype": "event", "event": name, "data": data}));
    };
    let place = json!({"x": 30, "y": 40, "button": 0});
    for (name, data) in
        [("mousemove", &place), ("mousedown", &place), ("keydown", &json!({"key": "ArrowLeft"}))]
    {
        send(&mut stream, name, data.clone());
    }
    let mut messages = vec![];
    let mut errors = String::new();
    let waits_for_events = code.contains("run()")
        || code.contains("on(")
        || code.contains("events()")
        || code.contains("onClick");
    let mut release_pending = waits_for_events;
    while let Some(message) = stream.next() {
        match message["msgtype"].as_str() {
            Some("write") => errors += message["data"].as_str().expect("data"),
            Some("exitstatus") => assert_eq!(message["exitstatus"], 0, "{code}\n{errors}"),
            Some("welcome") => {}
            // The program may have ended before the events arrived, or while they did.
            Some("error")
                if !waits_for_events
                    && ["program_ended", "delivery_unknown"].iter().any(|code| message["code"] == *code) => {}
            _ => messages.push(message),
        }
        if std::mem::take(&mut release_pending) {
            send(&mut stream, "keyup", json!({"key": "ArrowLeft"}));
            send(&mut stream, "mouseup", place.clone());
            send(&mut stream, "click", place.clone());
        }
    }
    assert_eq!(errors, "", "{code}");
    messages
}

#[test]
fn examples_of_canvas_and_messages_send_what_the_documents_show() {
    let server = Server::start();
    let mut compared = 0;
    for (name, python, javascript) in [
        ("docs/canvas.md", "python-canvas", "javascript-canvas"),
        ("docs/messages.md", "python", "javascript-canvas"),
        ("docs/joy.md", "joy", ""),
    ] {
        let mut programs: Vec<(&str, String)> = vec![];
        for (language, block) in all_blocks(&document(name)) {
            match language.as_str() {
                "python" => programs.push((python, block)),
                "javascript" => programs.push((javascript, block)),
                "json" => {
                    // A single example stands for both languages, except for turtle and joy, which
                    // exist in Python only.
                    if let [(_, code)] = &programs[..]
                        && !code.contains("turtle")
                        && !javascript.is_empty()
                    {
                        let code = code.clone();
                        programs.push((javascript, code));
                    }
                    for (runtime, code) in programs.drain(..) {
                        let mut sent = messages_of(&server, runtime, &code);
                        let shows_frames = block.contains("\"frame\"");
                        sent.retain(|message| shows_frames || message["shape"] != "frame");
                        if code.contains("turtle") {
                            sent.retain(|message| message["layer"].is_null());
                        }
                        for message in &mut sent {
                            if message["image"].is_string() {
                                // The document shows this word in place of the picture's digest.
                                message["image"] = "IMAGE".into();
                            }
                        }
                        let shown: Vec<Value> = block
                            .lines()
                            .map(|line| serde_json::from_str(line).expect("valid JSON"))
                            .collect();
                        assert_eq!(sent, shown, "{name}, {runtime}:\n{code}");
                        compared += 1;
                    }
                }
                other => panic!("{name}: a block in {other:?}"),
            }
        }
        assert!(programs.is_empty(), "{name}: no block shows the messages of {programs:?}");
    }
    assert!(compared > 40, "only {compared} examples were compared");
}

#[test]
fn documented_commands_work() {
    let server = Server::start();
    let folder = tempfile::tempdir().expect("a temporary folder is created");
    std::fs::write(folder.path().join("hello.py"), "print('hello')").expect("the file can be written");
    let mut run = 0;
    for name in ["README.md", "docs/protocol.md"] {
        for block in blocks(&document(name), "sh").iter().filter(|block| !block.contains("make ")) {
            let session = server.create_id("python", "for n in range(3): print(n)");
            Run::collect(server.stream(&session, ""));
            let share =
                server.post(&format!("/sessions/{session}/shares"), &json!({"rights": "watch"})).json();
            let (_, secret) =
                share["link"].as_str().and_then(|link| link.split_once("#share=")).expect("a link");
            let commands = block
                .replace("http://127.0.0.1:8000", &server.url(""))
                .replace("target/release/livecode", &binary().display().to_string());
            let output = Command::new("bash")
                .args(["-e", "-c", &commands])
                .current_dir(folder.path())
                .env("ID", &session)
                .env("SECRET", secret)
                .env("LIVECODE_SERVER", server.url(""))
                .output()
                .expect("bash runs");
            let printed = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{name}: {block}\n{printed}");
            assert!(
                !printed.contains("\"title\""),
                "{name}: {block}\nreturned a problem document: {printed}"
            );
            run += 1;
        }
    }
    assert!(run >= 6, "only {run} blocks were run");
}

#[test]
fn the_example_settings_are_accepted() {
    let folder = tempfile::tempdir().expect("a temporary folder is created");
    let path = folder.path().join("livecode.toml");
    let example = &blocks(&document("docs/operating.md"), "toml")[0];
    std::fs::write(&path, example.replace(":9000", ":0")).expect("the file can be written");
    // Flags override the file, so the test harness still chooses the port.
    let server = Server::start_with(&["--config", path.to_str().expect("a path in UTF-8")]);
    assert_eq!(server.request("GET", "/healthz", &[("host", "live.example.org")], &[]).status, 200);
}

#[test]
fn the_settings_for_machines_of_two_sizes_are_accepted_and_fit() {
    let text = document("docs/capacity.md");
    let examples = blocks(&text, "toml");
    assert_eq!(examples.len(), 2);
    let folder = tempfile::tempdir().expect("a temporary folder is created");
    let path = folder.path().join("livecode.toml");
    for example in &examples {
        std::fs::write(&path, example).expect("the file can be written");
        Server::start_with(&["--config", path.to_str().expect("a path in UTF-8")]);
    }
    // The rows of a worked example are `| what | count | each, KiB | MiB |`; the last is the sum.
    let mut sum_mib = 0;
    let mut machines = 0;
    for line in text.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if cells.len() != 6 {
            continue; // another table
        }
        let number = |index: usize| cells.get(index)?.replace(',', "").parse::<f64>().ok();
        match (cells.get(1), number(2), number(3), number(4)) {
            (Some(&"together"), _, _, Some(mib)) => {
                assert_eq!(mib as u64, sum_mib, "{line}");
                (sum_mib, machines) = (0, machines + 1);
            }
            (_, Some(count), Some(each_kib), Some(mib)) => {
                let product = (count * each_kib / 1024.0).ceil();
                assert!((product - mib).abs() < 1.0, "{line} should have {product}");
                sum_mib += mib as u64;
            }
            _ => {}
        }
    }
    assert_eq!(machines, 2);
}

#[test]
fn the_recipes_for_an_operators_runtimes_run() {
    let folder = tempfile::tempdir().expect("a temporary folder is created");
    let recipes = blocks(&document("docs/runtimes.md"), "toml");
    let names = ["awk", "c90"];
    for (name, recipe) in names.into_iter().zip(recipes) {
        std::fs::create_dir(folder.path().join(name)).expect("the folder can be created");
        std::fs::write(folder.path().join(name).join("runtime.toml"), recipe)
            .expect("the file can be written");
    }
    let server = Server::start_with(&["--runtimes-dir", folder.path().to_str().expect("a path in UTF-8")]);
    let runtimes = server.get("/runtimes").json();
    for name in names {
        let runtime = runtimes.as_array().expect("a list").iter().find(|known| known["name"] == name);
        let run =
            server.run_code(name, runtime.expect("the runtime")["example"].as_str().expect("a program"));
        assert_eq!((&*run.stdout, run.exitstatus), ("Hello!\n", 0), "{name}: {run:?}");
    }
    // The output of the first is not late.
    let code = "BEGIN { print \"live\"; system(\"sleep 60\") }";
    let session = server.create_id("awk", code);
    let mut stream = server.stream(&session, "");
    stream.read_until("live\n");
    stream.send(&json!({"msgtype": "signal", "signal": "kill"}));
    stream.rest();
}

#[test]
fn the_python_example_of_the_protocol_runs() {
    let server = Server::start();
    let mut stream =
        server.stream(&server.create_id("python", &blocks(&document("docs/protocol.md"), "python")[0]), "");
    assert_eq!(stream.next_of("draw"), json!({"msgtype": "draw", "shape": "circle", "args": [100, 100, 50]}));
    stream.send(&json!({"msgtype": "event", "event": "key", "data": "x"}));
    assert_eq!(stream.read_until("\n"), "key x\n");
    stream.send(&json!({"msgtype": "signal", "signal": "kill"}));
    stream.rest();
}

#[test]
fn a_session_document_has_the_documented_fields() {
    let server = Server::start();
    let shown: Value = serde_json::from_str(&blocks(&document("README.md"), "json")[0]).expect("valid JSON");
    let made = server.create(&json!({"runtime": "python", "code": "print(1)"}));
    for field in shown.as_object().expect("an object").keys() {
        assert!(!made[field].is_null(), "{field} in {made}");
    }
    Run::collect(server.stream(&id(&made), ""));
}
