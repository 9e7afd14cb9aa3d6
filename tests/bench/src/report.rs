//! The page docs/performance.md.

use std::fmt::Write as _;

use crate::table::{Row, markdown};

/// Renders the page: how to repeat the measurement, the machine, the table and how to read it.
pub fn document(facts: &[(&'static str, String)], rows: &[Row], is_quick: bool) -> String {
    let mut text = String::from(INTRODUCTION);
    if is_quick {
        text += "\n**Made with `--quick`: this run tests the bench and measures nothing.**\n";
    }
    text += "\n## The machine\n\n| | |\n| --- | --- |\n";
    for (name, value) in facts {
        let _ = writeln!(text, "| {name} | {value} |");
    }
    text += "\n## The table\n\n";
    text += &markdown(rows);
    text += READING;
    text
}

/// The top of the page.
const INTRODUCTION: &str = "# Performance

`make bench` writes this page, so an edit here is lost at the next run. The figures hold for the
machine below. Each figure was measured in the same run as its reference.

```text
make bench                            # measures every row and writes this page, in about 15 minutes
make bench ONLY=exit,rate             # prints the rows whose names start with `exit` or `rate`
make bench AGAINST=PATH [ROUNDS=n]    # compares this build with another binary and prints the gains
cargo bench                           # measures inner parts: journal, line splitter, stream messages
```
";

/// The end of the page: what the columns and rows mean.
const READING: &str = "
## How to read it

- **ours**, **reference**: the median of several rounds. The rounds alternate (ours, reference,
  ours, …), so that other load on the machine affects both. Within a round, p50 and p99 are
  percentiles of that round's samples.
- **noise**: the spread of the rounds, of ours and of the reference: the largest less the smallest,
  as a percentage of the median. A ratio that differs from its target by less than the noise is
  undecided.
- **ratio**: our figure divided by the reference's. **met** is `-` if the row has no target, or if
  this machine has nothing to compare with.

The client is one blocking thread. It keeps its connection open and parses no more than it must.
The server is the release binary. Its limits are raised beyond what any row reaches; all other
settings are the defaults.

| rows | what is measured |
| --- | --- |
| `exit`, `first-output` | Hello world in Python, one session after another. The client sends `POST /sessions` with `files`. Once that is answered, it requests `GET …/stream` as lines of JSON on the same connection, which is the fastest way to follow a session: a websocket needs a connection of its own. The clock starts before the request is written. It stops when the line with `exitstatus`, or with the first `write`, has been read. The bare reference is `/usr/bin/python3 hello.py`, started with posix_spawn(3); its output is read to the end, and its exit is awaited. The rows named `cold` use a server with `LIVECODE_WARM=off`. |
| `rate` | The same program, run by eight clients with a connection each. The bare reference is run by eight threads. |
| `c-second-run`, `compile` | A program that has never been run before, and then the same program again. Its output is checked, so a changed program that got an old result of the compiler would fail the bench. |
| `rust-second-run`, `go-second-run`, `java-second-run` | The second run of a compiled program whose runtime mounts a toolchain, or raises a limit of the disk. Rust and Go are compared with C, Java with `java` itself. A JVM computes for long enough to be [deprioritised](design/neighbours.md), so where other processes want the processors it waits longer than the bare one. |
| `exit-disk` | Hello world in Python with 128 MiB of `disk_bytes`, twice the default, which each session's sandbox is given when it begins. |
| `stream` | 100 MB from one program, which writes 80 KB at a time, to one websocket. The clock runs from the request until the close frame. The received bytes are counted, and none may be missing. |
| `echo` | A program that copies its input to its output. The client sends a line on the websocket and waits for the `write` with its copy. It pauses for a millisecond between two lines. |
| `stderr`, `redirect` | What the [exact order of output](design/order.md) costs: a Python program that writes 50,000 lines to standard error, each by a call of its own, and a bash script that redirects 5,000 times. Both are measured from the request until the exit status. |
| `memory-pss` | The memory of all processes of LiveCode itself, with and without 100 sleeping sessions. In a sandbox only init belongs to LiveCode; the other processes are programs. In this row and the next, one warm sandbox waits for each kind of program, before and after. |
| `memory-machine` | How much the machine's available memory falls for 100 sleeping sessions, compared with 100 sleeping bare programs. |
| `memory-ended` | The memory of the server, before and after it has run that many programs. |
| `exit-crowded` | One server has the running and ended sessions. Another has none, and in its rounds no other session runs on the machine. |
| `watched` | Each session prints the time, one line per second, and is watched by a websocket of its own. Each line must arrive once and in order. |
";
