//! The order between standard output, standard error and messages: a transcript shows what a
//! program did in the order in which it did it.

use serde_json::{Value, json};

use crate::{
    common::{Server, Stream, id, is_root},
    warm::warm,
};

/// Sessions of one program, each with another order. `LIVECODE_TEST_ORDER_RUNS` asks for more.
const RUNS: u32 = 5;

fn runs() -> u32 {
    std::env::var("LIVECODE_TEST_ORDER_RUNS").ok().and_then(|text| text.parse().ok()).unwrap_or(RUNS)
}

/// Each program numbers its lines, and writes each line to a random channel: `out` to standard
/// output, `err` to standard error, and, if its language has a module for them, `msg` as a
/// message. Its argument is the seed.
const C: &str = r#"
#include <stdio.h>
#include <stdlib.h>

int main(int count, char **arguments) {
    unsigned random = atoi(arguments[1]);
    for (int n = 0; n < 400; n++) {
        random = random * 1103515245 + 12345;
        if (random >> 16 & 1) printf("out %d\n", n); else fprintf(stderr, "err %d\n", n);
    }
}
"#;

const PYTHON: &str = r#"
import livecode, random, sys

random.seed(int(sys.argv[1]))
for n in range(400):
    match random.randrange(3):
        case 0: print("out", n)
        case 1: print("err", n, file=sys.stderr)
        case 2: livecode.send("msg", n=n)
"#;

const JAVASCRIPT: &str = r#"
const livecode = require("livecode");
let random = Number(process.argv[2]);
for (let n = 0; n < 400; n++) {
    random = (random * 16807 + 7) % 2147483647;
    if (random % 3 === 0) console.log("out", n);
    else if (random % 3 === 1) console.error("err", n);
    else livecode.send("msg", {n});
}
"#;

/// Writes to standard error by the number of its descriptor, by another number, and from other
/// processes, and sends messages.
const BASH: &str = r#"
RANDOM=$1
exec 7>&2
for ((n = 0; n < 400; n++)); do
    case $((RANDOM % 40)) in
        0) sh -c "echo err $n >&2" ;;
        1) echo "out $n" | cat ;;
        2) { echo "err $n" | cat; } >&2 ;;
        3) echo "err $n" >&7 ;;
        4 | 5 | 6) echo "{\"msgtype\":\"msg\",\"n\":$n}" >&3 ;;
        *[02468]) echo "err $n" >&2 ;;
        *) echo "out $n" ;;
    esac
done
"#;

const RUST: &str = r#"
fn main() {
    let mut random: u32 = std::env::args().nth(1).unwrap().parse().unwrap();
    for n in 0..400 {
        random = random.wrapping_mul(1103515245).wrapping_add(12345);
        if random >> 16 & 1 == 1 { println!("out {n}") } else { eprintln!("err {n}") }
    }
}
"#;

const GO: &str = r#"
package main

import (
	"fmt"
	"math/rand"
	"os"
	"strconv"
)

func main() {
	seed, _ := strconv.Atoi(os.Args[1])
	random := rand.New(rand.NewSource(int64(seed)))
	for n := 0; n < 400; n++ {
		if random.Intn(2) == 0 {
			fmt.Println("out", n)
		} else {
			fmt.Fprintln(os.Stderr, "err", n)
		}
	}
}
"#;

/// Everything that a session showed, as one text in the order of its entries. Each line is to name
/// the channel that it came on.
fn transcript(mut stream: Stream) -> String {
    let mut text = String::new();
    while let Some(message) = stream.next() {
        match message["msgtype"].as_str().expect("a msgtype") {
            "write" => {
                let data = message["data"].as_str().expect("data");
                let channel = if message["file"] == "stderr" { "err" } else { "out" };
                // An entry may end within a line, if the program has written the line in parts.
                let is_own = |line: &str| line.starts_with(channel);
                let lines =
                    data.split_inclusive('\n').skip(usize::from(!text.is_empty() && !text.ends_with('\n')));
                assert!(lines.clone().all(is_own), "{data:?} on {channel}, after {text:?}");
                text += data;
            }
            "msg" => text += &format!("msg {}\n", message["n"]),
            "exitstatus" => assert_eq!(message["exitstatus"], 0, "{message} after {text}"),
            _ => {}
        }
    }
    text
}

