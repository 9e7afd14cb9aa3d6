//! The command line, used as a person uses it.

mod cases;
mod shells;
mod uses;

use std::{
    fs,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::common::{Server, binary};

struct Shell<'s> {
    server: &'s Server,
    folder: tempfile::TempDir,
}

impl<'s> Shell<'s> {
    fn new(server: &'s Server) -> Self {
        Self { server, folder: tempfile::tempdir().expect("a temporary folder is created") }
    }

    fn file(&self, name: &str, contents: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, contents).expect("the file can be written");
        path
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments).env("LIVECODE_SERVER", self.server.url(""));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut child = self.command(arguments).spawn().expect("the binary starts");
        let mut stdin = child.stdin.take().expect("the stream is piped");
        let input = input.to_vec();
        // Input is written on a thread of its own, so that a full pipe in one direction cannot
        // block the other.
        let writing = std::thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output().expect("the command ends");
        // A program may end without reading all of its input.
        let _ = writing.join().expect("the thread does not panic");
        output
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Reads a child's standard output until it contains `wanted`; returns everything read so far.
fn read_until(child: &mut Child, wanted: &str) -> String {
    let out = child.stdout.as_mut().expect("the stream is piped");
    let mut received = vec![];
    let mut byte = [0];
    while !text(&received).contains(wanted) {
        assert_eq!(
            out.read(&mut byte).expect("standard output can be read"),
            1,
            "the output ended before {wanted:?}; received {:?}",
            text(&received)
        );
        received.push(byte[0]);
    }
    text(&received)
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_raw(child.id() as i32).expect("a valid pid"), signal).expect("the command runs");
}

#[test]
fn run_behaves_like_running_the_program_locally() {
    let server = Server::start();
    let shell = Shell::new(&server);
    let code = "import sys\nprint('out', sys.argv[1:])\nprint('err', file=sys.stderr)\nprint(sys.stdin.read().upper())\nraise SystemExit(7)";
    let program = shell.file("p.py", code);
    let output = shell.run(&["run", path(&program), "--", "a", "-b"], "grüße".as_bytes());
    assert_eq!(text(&output.stdout), "out ['a', '-b']\nGRÜSSE\n");
    assert_eq!(text(&output.stderr), "err\n");
    assert_eq!(output.status.code(), Some(7));
}

#[test]
fn run_keeps_every_byte() {
    let server = Server::start();
    let shell = Shell::new(&server);
    let program = shell.file("cat.sh", "cat");
    let input: Vec<u8> =
        (0..100_000u32).flat_map(|n| (n.wrapping_mul(2_654_435_761)).to_le_bytes()).collect();
    let output = shell.run(&["run", path(&program)], &input);
    assert!(output.stdout == input, "{} bytes of {}", output.stdout.len(), input.len());
}

#[test]
fn run_picks_the_runtime_by_the_file_extension() {
    let server = Server::start();
    let shell = Shell::new(&server);
    for (name, code) in [
        ("a.js", "console.log('hi')"),
        ("a.sh", "echo hi"),
        ("a.c", "#include <stdio.h>\nint main(void) { puts(\"hi\"); }"),
    ] {
        assert_eq!(text(&shell.run(&["run", path(&shell.file(name, code))], b"").stdout), "hi\n", "{name}");
    }
    let unknown = shell.run(&["run", path(&shell.file("a.xyz", ""))], b"");
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(&unknown.stderr).contains("--runtime"), "{}", text(&unknown.stderr));
    let missing = shell.run(&["run", "/no/such/file.py"], b"");
    assert_eq!(missing.status.code(), Some(2));
    let chosen = shell.run(&["run", "--runtime", "python", path(&shell.file("b.xyz", "print('hi')"))], b"");
    assert_eq!(text(&chosen.stdout), "hi\n");
}

#[test]
fn ctrl_c_interrupts_the_program() {
    let server = Server::start();
    let shell = Shell::new(&server);
    let code = "import time\ntry: print('ready'); time.sleep(60)\nexcept KeyboardInterrupt: print('interrupted'); raise SystemExit(9)";
    let mut child =
        shell.command(&["run", path(&shell.file("p.py", code))]).spawn().expect("the binary starts");
    read_until(&mut child, "ready\n");
    signal(&child, Signal::INT);
    let output = child.wait_with_output().expect("the command ends");
    assert_eq!((text(&output.stdout).as_str(), output.status.code()), ("interrupted\n", Some(9)));

    // A second Ctrl-C kills a program that ignores the first. The handler uses os.write because
    // print could itself be interrupted.
    let code = "import os, signal, time\nsignal.signal(signal.SIGINT, lambda *_: os.write(1, b'no\\n'))\nprint('ready')\nwhile True: time.sleep(1)";
    let mut child =
        shell.command(&["run", path(&shell.file("q.py", code))]).spawn().expect("the binary starts");
    read_until(&mut child, "ready\n");
    signal(&child, Signal::INT);
    read_until(&mut child, "no\n");
    signal(&child, Signal::INT);
    assert_eq!(child.wait().expect("the command ends").code(), Some(137));
}

