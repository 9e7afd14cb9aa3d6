//! The notice that a program waits for standard input: for which programs it comes, for which it
//! does not, and who is told.

use std::time::Instant;

use serde_json::{Value, json};

use crate::{
    common::{Server, Stream, id, is_root},
    strangers::rootless::ordinary_server,
};

/// A stream with notices from the session's begin on.
fn told(server: &Server, id: &str) -> Stream {
    server.stream(id, "?notices=1&after=0")
}

fn waits() -> Value {
    json!({"msgtype": "waiting", "file": "stdin"})
}

fn goes_on() -> Value {
    json!({"msgtype": "waiting", "file": null})
}

fn send(stream: &mut Stream, text: &str) {
    stream.send(&json!({"msgtype": "input", "data": text}));
}

/// Reads up to the next notice about input. Returns what was printed before it, and the notice.
fn next_notice(stream: &mut Stream) -> (String, Value) {
    let mut printed = String::new();
    loop {
        match stream.next_of_any(&["write", "waiting", "exitstatus"]) {
            Some(write) if write["msgtype"] == "write" => printed += write["data"].as_str().expect("data"),
            Some(notice) if notice["msgtype"] == "waiting" => return (printed, notice),
            other => panic!("no notice came: {other:?} after {printed:?}"),
        }
    }
}

/// Asserts that the program waits after it has printed this. That an earlier wait has ended may be
/// told before.
fn assert_waits_after(stream: &mut Stream, printed: &str) {
    let (mut all, mut notice) = next_notice(stream);
    if notice == goes_on() {
        let (rest, next) = next_notice(stream);
        (all, notice) = (all + &rest, next);
    }
    assert_eq!((all, notice), (printed.to_owned(), waits()));
}

fn assert_goes_on(stream: &mut Stream) {
    assert_eq!(next_notice(stream), (String::new(), goes_on()));
}

/// Asserts that the rest of a session has no notice about input, and that it ends well.
fn assert_never_waits(mut stream: Stream, what: &str) {
    let rest = stream.rest();
    assert!(rest.iter().all(|message| message["msgtype"] != "waiting"), "{what}: {rest:?}");
    assert_eq!(rest.last().map(|end| end["exitstatus"].clone()), Some(json!(0)), "{what}: {rest:?}");
}

/// The program asks for a name and a town, and prints both.
fn asks_twice(runtime: &str, code: &str) {
    let server = Server::start();
    let runtimes = server.get("/runtimes").json();
    let mut runtimes = runtimes.as_array().expect("a list").iter();
    if !runtimes.any(|one| one["name"] == runtime && one["available"] == true) {
        return assert!(!is_root(), "{runtime} is not installed");
    }
    let mut stream = told(&server, &server.create_id(runtime, code));
    for (question, answer) in [("name? ", "Ada\n"), ("town? ", "London\n")] {
        assert_waits_after(&mut stream, question);
        send(&mut stream, answer);
    }
    let rest = stream.rest();
    assert!(rest.iter().any(|message| message["data"] == "Ada London\n"), "{rest:?}");
    assert!(rest.iter().all(|message| *message != waits()), "{rest:?}");
}

#[test]
fn a_python_program_waits_in_input() {
    asks_twice("python", "name = input('name? ')\nprint(name, input('town? '))");
}

#[test]
fn a_c_program_waits_in_scanf() {
    let code = r#"
#include <stdio.h>
int main(void) {
    char name[20], town[20];
    printf("name? ");
    scanf("%19s", name);
    printf("town? ");
    scanf("%19s", town);
    printf("%s %s\n", name, town);
}
"#;
    asks_twice("c", code);
}

#[test]
fn a_java_program_waits_in_a_scanner() {
    let code = r#"
import java.util.Scanner;

public class Main {
    public static void main(String[] arguments) {
        Scanner scanner = new Scanner(System.in);
        System.out.print("name? ");
        String name = scanner.nextLine();
        System.out.print("town? ");
        System.out.println(name + " " + scanner.nextLine());
    }
}
"#;
    asks_twice("java", code);
}

#[test]
fn a_go_program_waits_in_bufio() {
    let code = r#"
package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
)

func main() {
	in := bufio.NewReader(os.Stdin)
	fmt.Print("name? ")
	name, _ := in.ReadString('\n')
	fmt.Print("town? ")
	town, _ := in.ReadString('\n')
	fmt.Println(strings.TrimSpace(name), strings.TrimSpace(town))
}
"#;
    asks_twice("go", code);
}

#[test]
fn a_rust_program_waits_in_read_line() {
    let code = r#"
use std::io::{Write, stdin, stdout};

fn ask(question: &str) -> String {
    print!("{question}");
    stdout().flush().unwrap();
    let mut line = String::new();
    stdin().read_line(&mut line).unwrap();
    line.trim().to_owned()
}

fn main() {
    let name = ask("name? ");
    println!("{name} {}", ask("town? "));
}
"#;
    asks_twice("rust", code);
}

