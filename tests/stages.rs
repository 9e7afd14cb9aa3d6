//! Compilation told apart from the program, in sessions that ask for it.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};

use serde_json::{Value, json};

use crate::common::{Server, binary, id, is_root};

/// A session that has ended: its messages without their numbers, and its document.
struct Ended {
    messages: Vec<Value>,
    document: Value,
}

impl Ended {
    fn of(server: &Server, request: &Value) -> Self {
        let id = id(&server.create(request));
        let mut stream = server.stream(&id, "");
        let messages = std::iter::from_fn(|| stream.next()).filter(|message| message["msgtype"] != "welcome");
        let messages = messages.collect();
        Self { messages, document: server.get(&format!("/sessions/{id}")).json() }
    }

    /// All output of the stage, or of the program if the stage is `null`.
    fn output(&self, stage: &Value) -> String {
        let of_stage = self.messages.iter().filter(|message| message["stage"] == *stage);
        of_stage.filter_map(|message| message["data"].as_str()).collect()
    }

    fn exit(&self) -> &Value {
        self.messages.last().expect("an exitstatus")
    }
}

/// The runtimes of this machine among C, Rust and Go, each with a program that runs and one that
/// does not compile. On some machines Rust's toolchain is in root's home.
fn programs(server: &Server) -> Vec<(&'static str, &'static str, &'static str)> {
    let runtimes = server.get("/runtimes").json();
    let is_here = |name: &str| {
        runtimes.as_array().expect("a list").iter().any(|one| one["name"] == name && one["available"] == true)
    };
    let mut programs = vec![
        (
            "c",
            "#include <stdio.h>\nint main(void) { int unused; fputs(\"ran\\n\", stderr); return 3; }\n",
            "int main(void) { return nothing; }\n",
        ),
        (
            "rust",
            "fn main() { let unused = 1; eprintln!(\"ran\"); std::process::exit(3); }\n",
            "fn main() { nothing }\n",
        ),
        (
            "go",
            "package main\n\nimport \"os\"\n\nfunc main() { os.Stderr.WriteString(\"ran\\n\"); os.Exit(3) }\n",
            "package main\n\nfunc main() { nothing() }\n",
        ),
    ];
    programs.retain(|(name, ..)| is_here(name));
    assert!(programs.len() == 3 || !is_root(), "{programs:?}");
    programs
}

#[test]
fn the_compilers_words_and_times_are_told_apart_also_when_they_come_from_the_cache() {
    let server = Server::start();
    for (runtime, code, _) in programs(&server) {
        let request = json!({"runtime": runtime, "code": code, "stages": true});
        for is_cached in [false, true] {
            let ended = Ended::of(&server, &request);
            let compile = &ended.document["compile"];
            assert_eq!(ended.output(&Value::Null), "ran\n", "{runtime}: {:?}", ended.messages);
            let has_warning = ended.output(&json!("compile")).contains("unused");
            assert_eq!(has_warning, runtime != "go", "{:?}", ended.messages);
            assert_eq!(*ended.exit(), json!({"msgtype": "exitstatus", "exitstatus": 3}));
            assert_eq!(ended.document["outcome"], "exited");
            assert_eq!((&compile["exitstatus"], &compile["cached"]), (&json!(0), &json!(is_cached)));
            let [wall_ms, cpu_ms] = ["wall_ms", "cpu_ms"].map(|name| compile[name].as_u64().expect("a time"));
            assert_eq!((wall_ms > 0, cpu_ms > 0), (!is_cached, !is_cached), "{compile}");
            let total_ms = ended.document["usage"]["wall_ms"].as_u64().expect("a time");
            assert!(wall_ms <= total_ms, "{}", ended.document);
        }
    }
}

#[test]
fn a_failed_compilation_has_its_own_outcome() {
    let server = Server::start();
    for (runtime, _, code) in programs(&server) {
        let ended = Ended::of(&server, &json!({"runtime": runtime, "code": code, "stages": true}));
        let compile = &ended.document["compile"];
        assert_eq!(ended.document["outcome"], "compile_failed", "{runtime}");
        let detail = ended.document["detail"].as_str().expect("words");
        assert!(detail.starts_with("The program could not be compiled"), "{detail}");
        assert!(ended.document["limit"].is_null(), "{}", ended.document);
        assert_eq!(ended.exit()["reason"], "compile_failed");
        let status = ended.exit()["exitstatus"].as_i64().expect("a number");
        assert_ne!(status, 0);
        assert_eq!((&compile["exitstatus"], &compile["cached"]), (&json!(status), &json!(false)));
        assert!(ended.output(&json!("compile")).contains("nothing"), "{:?}", ended.messages);
        assert_eq!(ended.output(&Value::Null), "");
    }
    let metrics = server.get("/metrics").text();
    assert!(metrics.contains("livecode_sessions_ended_total{outcome=\"compile_failed\"} "), "{metrics}");
}