#[test]
fn run_reports_which_limit_ended_the_program() {
    let server = Server::start();
    let shell = Shell::new(&server);
    let program = shell.file("p.py", "import time; time.sleep(60)");
    let output = shell.run(&["run", "--timeout", "300", path(&program)], b"");
    assert_eq!(output.status.code(), Some(124));
    let words = "livecode: stopped: timeout: The program took longer than 300 milliseconds: does it wait for something, or is there a loop that never ends?\n";
    assert_eq!(text(&output.stderr), words);
}

#[test]
fn run_continues_after_a_server_restart() {
    let mut server = Server::start();
    let code = "for n in range(3): print(n)\nname = input()\nprint('hello', name)";
    let folder = tempfile::tempdir().expect("a temporary folder is created");
    let program = folder.path().join("p.py");
    fs::write(&program, code).expect("the file can be written");
    let mut child = Command::new(binary())
        .args(["run", "--server", &server.url(""), path(&program)])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    read_until(&mut child, "2\n");
    server.kill();
    server.start_again();
    child
        .stdin
        .take()
        .expect("the stream is piped")
        .write_all(b"you\n")
        .expect("the command reads its input");
    let output = child.wait_with_output().expect("the command ends");
    assert_eq!((text(&output.stdout).as_str(), output.status.code()), ("hello you\n", Some(0)));
}

#[test]
fn sessions_are_listed_attached_to_and_removed() {
    let server = Server::start();
    let shell = Shell::new(&server);
    let program = shell.file("p.py", "print('one')\nprint(input())");
    let detached = shell.run(&["run", "--detach", path(&program)], b"");
    let id = text(&detached.stdout).trim().to_owned();
    let listed = text(&shell.run(&["ls"], b"").stdout);
    assert!(listed.contains(&id) && listed.contains("python"), "{listed}");
    let json: Value = serde_json::from_slice(&shell.run(&["ls", "--json"], b"").stdout).expect("valid JSON");
    assert_eq!(json[0]["id"], *id);

    let attached = shell.run(&["attach", "--input", &id], b"two\n");
    assert_eq!((text(&attached.stdout).as_str(), attached.status.code()), ("one\ntwo\n", Some(0)));
    let replayed = shell.run(&["attach", &id], b"");
    assert_eq!((text(&replayed.stdout).as_str(), replayed.status.code()), ("one\ntwo\n", Some(0)));
    let resumed = shell.run(&["attach", "--after", "100", &id], b"");
    assert_eq!((text(&resumed.stdout).as_str(), resumed.status.code()), ("", Some(0)));
    assert!(shell.run(&["rm", &id], b"").status.success());
    assert_eq!(shell.run(&["rm", &id], b"").status.code(), Some(1));
    let unknown = shell.run(&["attach", &id], b"");
    assert_eq!(unknown.status.code(), Some(125));
    assert!(text(&unknown.stderr).contains("no session"), "{}", text(&unknown.stderr));
}

#[test]
fn an_unreachable_server_is_reported() {
    let output = Command::new(binary())
        .args(["ls", "--server", "http://127.0.0.1:1"])
        .output()
        .expect("the binary starts");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("livecode serve"), "{}", text(&output.stderr));
}

#[test]
fn runtimes_are_listed() {
    let server = Server::start();
    let shell = Shell::new(&server);
    let listed = text(&shell.run(&["runtimes"], b"").stdout);
    for name in ["python", "python-canvas", "javascript", "c", "cpp", "go, golang", "rust", "mypy", "bash"] {
        assert!(listed.lines().any(|line| line.starts_with(name)), "{name} in {listed}");
    }
}

/// A page accepts JSON that not every language can represent, such as 1e999 or a lone surrogate.
#[test]
fn messages_are_passed_on_whatever_they_contain() {
    let server = Server::start();
    let shell = Shell::new(&server);
    let odd = [
        r#"{"msgtype":"odd","n":1e999}"#.to_owned(),
        r#"{"msgtype":"odd","half":"\ud800"}"#.to_owned(),
        format!(r#"{{"msgtype":"odd","deep":{}{}}}"#, "[".repeat(99), "]".repeat(99)),
        r#"{"msgtype":"odd","seq":null}"#.to_owned(),
    ];
    let code: String = odd.iter().map(|message| format!("echo '--MSG-- {message}'\n")).collect();
    let program = shell.file("odd.sh", &format!("{code}echo the end\n"));
    let output = shell.run(&["run", "--messages", path(&program)], b"");
    let mut expected: String = odd[..3]
        .iter()
        .zip(1..)
        .map(|(message, seq)| format!("{},\"seq\":{seq}}}\n", message.trim_end_matches('}')))
        .collect();
    expected += "{\"msgtype\":\"odd\",\"seq\":4}\nthe end\n";
    assert_eq!((text(&output.stderr), text(&output.stdout)), (String::new(), expected));
    assert!(output.status.success());
}
