//! The end of a session with cases that comes while one of them is ending.

use std::{fs, path::PathBuf};

use serde_json::json;

use crate::{
    cases::{Graded, bash, supervisor},
    common::{Server, eventually, id, is_root, processes},
};

/// A group of cgroup v1 whose processes do nothing, and do not even die, until it is thawed.
struct Freezer(PathBuf);

impl Freezer {
    /// Freezes a process; `None` if this machine has no such hierarchy, or if the user may not
    /// make groups.
    fn freeze(pid: u32) -> Option<Self> {
        let group =
            PathBuf::from(format!("/sys/fs/cgroup/freezer/livecode-test-{}-{pid}", std::process::id()));
        let group = (is_root() && fs::create_dir(&group).is_ok()).then(|| Self(group))?;
        fs::write(group.0.join("cgroup.procs"), pid.to_string()).expect("the process lives");
        fs::write(group.0.join("freezer.state"), "FROZEN").expect("`FROZEN` is valid");
        eventually("the process is frozen", || {
            fs::read_to_string(group.0.join("freezer.state"))
                .is_ok_and(|state| state == "FROZEN\n")
                .then_some(())
        });
        Some(group)
    }

    fn thaw(&self) {
        fs::write(self.0.join("freezer.state"), "THAWED").expect("`THAWED` is valid");
    }
}

impl Drop for Freezer {
    fn drop(&mut self) {
        self.thaw();
        eventually("the group is empty", || fs::remove_dir(&self.0).ok());
    }
}

/// A line of `/proc/PID/status`.
fn status(pid: u32, name: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(line.trim().to_owned())
}

/// A decimal number of that file.
fn number(pid: u32, name: &str) -> Option<u64> {
    status(pid, name)?.parse().ok()
}

#[test]
fn a_session_is_deleted_while_a_case_ends_by_its_own_limit() {
    const KILLED: u64 = 1 << 8; // SIGKILL is signal 9
    let server = Server::start();
    let mark = format!("75{}", std::process::id());
    let cases = json!([{"stdin": mark, "timeout": 1000}, {"stdin": "0"}, {"stdin": "0"}]);
    let id = id(&server.create(&bash("read time; exec sleep $time", &cases)));
    let mut stream = server.stream(&id, "?after=0");
    let program = eventually("the first case runs", || processes(&format!("sleep\0{mark}")).pop());
    let init = number(program, "PPid").expect("the program runs") as u32;
    let Some(freezer) = Freezer::freeze(init) else { return };
    eventually("the first case is killed at its limit", || {
        let pending = u64::from_str_radix(&status(init, "ShdPnd")?, 16).ok()?;
        (pending & KILLED != 0).then_some(())
    });
    let supervisor = supervisor(&server, &id).as_raw_nonzero().get() as u32;
    // A supervisor sleeps again when it has handled what has come.
    let sleeps = || number(supervisor, "voluntary_ctxt_switches").expect("the supervisor lives");
    let before = sleeps();
    std::thread::scope(|scope| {
        let deleted = scope.spawn(|| server.delete(&format!("/sessions/{id}")).status);
        // Nothing of the sandbox can end meanwhile.
        eventually("the supervisor has read the request", || (sleeps() > before).then_some(()));
        freezer.thaw();
        assert_eq!(deleted.join().expect("no panic"), 204);
    });
    let graded = Graded { id, messages: stream.rest() };
    assert_eq!((graded.summary(), graded.exit()), ([0, 1, 2], (137, Some("cancelled"))));
    assert_eq!(graded.case("1")["outcome"], "timeout");
}
