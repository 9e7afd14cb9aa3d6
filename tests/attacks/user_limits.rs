//! Attacks on what the kernel counts for a user, which the sessions of an ordinary user's server
//! have in common, and on memory that belongs to no process.

use serde_json::json;

use crate::{
    attack::{ADDITIONAL, Attack, Method, Verdict, attack},
    common::{eventually, id},
    fixture::{Fixture, time_scale},
};

const MIB: u64 = 1 << 20;

pub fn attacks() -> Vec<Attack> {
    use Method::{Check, CheckAlone};
    vec![
        attack(ADDITIONAL + 17, "hold memory that no process has", Check(hoards)),
        attack(ADDITIONAL + 18, "take descriptors in flight, pipe pages, …", CheckAlone(shared_supplies)),
        attack(ADDITIONAL + 19, "use up the epoll watches of the user", CheckAlone(watches)),
    ]
}

/// Memory in a tmpfs, in sockets and in page tables ends a session at its memory limit.
fn hoards(fixture: &Fixture) -> Verdict {
    let limits = json!({"memory_bytes": 64 * MIB, "disk_bytes": 512 * MIB, "cpu_ms": 60_000});
    let mut degraded = json!(null);
    let mut check = |what: &str, runtime: &str, code: &str| {
        let fields = json!({"args": [what], "limits": limits, "timeout": 30_000 * time_scale()});
        let (run, session) = fixture.run(runtime, code, fields);
        assert_eq!(session["outcome"], "memory", "{what}: {run:?} {session}");
        degraded = session;
    };
    for what in ["tmpfs", "unix", "unix_closed", "shared_in_secret"] {
        check(what, "python", include_str!("../strangers/programs/hoards.py"));
    }
    // Whether a cgroup charges what these send is the subject of another row.
    let sampled: &[&str] = if fixture.column.has_cgroups() { &[] } else { &["tcp", "udp"] };
    for what in sampled {
        check(what, "python", include_str!("../strangers/programs/hoards.py"));
    }
    check("page tables", "c", include_str!("../strangers/programs/page_tables.c"));
    fixture.bounded(&degraded)
}

/// Other sessions are compiled, started and written to while a program holds all that it can get.
fn shared_supplies(fixture: &Fixture) -> Verdict {
    let code = include_str!("programs/x_shared_supplies.py");
    let session = fixture.start("python", code, json!({}));
    let mut stream = fixture.server.stream(&id(&session), "");
    assert_eq!(stream.read_until("taken"), "taken\n");
    let hello = format!("#include <stdio.h>\nint main(void) {{ puts(\"hello {}\"); }}", id(&session));
    let run = fixture.server.run_code("c", &hello);
    assert_eq!((run.stdout, run.exitstatus), (format!("hello {}\n", id(&session)), 0));
    let echo = fixture.start("python", "print(input('ready\\n'))", json!({}));
    let mut echo = fixture.server.stream(&id(&echo), "");
    echo.read_until("ready");
    echo.send(&json!({"msgtype": "input", "data": "well\n"}));
    assert_eq!(echo.read_until("well"), "well\n");
    assert_eq!(fixture.server.delete(&format!("/sessions/{}", id(&session))).status, 204);
    Verdict::Holds
}

/// The server answers while a program uses up the watches of the server's user, and can end that
/// program. Afterwards everything works as before.
fn watches(fixture: &Fixture) -> Verdict {
    let limits = json!({"cpu_ms": 60_000, "processes": 64, "memory_bytes": 256 * MIB});
    let fields = json!({"limits": limits, "timeout": 120_000 * time_scale()});
    let session = fixture.start("c", include_str!("programs/x_watches.c"), fields);
    let path = format!("/sessions/{}", id(&session));
    let mut stream = fixture.server.stream(&id(&session), "");
    let mut output = String::new();
    while let Some(message) = stream.next() {
        output += message["data"].as_str().unwrap_or_default();
        if output.ends_with('\n') {
            break;
        }
    }
    assert_eq!(fixture.server.get("/healthz").status, 200, "{output}");
    assert_eq!(fixture.server.get(&path).status, 200, "{output}");
    // The kernel may take a while to free millions of watches.
    eventually("the session is deleted", || {
        let status = fixture.server.try_request("DELETE", &path, &[], &[])?.status;
        assert!([204, 503].contains(&status), "{status}");
        (status == 204).then_some(())
    });
    let hello = eventually("another session runs", || {
        let created = fixture.server.post("/sessions", &json!({"runtime": "bash", "code": "echo hello"}));
        (created.status == 201).then(|| id(&created.json()))
    });
    let path = format!("/sessions/{hello}");
    let ended = eventually("another session ends", || {
        let session = fixture.server.get(&path).json();
        (session["state"] == "ended").then_some(session)
    });
    assert_eq!(ended["outcome"], "exited", "{ended}");
    let is_used_up = output == "used up\n";
    if fixture.column.is_root {
        Verdict::Holds
    } else if is_used_up {
        Verdict::Degraded
    } else {
        Verdict::HoldsWith(format!("the program ended with {:?}", output.trim()))
    }
}
