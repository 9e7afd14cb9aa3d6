//! Python's turtle programs in `python-canvas`.

use std::{collections::HashMap, path::Path, sync::Mutex};

use serde_json::{Value, json};

use crate::common::{Run, Server, id};

/// The final picture: for each layer the messages that came since the layer was last cleared.
fn picture(messages: &[Value]) -> HashMap<u64, Vec<Value>> {
    let mut layers: HashMap<u64, Vec<Value>> = HashMap::new();
    for message in messages.iter().filter(|message| message["msgtype"] == "draw") {
        let layer = message["layer"].as_u64().unwrap_or(0);
        match message["shape"].as_str() {
            Some("clear" | "background") => layers.entry(layer).or_default().clear(),
            Some("size") => layers.clear(),
            Some("frame") => {}
            _ => layers.entry(layer).or_default().push(message.clone()),
        }
    }
    layers
}

/// The shapes and arguments that a layer shows.
fn shapes(picture: &HashMap<u64, Vec<Value>>, layer: u64) -> Vec<(String, Value)> {
    let shown = picture.get(&layer).cloned().unwrap_or_default();
    shown
        .iter()
        .map(|message| (message["shape"].as_str().expect("a shape").to_owned(), message["args"].clone()))
        .collect()
}

fn run(server: &Server, code: &str) -> Run {
    let run = server.run_code("python-canvas", code);
    assert_eq!((run.stderr.as_str(), run.exitstatus), ("", 0), "{}", run.stdout);
    run
}

#[test]
fn a_fill_is_painted_below_its_outline() {
    let server = Server::start();
    // A fill is only known after its outline was drawn. It is painted below the outline, and above
    // all earlier shapes.
    let code = "
from turtle import *
speed(0); hideturtle(); setup(200, 200)
dot(50, 'blue')
color('red', 'yellow')
begin_fill()
for _ in range(4):
    forward(40); left(90)
end_fill()
";
    let shown = picture(&run(&server, code).messages);
    let layer = &shown[&0];
    assert_eq!(layer[0]["args"], json!([100, 100, 50]));
    let fill = layer.iter().rposition(|message| message["shape"] == "polygon").expect("a polygon");
    assert_eq!(layer[fill]["args"], json!([100, 100, 140, 100, 140, 60, 100, 60, 100, 100]));
    assert_eq!(layer[fill]["style"], json!({"fill": "#ffff00", "stroke": "none"}));
    let outline: Vec<_> =
        layer[fill + 1..].iter().map(|message| (&message["shape"], &message["style"])).collect();
    assert_eq!(outline, [(&json!("line"), &json!({"stroke": "#ff0000", "width": 1})); 4], "{shown:?}");
}

#[test]
fn undo_and_clear_remove_shapes() {
    let server = Server::start();
    let code = "
from turtle import *
speed(0); hideturtle(); setup(200, 200)
forward(10); left(90); forward(10); write('no'); undo()
stamps = [stamp() for _ in range(3)]
clearstamp(stamps[1])
other = Turtle(visible=False)
other.speed(0); other.backward(10); other.clear()
";
    let shown = shapes(&picture(&run(&server, code).messages), 0);
    let kinds: Vec<_> = shown.iter().map(|(shape, _)| shape.as_str()).collect();
    assert_eq!(kinds, ["line", "line", "polygon", "polygon"], "{shown:?}");
}

#[test]
fn a_turtle_moves_on_a_layer_of_its_own() {
    let server = Server::start();
    let code = "
import turtle
turtle.setup(200, 200)
for _ in range(10):
    turtle.forward(5)
";
    let run = run(&server, code);
    let shown = picture(&run.messages);
    // The line is drawn once, piece by piece, and the layer shows the turtle once.
    assert_eq!(shapes(&shown, 1).len(), 1, "{shown:?}");
    let drawn =
        run.messages.iter().filter(|message| message["shape"] == "line" && message["layer"].is_null());
    assert!(drawn.count() < 30, "{:?}", run.messages);
}

