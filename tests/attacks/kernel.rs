//! Rows about the kernel's interface.

use serde_json::json;

use crate::{
    common::{Run, id},
    suite::{Attack, Place, Verdict, Way, assert_held, attack, scale},
};

pub fn attacks() -> Vec<Attack> {
    use Way::{Check, Program, Python};
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