#[test]
fn a_node_program_waits_in_readline() {
    let callbacks = r#"
const lines = require("node:readline").createInterface({ input: process.stdin, output: process.stdout });
lines.question("name? ", (name) => {
  lines.question("town? ", (town) => {
    console.log(name, town);
    lines.close();
  });
});
"#;
    asks_twice("javascript", callbacks);
    let data = r#"
const words = [];
process.stdout.write("name? ");
process.stdin.on("data", (data) => {
  words.push(data.toString().trim());
  if (words.length === 1) return process.stdout.write("town? ");
  console.log(...words);
  process.stdin.pause();
});
"#;
    asks_twice("javascript", data);
    let calls = r#"
const fs = require("node:fs");
function ask(question) {
  fs.writeSync(1, question);
  const bytes = Buffer.alloc(100);
  return bytes.toString("utf8", 0, fs.readSync(0, bytes)).trim();
}
const name = ask("name? ");
console.log(name, ask("town? "));
"#;
    asks_twice("javascript", calls);
}

#[test]
fn a_ruby_program_waits_in_gets() {
    asks_twice("ruby", "print 'name? '\nname = gets.chomp\nprint 'town? '\nputs name + ' ' + gets.chomp");
}

#[test]
fn a_bash_script_waits_in_read() {
    asks_twice("bash", "printf 'name? '\nread name\nprintf 'town? '\nread town\necho $name $town");
}

#[test]
fn a_child_of_the_program_may_wait() {
    let code =
        "printf 'name? '\nname=$(head -n 1)\nprintf 'town? '\necho $name $(sh -c 'read town; echo $town')";
    asks_twice("bash", code);
}

#[test]
fn a_program_that_sleeps_or_computes_does_not_wait() {
    let server = Server::start();
    for (runtime, code) in [
        ("bash", "sleep 0.3"),
        ("python", "import time\nfor n in range(3): print(n)\ntime.sleep(0.2)\nsum(range(5_000_000))"),
        ("javascript", "setTimeout(() => console.log('done'), 200)"),
    ] {
        assert_never_waits(told(&server, &server.create_id(runtime, code)), code);
    }
}

#[test]
fn input_that_is_there_or_has_ended_is_not_waited_for() {
    let server = Server::start();
    let code = "import sys\nfor line in sys.stdin: print(line)\nsys.stdin.read()";
    let script = "while read -n 1 letter; do echo $letter; done; cat";
    let events = "process.stdin.on('data', (data) => console.log(String(data)))";
    for (runtime, code) in [("python", code), ("bash", script), ("javascript", events)] {
        for stdin in ["", "Ada\nBob"] {
            let session = server.create(&json!({"runtime": runtime, "code": code, "stdin": stdin}));
            assert_never_waits(told(&server, &id(&session)), code);
        }
        // The end comes while the program waits.
        let mut stream = told(&server, &server.create_id(runtime, code));
        assert_waits_after(&mut stream, "");
        stream.send(&json!({"msgtype": "input", "data": "", "eof": true}));
        assert!(stream.rest().iter().all(|message| *message != waits()), "{code}");
    }
}

/// Standard input of these readers is a pipe of the program's own, or is not in blocking mode.
#[test]
fn a_read_of_anything_else_is_no_wait() {
    let server = Server::start();
    let pipeline = "{ sleep 0.3; echo Ada; } | { read name; echo $name; }";
    let redirected = "exec < <(sleep 0.3; echo Ada)\nread name\ncat";
    let node = "{ sleep 0.3; echo Ada; } | node -e 'process.stdin.on(\"data\", (data) => console.log(String(data)))'";
    for code in [pipeline, redirected, node] {
        assert_never_waits(told(&server, &server.create_id("bash", code)), code);
    }
    let polling = "import os\nos.set_blocking(0, False)\nfor n in range(100):\n    try: os.read(0, 1)\n    except BlockingIOError: pass";
    assert_never_waits(told(&server, &server.create_id("python", polling)), polling);
}

#[test]
fn a_wait_that_a_signal_ends_is_over() {
    let server = Server::start();
    let code = "
import sys, signal
try: input('name? ')
except KeyboardInterrupt: print('no name', file=sys.stderr)
signal.pause()
";
    let mut stream = told(&server, &server.create_id("python", code));
    assert_waits_after(&mut stream, "name? ");
    stream.send(&json!({"msgtype": "signal", "signal": "interrupt"}));
    assert_eq!(next_notice(&mut stream).1, goes_on());
    let code = "process.stdin.resume();\nprocess.on('SIGINT', () => process.stdin.pause());\nsetInterval(() => {}, 1e6);";
    let mut stream = told(&server, &server.create_id("javascript", code));
    assert_waits_after(&mut stream, "");
    stream.send(&json!({"msgtype": "signal", "signal": "interrupt"}));
    assert_goes_on(&mut stream);
}

