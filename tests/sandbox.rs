//! The view and the reach of a program in its sandbox. The known attacks have a suite of their
//! own, `tests/attacks`.

use serde_json::json;

use crate::common::Server;

fn python(server: &Server, code: &str) -> String {
    let run = server.run_code("python", code);
    assert_eq!(run.stderr, "", "{code}");
    run.stdout.trim().to_owned()
}

#[test]
fn a_program_has_no_privilege() {
    let server = Server::start();
    let status = python(&server, "print(open('/proc/self/status').read())");
    let field = |name: &str| {
        let line =
            status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}"));
        line.trim_start_matches(':').trim().to_owned()
    };
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(u64::from_str_radix(&field(set), 16), Ok(0), "{set}");
    }
    assert_eq!((&*field("NoNewPrivs"), &*field("Seccomp")), ("1", "2"));
    assert_ne!(python(&server, "import os; print(os.getuid())"), "0");
}

#[test]
fn a_program_reaches_no_network() {
    let server = Server::start();
    let port = server.address().rsplit(':').next().expect("a port");
    let code = format!(
        "import socket\nfor host in ['127.0.0.1', '169.254.169.254', '10.0.0.1', '1.1.1.1']:\n    s = socket.socket()\n    \
         s.settimeout(2)\n    try:\n        s.connect((host, {port}))\n        print('reached', host)\n    except OSError: pass\n\
         a, b = socket.socket(), socket.socket()\na.bind(('127.0.0.1', 0))\na.listen()\nb.connect(a.getsockname())\nprint('own')"
    );
    assert_eq!(python(&server, &code), "own");
}

#[test]
fn a_program_sees_only_its_own_files() {
    let server = Server::start();
    assert_eq!(
        python(&server, "import os; print(sorted(os.listdir('/')))"),
        "['bin', 'code', 'dev', 'etc', 'lib', 'lib64', 'livecode', 'proc', 'sbin', 'tmp', 'usr']"
    );
    let data = server.data().display().to_string();
    for path in ["/root", "/home", "/etc/shadow", "/sys", "/run", "/var", "/proc/1/root/etc", &data] {
        let code = format!(
            "import os\ntry:\n    os.stat('{path}')\n    print('there')\nexcept OSError as e: print(e.errno in (2, 13))"
        );
        assert_eq!(python(&server, &code), "True", "{path}");
    }
    let write = "for path in ['/x', '/usr/x', '/etc/x', '/livecode/x', '/dev/x', '/proc/sys/kernel/hostname']:\n    try:\n        \
                 open(path, 'w')\n        print(path)\n    except OSError: pass\nfor path in ['x', '/tmp/x', '/dev/shm/x']: open(path, 'w')\nprint('own')";
    assert_eq!(python(&server, write), "own");
}

#[test]
fn a_program_has_only_the_documented_descriptors() {
    let server = Server::start();
    assert_eq!(
        python(&server, "import os; print(sorted(map(int, os.listdir('/proc/self/fd')))[:-1])"),
        "[0, 1, 2, 3]"
    );
    let pids = "import os; print([p for p in os.listdir('/proc') if p.isdigit()])";
    assert_eq!(python(&server, pids), "['1', '2']");
    let init = "import os\nfor name in ['fd', 'root', 'environ', 'mem', 'exe', 'cwd']:\n    try:\n        os.listdir('/proc/1/fd') if name == 'fd' else open(f'/proc/1/{name}')\n        print(name)\n    except OSError: pass\ntry:\n    os.kill(1, 9)\nexcept OSError: pass\nprint('alive')";
    assert_eq!(python(&server, init), "alive");
}

#[test]
fn the_environment_has_only_the_expected_variables() {
    let server = Server::start();
    let names = python(&server, "import os; print(*sorted(os.environ))");
    let expected = [
        "FONTCONFIG_FILE",
        "HOME",
        "LANG",
        "LIVECODE_FD",
        "LOGNAME",
        "MATPLOTLIBRC",
        "MPLBACKEND",
        "MPLCONFIGDIR",
        "OPENBLAS_NUM_THREADS",
        "PATH",
        "PWD",
        "PYTHONDONTWRITEBYTECODE",
        "PYTHONPATH",
        "TMPDIR",
        "USER",
    ];
    assert_eq!(names.split(' ').collect::<Vec<_>>(), expected);
}

#[test]
fn forbidden_system_calls_fail_and_clone3_is_unknown() {
    let server = Server::start();
    let code = "import ctypes, errno, os\nlibc = ctypes.CDLL(None, use_errno=True)\n\
                def call(*args):\n    ctypes.set_errno(0)\n    return errno.errorcode.get(ctypes.get_errno(), '?') if libc.syscall(*args) == -1 else 'done'\n\
                print(call(272, 0x10000000), call(165, 0, 0, 0, 0, 0), call(435, 0, 0), call(425, 1, 0), call(321, 0, 0, 0), call(101, 0, 0, 0, 0), call(250, 0, 0), call(99999))";
    if cfg!(target_arch = "x86_64") {
        assert_eq!(python(&server, code), "EPERM EPERM ENOSYS EPERM EPERM EPERM EPERM ENOSYS");
    }
}

#[test]
fn arguments_are_never_interpreted_by_a_shell() {
    let server = Server::start();
    let args = ["a b", "$(id)", "`id`", "\\", "\n", "'\"", "*", "--"];
    let run = server.run(&json!({"runtime": "python", "code": "import sys, json; print(json.dumps(sys.argv[1:]))", "args": args}));
    assert_eq!(serde_json::from_str::<Vec<String>>(&run.stdout).expect("valid JSON"), args);
}

#[test]
fn sessions_do_not_see_each_other() {
    let server = Server::start();
    let first = "import os, time, socket\nopen('/dev/shm/x', 'w').write('secret')\nopen('/tmp/x', 'w').write('secret')\n\
                 s = socket.socket(socket.AF_UNIX)\ns.bind('\\0name')\nprint('ready')\ntime.sleep(60)";
    let id = server.create_id("python", first);
    server.stream(&id, "").read_until("ready");
    let second = "import os, socket\nprint(os.listdir('/dev/shm'), os.listdir('/tmp'))\ns = socket.socket(socket.AF_UNIX)\n\
                  try:\n    s.connect('\\0name')\n    print('connected')\nexcept OSError: pass";
    assert_eq!(python(&server, second), "[] []");
}

#[test]
fn processes_that_a_program_leaves_behind_die_with_it() {
    let server = Server::start();
    let code = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        time.sleep(60)\n        \
                print('survived')\n    os._exit(0)\nos.wait()\nprint('done')";
    let began = std::time::Instant::now();
    let run = server.run_code("python", code);
    assert_eq!((&*run.stdout, run.exitstatus), ("done\n", 0));
    assert!(began.elapsed().as_secs() < 30, "the session waited for a grandchild");
}

#[test]
fn signal_dispositions_are_those_of_a_shells_child() {
    let server = Server::start();
    let run = server
        .run_code("bash", "yes | head -1\necho ${PIPESTATUS[0]}\ngrep -E '^Sig(Blk|Ign)' /proc/self/status");
    let none = "0000000000000000";
    assert_eq!(run.stdout, format!("y\n141\nSigBlk:\t{none}\nSigIgn:\t{none}\n"));
}
