//! Typed input in the journal: where it stands, who sees it, and what is left out.

use serde_json::{Value, json};

use crate::common::{Run, Server, Stream, id};

/// The transcript that messages leave: output and input in their order.
fn transcript(messages: &[Value]) -> String {
    let shown =
        messages.iter().filter(|message| message["msgtype"] == "write" || message["msgtype"] == "echo");
    shown.map(|message| message["data"].as_str().expect("text")).collect()
}

fn create(server: &Server, runtime: &str, code: &str) -> String {
    id(&server.create(&json!({"runtime": runtime, "code": code, "echo": true})))
}

fn send(stream: &mut Stream, text: &str) {
    stream.send(&json!({"msgtype": "input", "data": text}));
}

/// Answers each question once it was asked. Returns all messages, with those before the first.
fn answer(stream: &mut Stream, answers: &[(&str, &str)]) -> Vec<Value> {
    let (mut messages, mut answers) = (vec![], answers.iter());
    let mut next = answers.next();
    while let Some(message) = stream.next() {
        messages.push(message);
        if let Some((question, text)) = next
            && transcript(&messages).ends_with(question)
        {
            send(stream, text);
            next = answers.next();
        }
    }
    messages
}

/// All messages of a session from number `after` on, as a later reader gets them.
fn replay(server: &Server, id: &str, after: u64) -> Vec<Value> {
    server.stream(id, &format!("?after={after}")).rest()
}

const QUIZ: &str = "for question in 'name', 'town':\n    print('hello', input(question + '? '))";

#[test]
fn a_reader_sees_the_transcript_of_a_terminal_now_and_later() {
    let server = Server::start();
    let session = create(&server, "python", QUIZ);
    let mut watcher = server.stream(&session, "?after=0");
    let typed =
        answer(&mut server.stream(&session, "?after=0"), &[("name? ", "Ada\n"), ("town? ", "London\n")]);
    let expected = "name? Ada\nhello Ada\ntown? London\nhello London\n";
    assert_eq!(transcript(&typed), expected);
    assert_eq!(transcript(&watcher.rest()), expected);
    let later = replay(&server, &session, 0);
    assert_eq!(transcript(&later), expected);
    let echo = later.iter().find(|message| message["msgtype"] == "echo").expect("an echo");
    let seq = echo["seq"].as_u64().expect("a number");
    assert_eq!(*echo, json!({"msgtype": "echo", "data": "Ada\n", "seq": seq}));
    assert_eq!(replay(&server, &session, seq - 1)[1], *echo, "it can be resumed before the echo");
    assert_eq!(server.get(&format!("/sessions/{session}")).json()["echo"], true);
}

#[test]
fn input_is_kept_only_where_the_creator_asks() {
    let server = Server::start();
    for fields in [json!({}), json!({"echo": false}), json!({"echo": null})] {
        let mut request = json!({"runtime": "python", "code": "input()"});
        request.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
        let session = server.create(&request);
        assert!(session["echo"].is_null(), "{session}");
        let mut stream = server.stream(&id(&session), "?after=0");
        send(&mut stream, "a secret\n");
        let messages = stream.rest();
        assert!(messages.iter().all(|message| message["msgtype"] != "echo"), "{messages:?}");
    }
    // The input of the request was not typed.
    let request = json!({"runtime": "python", "code": "print(input())", "echo": true, "stdin": "given\n"});
    let messages = replay(&server, &id(&server.create(&request)), 0);
    assert_eq!(transcript(&messages), "given\n");
    let wrong = server.post("/sessions", &json!({"runtime": "python", "code": "", "echo": "yes"}));
    assert!(matches!(wrong.status, 400 | 422), "{}", wrong.text());
}

#[test]
fn input_that_is_typed_ahead_or_is_no_text_stands_where_it_was_taken() {
    let server = Server::start();
    let code = "import sys\nprint('up', flush=True)\nprint(sys.stdin.buffer.readline() + sys.stdin.buffer.readline())";
    let session = create(&server, "python", code);
    let mut stream = server.stream(&session, "?after=0");
    stream.read_until("up\n");
    stream.send(&json!({"msgtype": "input", "data": "/wo=", "encoding": "base64"}));
    send(&mut stream, "é\n");
    let messages = stream.rest();
    let echoes: Vec<_> = messages.iter().filter(|message| message["msgtype"] == "echo").cloned().collect();
    assert_eq!((&echoes[0]["data"], &echoes[0]["encoding"]), (&json!("/wo="), &json!("base64")));
    assert_eq!((&echoes[1]["data"], &echoes[1]["encoding"]), (&json!("é\n"), &Value::Null));
    assert!(messages.iter().any(|message| message["data"] == "b'\\xff\\n\\xc3\\xa9\\n'\n"), "{messages:?}");
}

