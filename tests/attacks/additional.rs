//! Attacks that are not in the table of known attacks.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::{
    attack::{ADDITIONAL, Attack, Method, Verdict, attack},
    common::{Run, binary, eventually, id},
    fixture::{Fixture, assert_held, ms, request, time_scale},
    machine::{assert_gone, descriptors, mark, peak_kib, supervisor},
};

pub fn attacks() -> Vec<Attack> {
    use Method::{Check, CheckAlone, Python};
    vec![
        attack(ADDITIONAL + 1, "500 processes with setsid, ended", CheckAlone(five_hundred_processes)),
        attack(
            ADDITIONAL + 2,
            "run from memory; write to memory of files",
            Python(include_str!("programs/x_memory_files.py")),
        ),
        attack(
            ADDITIONAL + 3,
            "type into a terminal (TIOCSTI)",
            Python(include_str!("programs/x_terminal.py")),
        ),
        attack(
            ADDITIONAL + 4,
            "make devices; write to /usr (Landlock)",
            Python(include_str!("programs/x_devices.py")),
        ),
        attack(
            ADDITIONAL + 5,
            "real-time scheduling, limits of others",
            Python(include_str!("programs/x_scheduling.py")),
        ),
        attack(
            ADDITIONAL + 6,
            "personality, prctl, filters of one's own",
            Python(include_str!("programs/x_personality.py")),
        ),
        attack(ADDITIONAL + 7, "descriptors passed to the supervisor", Check(passed_descriptors)),
        attack(ADDITIONAL + 8, "flood on the message channel", Check(message_flood)),
        attack(ADDITIONAL + 9, "inotify on what is shared", Check(inotify)),
        attack(ADDITIONAL + 10, "close every descriptor", Check(close_all)),
        attack(ADDITIONAL + 11, "change what is compiled for the next session", Check(change_compiled)),
        attack(ADDITIONAL + 12, "limit, slow down or end process 1", Check(hamper_init)),
        attack(
            ADDITIONAL + 13,
            "take what the machine has once: aio, huge pages, …",
            Python(include_str!("programs/x_supplies.py")),
        ),
        attack(ADDITIONAL + 14, "read of the outside in /proc/1", Check(outside_in_proc)),
        attack(ADDITIONAL + 15, "hold memory in the buffers of sockets", Check(socket_buffers)),
        attack(ADDITIONAL + 16, "connect to a socket in a toolchain", Check(toolchain_socket)),
    ]
}

/// 500 processes are gone within 200 ms of the session's end, whether the program exits or is
/// killed.
fn five_hundred_processes(fixture: &Fixture) -> Verdict {
    let code = include_str!("programs/r22_survivors.c");
    let limits = json!({"processes": 600, "memory_bytes": 1 << 30, "cpu_ms": 60_000});
    let mut times = vec![];
    for _ in 0..3 {
        let mark = mark();
        let session = fixture.start("c", code, json!({"args": ["stay", "500", mark], "limits": limits}));
        fixture.server.stream(&id(&session), "").read_until("ready 500\n");
        let began = Instant::now();
        assert_eq!(fixture.server.delete(&format!("/sessions/{}", id(&session))).status, 204);
        times.push(began.elapsed());
        assert_gone(&mark, Duration::ZERO);
    }
    let mark = mark();
    let (run, _) = fixture.run("c", code, json!({"args": ["exit", "500", mark], "limits": limits}));
    assert_eq!(run.stdout, "ready 500\n");
    assert_gone(&mark, Duration::ZERO);
    let worst = times.iter().max().expect("three times");
    assert!(*worst < ms(200), "{times:?}");
    let times: Vec<_> = times.iter().map(|time| format!("{} ms", time.as_millis())).collect();
    Verdict::HoldsWith(format!("500 processes gone in {}", times.join(", ")))
}