#[test]
fn readers_who_join_are_told_after_the_backlog_if_they_ask() {
    let server = Server::start();
    let session =
        server.create_id("python", "import signal\nprint('x' * 300_000)\ninput('name? ')\nsignal.pause()");
    let mut first = told(&server, &session);
    let (printed, notice) = next_notice(&mut first);
    assert_eq!(notice, waits());
    let mut second = told(&server, &session);
    assert_waits_after(&mut second, &printed);
    let mut last = server.stream(&session, "?notices=1&after=1000000");
    assert_waits_after(&mut last, "");
    let headers = [("accept", "application/x-ndjson")];
    let path = format!("/sessions/{session}/stream?notices=1");
    let mut lines = server.lines("GET", &path, &headers, &[]);
    let is = |line: &str, notice: Value| serde_json::from_str(line).is_ok_and(|line: Value| line == notice);
    assert!(lines.any(|line| is(&line, waits())));
    let without = server.stream(&session, "?after=0");
    send(&mut first, "Ada\n");
    for stream in [&mut first, &mut second, &mut last] {
        assert_goes_on(stream);
    }
    assert!(lines.next().is_some_and(|line| is(&line, goes_on())));
    first.send(&json!({"msgtype": "signal", "signal": "kill"}));
    for mut stream in [without, told(&server, &session)] {
        assert!(stream.rest().iter().all(|message| message["msgtype"] != "waiting"));
    }
}

#[test]
fn a_server_that_is_killed_tells_it_again() {
    let mut server = Server::start();
    let session = server.create_id("python", "input('name? ')\ninput('town? ')");
    assert_waits_after(&mut told(&server, &session), "name? ");
    server.kill();
    server.start_again();
    let mut stream = told(&server, &session);
    assert_waits_after(&mut stream, "name? ");
    send(&mut stream, "Ada\n");
    assert_waits_after(&mut stream, "town? ");
}

/// Python goes on in a copy of an interpreter, and bash is executed.
fn sees_waits_of_any_program(server: &Server) {
    for (runtime, code) in [("python", "input('name? ')"), ("bash", "printf 'name? '; read name")] {
        assert_waits_after(&mut told(server, &server.create_id(runtime, code)), "name? ");
    }
}

#[test]
fn an_ordinary_user_sees_waits() {
    sees_waits_of_any_program(&ordinary_server(4));
}

/// The Debian package gives the server no capability to trace other users' processes.
#[test]
fn a_wait_is_seen_without_any_privilege_over_programs() {
    let wrapper: &[&str] = if is_root() { &["setpriv", "--bounding-set", "-sys_ptrace"] } else { &[] };
    sees_waits_of_any_program(&Server::start_by(wrapper, &[]));
}

/// A program's words about its input are for its supervisor, and no message.
#[test]
fn a_program_may_say_that_its_event_loop_waits() {
    let server = Server::start();
    let code = r#"
import livecode, signal
say = lambda line: livecode._post(line + b'\n')
say(b'{"msgtype":"waiting","file":"stdin","inode":1}')
say(b'{"msgtype":"waiting","file":"stdin"}')
signal.pause()
"#;
    let mut stream = told(&server, &server.create_id("python", code));
    assert_waits_after(&mut stream, "");
    let code = "import livecode\nlivecode._post(b'{\"msgtype\":\"waiting\",\"file\":\"stdout\"}\\n')";
    let rest = told(&server, &server.create_id("python", code)).rest();
    let note = rest.iter().find(|message| message["file"] == "stderr").expect("a note");
    assert!(note["data"].as_str().is_some_and(|note| note.contains("\"waiting\" is reserved")), "{note}");
}

/// The notices are bounded by a rate, and the last state is told.
#[test]
fn a_program_that_waits_very_often_is_told_of_now_and_then() {
    let server = Server::start();
    let code = r#"
import livecode
for n in range(3000):
    livecode._post(b'{"msgtype":"waiting","file":"stdin"}\n')
    livecode._post(b'{"msgtype":"waiting","file":null}\n')
input('done')
"#;
    let began = Instant::now();
    let mut stream = told(&server, &server.create_id("python", code));
    let mut notices = 0;
    let mut has_printed = false;
    loop {
        let message = stream.next_of_any(&["write", "waiting"]).expect("a message");
        has_printed |= message["msgtype"] == "write";
        if has_printed && message == waits() {
            break;
        }
        notices += u64::from(message["msgtype"] == "waiting");
    }
    let allowed = 20 + began.elapsed().as_millis() as u64 / 50;
    assert!(notices <= allowed, "{notices} notices, at most {allowed}");
    send(&mut stream, "x\n");
    assert!(stream.rest().iter().all(|message| *message != waits()));
}

/// Without the setting nobody is told, in no language.
#[test]
fn a_server_without_a_listener_does_not_tell_it() {
    let server = Server::start_with(&["--exact-order", "off"]);
    let events = "process.stdin.on('data', () => process.exit(0)); setTimeout(() => console.log('on'), 100)";
    for (runtime, code) in [("python", "print('on')\ninput()"), ("javascript", events)] {
        let mut stream = told(&server, &server.create_id(runtime, code));
        let first = stream.next_of_any(&["write", "waiting"]).expect("output");
        assert_eq!(first["data"], "on\n");
        send(&mut stream, "Ada\n");
        assert_never_waits(stream, code);
    }
}
