//! The document.

use std::fmt::Write as _;

use crate::table::{Row, table};

/// The table, what the machine was, and how to do it again.
pub fn document(facts: &[(&'static str, String)], rows: &[Row], is_quick: bool) -> String {
    let mut text = String::from(INTRODUCTION);
    if is_quick {
        text += "\n**Made with `--quick`: a test of the bench, not a measurement.**\n";
    }
    text += "\n## The machine\n\n| | |\n| --- | --- |\n";
    for (name, value) in facts {
        let _ = writeln!(text, "| {name} | {value} |");
    }
    text += "\n## The table\n\n";
    text += &table(rows);
    text += READING;
    text
}

const INTRODUCTION: &str = "# How fast it is

Written by `make bench`; a change here is lost when it runs again. What it says holds for the machine below; what is compared was measured in the
same run.

```text
make bench                          # everything, into this file: about a quarter of an hour on an idle machine
make bench ONLY=exit,rate           # the rows whose names begin so, printed
cargo bench                         # the inner parts: journal, splitter, messages of a stream
```
";

const READING: &str = "
## How to read it

- **ours**, **reference**: the median of several rounds, which alternate (ours, reference, ours, …), so that what else the machine does is
  seen by both. Within a round, p50 and p99 are of the samples of that round.
- **noise**: how far apart the rounds were, of ours and of the reference: the greatest less the least, in per cent of the median. A
  ratio that differs from its target by less is not decided.
- **ratio**: ours over the reference's. **met** is `-` where there is no target, or nothing to compare with on this machine.

The client is one thread that blocks, on one connection that is kept, and parses no more than it must. The server is the release
binary with limits that no row reaches, and otherwise as it comes.

| rows | what is measured |
| --- | --- |
| `exit`, `first-output` | hello world in Python, one after another. `POST /sessions` with `files`, and when it is answered `GET …/stream` as lines of JSON on the same connection: the fastest way there is, since a websocket needs a connection of its own. The clock runs from before the request is written until the line with `exitstatus`, or the first `write`, was read. Bare is `/usr/bin/python3 hello.py`, started with posix_spawn(3), its output read to the end, and waited for. `cold` is a server with `LIVECODE_WARM=off` |
| `rate` | the same, by eight clients with a connection each; bare, by eight threads |
| `c-second-run`, `compile` | a program that nobody has run before, and the same again; that it prints what it should is checked, so a change is never answered with what was compiled before it |
| `stream` | 100 MB from one program, written 80 KB at once, to one websocket; from the request until the close. What arrives is counted, and must be all |
| `echo` | a program that copies its input; a line is sent on the websocket, and its `write` awaited. A millisecond passes between two |
| `memory-pss` | of all processes of livecode's own (those of sandboxes but init are programs), with and without 100 sessions that sleep. Here and in the next row one sandbox waits for each kind of program, before and after |
| `memory-machine` | how much less the machine has available, with 100 sessions that sleep and with 100 bare programs that do |
| `memory-ended` | of the server, before and after it has run that many programs |
| `exit-crowded` | one server with the crowd; another, with none, has the machine to itself in its rounds |
| `watched` | each session prints the time, a line a second; each is watched by a websocket of its own. Each line must come, once, in order |
";