#[test]
fn keys_clicks_and_timers_call_functions() {
    let server = Server::start();
    let code = "
import turtle
screen = turtle.Screen()
screen.setup(200, 200)
t = turtle.Turtle('square')
def say(*words): print(*words)
screen.onkey(lambda: say('up released'), 'Up')
screen.onkeypress(lambda: say('space'), 'space')
screen.onkeypress(lambda: say('a'), 'a')
screen.onkeypress(lambda: say('dot'), '.')
screen.onclick(lambda x, y: say('screen', x, y))
t.onclick(lambda x, y: say('turtle', x, y))
t.onrelease(lambda x, y: say('release', x, y))
t.ondrag(lambda x, y: say('drag', x, y))
screen.onkey(lambda: 1 / 0, 'x')
screen.onkey(screen.bye, 'q')
screen.listen()
screen.ontimer(lambda: say('timer'), 20)
screen.mainloop()
";
    let mut stream = server.stream(&server.create_id("python-canvas", code), "");
    stream.read_until("timer\n");
    let mouse = |name: &str, x: i32, y: i32| json!({"msgtype": "event", "event": name, "data": {"x": x, "y": y, "button": 0}});
    let key = |name: &str, key: &str| json!({"msgtype": "event", "event": name, "data": {"key": key}});
    for message in [
        key("keydown", "ArrowUp"),
        key("keyup", "ArrowUp"),
        key("keydown", " "),
        key("keydown", "a"),
        key("keydown", "."),
        mouse("mousedown", 10, 20),
        mouse("mouseup", 10, 20),
        mouse("mousedown", 101, 99),
        mouse("mousemove", 130, 70),
        mouse("mouseup", 130, 70),
        mouse("mousemove", 1, 1),
        key("keyup", "x"),
        key("keyup", "q"),
    ] {
        stream.send(&message);
    }
    let run = Run::collect(stream);
    let expected = "up released\nspace\na\ndot\nscreen -90.0 80.0\nturtle 1.0 1.0\nscreen 1.0 1.0\ndrag 30.0 30.0\nrelease 30.0 30.0\n";
    assert_eq!(run.stdout, expected);
    assert!(
        run.stderr.contains("ZeroDivisionError"),
        "the other handlers should work after an error: {}",
        run.stderr
    );
    assert_eq!(run.exitstatus, 0);
}

#[test]
fn the_last_shape_is_shown_without_an_explicit_update() {
    let server = Server::start();
    // turtle itself requests no update after a stamp.
    let code = "from turtle import *\nht()\nspeed(0)\npenup()\nforward(10)\nstamp()";
    let shown = shapes(&picture(&run(&server, code).messages), 0);
    assert_eq!(shown.last().map(|(shape, args)| (shape.as_str(), &args[0])), Some(("polygon", &json!(310))));
}

#[test]
fn dialogs_ask_on_the_console() {
    let server = Server::start();
    let code = "
import turtle
print(turtle.textinput('Who', 'Name?'), turtle.numinput('How', 'Old?', default=3, minval=1, maxval=9))
print('tkinter' in __import__('sys').modules)
";
    let run = server.run(&json!({"runtime": "python-canvas", "code": code, "stdin": "Ada\n99\n7\n"}));
    assert!(run.stdout.starts_with("Who: Name? How: Old? [3] "), "{run:?}");
    assert!(run.stdout.ends_with("Ada 7.0\nFalse\n"), "{run:?}");
}

#[test]
fn a_picture_is_a_shape_and_a_background() {
    let server = Server::start();
    let code = "
import base64, turtle
open('dot.gif', 'wb').write(base64.b64decode('R0lGODlhAgACAIAAAP8AAP///yH5BAAAAAAALAAAAAACAAIAAAIDhFEFADs='))
turtle.setup(100, 100)
turtle.bgpic('dot.gif')
turtle.addshape('dot.gif')
turtle.shape('dot.gif')
turtle.penup(); turtle.forward(10); turtle.forward(10)
";
    let run = run(&server, code);
    let images: Vec<_> = run.messages.iter().filter(|message| message["shape"] == "image").collect();
    assert!(images[0]["src"].as_str().is_some_and(|source| source.starts_with("data:image/gif;base64,")));
    assert_eq!(images[0]["args"], json!([49, 49, 2, 2]));
    assert!(images[1..].iter().all(|image| image["src"].is_null() && image["image"] == images[0]["image"]));
}

