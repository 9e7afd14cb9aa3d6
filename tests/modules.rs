//! The module `livecode` of Python and JavaScript: messages, events, pictures and tables.

use std::time::Instant;

use serde_json::{Value, json};

use crate::common::{Run, Server, id};

fn event(name: &str, data: Value) -> Value {
    json!({"msgtype": "event", "event": name, "data": data})
}

#[test]
fn a_program_that_does_not_use_the_module_does_not_load_it() {
    let server = Server::start();
    let code = "import sys\nprint([n for n in ('livecode', 'json', 'select', 'socket', 'asyncio', 'typing', 're') if n in sys.modules])";
    assert_eq!(server.run_code("python", code).stdout, "[]\n");
    let code = "import sys, livecode\nprint([n for n in ('json', 'select', 'socket', 'asyncio', 'typing', 're') if n in sys.modules])";
    assert_eq!(server.run_code("python", code).stdout, "[]\n");
}

#[test]
fn a_message_that_cannot_be_sent_raises_an_error_with_the_reason() {
    let server = Server::start();
    let python = r#"
import livecode
for bad in [
    lambda: livecode.send({"a": 1}), lambda: livecode.send(7), lambda: livecode.send("write", data=1),
    lambda: livecode.send("a", x={1}), lambda: livecode.send("a", x=float("nan")), lambda: livecode.send("a", x="\ud800"),
    lambda: livecode.send("a", x="y" * 5_000_000), lambda: livecode.on("click", 7), lambda: livecode.show(b"text"),
    lambda: livecode.show(b"\x89PNG\r\n\x1a\n" + bytes(4_000_000)),
]:
    try:
        bad()
        print("was sent")
    except (TypeError, ValueError) as error:
        print(error)
livecode.send("a", x="y" * (4 * 1024 * 1024 - 22))
"#;
    let javascript = r#"
const livecode = require("livecode");
const cycle = {}; cycle.cycle = cycle;
for (const bad of [
    () => livecode.send({a: 1}), () => livecode.send(7), () => livecode.send("write", {data: 1}),
    () => livecode.send("a", {cycle}), () => livecode.send("a", {x: 1n}), () => livecode.send(),
    () => livecode.send("a", {x: "y".repeat(5_000_000)}), () => livecode.on("click", 7), () => livecode.show(Buffer.from("text")),
    () => livecode.show(Buffer.concat([Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), Buffer.alloc(4_000_000)])),
]) {
    try {
        bad();
        console.log("was sent");
    } catch (error) {
        console.log(error.message.replaceAll("\n", " "));
    }
}
livecode.send("a", {x: "y".repeat(4 * 1024 * 1024 - 22)});
"#;
    for (runtime, code) in [("python", python), ("javascript", javascript)] {
        let run = server.run_code(runtime, code);
        let expected = [
            "msgtype",
            "msgtype",
            "server's own",
            "not JSON",
            "JSON",
            "",
            "4194304",
            "function",
            "PNG",
            "smaller",
        ];
        assert_eq!(run.stdout.lines().count(), expected.len(), "{runtime}: {}", run.stdout);
        for (line, expected) in run.stdout.lines().zip(expected) {
            assert!(line.contains(expected) && line != "was sent", "{runtime}: {line:?}");
        }
        // The last message has exactly the largest allowed size, and is sent.
        assert_eq!((run.messages.len(), run.stderr.as_str()), (1, ""), "{runtime}");
        assert_eq!(run.messages[0].to_string().len(), 4 * 1024 * 1024, "{runtime}");
    }
}

