//! Limits of a session hold for what the kernel keeps for it.

use serde_json::{Value, json};

use crate::common::{Run, Server, eventually, id, is_root};

/// Runs a Python program to its end, and returns its run and the document of its session.
fn run(server: &Server, request: &Value) -> (Run, Value) {
    let session = server.create(request);
    let run = Run::collect(server.stream(&id(&session), ""));
    let path = format!("/sessions/{}", id(&session));
    let ended = eventually("the session ends", || {
        let session = server.get(&path).json();
        (session["state"] == "ended").then_some(session)
    });
    (run, ended)
}

/// The kernel has one supply of asynchronous requests for all users (`fs.aio-max-nr`).
#[test]
fn no_program_takes_the_machines_supply_of_asynchronous_requests() {
    let code = "import ctypes, errno\nlibc = ctypes.CDLL(None, use_errno=True)\ncontext = ctypes.c_ulong(0)\n\
                print(libc.syscall(206, 1000, ctypes.byref(context)), errno.errorcode.get(ctypes.get_errno()))";
    let run = Server::start().run_code("python", code);
    assert_eq!(run.stdout, "-1 ENOSYS\n", "{run:?}");
}

/// At its limit of CPU time the kernel kills a process, init as well.
#[test]
fn a_program_cannot_have_init_killed_by_a_limit() {
    let server = Server::start();
    let code = "import os, resource, time\n\
                try:\n    resource.prlimit(1, resource.RLIMIT_CPU, (1, 1))\n\
                except OSError as error: print(error.strerror)\n\
                for _ in range(50):\n    if os.fork() == 0: os._exit(0)\n    os.wait()\n\
                own = [line for line in open('/proc/self/status') if line.startswith('Uid')]\n\
                init = [line for line in open('/proc/1/status') if line.startswith('Uid')]\n\
                print(own[0].split()[1:3] == init[0].split()[1:3])";
    for code_filename in ["main.py", "other.py"] {
        let request = json!({"runtime": "python", "code": code, "code_filename": code_filename});
        let (run, session) = run(&server, &request);
        // As root, the kernel refuses it too, since init has a uid of its own.
        let expected = format!("Operation not permitted\n{}\n", if is_root() { "False" } else { "True" });
        assert_eq!(run.stdout, expected, "{run:?}");
        assert_eq!((&session["outcome"], run.exitstatus), (&json!("exited"), 0), "{session}");
    }
}

/// The command line of init is copied from the process that it was cloned from.
#[test]
fn the_command_line_of_init_shows_nothing_of_the_server() {
    let server = Server::start();
    let code = "print(open('/proc/1/cmdline', 'rb').read())";
    for code_filename in ["main.py", "other.py"] {
        let request = json!({"runtime": "python", "code": code, "code_filename": code_filename});
        assert_eq!(server.run(&request).stdout, "b'init\\x00'\n", "{code_filename}");
    }
    assert_eq!(server.run_code("bash", "tr '\\0' , < /proc/1/cmdline").stdout, "init,");
}
