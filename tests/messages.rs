//! A program's own messages and events in several languages.

use serde_json::{Value, json};

use crate::common::{Run, Server};

const C: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(void) {
    int fd = atoi(getenv("LIVECODE_FD"));
    char event[4096];
    size_t length = 0;
    while (!memchr(event, '\n', length)) length += read(fd, event + length, sizeof event - length);
    printf("%.*s", (int)length, event);
    fflush(stdout);
    dprintf(fd, "{\"msgtype\":\"echoed\",\"bytes\":%zu}\n", length);
}
"#;

const PYTHON: &str = "import livecode
for event in livecode.events():
    if event['event'] == 'stop':
        break
    livecode.send('seen', event=event['event'], data=event['data'])
";

const JAVASCRIPT: &str = "const livecode = require('livecode');
livecode.on('click', (data) => livecode.send('seen', {event: 'click', data}));
livecode.on('stop', () => process.exit(0));
";

fn event(name: &str, data: Value) -> Value {
    json!({"msgtype": "event", "event": name, "data": data})
}

#[test]
fn an_event_reaches_a_c_program_and_a_message_comes_back() {
    let server = Server::start();
    let mut stream = server.stream(&server.create_id("c", C), "");
    // The event may arrive before the program has started; then it is queued.
    stream.send(&event("mousemove", json!({"x": 10, "y": [1, null]})));
    let run = Run::collect(stream);
    let line = "{\"msgtype\":\"event\",\"event\":\"mousemove\",\"data\":{\"x\":10,\"y\":[1,null]}}\n";
    assert_eq!(run.stdout, line);
    assert_eq!(run.messages, [json!({"msgtype": "echoed", "bytes": line.len()})]);
}

#[test]
fn events_reach_python_and_javascript_through_their_modules() {
    let server = Server::start();
    for (runtime, code) in [("python", PYTHON), ("javascript", JAVASCRIPT)] {
        let mut stream = server.stream(&server.create_id(runtime, code), "");
        for n in 0..3 {
            let mut message = event("click", json!({"n": n}));
            message["id"] = n.into();
            stream.send(&message);
        }
        for n in 0..3 {
            let seen = stream.next_of("seen");
            assert_eq!(seen, json!({"msgtype": "seen", "event": "click", "data": {"n": n}}), "{runtime}");
        }
        stream.send(&event("stop", Value::Null));
        assert_eq!(stream.next_of("exitstatus")["exitstatus"], 0);
    }
}

#[test]
fn messages_on_standard_output_keep_their_order() {
    let server = Server::start();
    let code = r#"
print("before")
print('--MSG-- {"msgtype": "draw", "args": [1]}')
print("after", end="")
print(' --MSG-- {"msgtype": "draw"}')
print('--MSG-- {"no": "msgtype"}')
print('--MSG-- not json')
"#;
    let messages = server.stream(&server.create_id("python", code), "").rest();
    assert_eq!(messages[1]["data"], "before\n");
    assert_eq!(messages[2], json!({"msgtype": "draw", "args": [1]}));
    let rest: String = messages[3..].iter().filter_map(|message| message["data"].as_str()).collect();
    assert_eq!(
        rest,
        "after --MSG-- {\"msgtype\": \"draw\"}\n--MSG-- {\"no\": \"msgtype\"}\n--MSG-- not json\n"
    );
}

#[test]
fn a_message_never_overtakes_output_flushed_before_it() {
    let server = Server::start();
    let code = "import livecode\nfor n in range(2000):\n    print(n)\n    livecode.send('tick', n=n)\n";
    let mut stream = server.stream(&server.create_id("python", code), "");
    let mut printed = String::new();
    let mut ticks = 0;
    while let Some(message) = stream.next() {
        if message["msgtype"] == "write" {
            printed += message["data"].as_str().expect("data");
        } else if message["msgtype"] == "tick" {
            assert_eq!(message["n"], ticks);
            assert!(printed.lines().count() > ticks, "tick {ticks} overtook its line");
            ticks += 1;
        }
    }
    assert_eq!(ticks, 2000);
}

#[test]
fn a_program_cannot_send_the_servers_messages() {
    let server = Server::start();
    let code = r#"
import os
fd = int(os.environ["LIVECODE_FD"])
for name in ["welcome", "pong", "goodbye", "write", "exitstatus", "error", "ack", "gap", "waiting", "queued", "case", "cases", "testresult", "echo", "diagnostic", "resize"]:
    print('--MSG-- {"msgtype": "%s", "exitstatus": 9}' % name)
    os.write(fd, b'{"msgtype": "%s", "exitstatus": 9}\n' % name.encode())
os.write(fd, b'nonsense\n')
os.write(fd, b'{"msgtype": "mine", "seq": 999}\n')
raise SystemExit(5)
"#;
    let run = Run::collect(server.stream(&server.create_id("python", code), ""));
    assert_eq!(run.exitstatus, 5);
    assert_eq!(run.stdout.matches("--MSG-- ").count(), 16, "{}", run.stdout);
    assert_eq!(run.stderr.lines().count(), 17, "{}", run.stderr);
    assert!(run.stderr.contains("nonsense") && run.stderr.contains("\"exitstatus\""));
    assert_eq!(run.messages, [json!({"msgtype": "mine"})]);
}

#[test]
fn a_programs_own_seq_is_overwritten() {
    let server = Server::start();
    let code = "print('--MSG-- {\"msgtype\": \"mine\", \"seq\": 999, \"x\": 1}')";
    let messages = server.stream(&server.create_id("python", code), "?after=0").rest();
    assert_eq!(messages[1], json!({"msgtype": "mine", "x": 1, "seq": 1}));
}

#[test]
fn a_prompt_that_looks_like_the_start_of_a_message_is_shown() {
    let server = Server::start();
    let mut stream = server.stream(&server.create_id("python", "print(input('- '))"), "");
    stream.read_until("- ");
    stream.send(&json!({"msgtype": "input", "data": "x\n"}));
    stream.read_until("x\n");
}