/// Asserts that the lines of a transcript are numbered from 0 to `count` - 1.
fn assert_in_order(text: &str, count: usize, what: &str) {
    let numbers: Vec<_> =
        text.lines().map(|line| line.split_once(' ').map_or(line, |(_, number)| number)).collect();
    let first_wrong = numbers.iter().enumerate().find(|(n, number)| **number != n.to_string());
    assert!(first_wrong.is_none(), "{what}: line {first_wrong:?} of\n{text}");
    assert_eq!(numbers.len(), count, "{what}: {text}");
}

fn is_in_order_in(runtime: &str, code: &str, channels: &[&str]) {
    let server = Server::start();
    let runtimes = server.get("/runtimes").json();
    let mut runtimes = runtimes.as_array().expect("a list").iter();
    if !runtimes.any(|one| one["name"] == runtime && one["available"] == true) {
        return assert!(!is_root(), "{runtime} is not installed");
    }
    for seed in 1..=runs() {
        let request = json!({"runtime": runtime, "code": code, "args": [seed.to_string()]});
        let text = transcript(server.stream(&id(&server.create(&request)), ""));
        assert_in_order(&text, 400, &format!("{runtime}, seed {seed}"));
        for channel in channels {
            let count = text.lines().filter(|line| line.starts_with(channel)).count();
            assert!(count > 50, "{runtime}: {count} lines of {channel}");
        }
    }
}

#[test]
fn the_streams_of_a_c_program_keep_their_order() {
    is_in_order_in("c", C, &["out", "err"]);
}

#[test]
fn the_streams_and_messages_of_a_python_program_keep_their_order() {
    is_in_order_in("python", PYTHON, &["out", "err", "msg"]);
}

#[test]
fn the_streams_and_messages_of_a_javascript_program_keep_their_order() {
    is_in_order_in("javascript", JAVASCRIPT, &["out", "err", "msg"]);
}

#[test]
fn the_streams_of_a_bash_script_and_its_commands_keep_their_order() {
    is_in_order_in("bash", BASH, &["out", "err"]);
}

#[test]
fn the_streams_of_a_rust_program_keep_their_order() {
    is_in_order_in("rust", RUST, &["out", "err"]);
}

#[test]
fn the_streams_of_a_go_program_keep_their_order() {
    is_in_order_in("go", GO, &["out", "err"]);
}

/// Four threads write at once. Their lines mix, and each thread's are in order.
#[test]
fn each_thread_keeps_its_order() {
    let server = Server::start();
    let code = r#"
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

void *run(void *thread) {
    for (int n = 0; n < 200; n++) {
        int to_stderr = n * 7919 / 3 & 1;
        char line[64];
        int length = snprintf(line, sizeof line, "%s %d/%d\n", to_stderr ? "err" : "out", (int)(intptr_t)thread, n);
        if (write(1 + to_stderr, line, length) != length) _exit(1);
    }
    return 0;
}

int main(void) {
    pthread_t threads[4];
    for (intptr_t n = 0; n < 4; n++) pthread_create(&threads[n], 0, run, (void *)n);
    for (int n = 0; n < 4; n++) pthread_join(threads[n], 0);
}
"#;
    let text = transcript(server.stream(&server.create_id("c", code), ""));
    for thread in 0..4 {
        let own: String = text
            .lines()
            .filter_map(|line| line.split_once(&format!(" {thread}/")))
            .map(|(channel, n)| format!("{channel} {n}\n"))
            .collect();
        assert_in_order(&own, 200, &format!("thread {thread}"));
    }
}

/// A process may die while it waits to write to standard error, and in any state of that.
#[test]
fn processes_that_are_killed_in_a_notified_call_delay_nobody() {
    let server = Server::start();
    let code = r#"
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void) {
    for (int n = 0; n < 100; n++) {
        pid_t child = fork();
        if (child == 0) for (;;) if (write(2, "err x\n", 6) < 0) _exit(1);
        usleep(n * 20);
        kill(child, SIGKILL);
        waitpid(child, 0, 0);
    }
    printf("out done\n");
}
"#;
    let text = transcript(server.stream(&server.create_id("c", code), ""));
    assert!(text.ends_with("out done\n"), "{text}");
    assert!(text.lines().rev().skip(1).all(|line| line == "err x"), "{text}");
}

