//! Attacks beyond the table.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::{
    common::{Run, id},
    machine::{assert_gone, descriptors, mark, peak_kib, supervisor},
    suite::{Attack, BEYOND, Place, Verdict, Way, assert_held, attack, ms, scale},
};

pub fn attacks() -> Vec<Attack> {
    use Way::{Alone, Check, Python};
    vec![
        attack(BEYOND + 1, "500 processes with setsid, ended", Alone(five_hundred)),
        attack(
            BEYOND + 2,
            "run from memory; write to memory of files",
            Python(include_str!("programs/x_memory_files.py")),
        ),
        attack(BEYOND + 3, "type into a terminal (TIOCSTI)", Python(include_str!("programs/x_terminal.py"))),
        attack(
            BEYOND + 4,
            "make devices; write to /usr (Landlock)",
            Python(include_str!("programs/x_devices.py")),
        ),
        attack(
            BEYOND + 5,
            "real-time scheduling, limits of others",
            Python(include_str!("programs/x_scheduling.py")),
        ),
        attack(
            BEYOND + 6,
            "personality, prctl, filters of one's own",
            Python(include_str!("programs/x_personality.py")),
        ),
        attack(BEYOND + 7, "descriptors passed to the supervisor", Check(passed_descriptors)),
        attack(BEYOND + 8, "flood on the message channel", Check(message_flood)),
        attack(BEYOND + 9, "inotify on what is shared", Check(inotify)),
        attack(BEYOND + 10, "close every descriptor", Check(close_all)),
        attack(BEYOND + 11, "change what is compiled for the next session", Check(change_compiled)),
    ]
}

/// Gone within 200 ms of its end, whether that is its own or somebody's.
fn five_hundred(place: &Place) -> Verdict {
    let code = include_str!("programs/r22_survivors.c");
    let limits = json!({"processes": 600, "memory_bytes": 1 << 30, "cpu_ms": 60_000});
    let mut times = vec![];
    for _ in 0..3 {
        let mark = mark();
        let session = place.start("c", code, json!({"args": ["stay", "500", mark], "limits": limits}));
        place.server.stream(&id(&session), "").read_until("ready 500\n");
        let began = Instant::now();
        assert_eq!(place.server.delete(&format!("/sessions/{}", id(&session))).status, 204);
        times.push(began.elapsed());
        assert_gone(&mark, Duration::ZERO);
    }
    let mark = mark();
    let (run, _) = place.run("c", code, json!({"args": ["exit", "500", mark], "limits": limits}));
    assert_eq!(run.stdout, "ready 500\n");
    assert_gone(&mark, Duration::ZERO);
    let worst = times.iter().max().expect("some");
    assert!(*worst < ms(200), "{times:?}");
    let times: Vec<_> = times.iter().map(|time| format!("{} ms", time.as_millis())).collect();
    Verdict::HoldsWith(format!("500 processes gone in {}", times.join(", ")))
}

fn passed_descriptors(place: &Place) -> Verdict {
    let session = place.start("python", include_str!("programs/x_messages.py"), json!({}));
    let mut stream = place.server.stream(&id(&session), "");
    let pid = supervisor(&place.server, &id(&session));
    assert_eq!(stream.next_of("hello")["msgtype"], "hello");
    assert!(descriptors(pid) < 40, "the supervisor has {} descriptors", descriptors(pid));
    stream.send(&json!({"msgtype": "input", "data": "\n"}));
    let run = Run::collect(stream);
    assert_eq!((&*run.stdout, run.exitstatus), ("held\n", 0), "{run:?}");
    Verdict::Holds
}

fn message_flood(place: &Place) -> Verdict {
    // A line that never ends is thrown away, so it is the clock that ends it; the others end by what they are, however slow the
    // machine is.
    for (how, wall_ms, cpu_ms) in [("line", 3_000, 10_000), ("lines", 20_000, 60_000)] {
        let limits = json!({"output_bytes": 4 << 20, "cpu_ms": cpu_ms});
        let fields = json!({"env": {"HOW": how}, "limits": limits, "timeout": wall_ms * scale()});
        let session = place.start("python", include_str!("programs/x_flood_messages.py"), fields);
        let pid = supervisor(&place.server, &id(&session));
        let mut stream = place.server.stream(&id(&session), "");
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

fn inotify(place: &Place) -> Verdict {
    let session = place.start("python", include_str!("programs/x_inotify.py"), json!({}));
    let mut stream = place.server.stream(&id(&session), "");
    stream.read_until("ready");
    assert_eq!(place.server.run_code("bash", "echo x > /tmp/x; ls /etc /proc").exitstatus, 0);
    stream.send(&json!({"msgtype": "input", "data": "\n"}));
    assert_held(&Run::collect(stream));
    Verdict::Holds
}

fn close_all(place: &Place) -> Verdict {
    let (run, session) = place.run("python", include_str!("programs/x_close.py"), json!({}));
    assert_eq!((run.exitstatus, &session["outcome"]), (7, &json!("exited")), "{run:?}");
    Verdict::Holds
}

/// The program of one session does all it can to the file it runs from; the next session of the same gets it as it was.
fn change_compiled(place: &Place) -> Verdict {
    let code = include_str!("programs/x_change_compiled.c");
    for from in ["fresh", "cached", "cached"] {
        let (run, session) = place.run("c", code, json!({}));
        assert_held(&run);
        assert_eq!(session["compiled"], from, "{session}");
    }
    Verdict::Holds
}