#[test]
fn nothing_changes_for_those_who_do_not_ask() {
    let server = Server::start();
    for stages in [json!(null), json!(false)] {
        let request = json!({"runtime": "c", "code": "int main(void) { return nothing; }", "stages": stages});
        let ended = Ended::of(&server, &request);
        assert_eq!(
            (&ended.document["outcome"], &ended.document["compile"]),
            (&json!("exited"), &Value::Null)
        );
        assert_eq!(*ended.exit(), json!({"msgtype": "exitstatus", "exitstatus": 1}));
        assert!(ended.output(&Value::Null).contains("nothing"), "{:?}", ended.messages);
    }
    // A runtime without compile steps has nothing to tell apart.
    let ended = Ended::of(&server, &json!({"runtime": "bash", "code": "exit 1", "stages": true}));
    assert_eq!((&ended.document["outcome"], &ended.document["compile"]), (&json!("exited"), &Value::Null));
}

/// A server with the runtime `workshop`, whose compile step runs the source itself with bash.
fn workshop() -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().expect("a temporary folder is created");
    let own = folder.path().join("workshop");
    fs::create_dir(&own).expect("the folder can be created");
    let toml = "title = 'Workshop'\nfile = 'make.sh'\neditor_mode = 'sh'\ninstall = 'nothing'\n\
                compile = [['bash', '{source}']]\nrun = ['bash', '/code/main.sh']\n";
    fs::write(own.join("runtime.toml"), toml).expect("the file can be written");
    // Sessions run as other users, and each of them must be able to read the folder.
    for path in [folder.path(), &own] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("the folder is ours");
    }
    let server = Server::start_with(&["--runtimes-dir", folder.path().to_str().expect("a path in UTF-8")]);
    (folder, server)
}

#[test]
fn the_end_of_compilation_divides_the_output_exactly() {
    let (_folder, server) = workshop();
    let code = "echo 'echo program >&2' > main.sh; seq 1 20000 >&2; echo last";
    for _ in 0..10 {
        let ended = Ended::of(&server, &json!({"runtime": "workshop", "code": code, "stages": true}));
        let compiler_output = ended.output(&json!("compile"));
        assert!(compiler_output.starts_with("1\n2\n") && compiler_output.ends_with("20000\nlast\n"));
        assert_eq!(ended.output(&Value::Null), "program\n");
    }
}

#[test]
fn a_limit_during_compilation_keeps_its_outcome_and_a_signal_is_a_failure() {
    let (_folder, server) = workshop();
    for (code, limits, outcome, status) in [
        ("sleep 100", json!({"timeout": 500}), "timeout", 124),
        ("echo no; kill -SEGV $$", json!({}), "compile_failed", 139),
    ] {
        let mut request = json!({"runtime": "workshop", "code": code, "stages": true});
        request.as_object_mut().expect("an object").extend(limits.as_object().expect("an object").clone());
        let ended = Ended::of(&server, &request);
        let compile = &ended.document["compile"];
        assert_eq!(ended.document["outcome"], outcome, "{}", ended.document);
        assert_eq!((&ended.exit()["exitstatus"], &compile["exitstatus"]), (&json!(status), &json!(status)));
        assert_eq!(compile["cached"], false);
    }
    assert_eq!(server.run(&json!({"runtime": "workshop", "code": "kill -SEGV $$"})).exitstatus, 139);
}

#[test]
fn the_command_line_says_by_its_exit_status_that_a_program_was_not_compiled() {
    let server = Server::start();
    let folder = tempfile::tempdir().expect("a temporary folder is created");
    let wrong = folder.path().join("wrong.c");
    fs::write(&wrong, "int main(void) { return nothing; }\n").expect("the file can be written");
    let right = folder.path().join("right.c");
    fs::write(&right, "int main(void) { return 5; }\n").expect("the file can be written");
    for (file, arguments, status) in
        [(&wrong, &["--stages"][..], 126), (&wrong, &[], 1), (&right, &["--stages"], 5)]
    {
        let mut command = Command::new(binary());
        let output = command.arg("run").args(arguments).arg(file).env("LIVECODE_SERVER", server.url(""));
        let output = output.output().expect("the command runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {stderr}");
        assert_eq!(stderr.contains("nothing"), file == &wrong, "{stderr}");
        assert_eq!(stderr.contains("livecode: the program was not compiled"), status == 126, "{stderr}");
    }
}