#[test]
fn a_full_message_channel_does_not_block_a_program_for_ever() {
    let server = Server::start();
    let code = r#"
import os, socket, livecode
ours, theirs = socket.socketpair()
os.environ["LIVECODE_FD"] = str(ours.fileno())
try:
    while True:
        livecode.send("flood", data="x" * 10000)
except TimeoutError as error:
    print(error)
theirs.settimeout(1)
whole = b""
while whole.count(b"\n") < 3:
    whole += theirs.recv(1 << 20)
livecode.send("last")
theirs.close()
try:
    while True:
        livecode.send("flood")
except ConnectionError as error:
    print(error)
print(livecode.next_event())
"#;
    let began = Instant::now();
    let run = server.run_code("python", code);
    assert!(began.elapsed().as_secs() < 20);
    assert_eq!((run.stderr.as_str(), run.exitstatus), ("", 0));
    let lines: Vec<_> = run.stdout.lines().collect();
    assert!(lines[0].contains("full") && lines[1].contains("closed") && lines[2] == "None", "{lines:?}");
}

#[test]
fn only_moves_are_coalesced_and_only_on_request() {
    let server = Server::start();
    let python = "
import livecode, time
livecode.send('ready')
while (event := livecode.next_event(coalesce=True))['event'] != 'begin': pass
livecode.send('begun')
input()
for event in livecode.events(coalesce=True):
    livecode.send('seen', event=event['event'], data=event['data'])
    if event['event'] == 'end': break
";
    let javascript = "
const livecode = require('livecode');
const events = livecode.events({coalesce: true});
livecode.send('ready');
while ((await events.next()).value.event !== 'begin');
livecode.send('begun');
await new Promise((resolve) => process.stdin.once('data', resolve));
for await (const {event, data} of events) {
    livecode.send('seen', {event, data});
    if (event === 'end') process.exit(0);
}
";
    for (runtime, code) in [("python", python), ("javascript-canvas", javascript)] {
        let mut stream = server.stream(&server.create_id(runtime, code), "");
        stream.next_of("ready");
        stream.send(&event("begin", Value::Null));
        stream.next_of("begun");
        let mut sent = vec![];
        for n in 0..10 {
            sent.push(event("mousemove", json!(n)));
        }
        sent.extend([event("click", json!(1)), event("click", json!(1)), event("key", Value::Null)]);
        sent.extend([event("mousemove", json!(10)), event("end", Value::Null)]);
        for (n, mut message) in sent.into_iter().enumerate() {
            message["id"] = n.into();
            stream.send(&message);
        }
        // Once the last event is acknowledged, all of them have been delivered to the program.
        while stream.next_of("ack")["id"] != 14 {}
        stream.send(&json!({"msgtype": "input", "data": "\n"}));
        let run = Run::collect(stream);
        let seen: Vec<_> = run.messages.iter().filter(|message| message["msgtype"] == "seen").collect();
        let names: Vec<_> = seen.iter().filter_map(|message| message["event"].as_str()).collect();
        // How many of the first ten moves arrive together depends on the machine. The last of them
        // always arrives.
        let first = names.iter().take_while(|name| **name == "mousemove").count();
        assert!((1..10).contains(&first), "{runtime}: {first} moves");
        assert_eq!(seen[first - 1]["data"], 9, "{runtime}");
        assert_eq!(names[first..], ["click", "click", "key", "mousemove", "end"], "{runtime}");
    }
}

#[test]
fn a_coroutine_waits_for_events_while_others_run() {
    let server = Server::start();
    let code = "
import asyncio, livecode

async def tick():
    while True:
        livecode.send('tick')
        await asyncio.sleep(0.01)

async def double(data):
    await asyncio.sleep(0)
    livecode.send('double', n=2 * data)
    livecode.stop()

async def main():
    ticking = asyncio.create_task(tick())
    print(await livecode.next_event(timeout=0.1))
    event = await livecode.next_event()
    livecode.send('first', event=event['event'])
    async for event in livecode.events():
        livecode.send('then', event=event['event'])
        break
    livecode.on('n', double)
    await livecode.run()
    ticking.cancel()

asyncio.run(main())
";
    let mut stream = server.stream(&server.create_id("python", code), "");
    stream.read_until("None\n");
    stream.next_of("tick");
    stream.send(&event("a", Value::Null));
    assert_eq!(stream.next_of("first")["event"], "a");
    stream.next_of("tick");
    stream.send(&event("b", Value::Null));
    assert_eq!(stream.next_of("then")["event"], "b");
    stream.send(&event("n", json!(21)));
    assert_eq!(stream.next_of("double")["n"], 42);
    assert_eq!(stream.next_of("exitstatus")["exitstatus"], 0);
}