/// A signal may interrupt a write that waits for the supervisor, as one that waits for room in a
/// pipe. A handler without `SA_RESTART` makes it fail then. It has written nothing.
#[test]
fn a_signal_repeats_no_write() {
    let server = Server::start();
    let code = r#"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/time.h>
#include <unistd.h>

static void tick(int signal) { (void)signal; }

int main(void) {
    struct sigaction action = {.sa_handler = tick};
    sigaction(SIGALRM, &action, 0);
    struct itimerval often = {{0, 2000}, {0, 2000}};
    setitimer(ITIMER_REAL, &often, 0);
    int failed = 0;
    for (int n = 0; n < 5000; n++) {
        ssize_t length;
        while ((length = write(2, "err\n", 4)) < 0 && errno == EINTR) failed++;
        if (length != 4) return 2;
    }
    printf("out %d\n", failed);
}
"#;
    let text = transcript(server.stream(&server.create_id("c", code), ""));
    assert_eq!(text.lines().filter(|line| *line == "err").count(), 5000);
}

/// With `SA_RESTART`, the kernel makes a call again that a signal has interrupted, so that the C
/// library loses nothing, though it repeats no write itself.
#[test]
fn a_handler_that_restarts_calls_costs_no_line() {
    let server = Server::start();
    let code = r#"
#include <signal.h>
#include <stdio.h>
#include <sys/time.h>

static volatile int ticks;
static void tick(int signal) { (void)signal; ticks++; }

int main(void) {
    signal(SIGALRM, tick);
    struct itimerval often = {{0, 500}, {0, 500}};
    setitimer(ITIMER_REAL, &often, 0);
    int n = 0;
    for (; n < 5000 || ticks < 100; n++) if (fprintf(n & 1 ? stderr : stdout, "%s %d\n", n & 1 ? "err" : "out", n) < 0) return 1;
    printf("%s %d\n", "out", n);
}
"#;
    let text = transcript(server.stream(&server.create_id("c", code), ""));
    let count = text.lines().count();
    assert!(count > 5000, "{count} lines");
    assert_in_order(&text, count, "restarted calls");
}

/// A script whose signals are trapped, so that a call of the shell may be interrupted at any time:
/// the traps of bash do not restart calls. Each line is there once, in its place on its channel.
///
/// The script has no `$(…)`: bash 5.2 parses that when it expands it, and a trap that runs
/// meanwhile breaks the parser, also where nothing watches the script ("unexpected EOF while
/// looking for matching `)'").
#[test]
fn a_bash_script_loses_nothing_to_signals() {
    const SCRIPT: &str = r#"
caught=0
trap 'caught=$((caught + 1))' "$1"
if [[ $1 != CHLD ]]; then
    ( while kill "-$1" $$; do sleep 0.001; done ) 2>/dev/null &
    sender=$!
fi
show() { echo "err $1"; }
for ((n = 0; n < 200; n++)); do
    sleep 0 &
    echo "out $n"
    echo "err $n" >&2
    show "$n" >&2
    value=`echo "$n"; echo "err $n" >&2`
    [[ $value == "$n" ]] || echo "out lost $value"
    ( echo "out $n"; echo "err $n" >&2 )
    { echo "out $n"; echo "out $n" >&2; } 2>&1 | cat
    cd . 2>/dev/null
    echo "$n" >> file
    echo "err $n" >&2
done
((caught > 20)) && echo "out caught"
echo "out `wc -l < file`"
[[ -z $sender ]] || kill "$sender"
"#;
    let server = Server::start();
    let lines = |channel: &str, each: usize, last: &[&str]| -> Vec<String> {
        let each = (0..200).flat_map(|n| vec![format!("{channel} {n}"); each]);
        each.chain(last.iter().map(|line| (*line).to_owned())).collect()
    };
    for signal in ["ALRM", "CHLD", "USR1"] {
        let request = json!({"runtime": "bash", "code": SCRIPT, "args": [signal]});
        let text = transcript(server.stream(&id(&server.create(&request)), ""));
        let (out, err): (Vec<_>, Vec<_>) =
            text.lines().map(str::to_owned).partition(|line| line.starts_with("out"));
        assert_eq!(out, lines("out", 4, &["out caught", "out 200"]), "{signal}");
        assert_eq!(err, lines("err", 5, &[]), "{signal}");
    }
}

