//! Rows about the interface of the kernel.

use serde_json::json;

use crate::{
    attack::{Attack, Method, Verdict, attack},
    common::{Run, id},
    fixture::{Fixture, assert_held, time_scale},
};

pub fn attacks() -> Vec<Attack> {
    use Method::{Check, Program, Python};
    vec![
        attack(
            11,
            "/proc: read the machine's inside, act on it",
            Python(include_str!("programs/r11_proc.py")),
        ),
        attack(12, "namespaces and mounts", Python(include_str!("programs/r12_namespaces.py"))),
        attack(13, "io_uring", Python(include_str!("programs/r13_io_uring.py"))),
        attack(13, "Node starts without it", Program("javascript", include_str!("programs/r13_node.js"))),
        attack(
            14,
            "keyctl, vsock, bpf, perf, ptrace, userfaultfd, …",
            Python(include_str!("programs/r14_calls.py")),
        ),
        attack(14, "32-bit system calls", Python(include_str!("programs/r14_int80.py"))),
        attack(15, "setuid binaries, capabilities", Python(include_str!("programs/r15_privileges.py"))),
        attack(16, "cgroup files", Python(include_str!("programs/r16_cgroup.py"))),
        attack(17, "SIGSTOP the parent; kill(-1)", Check(signals)),
        attack(33, "crash with core dumps on", Check(core_dumps)),
    ]
}

/// A program sends signals to every process that it can name. Its time limit is still enforced,
/// and another session is not affected.
fn signals(fixture: &Fixture) -> Verdict {
    let other =
        id(&fixture.server.create(&json!({"runtime": "bash", "code": "echo up; read line; echo $line"})));
    let mut stream = fixture.server.stream(&other, "");
    stream.read_until("up");
    let timeout = json!({"timeout": 2000 * time_scale()});
    let (run, session) = fixture.run("python", include_str!("programs/r17_signals.py"), timeout);
    assert_eq!((&*run.stdout, &session["outcome"]), ("alive\n", &json!("timeout")), "{run:?}");
    stream.send(&json!({"msgtype": "input", "data": "well\n"}));
    assert_eq!(Run::collect(stream).stdout, "well\n");
    Verdict::Holds
}

/// A crash writes no core dump, and starts no handler that the machine pipes core dumps to. The
/// virtual machine has such a handler, which leaves a file when it is started.
fn core_dumps(fixture: &Fixture) -> Verdict {
    assert_held(&fixture.run("python", include_str!("programs/r33_core.py"), json!({})).0);
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").expect("a pattern");
    if pattern.starts_with("|/core-handler") {
        assert!(!std::path::Path::new("/core-was-handled").exists(), "the machine's handler was started");
        return Verdict::HoldsWith(format!("also with core_pattern {:?}", pattern.trim()));
    }
    Verdict::Holds
}