#[test]
fn handlers_end_with_stop() {
    let server = Server::start();
    let python = "
import livecode
@livecode.on('n')
def n(data):
    livecode.send('got', n=data)
gone = livecode.on('n', lambda data: livecode.send('never'))
livecode.off('n', gone)
livecode.on('stop', lambda data: livecode.stop())
livecode.run()
print('through')
";
    let javascript = "
const livecode = require('livecode');
livecode.on('n', (n) => livecode.send('got', { n }));
livecode.on('n', () => livecode.send('never'))();
livecode.on('stop', () => livecode.stop());
livecode.run().then(() => console.log('through'));
";
    for (runtime, code) in [("python", python), ("javascript", javascript)] {
        let mut stream = server.stream(&server.create_id(runtime, code), "");
        for n in 0..3 {
            stream.send(&event("n", json!(n)));
        }
        stream.send(&event("stop", Value::Null));
        let run = Run::collect(stream);
        let got = |n: i32| json!({"msgtype": "got", "n": n});
        assert_eq!(run.messages, [got(0), got(1), got(2)], "{runtime}");
        assert_eq!(
            (run.stdout.as_str(), run.stderr.as_str(), run.exitstatus),
            ("through\n", "", 0),
            "{runtime}"
        );
    }
}

#[test]
fn mypy_knows_the_module() {
    let server = Server::start();
    let run = server.run_code("mypy", "import livecode\nlivecode.send('a', x=1)\nlivecode.send(3)\n");
    assert!(run.stdout.starts_with("main.py:3: error"), "{run:?}");
    assert!(run.stdout.contains("Found 1 error in 1 file"), "{run:?}");
}

/// The width and the height of a PNG in a message.
fn png_size(message: &Value) -> (u32, u32) {
    use base64::Engine as _;
    assert_eq!((&message["msgtype"], &message["mimetype"]), (&json!("image"), &json!("image/png")));
    let data = message["data"].as_str().expect("data");
    let bytes = base64::engine::general_purpose::STANDARD.decode(data).expect("valid base64");
    assert!(
        bytes.starts_with(b"\x89PNG\r\n\x1a\n") && bytes.ends_with(b"IEND\xaeB`\x82"),
        "the data should be a whole PNG"
    );
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    (number(16), number(20))
}

#[test]
fn matplotlib_shows_its_figures() {
    let server = Server::start();
    let code = "
import os, sys
import matplotlib.pyplot as plt
plt.plot([1, 3, 2])
plt.title('Überschrift')
plt.figure(figsize=(2, 1))
plt.plot([1, 2])
plt.show()
plt.show()
import livecode
figure, axes = plt.subplots(figsize=(3, 3))
axes.scatter([1, 2], [3, 4])
livecode.show(figure)
livecode.show(figure, format='svg')
line, = axes.plot([1, 2], [3, 4])
for n in range(2):
    line.set_ydata([n, 4])
    plt.pause(0.01)
print(sorted(os.listdir('.')))
";
    for runtime in ["python", "python-canvas"] {
        let run = server.run_code(runtime, code);
        // There is no warning, and no file was added to the program's own.
        assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("['main.py']\n", ""), "{runtime}");
        assert_eq!(run.messages.len(), 6, "{runtime}");
        let sizes: Vec<_> = run.messages[..3].iter().map(png_size).collect();
        assert_eq!(sizes, [(640, 480), (200, 100), (300, 300)], "{runtime}");
        assert_eq!(run.messages[3]["mimetype"], "image/svg+xml");
    }
}

