//! The program that the sessions run. Its output follows from its arguments, so the test can
//! compute it. At its end the program also reports the hashes of its output and the inputs that it
//! has read.

use std::fmt::Write as _;

use serde_json::{Value, json};

const CODE: &str = r#"
import hashlib, json, os, select, sys
index, lines, pause_s, status = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
channel = int(os.environ["LIVECODE_FD"])
printed = {1: hashlib.sha256(), 2: hashlib.sha256()}

def write(fd, data):
    while data:
        data = data[os.write(fd, data):]

def say(fd, text):
    printed[fd].update(text.encode())
    write(fd, text.encode())

got, rest, is_open = [], b"", True

def listen(timeout):
    global rest, is_open
    if not select.select([0], [], [], timeout)[0]:
        return
    data = os.read(0, 65536)
    is_open = bool(data)
    *whole, rest = (rest + data).split(b"\n")
    for line in whole:
        got.append(int(line))

for i in range(lines):
    say(1, f"{index} out {i} {'é' * (i * 37 % 60)}\n")
    say(2, f"{index} err {i} {'€' * (i * 53 % 40)}\n")
    listen(pause_s if is_open else 0)
while is_open:
    listen(None)
sums = {"stdout": printed[1].hexdigest(), "stderr": printed[2].hexdigest(), "got": got}
write(channel, (json.dumps({"msgtype": "printed", **sums}) + "\n").encode())
sys.exit(status)
"#;

/// The parameters of one session's program.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    pub index: usize,
    pub lines: usize,
    /// How long the program waits for input after each line, in milliseconds.
    pub pause_ms: u64,
    pub exitstatus: i64,
}

impl Program {
    /// The request that creates the session.
    pub fn request(&self) -> Value {
        let pause_s = self.pause_ms as f64 / 1000.0;
        let args = [
            self.index.to_string(),
            self.lines.to_string(),
            pause_s.to_string(),
            self.exitstatus.to_string(),
        ];
        json!({"runtime": "python", "code": CODE, "args": args, "limits": {"cpu_ms": 60_000}})
    }

    /// The program's standard output.
    pub fn stdout(&self) -> String {
        self.text("out", "é", 37, 60)
    }

    /// The program's standard error.
    pub fn stderr(&self) -> String {
        self.text("err", "€", 53, 40)
    }

    fn text(&self, word: &str, filler: &str, step: usize, modulus: usize) -> String {
        let mut text = String::new();
        for i in 0..self.lines {
            let _ = writeln!(text, "{} {word} {i} {}", self.index, filler.repeat(i * step % modulus));
        }
        text
    }
}
