//! The canvas in Python and JavaScript: messages, animation, mouse and keyboard.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::{Run, Server, Stream};

const PYTHON: &str = r#"
size(300, 200)
background(0, 0, 64)
for n in range(12):
    push()
    translate(150, 100)
    rotate(30 * n + 7)
    scale(1.5, 0.75)
    fill("gold") if n % 2 else fill(255, n, 0, 0.5)
    rect(10, -5, 40, 10, width=n)
    pop()
stroke("red"); width(2.5)
line(0, 0, 300, 200)
layer(3)
ellipse(10, 20, 30, 40); circle(1, 2, 3); polygon([[1, 2], [3, 4], [5, 6.5]])
fill(None); stroke(); width()
text("Grüße, 世界 \"\\ \u2028 😀", 10, 20.25, size=12, bold=True)
image("dot.png", 1, 2); image("dot.png", 1, 2, 30, 40)
clear()
frame()
"#;

const JAVASCRIPT: &str = r#"
size(300, 200)
background(0, 0, 64)
for (let n = 0; n < 12; n++) {
    push()
    translate(150, 100)
    rotate(30 * n + 7)
    scale(1.5, 0.75)
    n % 2 ? fill("gold") : fill(255, n, 0, 0.5)
    rect(10, -5, 40, 10, {width: n})
    pop()
}
stroke("red"); width(2.5)
line(0, 0, 300, 200)
layer(3)
ellipse(10, 20, 30, 40); circle(1, 2, 3); polygon([[1, 2], [3, 4], [5, 6.5]])
fill(null); stroke(); width()
text("Grüße, 世界 \"\\ \u2028 😀", 10, 20.25, {size: 12, bold: true})
image("dot.png", 1, 2); image("dot.png", 1, 2, 30, 40)
clear()
await frame()
"#;

/// Starts a program with a picture beside it, and returns its session's stream.
fn start(server: &Server, runtime: &str, code: &str) -> Stream {
    let dot = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==";
    let files = json!([{"filename": "dot.png", "contents": dot, "encoding": "base64"}]);
    let request = json!({"runtime": runtime, "code": code, "files": files});
    server.stream(&crate::common::id(&server.create(&request)), "")
}

fn event(name: &str, data: Value) -> Value {
    json!({"msgtype": "event", "event": name, "data": data})
}

#[test]
fn both_languages_send_identical_messages() {
    let server = Server::start();
    let mut texts = [("python-canvas", PYTHON), ("javascript-canvas", JAVASCRIPT)].map(|(runtime, code)| {
        let mut stream = start(&server, runtime, code);
        let mut texts = vec![];
        while !texts.last().is_some_and(|text: &String| text.contains("exitstatus")) {
            texts.push(stream.next_text());
        }
        texts
    });
    // Two messages are images, and only the first of them carries the picture (`src`). The welcome
    // and the exit status are counted too.
    assert_eq!(texts[0].iter().filter(|text| text.contains("\"src\"")).count(), 1);
    assert_eq!(texts[0].len(), 25, "{:#?}", texts[0]);
    let python = std::mem::take(&mut texts[0]);
    assert_eq!(python, texts[1]);
}

#[test]
fn frames_are_sent_sixty_times_a_second() {
    let server = Server::start();
    let programs = [
        ("python-canvas", "for n in range(121): circle(n, 0, 1); frame()"),
        ("javascript-canvas", "for (let n = 0; n < 121; n++) { circle(n, 0, 1); await frame(); }"),
    ];
    for (runtime, code) in programs {
        let mut stream = server.stream(&server.create_id(runtime, code), "");
        let mut frames = vec![];
        while let Some(message) = stream.next() {
            if message["shape"] == "frame" {
                frames.push(Instant::now());
            }
        }
        let duration = frames.last().expect("frames").duration_since(frames[0]);
        let rate = (frames.len() - 1) as f64 / duration.as_secs_f64();
        println!("{runtime}: {rate:.1} frames a second");
        assert_eq!(frames.len(), 121, "{runtime}");
        // No machine sends frames faster. How much slower they are sent depends on its load.
        assert!(rate < 62.0 && rate > 20.0, "{runtime}: {rate} frames a second");
    }
}