#[test]
fn a_table_is_sent_as_data() {
    let server = Server::start();
    let code = "
import livecode
import numpy as np
import pandas as pd
livecode.show(pd.DataFrame({
    'n': [1, 2], 'x': [0.5, None], 'name': ['Ada', None], 'on': [True, False],
    'when': pd.to_datetime(['2026-01-02', None]), 7: pd.array([1, None], dtype='Int64'), 'inf': [np.inf, 0.0],
}))
livecode.show(pd.Series([1, 2], index=['a', 'b'], name='s'))
livecode.show(pd.DataFrame(np.zeros((5000, 200))))
livecode.show(pd.DataFrame({'long': ['x' * 5000] * 3}))
livecode.send('array', a=np.arange(3), n=np.int64(7))
";
    let run = server.run_code("python", code);
    assert_eq!((run.stderr.as_str(), run.exitstatus), ("", 0));
    let [first, series, large, long, array] = &run.messages[..] else { panic!("{:?}", run.messages) };
    assert_eq!(first["columns"], json!(["n", "x", "name", "on", "when", "7", "inf"]));
    let rows = json!([
        [1, 0.5, "Ada", true, "2026-01-02 00:00:00", 1, "inf"],
        [2, null, null, false, null, null, 0.0]
    ]);
    assert_eq!((&first["rows"], &first["index"]), (&rows, &json!([0, 1])));
    assert_eq!(
        first.as_object().expect("an object").len(),
        4,
        "no row and no column should be left out: {first}"
    );
    assert_eq!(
        *series,
        json!({"msgtype": "table", "columns": ["s"], "rows": [[1], [2]], "index": ["a", "b"]})
    );
    let (rows, columns) = (
        large["rows"].as_array().expect("a list of rows"),
        large["columns"].as_array().expect("a list of columns"),
    );
    assert_eq!((rows.len(), columns.len()), (1000, 100));
    assert_eq!((&large["total_rows"], &large["total_columns"]), (&json!(5000), &json!(200)));
    assert_eq!(long["rows"][2][0].as_str().map(|text| text.chars().count()), Some(1001));
    assert_eq!(*array, json!({"msgtype": "array", "a": [0, 1, 2], "n": 7}));
}

#[test]
fn an_es_module_imports_livecode_by_name() {
    let server = Server::start();
    let code = "import livecode, { send, on, events, nextEvent, run, stop, show } from 'livecode';\n\
                send('names', { all: [on, events, nextEvent, run, stop, show].every((f) => typeof f === 'function') && livecode.send === send });";
    let request = json!({"runtime": "javascript", "files": [{"filename": "main.mjs", "contents": code}],
                         "env": {"FALCON_SOURCE_FILE": "main.mjs"}});
    let run = Run::collect(server.stream(&id(&server.create(&request)), ""));
    assert_eq!(run.messages, [json!({"msgtype": "names", "all": true})], "{run:?}");
}

#[test]
fn next_event_of_javascript_times_out() {
    let server = Server::start();
    let code = "
const { nextEvent, send } = require('livecode');
send('late', { event: await nextEvent(50) });
const both = [nextEvent(), nextEvent()];
for (const event of [...await Promise.all(both), await nextEvent()]) send('got', { n: event.data });
";
    let mut stream = server.stream(&server.create_id("javascript-canvas", code), "");
    assert_eq!(stream.next_of("late")["event"], Value::Null);
    for n in 0..3 {
        stream.send(&event("n", json!(n)));
    }
    // The program ends although further events could come.
    let run = Run::collect(stream);
    let got: Vec<_> = run.messages.iter().map(|message| message["n"].clone()).collect();
    assert_eq!((got, run.exitstatus), (vec![json!(0), json!(1), json!(2)], 0), "{}", run.stderr);
}