#[test]
fn a_click_ends_a_program_that_waits_for_one() {
    let server = Server::start();
    let code = "
import turtle
turtle.tracer(0)
turtle.goto(10, 10)
turtle.getcanvas().bind('<Motion>', lambda event: print(event.x, event.y))
turtle.setworldcoordinates(0, 0, 10, 10)
turtle.update()
print('ready')
turtle.exitonclick()
print('after')
";
    let mut stream = server.stream(&server.create_id("python-canvas", code), "");
    stream.read_until("ready\n");
    for name in ["mousemove", "mousedown", "mouseup"] {
        stream.send(&json!({"msgtype": "event", "event": name, "data": {"x": 3, "y": 4, "button": 0}}));
    }
    let run = Run::collect(stream);
    assert_eq!((run.stdout.as_str(), run.stderr.as_str(), run.exitstatus), ("3 4\nafter\n", "", 0));
}

/// The demo programs of Python's turtle, and whether each ends by itself within a few seconds.
const DEMOS: [(&str, bool); 19] = [
    ("bytedesign", true),
    ("chaos", false),
    ("clock", false),
    ("colormixer", false),
    ("forest", true),
    ("fractalcurves", false),
    ("lindenmayer", false),
    ("minimal_hanoi", false),
    ("nim", false),
    ("paint", false),
    ("peace", false),
    ("penrose", false),
    ("planet_and_moon", false),
    ("rosette", false),
    ("round_dance", false),
    ("sorting_animate", false),
    ("tree", false),
    ("two_canvases", false),
    ("yinyang", false),
];

#[test]
fn pythons_turtle_demos_run_and_draw() {
    const TIMEOUT_MS: u32 = 8000;
    let folder =
        ["3.11", "3.12", "3.13", "3.14"].map(|version| format!("/usr/lib/python{version}/turtledemo"));
    assert!(
        folder.iter().any(|folder| Path::new(folder).exists()),
        "turtledemo is missing: apt-get install python3-examples"
    );
    let server = Server::start();
    let waiting = Mutex::new(DEMOS.iter());
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                loop {
                    let Some((name, ends)) = waiting.lock().expect("no holder panics").next() else { return };
                    let command = ["python", "-m", &format!("turtledemo.{name}")];
                    let request = json!({"runtime": "python-canvas", "code": "", "command": command, "timeout": TIMEOUT_MS});
                    let mut stream = server.stream(&id(&server.create(&request)), "");
                    for data in [("keydown", "space"), ("keyup", "space"), ("keydown", "ArrowUp"), ("keydown", "ArrowLeft")] {
                        let key = data.1.replace("space", " ");
                        stream.send(&json!({"msgtype": "event", "event": data.0, "data": {"key": key}}));
                    }
                    for event in ["mousedown", "mousemove", "mouseup"] {
                        stream.send(&json!({"msgtype": "event", "event": event, "data": {"x": 300, "y": 300, "button": 0}}));
                    }
                    let run = Run::collect(stream);
                    assert_eq!(run.stderr, "", "{name}");
                    let ended = (run.exitstatus, run.reason.as_deref());
                    assert!(ended == (0, None) || (!ends && ended == (124, Some("timeout"))), "{name}: {ended:?}");
                    let marks = ["line", "polygon", "circle", "text"];
                    let drawn = run.messages.iter().filter(|message| marks.iter().any(|mark| message["shape"] == *mark)).count();
                    let frames = run.messages.iter().filter(|message| message["shape"] == "frame").count();
                    println!("{name}: {drawn} shapes in {frames} frames, {ended:?}");
                    assert!(drawn >= 3 && frames >= 3, "{name}: {drawn} shapes in {frames} frames");
                }
            });
        }
    });
}