/// The shell of scripts, which is another one than bash on most systems.
#[test]
fn a_script_of_sh_keeps_its_order() {
    const SCRIPT: &str = r#"exec sh -c '
n=0
while [ $n -lt 300 ]; do
    echo "out $n"
    echo "err $((n + 1))" >&2
    { echo "err $((n + 2))"; echo "err $((n + 3))"; } >&2
    value=$(echo "$n")
    (echo "out $((value + 4))")
    echo "err $((n + 5))" 1>&2
    n=$((n + 6))
done'"#;
    let server = Server::start();
    let text = transcript(server.stream(&server.create_id("bash", SCRIPT), ""));
    assert_in_order(&text, 300, "sh");
}

/// A program's own filter comes on top. It may have no listener, since a process has only one.
#[test]
fn a_filter_of_the_program_changes_nothing() {
    let server = Server::start();
    let code = r#"
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void) {
    struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {1, &allow};
    long listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
    if (listener >= 0 || errno != EBUSY) return 1;
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program)) return 2;
    for (int n = 0; n < 100; n++) fprintf(n & 1 ? stderr : stdout, "%s %d\n", n & 1 ? "err" : "out", n);
}
"#;
    let text = transcript(server.stream(&server.create_id("c", code), ""));
    assert_in_order(&text, 100, "own filter");
}

/// A child of vfork(2) keeps its parent waiting while it waits itself.
#[test]
fn spawned_programs_keep_the_order_with_their_parent() {
    let server = Server::start();
    let code = r#"
import os, subprocess, sys

for n in range(0, 60, 3):
    print("out", n)
    subprocess.run(["sh", "-c", f"echo err {n + 1} >&2"], close_fds=False)
    pid = os.posix_spawn("/bin/echo", ["echo", f"err {n + 2}"], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, 2, 1)])
    os.waitpid(pid, 0)
"#;
    let text = transcript(server.stream(&server.create_id("python", code), ""));
    assert_in_order(&text, 60, "children");
}

/// The supervisor keeps the order while there is no server.
#[test]
fn a_killed_server_changes_no_order() {
    let mut server = Server::start();
    let code = r#"
import sys

for n in range(1000):
    print("out" if n % 3 else "err", n, file=sys.stdout if n % 3 else sys.stderr)
    if n == 100:
        input()
"#;
    let session = server.create_id("python", code);
    let mut stream = server.stream(&session, "");
    stream.read_until("out 100\n");
    stream.send(&json!({"msgtype": "input", "data": "\n"}));
    server.kill();
    server.start_again();
    let mut stream = server.stream(&session, "");
    // The input may have been lost together with the server, and a line too much is read by
    // nobody.
    stream.send(&json!({"msgtype": "input", "data": "\n"}));
    assert_in_order(&transcript(stream), 1000, "without a server");
}

/// A prompt without the end of a line stays before the line on standard error that follows it,
/// even if it is the beginning of the marker of messages.
#[test]
fn a_prompt_that_may_become_a_marker_is_not_overtaken() {
    let server = Server::start();
    let code = "import sys\nfor n in range(50):\n    sys.stdout.write('--'); sys.stdout.flush()\n    print(n, file=sys.stderr)\n";
    let mut stream = server.stream(&server.create_id("python", code), "");
    let mut shown = String::new();
    while let Some(message) = stream.next() {
        shown += message["data"].as_str().unwrap_or_default();
    }
    let expected: String = (0..50).map(|n| format!("--{n}\n")).collect();
    assert_eq!(shown, expected);
}

/// No program has the listener: it could resume its own calls, and keep those of its children
/// waiting. A program of a warm start was forked from a process that had it, and never execs.
#[test]
fn no_program_has_the_listener() {
    let code = "import os\nfor fd in os.listdir('/proc/self/fd'):\n    try: print(fd, os.readlink(f'/proc/self/fd/{fd}'))\n    except OSError: pass\n";
    for server in [warm(Server::start()), Server::start_with(&["--warm", "off"])] {
        let run = server.run_code("python", code);
        assert!(!run.stdout.contains("seccomp"), "{}", run.stdout);
        let numbers: Vec<_> =
            run.stdout.lines().filter_map(|line| line.split_once(' ')).map(|(fd, _)| fd).collect();
        assert_eq!(numbers, ["0", "1", "2", "3"], "{}", run.stdout);
    }
}