#[test]
fn a_frame_that_is_not_awaited_is_an_error() {
    let server = Server::start();
    let run = server.run_code("javascript-canvas", "while (true) frame();");
    assert_eq!((run.exitstatus, run.messages.len()), (1, 1), "{run:?}");
    assert!(run.stderr.contains("await frame()"), "{run:?}");
}

/// Animated programs that answer each mouse movement with a circle.
const MOUSE_PROGRAMS: [(&str, &str); 2] = [
    ("python-canvas", "on_mouse_move(lambda x, y: circle(x, y, 5))\nwhile not key_pressed('q'): frame()"),
    (
        "javascript-canvas",
        "onMouseMove((x, y) => circle(x, y, 5));\nwhile (!keyPressed('q')) await frame();\nstop();",
    ),
];

#[test]
fn two_hundred_mouse_events_a_second_are_answered_in_order() {
    const EVENTS: u32 = 2000;
    let server = Server::start();
    std::thread::scope(|scope| {
        for (runtime, code) in MOUSE_PROGRAMS {
            let server = &server;
            scope.spawn(move || {
                let session = server.create_id(runtime, code);
                let mut sender = server.stream(&session, "");
                let reader = scope.spawn(move || {
                    let mut stream = server.stream(&session, "");
                    let mut circles = vec![];
                    while let Some(message) = stream.next() {
                        match message["shape"].as_str() {
                            Some("circle") => {
                                circles.push(message["args"][0].as_u64().expect("an x coordinate"))
                            }
                            Some("frame") => {}
                            _ => assert!(message["msgtype"] != "write", "{runtime}: {message}"),
                        }
                    }
                    circles
                });
                sender.next_of("draw");
                let began = Instant::now();
                for n in 0..EVENTS {
                    sender.send(&event("mousemove", json!({"x": n, "y": 1})));
                    let due = began + Duration::from_millis(5) * (n + 1);
                    std::thread::park_timeout(due.saturating_duration_since(Instant::now()));
                }
                sender.send(&event("keydown", json!({"key": "q"})));
                let circles = reader.join().expect("the reading thread does not panic");
                assert_eq!(circles, (0..u64::from(EVENTS)).collect::<Vec<_>>(), "{runtime}");
            });
        }
    });
}

#[test]
fn a_released_key_is_no_longer_pressed() {
    let server = Server::start();
    let programs = [
        (
            "python-canvas",
            "while not key_pressed('A'): frame()\nfill('red')\nclear()\nwhile key_pressed('a'): frame()\ncircle(mouse_x(), 0, 1)",
        ),
        (
            "javascript-canvas",
            "while (!keyPressed('A')) await frame();\nfill('red');\nclear();\nwhile (keyPressed('a')) await frame();\ncircle(mouseX(), 0, 1);",
        ),
    ];
    for (runtime, code) in programs {
        for end in [event("keyup", json!({"key": "a"})), event("blur", Value::Null)] {
            let mut stream = server.stream(&server.create_id(runtime, code), "");
            stream.send(&event("mousemove", json!({"x": 7.5, "y": 1})));
            stream.send(&event("keydown", json!({"key": "a"})));
            while stream.next_of("draw")["shape"] != "clear" {}
            stream.send(&end);
            let run = Run::collect(stream);
            assert_eq!(run.messages.last().expect("a circle")["args"], json!([7.5, 0, 1]), "{runtime}");
            assert_eq!((run.stderr.as_str(), run.exitstatus), ("", 0), "{runtime}");
        }
    }
}