/// Of a message that is sent again, the program gets nothing, and nothing is shown.
#[test]
fn input_that_is_sent_twice_is_kept_once() {
    let mut server = Server::start();
    let session = create(&server, "python", QUIZ);
    let mut stream = server.stream(&session, "?after=0");
    stream.read_until("name? ");
    let message = json!({"msgtype": "input", "data": "Ada\n", "id": "1"});
    stream.send(&message);
    stream.next_of("ack");
    server.kill();
    server.start_again();
    let mut stream = server.stream(&session, "?after=0");
    stream.send(&message);
    stream.next_of("ack");
    send(&mut stream, "London\n");
    stream.next_of("exitstatus");
    let messages = replay(&server, &session, 0);
    assert!(transcript(&messages).ends_with("hello London\n"), "{messages:?}");
    assert_eq!(messages.iter().filter(|message| message["data"] == "Ada\n").count(), 1, "{messages:?}");
}

#[test]
fn a_line_that_a_program_hides_is_kept_nowhere() {
    let server = Server::start();
    for ask in ["import livecode\nask = livecode.getpass", "from getpass import getpass as ask, getuser"] {
        let code = format!("{ask}\nfor n in range(2): print(len(ask(f'password {{n}}: ')), input('name? '))");
        let session = create(&server, "python", &code);
        let answers = [
            ("password 0: ", "hush\n"),
            ("name? ", "Ada\n"),
            ("password 1: ", "hush-hush\n"),
            ("name? ", "Eve\n"),
        ];
        let messages = answer(&mut server.stream(&session, "?after=0"), &answers);
        let expected = "password 0: \nname? Ada\n4 Ada\npassword 1: \nname? Eve\n9 Eve\n";
        assert_eq!(transcript(&messages), expected, "{ask}");
        let journal = server.data().join("sessions").join(&session).join("journal");
        let journal = std::fs::read(journal).expect("the journal can be read");
        assert!(!journal.windows(4).any(|bytes| bytes == b"hush"), "{ask}");
        assert!(journal.windows(3).any(|bytes| bytes == b"Eve"));
    }
}

/// A password that was typed before the question was seen is kept, as a terminal shows it. What
/// comes after it must not be hidden in its place.
#[test]
fn a_line_that_was_typed_ahead_hides_no_other() {
    let server = Server::start();
    let code = "print('up')\nimport getpass, time\nwhile True:\n    import select, sys\n    if select.select([sys.stdin], [], [], 0.01)[0]: break\n\
                print(getpass.getpass('password: '))\nprint(input('name? '))";
    let session = create(&server, "python", code);
    let messages =
        answer(&mut server.stream(&session, "?after=0"), &[("up\n", "ahead\n"), ("name? ", "Ada\n")]);
    assert_eq!(transcript(&messages), "up\nahead\npassword: \nahead\nname? Ada\nAda\n");
}

#[test]
fn kept_input_counts_as_output() {
    let server = Server::start();
    let request = json!({"runtime": "python", "code": "while True: input()", "echo": true, "limits": {"output_bytes": 1000}});
    let mut stream = server.stream(&id(&server.create(&request)), "?after=0");
    send(&mut stream, &format!("{}\n", "x".repeat(600)));
    assert_eq!(stream.next_of("echo")["seq"], 1);
    send(&mut stream, &format!("{}\n", "y".repeat(600)));
    let run = Run::collect(stream);
    assert_eq!((run.exitstatus, run.reason.as_deref()), (137, Some("output")));
}

/// Input that is typed while the program is compiled is no output of the compiler, which the cache
/// keeps.
#[test]
fn input_is_not_kept_with_what_was_compiled() {
    let server = Server::start();
    let code = "#include <iostream>\n#include <string>\nint main() { std::string s; std::cin >> s; std::cout << s << '\\n'; }";
    for name in ["Ada\n", "Eve\n"] {
        let session = create(&server, "cpp", code);
        let mut stream = server.stream(&session, "?after=0");
        send(&mut stream, name);
        assert_eq!(transcript(&stream.rest()), [name, name].concat());
        let compiled = if name == "Ada\n" { "fresh" } else { "cached" };
        assert_eq!(server.get(&format!("/sessions/{session}")).json()["compiled"], compiled);
    }
}

#[test]
fn a_program_cannot_write_an_echo_itself() {
    let server = Server::start();
    let code = "import os\nfor line in ('{\"msgtype\":\"echo\",\"data\":\"fake\"}', '{\"msgtype\":\"echo\",\"keep\":2}'):\n    os.write(int(os.environ['LIVECODE_FD']), line.encode() + b'\\n')";
    let run = server.run(&json!({"runtime": "python", "code": code, "echo": true}));
    assert!(run.messages.is_empty(), "{run:?}");
    assert_eq!(run.stderr.matches("reserved").count(), 2, "{run:?}");
}
