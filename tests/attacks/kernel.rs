//! Rows about the kernel's interface.

use serde_json::json;

use crate::{
    common::{Run, id},
    suite::{Attack, Place, Verdict, Way, assert_held, scale},
};

pub fn attacks() -> Vec<Attack> {
    use Way::{Check, Program, Python};
    vec![
        Attack {
            row: 11,
            what: "/proc: read the machine's inside, act on it",
            way: Python(include_str!("programs/r11_proc.py")),
        },
        Attack {
            row: 12,
            what: "namespaces and mounts",
            way: Python(include_str!("programs/r12_namespaces.py")),
        },
        Attack { row: 13, what: "io_uring", way: Python(include_str!("programs/r13_io_uring.py")) },
        Attack {
            row: 13,
            what: "Node starts without it",
            way: Program("javascript", include_str!("programs/r13_node.js")),
        },
        Attack {
            row: 14,
            what: "keyctl, vsock, bpf, perf, ptrace, userfaultfd, …",
            way: Python(include_str!("programs/r14_calls.py")),
        },
        Attack { row: 14, what: "32-bit system calls", way: Python(include_str!("programs/r14_int80.py")) },
        Attack {
            row: 15,
            what: "setuid binaries, capabilities",
            way: Python(include_str!("programs/r15_privileges.py")),
        },
        Attack { row: 16, what: "cgroup files", way: Python(include_str!("programs/r16_cgroup.py")) },
        Attack { row: 17, what: "SIGSTOP the parent; kill(-1)", way: Check(signals) },
        Attack { row: 33, what: "crash with core dumps on", way: Check(core_dumps) },
    ]
}

/// The limits still fire, and others live.
fn signals(place: &Place) -> Verdict {
    let other =
        id(&place.server.create(&json!({"runtime": "bash", "code": "echo up; read line; echo $line"})));
    let mut stream = place.server.stream(&other, "");
    stream.read_until("up");
    let timeout = json!({"timeout": 2000 * scale()});
    let (run, session) = place.run("python", include_str!("programs/r17_signals.py"), timeout);
    assert_eq!((&*run.stdout, &session["outcome"]), ("alive\n", &json!("timeout")), "{run:?}");
    stream.send(&json!({"msgtype": "input", "data": "well\n"}));
    assert_eq!(Run::collect(stream).stdout, "well\n");
    Verdict::Holds
}

/// Where the machine pipes core dumps to a handler of its own, none is started. The virtual machine has such a handler,
/// which leaves a file.
fn core_dumps(place: &Place) -> Verdict {
    assert_held(&place.run("python", include_str!("programs/r33_core.py"), json!({})).0);
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").expect("a pattern");
    if pattern.starts_with("|/core-handler") {
        assert!(!std::path::Path::new("/core-was-handled").exists(), "the machine's handler was started");
        return Verdict::HoldsWith(format!("also with core_pattern {:?}", pattern.trim()));
    }
    Verdict::Holds
}
