//! Every command that a document shows is run, and works.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use crate::common::{Run, Server, Stream, binary, id};

/// A document, from the folder of the sources; the second run, as an ordinary user, brings its own copies.
pub fn document(name: &str) -> String {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name);
    let here = PathBuf::from(name);
    let path = if here.exists() { here } else { sources };
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The blocks of a document that are in `language`.
fn blocks(text: &str, language: &str) -> Vec<String> {
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

/// All blocks of a document, each with its language.
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

/// The messages of a program of a document, which is told of a mouse and a key; frames it only waits for left out.
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
    let mut lets_go = waits_for_events;
    while let Some(message) = stream.next() {
        match message["msgtype"].as_str() {
            Some("write") => errors += message["data"].as_str().expect("data"),
            Some("exitstatus") => assert_eq!(message["exitstatus"], 0, "{code}\n{errors}"),
            Some("welcome") => {}
            // It may have ended before they came.
            Some("error") if !waits_for_events && message["error"] == "the program has ended" => {}
            _ => messages.push(message),
        }
        if std::mem::take(&mut lets_go) {
            send(&mut stream, "keyup", json!({"key": "ArrowLeft"}));
            send(&mut stream, "mouseup", place.clone());
            send(&mut stream, "click", place.clone());
        }
    }
    assert_eq!(errors, "", "{code}");
    messages
}

#[test]
fn every_example_of_the_canvas_and_the_modules_sends_what_it_shows() {
    let server = Server::start();
    let mut compared = 0;
    for (name, python, javascript) in [
        ("docs/canvas.md", "python-canvas", "javascript-canvas"),
        ("docs/messages.md", "python", "javascript-canvas"),
    ] {
        let mut programs: Vec<(&str, String)> = vec![];
        for (language, block) in all_blocks(&document(name)) {
            match language.as_str() {
                "python" => programs.push((python, block)),
                "javascript" => programs.push((javascript, block)),
                "json" => {
                    // An example that stands alone is the same in both languages, turtles excepted.
                    if let [(_, code)] = &programs[..]
                        && !code.contains("turtle")
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
                                message["image"] = "IMAGE".into(); // a digest
                            }
                        }
                        let shown: Vec<Value> =
                            block.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
                        assert_eq!(sent, shown, "{name}, {runtime}:\n{code}");
                        compared += 1;
                    }
                }
                other => panic!("{name}: a block in {other:?}"),
            }
        }
        assert!(programs.is_empty(), "{name}: nothing says what is sent: {programs:?}");
    }
    assert!(compared > 40, "{compared} examples");
}

#[test]
fn commands_work_as_they_are_written() {
    let server = Server::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("hello.py"), "print('hello')").expect("room for a file");
    let mut run = 0;
    for name in ["README.md", "docs/protocol.md"] {
        for block in blocks(&document(name), "sh").iter().filter(|block| !block.contains("make ")) {
            let session = server.create_id("python", "for n in range(3): print(n)");
            Run::collect(server.stream(&session, ""));
            let commands = block
                .replace("http://127.0.0.1:8000", &server.url(""))
                .replace("target/release/livecode", &binary().display().to_string());
            let output = Command::new("bash")
                .args(["-e", "-c", &commands])
                .current_dir(folder.path())
                .env("ID", &session)
                .env("LIVECODE_SERVER", server.url(""))
                .output()
                .expect("bash runs");
            let words = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{name}: {block}\n{words}");
            assert!(!words.contains("\"title\""), "{name}: {block}\nanswers a problem: {words}");
            run += 1;
        }
    }
    assert!(run >= 6, "{run} blocks were found");
}

#[test]
fn the_settings_of_the_example_are_settings() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("livecode.toml");
    let example = &blocks(&document("docs/operating.md"), "toml")[0];
    std::fs::write(&path, example.replace(":9000", ":0")).expect("room for a file");
    // A flag wins, so the harness's own port does.
    let server = Server::start_with(&["--config", path.to_str().expect("UTF-8")]);
    assert_eq!(server.request("GET", "/healthz", &[("host", "live.example.org")], &[]).status, 200);
}

#[test]
fn the_operators_runtime_of_the_example_runs() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let perl = folder.path().join("perl");
    std::fs::create_dir(&perl).expect("room for a folder");
    std::fs::write(perl.join("runtime.toml"), &blocks(&document("docs/runtimes.md"), "toml")[0])
        .expect("room for a file");
    // Its comment says what stands beside it.
    std::fs::write(perl.join("Line.pm"), "$| = 1; 1;").expect("room for a file");
    let server = Server::start_with(&["--runtimes-dir", folder.path().to_str().expect("UTF-8")]);
    let run = server.run(&json!({"runtime": "pl", "code": "print 6 * 7, qq(\\n);"}));
    assert_eq!(run.stdout, "42\n", "{run:?}");
}

#[test]
fn the_python_of_the_example_runs() {
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
fn the_sessions_document_has_the_fields_it_shows() {
    let server = Server::start();
    let shown: Value = serde_json::from_str(&blocks(&document("README.md"), "json")[0]).expect("JSON");
    let made = server.create(&json!({"runtime": "python", "code": "print(1)"}));
    for field in shown.as_object().expect("an object").keys() {
        assert!(!made[field].is_null(), "{field} in {made}");
    }
    Run::collect(server.stream(&id(&made), ""));
}