/// The messages that no module sent: a program writes them to a descriptor of its own.
#[test]
fn messages_to_a_copy_of_the_channel_never_overtake_output() {
    let server = Server::start();
    let code = "import os\ncopy = os.dup(3)\nfor n in range(300):\n    print('out', n)\n    os.write(copy, b'{\"msgtype\":\"tick\",\"n\":%d}\\n' % n)\n";
    let mut stream = server.stream(&server.create_id("python", code), "");
    let mut lines = 0;
    while let Some(message) = stream.next() {
        match message["msgtype"].as_str() {
            Some("write") => lines += message["data"].as_str().expect("data").lines().count() as u64,
            Some("tick") => assert!(message["n"].as_u64().expect("a number") < lines, "{message}"),
            _ => {}
        }
    }
    assert_eq!(lines, 300);
}

/// PHP writes errors to a copy of the descriptor. Nobody is notified, and they come after the
/// output.
#[test]
fn errors_by_a_copy_come_after_the_output_before_them() {
    let server = Server::start();
    let code = r#"
import os
copy = os.dup(2)
print("out")
os.write(copy, b"err\n")
"#;
    for _ in 0..20 {
        let shown = transcript(server.stream(&server.create_id("python", code), ""));
        assert_eq!(shown, "out\nerr\n");
    }
}

#[test]
fn the_example_of_every_beginner_is_shown_as_on_a_terminal() {
    let server = Server::start();
    let code = "import sys\nfor i in range(5):\n    print('out', i)\n    print('err', i, file=sys.stderr)\n";
    let session = server.create_id("python", code);
    let shown = |messages: Vec<Value>| {
        messages.iter().filter_map(|message| message["data"].as_str().map(str::to_owned)).collect::<String>()
    };
    let expected: String = (0..5).map(|i| format!("out {i}\nerr {i}\n")).collect();
    assert_eq!(shown(server.stream(&session, "").rest()), expected);
    assert_eq!(shown(server.stream(&session, "").rest()), expected, "again, from the journal");
}

/// Makes a filter with a listener, as some containers have, and executes the server.
const WITH_LISTENER: &str = r#"
import ctypes, os, platform, struct, sys

class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

libc = ctypes.CDLL(None, use_errno=True)
allow = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0x7FFF0000))
PR_SET_NO_NEW_PRIVS, SECCOMP_SET_MODE_FILTER, NEW_LISTENER = 38, 1, 8
libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
number = {"x86_64": 317, "aarch64": 277}[platform.machine()]
program = Program(1, ctypes.addressof(allow))
listener = libc.syscall(number, SECCOMP_SET_MODE_FILTER, NEW_LISTENER, ctypes.byref(program))
assert listener >= 0, os.strerror(ctypes.get_errno())
os.set_inheritable(listener, True)
os.execv(sys.argv[1], sys.argv[1:])
"#;

#[test]
fn a_session_tells_that_its_order_is_not_exact() {
    let server = Server::start_by(&["python3", "-c", WITH_LISTENER], &[]);
    let session =
        server.create(&json!({"runtime": "python", "code": "import sys; print('out'); sys.exit('err')"}));
    let mut shown = server.stream(&id(&session), "").rest();
    shown.retain(|message| message["msgtype"] == "write");
    let mut data: Vec<_> = shown.iter().filter_map(|message| message["data"].as_str()).collect();
    data.sort_unstable();
    assert_eq!(data, ["err\n", "out\n"]);
    let session = server.get(&format!("/sessions/{}", id(&session))).json();
    assert!(session["degraded"].to_string().contains("order between standard output"), "{session}");
    assert!(!server.get("/healthz").json()["degraded"].to_string().contains("order between"));
    let exact = Server::start();
    let session = exact.create(&json!({"runtime": "python", "code": ""}));
    exact.stream(&id(&session), "").rest();
    let session = exact.get(&format!("/sessions/{}", id(&session))).json();
    assert!(!session["degraded"].to_string().contains("order between"), "{session}");
}

/// Without the setting, nobody is notified: a program's own filter may have a listener, and a
/// message overtakes no output all the same.
#[test]
fn the_order_can_be_switched_off() {
    let server = Server::start_with(&["--exact-order", "off"]);
    let code = r#"
import ctypes, livecode, platform, struct

class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

libc = ctypes.CDLL(None, use_errno=True)
allow = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0x7FFF0000))
program = Program(1, ctypes.addressof(allow))
number = {"x86_64": 317, "aarch64": 277}[platform.machine()]
listener = libc.syscall(number, 1, 8, ctypes.byref(program))
print("out 0" if listener >= 0 else f"out {ctypes.get_errno()}")
livecode.send("msg", n=1)
"#;
    assert_eq!(transcript(server.stream(&server.create_id("python", code), "")), "out 0\nmsg 1\n");
}
