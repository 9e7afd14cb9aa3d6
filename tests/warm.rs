//! Warm starts: a program finds the same in a warm start as in a cold one, and nothing of another
//! session.

use std::{os::unix::fs::FileExt as _, process::Command};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::common::{Run, Server, eventually, id, is_root, processes};

/// Prints everything that a program can easily learn about the interpreter in which it runs.
const INSPECT: &str = r#"
import sys
before = sorted(sys.modules)
import os, signal, gc, json, resource, threading
status = dict(line.split(":\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\t" in line)
def frames():
    frame, names = sys._getframe(), []
    while frame:
        names.append((frame.f_code.co_name, frame.f_code.co_filename))
        frame = frame.f_back
    return names
streams = [sys.stdin, sys.stdout, sys.stderr]
print(json.dumps({
    "modules": before, "argv": sys.argv, "orig_argv": sys.orig_argv, "path": sys.path, "executable": sys.executable,
    "base_executable": sys._base_executable, "prefixes": [sys.prefix, sys.exec_prefix, sys.base_prefix], "flags": repr(sys.flags),
    "xoptions": sys._xoptions, "warnoptions": sys.warnoptions, "meta_path": [getattr(f, "__name__", type(f).__name__) for f in sys.meta_path],
    "importers": sorted(sys.path_importer_cache), "frames": frames(), "main": sorted(vars(sys.modules["__main__"])),
    "file": __file__, "environ": dict(os.environ), "cwd": os.getcwd(), "ids": [os.getpid(), os.getppid(), os.getsid(0), os.getpgid(0)],
    "signals": {str(n): str(signal.getsignal(n)) for n in signal.valid_signals()},
    "streams": [[s.name, s.mode, s.encoding, s.errors, s.line_buffering, s.seekable(), s.isatty(), s.buffer.raw.mode, repr(s.buffer.raw.name)] for s in streams],
    "descriptors": sorted(os.listdir("/proc/self/fd")), "cmdline": open("/proc/self/cmdline", "rb").read().rstrip(b"\0").decode(),
    "comm": open("/proc/self/comm").read(), "limits": {n: resource.getrlimit(getattr(resource, n)) for n in dir(resource) if n.startswith("RLIMIT")},
    "status": {k: status[k] for k in ["Umask", "Groups", "Threads", "SigBlk", "SigIgn", "SigCgt", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters", "NSpid"]},
    "nice": os.nice(0), "affinity": sorted(os.sched_getaffinity(0)), "owner": os.stat("/proc/self/status").st_uid == os.getuid(),
    "thread": threading.main_thread() is threading.current_thread(), "recursion": sys.getrecursionlimit(),
    "outside": [n for n in (b"/support/", b"/template") if n in open("/proc/self/environ", "rb").read()],
}, sort_keys=True, default=str))
"#;

fn inspect(server: &Server, fields: &Value) -> Value {
    let mut request = json!({"runtime": "python", "code": INSPECT, "limits": {"processes": 40}});
    for (name, value) in fields.as_object().expect("fields") {
        request[name] = value.clone();
    }
    let session = id(&server.create(&request));
    let run = Run::collect(server.stream(&session, ""));
    assert_eq!((run.exitstatus, &*run.stderr), (0, ""), "{run:?}");
    serde_json::from_str(&run.stdout).expect("a document")
}

/// How many sessions have started with so much made before.
pub fn starts(server: &Server, ready: &str) -> u64 {
    let text = server.get("/metrics").text();
    let name = format!("livecode_session_starts_total{{ready=\"{ready}\"}} ");
    let value = text.lines().find_map(|line| line.strip_prefix(&name)).expect("the metric exists");
    value.parse().expect("a number")
}

/// Starts a server and waits until its interpreter zygote is ready, so that every later start can
/// use it.
pub fn warm_server() -> Server {
    warm(Server::start())
}

/// Waits until the interpreter zygote of a server is ready.
pub fn warm(server: Server) -> Server {
    eventually("the interpreter zygote is ready", || {
        server.run_code("python", "pass");
        (starts(&server, "interpreter") > 0).then_some(())
    });
    server
}

#[test]
fn a_cloned_interpreter_looks_like_a_fresh_one() {
    let (warm, cold) = (warm_server(), Server::start_with(&["--warm", "off"]));
    let cloned = starts(&warm, "interpreter");
    for fields in [
        json!({}),
        json!({"args": ["a", "b c", "\u{e4}"]}),
        json!({"env": {"FOO": "\u{e4} = b"}}),
        json!({"stdin": "x"}),
    ] {
        let (from_warm, from_cold) = (inspect(&warm, &fields), inspect(&cold, &fields));
        for (name, value) in from_warm.as_object().expect("a document") {
            assert_eq!(value, &from_cold[name], "{name} with {fields}");
        }
    }
    assert_eq!(starts(&warm, "interpreter"), cloned + 4);
    assert_eq!((starts(&cold, "interpreter"), starts(&cold, "sandbox"), starts(&cold, "cold")), (0, 0, 4));
}

#[test]
fn a_cloned_interpreter_ends_like_a_fresh_one() {
    let (warm, cold) = (warm_server(), Server::start_with(&["--warm", "off"]));
    for code in [
        "import atexit\natexit.register(print, 'bye')\nclass A:\n    def __del__(self): print('gone')\na = A()",
        "raise SystemExit(7)",
        "import sys\nsys.exit('why')",
        "1/0",
        "def f(): f()\nf()",
        "import threading, time\nthreading.Thread(target=lambda: (time.sleep(0.2), print('late'))).start()",
        "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)",
        "import os, signal\nos.kill(os.getpid(), signal.SIGINT)",
        "import subprocess\nprint(subprocess.run(['sh', '-c', 'exit 3']).returncode)",
        "import multiprocessing as m\nif __name__ == '__main__':\n    with m.Pool(2) as p: print(p.map(abs, [-1, -2]))",
        "print('no newline', end='')",
        "import sys\nsys.stdout.close()",
        "x = (",
        "import os\nos._exit(4)",
        "import os\nif os.fork() == 0:\n    print('child'); raise SystemExit\nos.wait(); print('parent')",
        "import os\nif os.fork() == 0:\n    print('child', end='')\nelse:\n    os.wait(); print('parent', end='')",
        // These programs have objects in unusual places that print something when the interpreter
        // ends.
        "f = open('a', 'w'); f.write('kept')\nimport os\nif os.fork():\n    os.wait(); del f; print(open('a').read())",
        "class A:\n    __slots__ = ()\n    def __del__(self): print('gone')\na = A()",
        "class A(int):\n    def __del__(self): print('gone')\na = [A(1)]",
        "import sys\nclass A:\n    def __del__(self): print('gone')\nsys.a = A()",
        "def g():\n    try: yield 1\n    finally: print('closed')\na = g(); next(a)",
        "import weakref\nclass A: pass\na = A(); r = weakref.ref(a, lambda _: print('gone'))",
        "import weakref\nclass A: pass\na = A(); weakref.finalize(a, print, 'gone')",
        "import gc\ngc.callbacks.append(lambda *_: print('collected'))",
        "import sys\nsys.settrace(lambda frame, event, _: print(event, frame.f_code.co_name))",
        "import sys\nsys.setprofile(lambda frame, event, _: print(event, frame.f_code.co_name))",
        "import sys\nclass A:\n    def write(self, text): sys.__stdout__.write(text.upper())\n    def flush(self): sys.__stdout__.write('FLUSHED')\nsys.stdout = A()\nprint('x')",
        "import threading, time\nthreading.Thread(target=time.sleep, args=[9], daemon=True).start()\nprint('daemon')",
        "import atexit, sys\natexit.register(lambda: print('last', 'last_type' in vars(sys)))",
        "import atexit\natexit._run_exitfuncs()\nprint('still here')",
        "import atexit\natexit._clear()\nprint('alone')",
        "del __file__\nraise SystemExit(5)",
        "import sys\nsys.excepthook = lambda *_: print('hooked')\n1/0",
        "import ctypes\nctypes.CDLL(None).printf(b'from C')",
        "import sys\ndef hook(*_):\n    del sys.last_type, sys.last_value, sys.last_traceback\nsys.excepthook = hook\n1/0",
        "f = open(1, 'w', closefd=False)\nf.write('kept')\nimport gc\ngc.freeze()",
        "import _weakref, sys\nclass A: pass\nsys.a = A(); p = _weakref.proxy(sys.a, lambda _: print('gone'))",
        "import os\nprint(list(os.environ))",
        "import asyncio\nasync def f(): print('f')\nasyncio.run(f())",
        "async def f(): pass\na = f()",
        "import sys\nprint('x', end='')\nsys.stdout.detach()",
        "import os\nos.close(1)\nprint('lost')",
        "import os\nos.remove(__file__)\nprint('removed')",
        "import enum, dataclasses, collections, re\n@dataclasses.dataclass\nclass A:\n    x: int\nprint(A(1))",
    ] {
        let (warm_run, cold_run) = (warm.run_code("python", code), cold.run_code("python", code));
        assert_eq!(warm_run, cold_run, "{code}");
    }
    assert_eq!(starts(&warm, "cold"), 0);
}

#[test]
fn settings_read_when_an_interpreter_starts_take_effect() {
    let server = warm_server();
    let cloned = starts(&server, "interpreter");
    let seeded = json!({"env": {"PYTHONHASHSEED": "0"}, "code": "print(hash('a'))"});
    let run = |fields: &Value| {
        let mut request = json!({"runtime": "python"});
        for (name, value) in fields.as_object().expect("fields") {
            request[name] = value.clone();
        }
        Run::collect(server.stream(&id(&server.create(&request)), ""))
    };
    assert_eq!(run(&seeded), run(&seeded));
    let other = json!({"code_filename": "other.py", "code": "print(__file__)"});
    assert_eq!(run(&other).stdout, "/code/other.py\n");
    let path = json!({"env": {"PYTHONPATH": "/code/more"}, "code": "import sys; print(sys.path[1])"});
    assert_eq!(run(&path).stdout, "/code/more\n");
    assert_eq!(
        starts(&server, "interpreter"),
        cloned + 1,
        "only the program with its own search path should run in a clone"
    );
    assert_eq!(starts(&server, "cold"), 0);
}

#[test]
fn sessions_share_no_state_and_no_randomness() {
    let server = warm_server();
    let code = "import sys, os, random, uuid, tempfile\nsys.modules['mark'] = 1\nopen('/tmp/mark', 'w').close()\n\
                print(random.random(), uuid.uuid4(), os.urandom(4).hex(), tempfile.mktemp(), os.path.exists('/tmp/mark0'))\n\
                os.rename('/tmp/mark', '/tmp/mark0')";
    let ids: Vec<_> = (0..20).map(|_| server.create_id("python", code)).collect();
    let outputs: Vec<_> = ids.iter().map(|id| Run::collect(server.stream(id, "")).stdout).collect();
    for column in 0..4 {
        let mut values: Vec<_> =
            outputs.iter().map(|line| line.split(' ').nth(column).expect("a column")).collect();
        values.sort_unstable();
        values.dedup();
        assert_eq!(values.len(), 20, "column {column}: {outputs:?}");
    }
    assert!(outputs.iter().all(|line| line.ends_with("False\n")), "{outputs:?}");
}

#[test]
fn an_interpreter_zygote_that_dies_is_replaced() {
    let server = warm_server();
    let killed = Command::new("pkill")
        .args(["-KILL", "-f", "-P", &server.pid().to_string(), "/code/main.py"])
        .status();
    assert!(killed.expect("pkill runs").success());
    for _ in 0..3 {
        assert_eq!(server.run_code("python", "print(1)").stdout, "1\n");
    }
    let cloned = starts(&server, "interpreter");
    eventually("another interpreter zygote is ready", || {
        assert_eq!(server.run_code("python", "print(1)").stdout, "1\n");
        (starts(&server, "interpreter") > cloned).then_some(())
    });
}

#[test]
fn more_sessions_than_warm_sandboxes_all_run() {
    let server = Server::start_with(&["--warm-sandboxes-max", "2"]);
    let ids: Vec<_> = (0..40)
        .map(|n| {
            server.create_id(
                if n % 2 == 0 { "python" } else { "bash" },
                if n % 2 == 0 { "print(1)" } else { "echo 1" },
            )
        })
        .collect();
    for id in ids {
        assert_eq!(Run::collect(server.stream(&id, "")).stdout, "1\n");
    }
}

/// The pid of a session's supervisor.
fn supervisor(server: &Server, id: &str) -> u64 {
    let state =
        std::fs::read(server.data().join("sessions").join(id).join("state.json")).expect("a state file");
    let state: Value = serde_json::from_slice(&state).expect("valid JSON");
    state["pid"].as_u64().expect("a number")
}

#[test]
fn a_supervisor_serves_one_session_after_another() {
    let server = warm_server();
    let mut served = vec![];
    let reused = eventually("a supervisor serves a second session", || {
        let id = server.create_id("python", "print(1)");
        assert_eq!(Run::collect(server.stream(&id, "")).stdout, "1\n");
        let pid = supervisor(&server, &id);
        let before = served.iter().position(|(known, _)| *known == pid);
        served.push((pid, id));
        before
    });
    // The death of a supervisor during a later session does not affect an earlier session.
    let running = eventually("this session has a supervisor that served before", || {
        let id = server.create_id("python", "import time\nprint('on', flush=True)\ntime.sleep(60)");
        server.stream(&id, "").read_until("on\n");
        if served.iter().any(|(known, _)| *known == supervisor(&server, &id)) {
            return Some(id);
        }
        assert_eq!(server.delete(&format!("/sessions/{id}")).status, 204);
        // The supervisor of this run may serve the next session.
        let _ = server.run_code("python", "pass");
        None
    });
    let pid = supervisor(&server, &running);
    kill_process(Pid::from_raw(pid as i32).expect("a valid pid"), Signal::KILL).expect("the supervisor runs");
    assert_eq!(Run::collect(server.stream(&running, "")).reason.as_deref(), Some("lost"));
    let earlier = Run::collect(server.stream(&served[reused].1, ""));
    assert_eq!((&*earlier.stdout, earlier.exitstatus), ("1\n", 0));
    assert_eq!(server.run_code("python", "print(1)").stdout, "1\n");
}

/// Whether `word` is anywhere in the writable memory of a process.
pub fn memory_contains(pid: u32, word: &str) -> bool {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("the memory map can be read");
    let memory = std::fs::File::open(format!("/proc/{pid}/mem")).expect("the memory can be opened");
    let writable = maps.lines().filter(|line| line.contains(" rw"));
    writable.into_iter().any(|line| {
        let (start, end) = line.split(' ').next().expect("a range").split_once('-').expect("a range");
        let [start, end] = [start, end].map(|text| u64::from_str_radix(text, 16).expect("a number"));
        let mut bytes = vec![0; (end - start) as usize];
        memory.read_at(&mut bytes, start).is_ok()
            && bytes.windows(word.len()).any(|part| part == word.as_bytes())
    })
}

/// A supervisor's memory may still hold what an earlier session told it. The processes of a
/// sandbox that is made for a later session hold nothing of that. Only root can read their memory.
#[test]
fn no_sandbox_remembers_another_session() {
    if !is_root() {
        return;
    }
    let server = warm_server();
    for runtime in ["python", "bash"] {
        let secret = format!("secret-{}-{runtime}", std::process::id());
        let with_secret = json!({"runtime": runtime, "code": format!("# {secret}"), "stdin": secret, "env": {"WORD": secret}});
        for _ in 0..20 {
            assert_eq!(Run::collect(server.stream(&id(&server.create(&with_secret)), "")).exitstatus, 0);
        }
        // The mark is short, because a cloned interpreter shows only as many bytes of its command
        // line as its zygote had when it started.
        let mark = format!("{}{}", &runtime[..1], std::process::id());
        let code = if runtime == "python" { "print('on', flush=True)\ninput()" } else { "echo on; read" };
        let fields = json!({"runtime": runtime, "code": code, "args": [mark]});
        // A warm sandbox of the usual size is given this one.
        let mut other = fields.clone();
        other["limits"] = json!({"disk_bytes": 1 << 20});
        let ids: Vec<_> = [&fields, &other, &fields, &other].map(|fields| id(&server.create(fields))).into();
        ids.iter().for_each(|id| drop(server.stream(id, "").read_until("on\n")));
        let programs = processes(&mark);
        assert_eq!(programs.len(), 4);
        for program in programs {
            let stat = std::fs::read_to_string(format!("/proc/{program}/stat")).expect("the program runs");
            let init =
                stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)).expect("a parent");
            let init = init.parse().expect("a number");
            assert!(memory_contains(program, &mark), "the test should be able to read the program's memory");
            assert!(!memory_contains(program, &secret) && !memory_contains(init, &secret), "{runtime}");
        }
        let is_secret_known = ids.iter().any(|id| memory_contains(supervisor(&server, id) as u32, &secret));
        assert!(is_secret_known, "no supervisor had served before, so nothing is proven for {runtime}");
    }
}