#[test]
fn a_short_key_press_is_never_missed() {
    let server = Server::start();
    let programs = [
        (
            "python-canvas",
            "key_pressed('x'); frame(); print('up'); input()
while not key_pressed('x'): frame()
print(*[int(it) for it in [key_pressed('a'), mouse_pressed(), key_pressed('b')]])
n = 0
while key_pressed('a') or mouse_pressed(): n += 1; frame()
while key_pressed('x'): pass
print(n <= 2)",
        ),
        (
            "javascript-canvas",
            "keyPressed('x'); await frame(); console.log('up'); (await import('node:fs')).readSync(0, Buffer.alloc(9));
while (!keyPressed('x')) await frame();
console.log([keyPressed('a'), mousePressed(), keyPressed('b')].map(Number).join(' '));
let n = 0;
while (keyPressed('a') || mousePressed()) { n++; await frame(); }
while (keyPressed('x')) await new Promise(setImmediate);
console.log(n <= 2 ? 'True' : n);",
        ),
    ];
    for (runtime, code) in programs {
        let mut stream = server.stream(&server.create_id(runtime, code), "");
        stream.next_of("write");
        for (down, up, data) in [
            ("keydown", "keyup", json!({"key": "a"})),
            ("keydown", "keyup", json!({"key": "a"})),
            ("mousedown", "mouseup", json!({"x": 1, "y": 1, "button": 0})),
            ("keydown", "keyup", json!({"key": "x"})),
        ] {
            stream.send(&event(down, data.clone()));
            stream.send(&event(up, data));
        }
        // All events are queued in front of the program before it looks again.
        stream.send(&json!({"msgtype": "input", "data": "\n"}));
        let run = Run::collect(stream);
        assert_eq!(run.stdout, "1 1 0\nTrue\n", "{runtime}: {}", run.stderr);
    }
}

#[test]
fn mistakes_raise_helpful_errors() {
    let server = Server::start();
    let mistakes = [
        ("polygon(1, 2, 3)", "corners"),
        ("fill(1, 2)", "three numbers"),
        ("pop()", "no push"),
        ("layer(10)", "0 to 9"),
        ("frame(100)", "60 frames"),
        ("image('https://example.org/x.png', 1, 2)", "elsewhere"),
        ("image('dot.png', 1, 2, 3)", "both width and height"),
        // The hint fits both errors: the file is not a picture, and the file does not exist.
        ("image('main.py' if 0 else 'main.mjs', 1, 2)", "o"),
    ];
    for (code, hint) in mistakes {
        for runtime in ["python-canvas", "javascript-canvas"] {
            let code = if runtime == "python-canvas" {
                code.to_owned()
            } else {
                code.replace("'main.py' if 0 else 'main.mjs'", "'main.mjs'")
            };
            let run = Run::collect(start(&server, runtime, &code));
            assert_eq!((run.exitstatus, run.messages.len()), (1, 0), "{runtime}: {code}: {run:?}");
            assert!(run.stderr.contains(hint), "{runtime}: {code}: {}", run.stderr);
        }
    }
}

#[test]
fn a_programs_own_names_take_precedence() {
    let server = Server::start();
    let python = "width, text, frame, run = 1, 2, 3, 4\ndef circle(*a): print('mine', a)\ncircle(width)";
    assert_eq!(server.run_code("python-canvas", python).stdout, "mine (1,)\n");
    let javascript =
        "const width = 1, text = 2;\nfunction circle(...a) { console.log('mine', a); }\ncircle(width)";
    assert_eq!(server.run_code("javascript-canvas", javascript).stdout, "mine [ 1 ]\n");
}

#[test]
fn the_canvas_allows_more_output_than_other_runtimes() {
    let server = Server::start();
    let code = "for _ in range(20): text('x' * 1_000_000, 0, 0)";
    let run = server.run_code("python-canvas", code);
    assert_eq!((run.exitstatus, run.reason, run.messages.len()), (0, None, 20));
}