/// Descriptors that a program sends on its message channel do not stay open in the supervisor.
fn passed_descriptors(fixture: &Fixture) -> Verdict {
    let session = fixture.start("python", include_str!("programs/x_messages.py"), json!({}));
    let mut stream = fixture.server.stream(&id(&session), "");
    let pid = supervisor(&fixture.server, &id(&session));
    assert_eq!(stream.next_of("hello")["msgtype"], "hello");
    assert!(descriptors(pid) < 40, "the supervisor has {} descriptors", descriptors(pid));
    stream.send(&json!({"msgtype": "input", "data": "\n"}));
    let run = Run::collect(stream);
    assert_eq!((&*run.stdout, run.exitstatus), ("held\n", 0), "{run:?}");
    Verdict::Holds
}

/// A flood on the message channel ends the session, and the supervisor's memory stays small.
fn message_flood(fixture: &Fixture) -> Verdict {
    // An endless line is discarded, so a time limit ends it. Short lines reach the output limit on
    // any machine, however slow it is.
    for (how, wall_ms, cpu_ms) in [("line", 3_000, 10_000), ("lines", 20_000, 60_000)] {
        let limits = json!({"output_bytes": 4 << 20, "cpu_ms": cpu_ms});
        let fields = json!({"env": {"HOW": how}, "limits": limits, "timeout": wall_ms * time_scale()});
        let session = fixture.start("python", include_str!("programs/x_flood_messages.py"), fields);
        let pid = supervisor(&fixture.server, &id(&session));
        let mut stream = fixture.server.stream(&id(&session), "");
        let mut peak = 0;
        let mut last = json!(null);
        while let Some(message) = stream.next() {
            peak = peak.max(peak_kib(pid).unwrap_or(0));
            last = message;
        }
        let reason = last["reason"].as_str().unwrap_or_default();
        assert!(
            reason == "output" || (how == "line" && ["timeout", "cpu"].contains(&reason)),
            "{how}: {last}"
        );
        assert!(peak < 64 * 1024, "{how}: the supervisor had {peak} KiB");
    }
    Verdict::Holds
}

/// Watches on shared folders report nothing of other sessions.
fn inotify(fixture: &Fixture) -> Verdict {
    let session = fixture.start("python", include_str!("programs/x_inotify.py"), json!({}));
    let mut stream = fixture.server.stream(&id(&session), "");
    stream.read_until("ready");
    assert_eq!(fixture.server.run_code("bash", "echo x > /tmp/x; ls /etc /proc").exitstatus, 0);
    stream.send(&json!({"msgtype": "input", "data": "\n"}));
    assert_held(&Run::collect(stream));
    Verdict::Holds
}

/// A program without descriptors and without its folder ends like any other.
fn close_all(fixture: &Fixture) -> Verdict {
    let (run, session) = fixture.run("python", include_str!("programs/x_close.py"), json!({}));
    assert_eq!((run.exitstatus, &session["outcome"]), (7, &json!("exited")), "{run:?}");
    Verdict::Holds
}

/// A program tries to change the file that it runs from. The next session with the same source
/// gets the original file.
fn change_compiled(fixture: &Fixture) -> Verdict {
    let code = include_str!("programs/x_change_compiled.c");
    for expected in ["fresh", "cached", "cached"] {
        let (run, session) = fixture.run("c", code, json!({}));
        assert_held(&run);
        assert_eq!(session["compiled"], expected, "{session}");
    }
    Verdict::Holds
}

/// A program tries to limit, slow down or end init. The session ends as the program does.
fn hamper_init(fixture: &Fixture) -> Verdict {
    let args: &[&str] = if fixture.column.is_root { &["root"] } else { &[] };
    let code = include_str!("programs/x_init.py");
    // The second source has another name, so it is executed instead of forked.
    for filename in ["main.py", "other.py"] {
        let fields = json!({"args": args, "code_filename": filename});
        let (run, session) = fixture.run("python", code, fields);
        assert_held(&run);
        assert_eq!(session["outcome"], "exited", "{session}");
    }
    Verdict::Holds
}

/// Nothing in /proc/1 and in the program's own folder shows the data directory or the address of
/// the server, whether the program is forked or executed.
fn outside_in_proc(fixture: &Fixture) -> Verdict {
    let code = include_str!("programs/x_proc_init.py");
    let outside = format!("{}\nspawner\n{}", fixture.server.data().display(), fixture.server.address());
    for filename in ["main.py", "other.py"] {
        let mut request = request("python", code, json!({"code_filename": filename}));
        let files = request["files"].as_array_mut().expect("a list");
        files.push(json!({"filename": "outside", "contents": outside}));
        assert_held(&fixture.server.run(&request));
    }
    Verdict::Holds
}

/// The buffers of a session's sockets hold no more than its limit and a quarter, or the session
/// ends for its memory.
fn socket_buffers(fixture: &Fixture) -> Verdict {
    const LIMIT_MIB: u64 = 64;
    let mut details = vec![];
    for way in ["udp", "udp held back", "udp errors", "netlink", "unix", "tcp"] {
        let limits = json!({"memory_bytes": LIMIT_MIB << 20, "cpu_ms": 60_000});
        let fields = json!({"args": [way], "limits": limits, "timeout": 30_000 * time_scale()});
        let session = fixture.start("python", include_str!("programs/x_sockets.py"), fields);
        let path = format!("/sessions/{}", id(&session));
        let mut stream = fixture.server.stream(&id(&session), "");
        let mut holds = None;
        while let Some(message) = stream.next() {
            let words = message["data"].as_str().unwrap_or_default();
            holds = words.strip_prefix("holds ").and_then(|mib| mib.trim().parse::<u64>().ok());
            if holds.is_some() {
                break;
            }
        }
        if holds.is_none_or(|mib| mib > LIMIT_MIB * 5 / 4) {
            let ended = eventually(&format!("{way}: a session that holds {holds:?} MiB ends"), || {
                let session = fixture.server.get(&path).json();
                (session["state"] == "ended").then_some(session)
            });
            assert_eq!(ended["outcome"], "memory", "{way}: {ended}");
        }
        details.push(holds.map_or(format!("{way} ended"), |mib| format!("{way} {mib} MiB")));
        fixture.server.delete(&path);
    }
    Verdict::HoldsWith(details.join(", "))
}

/// A program may connect to a socket that a service keeps in a folder that programs see. No kernel
/// facility prevents it, so `livecode doctor` names such sockets.
fn toolchain_socket(_: &Fixture) -> Verdict {
    let runtimes = tempfile::tempdir().expect("a temporary folder is created");
    let folder = runtimes.path().join("tool");
    std::fs::create_dir_all(folder.join("files/run")).expect("the folder is new");
    let manifest = "title = 'Tool'\nfile = 'main.sh'\neditor_mode = 'sh'\nrun = ['bash', '{source}']\ninstall = 'none'\n\
                    [[mounts]]\ntarget = '/opt/tool'\nsources = ['files']\n";
    std::fs::write(folder.join("runtime.toml"), manifest).expect("the folder is writable");
    let socket = folder.join("files/run/socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("the folder is writable");
    let mut doctor = std::process::Command::new(binary());
    doctor.args(["doctor", "--json", "--runtimes-dir"]).arg(runtimes.path());
    let output = doctor.output().expect("the command runs");
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a document");
    let findings = document["findings"].as_array().expect("a list");
    let finding = findings.iter().find(|finding| finding["name"] == "unix sockets").expect("a finding");
    assert_eq!(finding["verdict"], "degraded", "{finding}");
    let socket = socket.display().to_string();
    assert!(finding["found"].as_str().is_some_and(|found| found.contains(&socket)), "{finding}");
    Verdict::HoldsWith("`livecode doctor` names the socket".to_owned())
}
